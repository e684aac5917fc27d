from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class CustomersConfig(AppConfig):
    name = "machnuoc.customers"
    label = "customers"
    verbose_name = "Khách hàng"

    def ready(self) -> None:
        post_migrate.connect(_load_categories, sender=self)


def _load_categories(using: str = "default", **_: Any) -> None:
    """Add the categories of requests that ship with the program, once their table is there."""
    from machnuoc.customers import request_categories
    from machnuoc.customers.models import Category

    if Category._meta.db_table in connections[using].introspection.table_names():
        request_categories.load_categories()
