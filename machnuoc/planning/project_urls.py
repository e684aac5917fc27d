"""Addresses of projects and handover."""

from django.urls import URLPattern, path

from machnuoc.planning import handover_views, project_views

urlpatterns: list[URLPattern] = [
    path("du-an/", project_views.project_list, name="project_list"),
    path("du-an/bieu-do/", project_views.project_chart, name="project_chart"),
    path("du-an/no-dong/", project_views.project_debts, name="project_debts"),
    path("du-an/nguon-von/", project_views.project_funds, name="project_funds"),
    path("du-an/nguon-von/<str:key>/", project_views.project_fund, name="project_fund"),
    path("du-an/oc4ids.json", project_views.project_oc4ids, name="project_oc4ids"),
    path("du-an/them/", project_views.project_add, name="project_add"),
    path("du-an/<str:key>/", project_views.project_detail, name="project_detail"),
    path("du-an/<str:key>/ho-so/", project_views.project_edit, name="project_edit"),
    path("du-an/<str:key>/ke-hoach-von/", project_views.project_yearly_plan, name="project_yearly_plan"),
    path("du-an/<str:key>/giai-ngan/", project_views.project_disburse, name="project_disburse"),
    path(
        "du-an/<str:key>/giai-ngan/<int:pk>/dao/",
        project_views.project_reverse_disbursement,
        name="project_reverse_disbursement",
    ),
    path("du-an/<str:key>/nghiem-thu/", project_views.project_accept, name="project_accept"),
    path(
        "du-an/<str:key>/nghiem-thu/<int:pk>/dao/", project_views.project_reverse_volume, name="project_reverse_volume"
    ),
    path("du-an/<str:key>/tinh-trang/", project_views.project_progress, name="project_progress"),
    path("du-an/<str:key>/moc/", project_views.project_milestone, name="project_add_milestone"),
    path("du-an/<str:key>/moc/<int:pk>/", project_views.project_milestone, name="project_milestone"),
    path("du-an/<str:key>/moc/<int:pk>/xoa/", project_views.project_remove_milestone, name="project_remove_milestone"),
    path("du-an/<str:key>/vuong-mac/", project_views.project_obstacle, name="project_obstacle"),
    path("du-an/<str:key>/vuong-mac/<int:pk>/go/", project_views.project_resolve, name="project_resolve"),
    path("ban-giao/", handover_views.handover_list, name="handover_list"),
    path("ban-giao/them/", handover_views.handover_add, name="handover_add"),
    path("ban-giao/<int:pk>/", handover_views.handover_detail, name="handover_detail"),
    path("ban-giao/<int:pk>/de-nghi/", handover_views.handover_edit, name="handover_edit"),
    path("ban-giao/<int:pk>/quay-lai/", handover_views.handover_back, name="handover_back"),
    path("ban-giao/<int:pk>/ho-so/<int:paper>/", handover_views.handover_paper, name="handover_paper"),
    path("ban-giao/<int:pk>/ho-so/<int:paper>/tep/", handover_views.handover_paper_file, name="handover_paper_file"),
    path("ban-giao/<int:pk>/dung/", handover_views.handover_stop, name="handover_stop"),
    path("ban-giao/<int:pk>/buoc/<slug:act>/", handover_views.handover_step, name="handover_step"),
]
