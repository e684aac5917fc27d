from django.urls import include, path

from machnuoc.core import roster_views, views

app_name = "core"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("tong-quan/<slug:region>/", views.later_overview, name="later_overview"),
    path("healthz", views.healthz, name="healthz"),
    path("dang-nhap/", views.sign_in, name="sign_in"),
    path("dang-xuat/", views.sign_out, name="sign_out"),
    path("tai-khoan/", views.account, name="account"),
    path("tai-khoan/ma-truy-cap/", views.create_token, name="create_token"),
    path("tai-khoan/ma-truy-cap/<int:pk>/thu-hoi/", views.revoke_token, name="revoke_token"),
    path("thong-bao/", views.notices, name="notices"),
    path("thong-bao/da-doc/", views.read_all_notices, name="read_all_notices"),
    path("thong-bao/<int:pk>/", views.open_notice, name="open_notice"),
    path("van-ban/", views.documents, name="documents"),
    path("van-ban/<str:key>/", views.document, name="document"),
    path("giam-sat/truc/", roster_views.rosters, name="rosters"),
    path("giam-sat/truc/them/", roster_views.add_roster, name="roster_add"),
    path("giam-sat/truc/<int:pk>/", roster_views.show_roster, name="roster"),
    path("giam-sat/truc/<int:pk>/sua/", roster_views.change_roster, name="roster_change"),
    path("quan-tri/", include("machnuoc.core.admin_urls")),
]
