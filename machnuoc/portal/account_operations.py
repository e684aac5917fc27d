"""What customers set for themselves, and what staff open and close for them."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from machnuoc.core import audit, sending
from machnuoc.core.models import Person, Sending
from machnuoc.customers import visibility
from machnuoc.customers.models import Connection, Customer
from machnuoc.portal import codes, links
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount, PortalLink, SignInCode

_DEMO_SHOWN = 2
_REASON_LEAST = 3

audit.describe("portal.link.made", "cho tài khoản cổng khách hàng xem đấu nối (liên kết {target})")
audit.describe("portal.link.ended", "gỡ đấu nối khỏi tài khoản cổng khách hàng (liên kết {target})")


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


# --- by the staff -----------------------------------------------------------------------------------------------------


@transaction.atomic
def link(connection: Connection, address: str, *, reason: str, by: Person, now: datetime) -> PortalLink:
    """Let who proves an address see a connection, though its contract does not name it: a tenant, an heir, a child.

    Raises PermissionDenied, codes.BadAddress, PortalError.
    """
    visibility.require_connection(by, "serve", connection)
    address = codes.read_address(address)
    reason = _reason(reason)
    if connection.customer.erased_at is not None:
        raise PortalError(f"Khách hàng của đấu nối {connection.code} đã được xóa dữ liệu, không liên kết được.")
    account, _ = PortalAccount.objects.get_or_create(address=address, defaults={"created_at": now})
    PortalAccount.objects.select_for_update().get(pk=account.pk)
    if links.list_live(account).filter(connection=connection).exists():
        raise PortalError(f"{address} đã xem được đấu nối {connection.code}.")
    PortalLink.objects.filter(account=account, connection=connection, ended_at__isnull=True).update(ended_at=now)
    made = PortalLink.objects.create(
        account=account, connection=connection, customer_id=connection.customer_id, linked_at=now, linked_by=by,
        reason=reason,
    )  # fmt: skip
    audit.record("portal.link.made", actor=by, target=made, connection_id=connection.pk, account_id=account.pk)
    return made


@transaction.atomic
def unlink(connection: Connection, pk: int, *, reason: str, by: Person, now: datetime) -> None:
    """End a link of a connection: the address does not renew it at the next sign-in. Raises as `link` does."""
    visibility.require_connection(by, "serve", connection)
    reason = _reason(reason)
    row = PortalLink.objects.filter(pk=pk, connection=connection, ended_at__isnull=True)
    if not row.update(ended_at=now, ended_by=by, end_reason=reason):
        raise PortalError("Liên kết này đã được gỡ. Tải lại trang để xem.")
    audit.record("portal.link.ended", actor=by, target=PortalLink.objects.get(pk=pk), connection_id=connection.pk)


def _reason(text: str) -> str:
    plain = " ".join(text.split())
    if len(plain) < _REASON_LEAST:
        raise PortalError("Ghi lý do: ai đề nghị, giấy tờ nào đã xem.")
    return plain[:300]


# --- a customer's data ------------------------------------------------------------------------------------------------


@transaction.atomic
def forget(customer: Customer) -> int:
    """Empty what the portal keeps about a customer, part of their erasure; return how many rows.

    An account that opens other people's connections too stays; one that opened only this customer's loses its address.
    """
    own = PortalLink.objects.filter(customer=customer)
    accounts = list(PortalAccount.objects.filter(pk__in=own.values("account_id")))
    count = own.update(nickname="", reason="", end_reason="")
    for account in accounts:
        if links.list_live(account).exclude(customer=customer).exists():
            continue
        count += _forget_codes(account.address)
        count += PortalAccount.objects.filter(pk=account.pk).update(address=f"da-xoa-{account.pk}", is_active=False)
    for address in {customer.phone, customer.email.lower()} - {""}:
        if not PortalAccount.objects.filter(address=address).exists() and not links.find_named(address):
            count += _forget_codes(address)  # asked for and never entered
    return count


def _forget_codes(address: str) -> int:
    """Delete the codes of an address, and its mark on the messages that carried or were to carry them."""
    sent = Sending.objects.filter(
        key__startswith="portal-code:", address__in=[address, sending.phone_84(address) or address]
    )
    sent.filter(state=Sending.State.QUEUED).update(state=Sending.State.FAILED, next_try_at=None)
    sent.update(address="(đã xóa)", text=sending.NOT_KEPT)
    return SignInCode.objects.filter(address=address).delete()[0]
