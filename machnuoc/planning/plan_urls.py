"""Addresses of plans and targets."""

from django.urls import URLPattern, path

from machnuoc.planning import plan_views

urlpatterns: list[URLPattern] = [
    path("ke-hoach/", plan_views.plan_list, name="plan_list"),
    path("ke-hoach/them/", plan_views.plan_add, name="plan_add"),
    path("ke-hoach/<str:key>/", plan_views.plan_detail, name="plan_detail"),
    path("ke-hoach/<str:key>/sua/", plan_views.plan_edit, name="plan_edit"),
    path("ke-hoach/<str:key>/dieu-chinh/", plan_views.plan_amend, name="plan_amend"),
    path("ke-hoach/<str:key>/chi-tieu/them/", plan_views.target_add, name="target_add"),
    path("ke-hoach/<str:key>/chi-tieu/<str:target>/", plan_views.target_detail, name="target_detail"),
    path("ke-hoach/<str:key>/chi-tieu/<str:target>/sua/", plan_views.target_edit, name="target_edit"),
    path(
        "ke-hoach/<str:key>/chi-tieu/<str:target>/giao-xuong/", plan_views.target_carry_down, name="target_carry_down"
    ),
    path("ke-hoach/<str:key>/chi-tieu/<str:target>/danh-gia/", plan_views.target_judge, name="target_judge"),
    path("ke-hoach/<str:key>/chi-tieu/<str:target>/de-xuat/", plan_views.proposal_add, name="proposal_add"),
    path("de-xuat-giai-phap/<int:pk>/", plan_views.proposal_edit, name="proposal_edit"),
    path("de-xuat-giai-phap/<int:pk>/gui/", plan_views.proposal_submit, name="proposal_submit"),
    path("de-xuat-giai-phap/<int:pk>/duyet/", plan_views.proposal_decide, name="proposal_decide"),
    path("chi-tieu-ke-hoach/", plan_views.target_list, name="target_list"),
    path("phat-trien-khach-hang/", plan_views.growth, name="growth"),
    path("muc-do-hoan-thanh/", plan_views.scorecard, name="scorecard"),
]
