from django.apps import AppConfig
from django.core import validators


class CoreConfig(AppConfig):
    name = "machnuoc.core"
    label = "core"
    verbose_name = "Nền tảng"

    def ready(self) -> None:
        # Django's own Vietnamese of these two reads as a translation, with a blank before the full stop.
        validators.MaxValueValidator.message = "Nhập số không lớn hơn %(limit_value)s."
        validators.MinValueValidator.message = "Nhập số không nhỏ hơn %(limit_value)s."
