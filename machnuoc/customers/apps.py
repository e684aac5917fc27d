from django.apps import AppConfig


class CustomersConfig(AppConfig):
    name = "machnuoc.customers"
    label = "customers"
    verbose_name = "Khách hàng"
