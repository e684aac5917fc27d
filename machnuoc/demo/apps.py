from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "machnuoc.demo"
    label = "demo"
    verbose_name = "Dữ liệu mẫu"
