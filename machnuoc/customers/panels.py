"""What customers add to the side bar. Pages of the room are listed here; each is shown to who may use it."""

from django.urls import NoReverseMatch, reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import MapLayer, NavigationItem, Panel
from machnuoc.customers import request_panels, round_panels
from machnuoc.places import access
from machnuoc.places.models import Subject

_GROUP = "Khách hàng"
# By role, the pages of every day, in the order of the bottom bar of a phone.
_DAILY = {
    "READER": {"customers:field_home": 1},
    "CASHIER": {"customers:connection_list": 3, "customers:request_list": 4},
}
_PAGES = (
    ("Khách hàng, đấu nối", "customers:connection_list", "users", 50, "serve"),
    ("Đề nghị đấu nối", "customers:application_list", "file-plus", 51, "serve"),
    ("Đồng hồ", "customers:meter_list", "gauge", 52, "serve"),
    ("Ghi chỉ số", "customers:round_list", "edit", 53, "serve"),
    ("Tuyến của tôi", "customers:field_home", "map-pin", 54, "read_meters"),
    ("Phản ánh, khiếu nại", "customers:request_list", "messages", 55, "serve"),
    ("Thông báo khách hàng", "customers:notice_list", "message", 57, "serve"),
    ("Phiếu công việc", "customers:work_order_list", "clipboard-list", 56, "serve"),
)


def navigation(person: Person) -> list[NavigationItem]:
    """Give the pages that the person may use."""
    found = []
    daily: dict[str, int] = {}
    for role in access.roles(person):
        daily |= _DAILY.get(role, {})
    for title, name, icon, order, action in _PAGES:
        if not access.may(person, action):
            continue
        try:
            address = reverse(name)
        except NoReverseMatch:
            continue
        found.append(NavigationItem(title, address, icon, order, _GROUP, daily=daily.get(name, 0)))
    return found


def later_overview(person: Person, region: str) -> list[Panel]:
    return [*round_panels.later_overview(person, region), *request_panels.later_overview(person, region)]


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    return request_panels.later_for_subject(person, subject)


def map_layers(person: Person, province: Subject | None) -> list[MapLayer]:
    return request_panels.map_layers(person, province)
