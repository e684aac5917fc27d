"""What every request passes before it reaches a page."""

import ipaddress
import re
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_API = "/api/"
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
# Control characters but tab and line ends; marks of no width that turn the direction of writing or hide in a word.
# The joiners U+200C and U+200D stay: scripts and signs need them.
_UNSEEN = re.compile(
    r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffe\uffff]"
)


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer 400 to a NUL character, which no text of ours holds and PostgreSQL refuses to search for.

    This is for addresses, for forms (what views read without a form field too) and for bodies of the API, which it
    reads as JSON whatever they say they are.
    """

    def answered(request: HttpRequest) -> HttpResponse:
        in_address = "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", "")
        if in_address or (request.method != "GET" and _holds_nul(request)):
            raise BadRequest("a NUL character")
        return get_response(request)

    return answered


def _holds_nul(request: HttpRequest) -> bool:
    if request.path_info.startswith(_API):
        return b"\\u0000" in request.body
    if request.content_type not in _FORMS:
        return False
    return any("\0" in text for name, texts in request.POST.lists() for text in (name, *map(str, texts)))


def drop_unseen(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Take characters that nobody sees out of what forms say, but for passwords.

    They come along from the web and from Word: a name with one is not found again, a name of nothing else cannot be
    clicked, and a mark that turns the direction of writing rewrites the line it stands in, on screen and in a calendar.
    """

    def answered(request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and request.content_type in _FORMS and not request.path_info.startswith(_API):
            said = request.POST
            if any(_UNSEEN.search(text) for texts in dict(said.lists()).values() for text in map(str, texts)):
                cleaned = said.copy()
                for name, texts in said.lists():
                    if "password" not in name:
                        cleaned.setlist(name, [_UNSEEN.sub("", str(text)) for text in texts])
                cleaned._mutable = False
                request.POST = cleaned  # type: ignore[assignment]
        return get_response(request)

    return answered


def keep_private(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let no cache keep what a signed-in person is shown: the next one at a shared computer goes back in vain.

    Programs may keep what the API said, for themselves, and ask by ETag whether it still holds.
    """

    def answered(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not response.has_header("Cache-Control"):
            is_api = request.path_info.startswith(_API)
            response["Cache-Control"] = "private, no-cache" if is_api else "private, no-store"
        return response

    return answered


def client_address(request: HttpRequest) -> str:
    """Return the network address of who asks, by which failed sign-ins are counted.

    Behind a front server it is the last one in X-Forwarded-For, which that server has seen itself: what stands before
    it is what the client says. Without a front server the header is anybody's.
    """
    seen = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.IS_BEHIND_PROXY:
        return seen
    last = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return seen
