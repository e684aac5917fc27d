from django.apps import AppConfig


class IndicatorsConfig(AppConfig):
    name = "machnuoc.indicators"
    label = "indicators"
    verbose_name = "Chỉ tiêu"

    def ready(self) -> None:
        from machnuoc.indicators import providers

        providers.discover()
