from django.apps import AppConfig


class PlacesConfig(AppConfig):
    name = "machnuoc.places"
    label = "places"
    verbose_name = "Địa bàn và tổ chức"
