from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TelemetryConfig(AppConfig):
    name = "machnuoc.telemetry"
    label = "telemetry"
    verbose_name = "Giám sát trực tuyến"

    def ready(self) -> None:
        from machnuoc.telemetry import quantity_operations
        from machnuoc.telemetry.quantities import QUANTITIES

        post_migrate.connect(_prepare_store, sender=self)
        QUANTITIES.extend(quantity_operations.load)


def _prepare_store(**_: object) -> None:
    from machnuoc.telemetry import store

    store.prepare()
