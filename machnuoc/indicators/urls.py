from django.urls import URLPattern, URLResolver, path

from machnuoc.indicators import entry_urls, views

app_name = "indicators"
urlpatterns: list[URLPattern | URLResolver] = [
    path("chi-tieu/", views.list_metrics, name="list"),
    path("chi-tieu/moi/", views.add_metric, name="add"),
    path("chi-tieu/<str:key>/", views.metric, name="detail"),
    path("chi-tieu/<str:key>/cong-thuc/", views.edit_formula, name="formula"),
    path("chi-tieu/<str:key>/cong-thuc/kiem-tra/", views.check_formula, name="formula_check"),
    path("chi-tieu/<str:key>/muc/", views.edit_bands, name="bands"),
    path("so-lieu/<int:pk>/", views.value, name="value"),
    path("so-lieu/<int:pk>/nhanh/", views.value_branch, name="value_branch"),
    *entry_urls.urlpatterns,
]
