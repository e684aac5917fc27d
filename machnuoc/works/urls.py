from django.urls import path

from machnuoc.works import views

app_name = "works"
urlpatterns = [
    path("cong-trinh/", views.works_list, name="list"),
    path("cong-trinh/ban-do/", views.works_map, name="map"),
    path("cong-trinh/bieu-do/", views.works_chart, name="chart"),
    path("cong-trinh/them/", views.add_work, name="add"),
    path("cong-trinh/<str:key>/", views.work, name="detail"),
    path("cong-trinh/<str:key>/lich-su/", views.history, name="history"),
    path("cong-trinh/<str:key>/ho-so/", views.edit_work, name="edit"),
    path("cong-trinh/<str:key>/don-vi-van-hanh/", views.hand_over, name="hand_over"),
    path("cong-trinh/<str:key>/tinh-trang/", views.set_status, name="set_status"),
    path("cong-trinh/<str:key>/cong-suat/", views.record_capacity, name="record_capacity"),
    path("cong-trinh/<str:key>/pham-vi-cap-nuoc/", views.set_service_areas, name="set_service_areas"),
    path("cong-trinh/<str:key>/ten-khac/", views.add_alias, name="add_alias"),
    path("cong-trinh/<str:key>/phan-he/", views.add_part, name="add_part"),
]
