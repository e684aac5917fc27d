from django.apps import AppConfig


class WorksConfig(AppConfig):
    name = "machnuoc.works"
    label = "works"
    verbose_name = "Công trình"
