from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "machnuoc.core"
    label = "core"
    verbose_name = "Nền tảng"
