"""Two sessions in one browser: that of the staff, and under /kh/ that of a customer, each with a cookie of its own."""

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse

ROOT = "/kh/"


class SeparateSessions(SessionMiddleware):
    """Django's sessions; for the customers' pages under the cookie that browsers send to no other page.

    The cookie of the staff comes along to /kh/ too, and is left unread there: nobody of the staff is signed in.
    """

    def process_request(self, request: HttpRequest) -> None:
        if _is_for_customers(request):
            said = request.COOKIES.get(settings.PORTAL_COOKIE_NAME)
            request.COOKIES = {**request.COOKIES, settings.SESSION_COOKIE_NAME: said or ""}
        super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        answer = super().process_response(request, response)
        made = answer.cookies.pop(settings.SESSION_COOKIE_NAME, None) if _is_for_customers(request) else None
        if made is not None:
            answer.cookies[settings.PORTAL_COOKIE_NAME] = made.value
            named = answer.cookies[settings.PORTAL_COOKIE_NAME]
            named.update({key: value for key, value in made.items() if value})
            named["path"] = ROOT
        return answer


def _is_for_customers(request: HttpRequest) -> bool:
    return request.path_info.startswith(ROOT)
