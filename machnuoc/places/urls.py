from django.urls import path

from machnuoc.places import views

app_name = "places"
urlpatterns = [
    path("tim-kiem/", views.search, name="search"),
    path("dia-ban/", views.units, name="units"),
    path("dia-ban/goi-y/", views.suggest_units, name="suggest_units"),
    path("dia-ban/<str:key>/", views.unit, name="unit"),
    path("dia-ban/<str:key>/cap-duoi/", views.unit_children, name="unit_children"),
    path("doi-tuong/<int:pk>/lien-quan/", views.later_panels, name="later_panels"),
    path("ban-do/", views.point_map, name="map"),
    path("to-chuc/", views.organisations, name="organisations"),
    path("to-chuc/them/", views.add_organisation, name="add_organisation"),
    path("to-chuc/<str:key>/", views.organisation, name="organisation"),
    path("to-chuc/<str:key>/sua/", views.edit_organisation, name="edit_organisation"),
    path("khu-vuc-do-thi/<str:key>/", views.urban_area, name="urban_area"),
    path("tai-khoan/uy-quyen/", views.loans, name="loans"),
    path("tai-khoan/uy-quyen/<int:pk>/ket-thuc/", views.end_loan, name="end_loan"),
    path("quan-tri/nguoi-dung/", views.people, name="people"),
    path("quan-tri/nguoi-dung/them/", views.add_person, name="add_person"),
    path("quan-tri/nguoi-dung/pham-vi/", views.suggest_scopes, name="suggest_scopes"),
    path("quan-tri/nguoi-dung/<int:pk>/", views.person, name="person"),
    path("quan-tri/nguoi-dung/<int:pk>/mat-khau/", views.reset_password, name="reset_password"),
    path("quan-tri/nguoi-dung/<int:pk>/hoat-dong/", views.set_active, name="set_active"),
    path("quan-tri/quyen/<int:pk>/ket-thuc/", views.end_grant, name="end_grant"),
]
