"""What bills and money add to the side bar. Pages of the room are listed here; each is shown to who may use it."""

from django.urls import NoReverseMatch, reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem
from machnuoc.places import access

_GROUP = "Hóa đơn, thu tiền"
_PAGES = (
    ("Biểu giá", "billing:tariff_list", "currency-dong", 60, "serve"),
    ("Lập hóa đơn", "billing:run_list", "calculator", 61, "bill"),
    ("Hóa đơn", "billing:bill_list", "receipt", 62, "serve"),
    ("Thu tiền", "billing:counter", "cash", 63, "collect"),
    ("Sao kê ngân hàng", "billing:statement_list", "building-bank", 64, "bill"),
    ("Công nợ", "billing:debt_list", "alert-circle", 65, "serve"),
    ("Sổ cái", "billing:ledger", "book-2", 66, "bill"),
)


def navigation(person: Person) -> list[NavigationItem]:
    """Give the pages that the person may use."""
    found = []
    for title, name, icon, order, action in _PAGES:
        if not access.may(person, action):
            continue
        try:
            address = reverse(name)
        except NoReverseMatch:
            continue
        found.append(NavigationItem(title, address, icon, order, _GROUP))
    return found
