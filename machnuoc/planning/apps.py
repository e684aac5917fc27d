from django.apps import AppConfig


class PlanningConfig(AppConfig):
    name = "machnuoc.planning"
    label = "planning"
    verbose_name = "Kế hoạch"
