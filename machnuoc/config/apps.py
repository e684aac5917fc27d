from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "machnuoc.config"
    label = "config"
    verbose_name = "Cài đặt"

    def ready(self) -> None:
        from machnuoc.config import checks  # noqa: F401 - registers the system checks
