"""What every request passes before it reaches a page."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_JSON = "application/json"


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer 400 to a NUL character, which no text of ours holds and PostgreSQL refuses to search for.

    Forms refuse it themselves; this is for addresses and for bodies of the API.
    """

    def answered(request: HttpRequest) -> HttpResponse:
        in_address = "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", "")
        if in_address or (request.content_type == _JSON and b"\\u0000" in request.body):
            raise BadRequest("a NUL character")
        return get_response(request)

    return answered
