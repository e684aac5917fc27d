"""What customers set for themselves, and what staff open and close for them."""

from collections.abc import Mapping

from django.db import transaction

from machnuoc.customers.models import Customer
from machnuoc.portal import codes, links
from machnuoc.portal.models import PortalAccount, PortalLink

_DEMO_SHOWN = 2


def set_large_type(account: PortalAccount, is_large: bool) -> None:
    PortalAccount.objects.filter(pk=account.pk).update(large_type=is_large)


@transaction.atomic
def set_nicknames(account: PortalAccount, names: Mapping[int, str]) -> None:
    """Call connections of the account by names: {connection id: name}; what is not the account's is left alone."""
    for row in links.list_live(account).filter(connection_id__in=list(names)):
        PortalLink.objects.filter(pk=row.pk).update(nickname=" ".join(names[row.connection_id].split())[:60])


def list_demo_phones() -> list[str]:
    """Return phones of simulated customers to try the pages with."""
    rows = Customer.objects.filter(
        is_simulated=True, phone__startswith=codes.SIMULATED_PHONES, erased_at__isnull=True,
        connections__status="ACTIVE", connections__bills__isnull=False,
    )  # fmt: skip
    found: list[str] = []
    for phone in rows.order_by("pk").values_list("phone", flat=True)[: 20 * _DEMO_SHOWN]:
        if phone not in found:
            found.append(phone)
    return found[:_DEMO_SHOWN]
