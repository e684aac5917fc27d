from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "machnuoc.reports"
    label = "reports"
    verbose_name = "Báo cáo"
