"""Pages for those who run the system, below /quan-tri/."""

from django.urls import path

from machnuoc.core import admin_views

urlpatterns = [
    path("tac-vu/", admin_views.list_jobs, name="jobs"),
    path("tac-vu/<int:pk>/chay-lai/", admin_views.retry_job, name="retry_job"),
    path("tac-vu/<int:pk>/huy/", admin_views.cancel_job, name="cancel_job"),
    path("tin-gui/", admin_views.list_sendings, name="sendings"),
    path("tin-gui/<int:pk>/gui-lai/", admin_views.send_again, name="send_again"),
    path("nhat-ky/", admin_views.list_audit, name="audit"),
    path("nhat-ky/xuat/", admin_views.export_audit, name="export_audit"),
    path("tep/<int:pk>/", admin_views.download_file, name="file"),
]
