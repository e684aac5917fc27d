"""The addresses of the program and one empty page, signed in as all of them."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from machnuoc.config import urls

EMPTY = "/phep-do/trang-trong/"


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


urlpatterns = [path(EMPTY.removeprefix("/"), empty), path("", include("machnuoc.config.urls"))]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500
