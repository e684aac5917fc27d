"""Personal data of customers: how it is masked, who looked at it, consent, a copy for the customer, erasure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from machnuoc.core.models import Person
from machnuoc.customers.models import Connection, Customer, DataAccess

HIDDEN = "•••"
ERASED_NAME = "(đã xóa dữ liệu cá nhân)"


def mask_name(name: str) -> str:
    """Return a person's name with the family name alone in full.

    >>> mask_name("Nguyễn Văn An"), mask_name("Bình"), mask_name("")
    ('Nguyễn V. A.', 'B.', '')
    """
    words = name.split()
    if len(words) < 2:
        return f"{words[0][0]}." if words else ""
    return " ".join([words[0], *(f"{word[0]}." for word in words[1:])])


def mask_phone(phone: str) -> str:
    """Return a phone number with its beginning and its last three digits.

    >>> mask_phone("0905123456"), mask_phone("113"), mask_phone("")
    ('0905 ••• 456', '•••', '')
    """
    if not phone:
        return ""
    return f"{phone[:4]} {HIDDEN} {phone[-3:]}" if len(phone) >= 9 else HIDDEN


def mask_email(email: str) -> str:
    """Return an address with the first letter and the domain.

    >>> mask_email("an.nguyen@example.vn"), mask_email("")
    ('a•••@example.vn', '')
    """
    name, at, domain = email.partition("@")
    return f"{name[:1]}{HIDDEN}@{domain}" if at else (HIDDEN if email else "")


def mask_number(number: str) -> str:
    """Return an identity number or tax code with its last three digits alone.

    >>> mask_number("051090001234"), mask_number("12"), mask_number("")
    ('••• 234', '•••', '')
    """
    return "" if not number else f"{HIDDEN} {number[-3:]}" if len(number) >= 9 else HIDDEN


def mask_address(address: str) -> str:
    """Return nothing of an address but that there is one: the commune stands beside it in its own column."""
    return HIDDEN if address else ""


def show_phone(phone: str) -> str:
    """Return a phone number as people write it.

    >>> show_phone("0905123456"), show_phone("02553822111"), show_phone("")
    ('0905 123 456', '0255 3822 111', '')
    """
    if len(phone) == 10:
        return f"{phone[:4]} {phone[4:7]} {phone[7:]}"
    return f"{phone[:4]} {phone[4:8]} {phone[8:]}" if len(phone) == 11 else phone


@dataclass(frozen=True)
class Shown:
    """Personal data of one customer at one connection as a certain reader may see it."""

    name: str
    phone: str
    email: str
    identity_number: str
    tax_code: str
    address: str  # of the connection if one was given, else the customer's own
    contact_address: str
    is_masked: bool


def show(customer: Customer, connection: Connection | None = None, *, unmasked: bool) -> Shown:
    """Return what a reader sees of a customer. unmasked: whether the reader holds `serve` there (see visibility).

    The name of an agency is no personal data and is never masked.
    """
    address = connection.address if connection is not None else customer.address
    if customer.erased_at is not None:
        return Shown(ERASED_NAME, "", "", "", "", address if unmasked else mask_address(address), "", not unmasked)
    if unmasked:
        return Shown(
            customer.name, show_phone(customer.phone), customer.email, customer.identity_number, customer.tax_code,
            address, customer.address, False,
        )  # fmt: skip
    is_agency = customer.kind == Customer.Kind.AGENCY
    return Shown(
        customer.name if is_agency else mask_name(customer.name), mask_phone(customer.phone),
        mask_email(customer.email), mask_number(customer.identity_number),
        customer.tax_code if is_agency else mask_number(customer.tax_code),
        mask_address(address), mask_address(customer.address), True,
    )  # fmt: skip


def log_access(
    person: Person | None,
    what: str,
    *,
    now: datetime,
    customer: Customer | None = None,
    count: int = 1,
    purpose: str = "",
) -> None:
    """Write down one look at unmasked personal data: once a page, list or file. what: of DataAccess.What.

    customer: whose; None for a list of several, with their count. A look at nothing is not written.
    """
    if count <= 0:
        return
    DataAccess.objects.create(at=now, person=person, customer=customer, what=what, count=count, purpose=purpose[:120])


def show_all(rows: Iterable[Connection], served: frozenset[int]) -> dict[int, Shown]:
    """Return {connection id: what is seen of it}. rows: with their customers. served: of visibility.served_among."""
    return {one.pk: show(one.customer, one, unmasked=one.pk in served) for one in rows}
