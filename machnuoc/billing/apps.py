from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "machnuoc.billing"
    label = "billing"
    verbose_name = "Hóa đơn và thu tiền"
