"""Addresses of alarms and their rules."""

from django.urls import URLPattern, path

from machnuoc.telemetry import alarm_views

urlpatterns: list[URLPattern] = [
    path("giam-sat/canh-bao/", alarm_views.alarm_list, name="alarm_list"),
    path("giam-sat/canh-bao/da-qua/", alarm_views.alarm_history, name="alarm_history"),
    path("giam-sat/canh-bao/thong-ke/", alarm_views.alarm_statistics, name="alarm_statistics"),
    path("giam-sat/canh-bao/nhan/", alarm_views.alarm_acknowledge, name="alarm_acknowledge"),
    path("giam-sat/canh-bao/<int:pk>/", alarm_views.alarm_detail, name="alarm_detail"),
    path("giam-sat/canh-bao/<int:pk>/viec-da-lam/", alarm_views.alarm_note, name="alarm_note"),
    path("giam-sat/quy-tac/", alarm_views.rule_list, name="rule_list"),
    path("giam-sat/quy-tac/them/", alarm_views.rule_add, name="rule_add"),
    path("giam-sat/quy-tac/<int:pk>/", alarm_views.rule_detail, name="rule_detail"),
    path("giam-sat/quy-tac/<int:pk>/sua/", alarm_views.rule_edit, name="rule_edit"),
    path("giam-sat/quy-tac/<int:pk>/tam-gac/", alarm_views.rule_shelve, name="rule_shelve"),
    path("giam-sat/quy-tac/<int:pk>/thoi-gac/", alarm_views.rule_unshelve, name="rule_unshelve"),
    path("giam-sat/quy-tac/<int:pk>/ngung-dung/", alarm_views.rule_out_of_service, name="rule_out_of_service"),
    path("giam-sat/quy-tac/<int:pk>/dung-lai/", alarm_views.rule_in_service, name="rule_in_service"),
    path("giam-sat/bao-tri/", alarm_views.maintenance_list, name="maintenance_list"),
    path("giam-sat/bao-tri/them/", alarm_views.maintenance_add, name="maintenance_add"),
    path("giam-sat/bao-tri/<int:pk>/ket-thuc/", alarm_views.maintenance_end, name="maintenance_end"),
]
