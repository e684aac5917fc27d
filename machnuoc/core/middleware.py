"""What every request passes before it reaches a page."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_API = "/api/"
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


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
