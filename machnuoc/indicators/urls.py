from django.urls import URLPattern, URLResolver, path

from machnuoc.indicators import views

app_name = "indicators"
urlpatterns: list[URLPattern | URLResolver] = [
    path("chi-tieu/", views.list_metrics, name="list"),
    path("chi-tieu/<str:key>/", views.metric, name="detail"),
    path("so-lieu/<int:pk>/", views.value, name="value"),
]
