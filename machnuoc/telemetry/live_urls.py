"""Addresses of the live screens."""

from django.urls import URLPattern, path

from machnuoc.telemetry import live_views, online_views

urlpatterns: list[URLPattern] = [
    path("giam-sat/", live_views.wall, name="wall"),
    path("giam-sat/dong", live_views.stream, name="stream"),
    path("giam-sat/tram/<str:key>/", live_views.station, name="station"),
    path("giam-sat/kenh/<int:pk>/", live_views.channel, name="channel"),
    path("giam-sat/kenh/<int:pk>/so-lieu.json", live_views.channel_data, name="channel_data"),
    path("giam-sat/kenh/<int:pk>/ghi-chu/", live_views.add_note, name="channel_note"),
    path("giam-sat/chi-so/", online_views.online, name="online"),
    path("cong-khai/chat-luong-nuoc/", online_views.public, name="public_quality"),
]
