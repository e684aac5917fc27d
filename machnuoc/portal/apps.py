"""What the public and the customers see: the customer portal."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class PortalConfig(AppConfig):
    name = "machnuoc.portal"
    label = "portal"
    verbose_name = "Trang khách hàng"

    def ready(self) -> None:
        user_logged_in.connect(_part_from_customer, dispatch_uid="portal.part_from_customer")


def _part_from_customer(sender: object, request: Any, **kwargs: object) -> None:
    from machnuoc.portal import sessions  # needs models

    sessions.leave_to_staff(request.session)
