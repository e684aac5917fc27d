from django.apps import AppConfig


class PlanningConfig(AppConfig):
    name = "machnuoc.planning"
    label = "planning"
    verbose_name = "Kế hoạch"

    def ready(self) -> None:
        from machnuoc.planning import plan_search

        plan_search.register_kinds()
