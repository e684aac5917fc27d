"""What the public and the customers see: the customer portal."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "machnuoc.portal"
    label = "portal"
    verbose_name = "Trang khách hàng"
