"""Addresses of tasks, inspections, campaigns."""

from django.urls import URLPattern, path

from machnuoc.planning import task_views

urlpatterns: list[URLPattern] = [
    path("nhiem-vu/", task_views.task_list, name="task_list"),
    path("nhiem-vu/bang/", task_views.task_board, name="task_board"),
    path("nhiem-vu/theo-don-vi/", task_views.task_by_unit, name="task_by_unit"),
    path("nhiem-vu/dong-thoi-gian/", task_views.task_timeline, name="task_timeline"),
    path("nhiem-vu/them/", task_views.task_add, name="task_add"),
    path("nhiem-vu/nhap-tep/", task_views.task_imports, name="task_imports"),
    path("nhiem-vu/nhap-tep/mau/", task_views.task_template, name="task_template"),
    path("nhiem-vu/nhap-tep/<int:pk>/", task_views.task_import, name="task_import"),
    path("nhiem-vu/<str:key>/", task_views.task_detail, name="task_detail"),
    path("nhiem-vu/<str:key>/sua/", task_views.task_edit, name="task_edit"),
    path("nhiem-vu/<str:key>/tien-do/", task_views.task_progress, name="task_progress"),
    path("nhiem-vu/<str:key>/chuyen/", task_views.task_move, name="task_move"),
    path("nhiem-vu/<str:key>/y-kien/", task_views.task_comment, name="task_comment"),
    path("nhiem-vu/<str:key>/quyet-dinh/", task_views.task_decide, name="task_decide"),
    path("nhiem-vu/<str:key>/chuyen-giao/", task_views.task_hand_over, name="task_hand_over"),
    path("nhiem-vu/<str:key>/tep/<int:pk>/", task_views.task_file, name="task_file"),
    path("hop-kiem-tra/", task_views.meeting_list, name="meeting_list"),
    path("hop-kiem-tra/them/", task_views.meeting_add, name="meeting_add"),
    path("hop-kiem-tra/<int:pk>/", task_views.meeting_detail, name="meeting_detail"),
    path("hop-kiem-tra/<int:pk>/sua/", task_views.meeting_edit, name="meeting_edit"),
    path(
        "hop-kiem-tra/<int:pk>/ket-luan/<int:conclusion>/nhiem-vu/", task_views.conclusion_task, name="conclusion_task"
    ),
    path("hop-kiem-tra/<int:pk>/tep/<int:file>/", task_views.meeting_file, name="meeting_file"),
    path("tuyen-truyen-tap-huan/", task_views.campaign_list, name="campaign_list"),
    path("tuyen-truyen-tap-huan/them/", task_views.campaign_add, name="campaign_add"),
    path("tuyen-truyen-tap-huan/<int:pk>/", task_views.campaign_detail, name="campaign_detail"),
    path("tuyen-truyen-tap-huan/<int:pk>/sua/", task_views.campaign_edit, name="campaign_edit"),
    path("tuyen-truyen-tap-huan/<int:pk>/tep/<int:file>/", task_views.campaign_file, name="campaign_file"),
]
