from django.apps import AppConfig


class PlacesConfig(AppConfig):
    name = "machnuoc.places"
    label = "places"
    verbose_name = "Địa bàn và tổ chức"

    def ready(self) -> None:
        from machnuoc.core import permissions
        from machnuoc.places import access

        # Core asks, places knows the grants.
        permissions.set_judge(access.may, access.list_overseen_ids, access.visible_subject_ids)
