"""Addresses of the customers' pages, all under /kh/."""

from django.urls import URLPattern, URLResolver, include, path

from machnuoc.portal import money_urls, service_urls, sign_in_urls, staff_views

app_name = "portal"
_pages: list[URLPattern | URLResolver] = [
    *sign_in_urls.urlpatterns,
    *money_urls.urlpatterns,
    *service_urls.urlpatterns,
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("kh/", include(_pages)),
    path("cong-khach-hang/<str:code>/lien-ket/", staff_views.link, name="staff_link"),
    path("cong-khach-hang/<str:code>/lien-ket/<int:pk>/go/", staff_views.unlink, name="staff_unlink"),
]
