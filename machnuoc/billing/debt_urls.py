"""Addresses: debt."""

from django.urls import URLPattern, path

from machnuoc.billing import debt_views as views

urlpatterns: list[URLPattern] = [
    path("cong-no/", views.debt_list, name="debt_list"),
    path("cong-no/nhac/", views.debt_remind, name="debt_remind"),
    path("cong-no/mo/<str:code>/", views.debt_open, name="debt_open"),
    path("cong-no/ho-so/<int:pk>/", views.debt_case, name="debt_case"),
    path("cong-no/ho-so/<int:pk>/van-ban/<int:step>/", views.debt_proof, name="debt_proof"),
    path("cong-no/ho-so/<int:pk>/<slug:act_name>/", views.debt_act, name="debt_act"),
]
