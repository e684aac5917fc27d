from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "machnuoc.reports"
    label = "reports"
    verbose_name = "Báo cáo"

    def ready(self) -> None:
        from machnuoc.planning import duty_queries
        from machnuoc.reports import queries, report_search

        duty_queries.register_report_link(queries.report_link)
        report_search.register_kinds()
