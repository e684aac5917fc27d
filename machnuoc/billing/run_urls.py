"""Addresses of billing runs, and of the ledger."""

from django.urls import URLPattern, path

from machnuoc.billing import ledger_views, run_views

urlpatterns: list[URLPattern] = [
    path("lap-hoa-don/", run_views.run_list, name="run_list"),
    path("lap-hoa-don/them/", run_views.run_open, name="run_open"),
    path("lap-hoa-don/thong-tin/<str:key>/", run_views.profile_edit, name="profile_edit"),
    path("lap-hoa-don/<int:pk>/", run_views.run_detail, name="run_detail"),
    path("lap-hoa-don/<int:pk>/tinh-thu/", run_views.run_preview, name="run_preview"),
    path("lap-hoa-don/<int:pk>/duyet/", run_views.run_approve, name="run_approve"),
    path("lap-hoa-don/<int:pk>/phat-hanh/", run_views.run_start, name="run_start"),
    path("lap-hoa-don/<int:pk>/dung/", run_views.run_stop, name="run_stop"),
    path("lap-hoa-don/<int:pk>/huy/", run_views.run_cancel, name="run_cancel"),
    path("lap-hoa-don/<int:pk>/bo-qua/", run_views.run_skips, name="run_skips"),
    path("so-cai/", ledger_views.balances, name="ledger"),
    path("so-cai/nhat-ky/", ledger_views.journal, name="ledger_journal"),
    path("so-cai/kiem-tra/", ledger_views.verify, name="ledger_verify"),
]
