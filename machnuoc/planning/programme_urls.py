"""Addresses of criteria programmes."""

from django.urls import URLPattern, path

from machnuoc.planning import programme_views as views

_ONE = "nong-thon-moi/<str:key>/"

urlpatterns: list[URLPattern] = [
    path("nong-thon-moi/", views.programme_list, name="programme_list"),
    path("nong-thon-moi/bo-tieu-chi/", views.criteria_sets, name="criteria_sets"),
    path("nong-thon-moi/bo-tieu-chi/<slug:key>/", views.criteria_set, name="criteria_set"),
    path("nong-thon-moi/bo-tieu-chi/<slug:key>/tieu-chi/", views.criterion_form, name="criterion_form"),
    path("nong-thon-moi/tieu-chi/<int:pk>/chi-tieu/", views.sub_indicator_form, name="sub_indicator_form"),
    path("nong-thon-moi/chi-tieu/<int:pk>/muc/", views.threshold_form, name="threshold_form"),
    path("nong-thon-moi/muc/<int:pk>/ket-thuc/", views.threshold_end, name="threshold_end"),
    path("nong-thon-moi/vung-nhom-xa/<str:unit_key>/", views.unit_profile, name="unit_profile"),
    path(_ONE, views.programme_detail, name="programme_detail"),
    path(f"{_ONE}lay-so-lieu/", views.programme_fill, name="programme_fill"),
    path(f"{_ONE}ma-tran/", views.programme_matrix, name="programme_matrix"),
    path(f"{_ONE}co-quan/", views.programme_agencies, name="programme_agencies"),
    path(f"{_ONE}co-quan/<int:order>/", views.programme_agency, name="programme_agency"),
    path(f"{_ONE}lo-trinh/", views.programme_roadmap, name="programme_roadmap"),
    path(f"{_ONE}lo-trinh/chot/", views.programme_freeze, name="programme_freeze"),
    path(f"{_ONE}lo-trinh/<int:pk>/", views.programme_roadmap_entry, name="programme_roadmap_entry"),
    path(f"{_ONE}sap-xep/", views.programme_mergers, name="programme_mergers"),
    path(f"{_ONE}tep/<int:pk>/", views.programme_file, name="programme_file"),
    path(f"{_ONE}danh-gia/<int:pk>/lich-su/", views.programme_history, name="programme_history"),
    path(f"{_ONE}xa/<str:unit_key>/", views.programme_unit, name="programme_unit"),
    path(f"{_ONE}xa/<str:unit_key>/lo-trinh/", views.programme_unit_course, name="programme_unit_course"),
    path(f"{_ONE}xa/<str:unit_key>/ho-so/", views.programme_dossier, name="programme_dossier"),
    path(f"{_ONE}xa/<str:unit_key>/tieu-chi/<int:pk>/", views.programme_cell, name="programme_cell"),
    path(f"{_ONE}xa/<str:unit_key>/tieu-chi/<int:pk>/danh-gia/", views.programme_assess, name="programme_assess"),
]
