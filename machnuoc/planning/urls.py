from machnuoc.planning import duty_urls, plan_urls, programme_urls, project_urls, task_urls

app_name = "planning"
urlpatterns = [
    *plan_urls.urlpatterns,
    *task_urls.urlpatterns,
    *programme_urls.urlpatterns,
    *project_urls.urlpatterns,
    *duty_urls.urlpatterns,
]
