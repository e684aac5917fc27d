from django.urls import URLPattern, path

from machnuoc.reports import views

app_name = "reports"
urlpatterns: list[URLPattern] = [
    path("bao-cao/", views.report_list, name="list"),
    path("bao-cao/lap/", views.add, name="add"),
    path("bao-cao/mau/", views.templates, name="templates"),
    path("bao-cao/mau/<slug:kind_key>/", views.template_kind, name="template"),
    path("bao-cao/mau/<slug:kind_key>/thu/", views.template_try, name="template_try"),
    path("bao-cao/<int:pk>/", views.detail, name="detail"),
    path("bao-cao/<int:pk>/so-lieu/", views.figures, name="figures"),
    path("bao-cao/<int:pk>/kiem-tra/", views.checks, name="checks"),
    path("bao-cao/<int:pk>/doi-chieu/", views.compare, name="compare"),
    path("bao-cao/<int:pk>/muc/<int:section_pk>/", views.section, name="section"),
    path("bao-cao/<int:pk>/dau-cuoi/", views.details, name="details"),
    path("bao-cao/<int:pk>/tep/<slug:what>/", views.file, name="file"),
    path("bao-cao/<int:pk>/viec/<slug:act>/", views.act, name="act"),
]
