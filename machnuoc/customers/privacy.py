"""Personal data of customers: how it is masked, who looked at it, consent, a copy for the customer, erasure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ForeignObjectRel, Model, OuterRef, Q, QuerySet

from machnuoc.core import audit, files
from machnuoc.core.folding import fold
from machnuoc.core.models import Person, Sending, StoredFile
from machnuoc.core.vietnamese import format_money_vnd
from machnuoc.customers import application_messages, connection_panels, personal_copy, request_operations
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import (
    Application,
    ApplicationMessage,
    ApplicationStep,
    Connection,
    ConnectionEvent,
    Consent,
    Contract,
    Customer,
    DataAccess,
    FieldItem,
    NormPersons,
    PovertyYear,
    Reading,
)
from machnuoc.customers.request_queries import held_by, of_customer

HIDDEN = "•••"
ERASED_ADDRESS = "(đã xóa)"
ERASED_FILE = "tep-da-xoa"
ERASED_NAME = "(đã xóa dữ liệu cá nhân)"
_WARNING_ENDS = ("", *(f":{channel}" for channel in Sending.Channel.values))  # older keys named the channel


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


# --- consent


@transaction.atomic
def give_consent(customer: Customer, purpose: str, *, how: str, by: Person | None, now: datetime) -> Consent:
    """Write down that a customer allows a use of their data; the consent in force for it stays if there is one.

    Raises CustomersError.
    """
    if purpose not in Consent.Purpose.values:
        raise CustomersError("Chọn mục đích xử lý dữ liệu trong danh sách.")
    if customer.erased_at is not None:
        raise CustomersError(f"Dữ liệu cá nhân của khách hàng {customer.code} đã xóa, không còn gì để đồng ý.")
    live = customer.consents.filter(purpose=purpose, withdrawn_at__isnull=True).first()
    if live is not None:
        return live
    made = Consent.objects.create(
        customer=customer, purpose=purpose, given_at=now, how=how.strip()[:120], recorded_by=by
    )
    audit.record("customers.consent.given", actor=by, target=customer, purpose=purpose)
    return made


@transaction.atomic
def withdraw_consent(customer: Customer, purpose: str, *, by: Person | None, now: datetime) -> None:
    """Write down that a customer takes a consent back. Raises CustomersError if none is in force."""
    done = customer.consents.filter(purpose=purpose, withdrawn_at__isnull=True).update(withdrawn_at=now)
    if not done:
        raise CustomersError(f"Khách hàng {customer.code} không có sự đồng ý nào còn hiệu lực cho mục đích này.")
    audit.record("customers.consent.withdrawn", actor=by, target=customer, purpose=purpose)


def has_consent(customer_id: int, purpose: str) -> bool:
    """Return whether the customer allows this use today: ask before a notice that the contract does not need."""
    return Consent.objects.filter(customer_id=customer_id, purpose=purpose, withdrawn_at__isnull=True).exists()


# --- what is kept about one customer, as a copy for them


def copy_of(customer: Customer, *, hides_identity: bool = False) -> dict[str, Any]:
    """Return everything kept about a customer, as plain data: their own, their connections, what other rooms add.

    hides_identity: the number of the identity card masked, where several people may hold the copy.
    """
    own = ("code", "kind", "priority", "name", "phone", "email", "identity_number", "tax_code", "address")
    fields: list[tuple[str, QuerySet[Any], tuple[str, ...]]] = [
        (
            "Đấu nối", Connection.objects.filter(customer=customer),
            ("code", "work__subject__name", "address", "latitude", "longitude", "group", "households", "persons",
             "status", "connected_date", "closed_date"),
        ),
        (
            "Hợp đồng", Contract.objects.filter(customer=customer),
            ("number", "connection__code", "signed_date", "ended_date", "end_reason"),
        ),
        (
            "Định mức", _norms_of(customer),
            ("connection__code", "persons", "valid_from", "valid_to"),
        ),
        ("Diện hộ nghèo, cận nghèo", PovertyYear.objects.filter(customer=customer), ("year", "kind", "decision")),
        ("Đồng ý xử lý dữ liệu", customer.consents.all(), ("purpose", "given_at", "withdrawn_at", "how")),
        ("Lượt xem dữ liệu", DataAccess.objects.filter(customer=customer), ("at", "what", "purpose")),
        (
            "Chỉ số", Reading.objects.filter(of_customer(customer, "read_at")).order_by("read_at"),
            ("connection__code", "read_at", "index_l", "kind", "state"),
        ),
    ]  # fmt: skip
    parts: list[tuple[str, list[dict[str, Any]]]] = [
        (title, personal_copy.list_rows(rows, names)) for title, rows, names in fields
    ]
    parts += connection_panels.customer_data(customer)
    mine = personal_copy.one_row(customer, own)
    if hides_identity:
        mine[personal_copy.TITLES["identity_number"]] = mask_number(customer.identity_number)
    return {"Khách hàng": mine, **dict(parts)}


# --- erasure


@transaction.atomic
def erase(customer: Customer, *, reason: str, by: Person | None, now: datetime) -> Customer:
    """Empty the personal data of a customer for good. Ids, volumes, money and dates stay: accounts must still add up.

    Only when every connection of theirs is closed or has gone to somebody else, and nothing is owed. Papers of their
    contracts and of the norm are no longer reachable. Raises CustomersError.
    """
    customer = Customer.objects.select_for_update().get(pk=customer.pk)
    if customer.erased_at is not None:
        raise CustomersError(f"Dữ liệu cá nhân của khách hàng {customer.code} đã xóa từ trước.")
    if not reason.strip():
        raise CustomersError("Ghi căn cứ xóa dữ liệu.")
    live = customer.connections.exclude(status=Connection.Status.CLOSED).first()
    if live is not None:
        raise CustomersError(
            f"Chưa xóa được: đấu nối {live.code} của khách hàng {customer.code} chưa chấm dứt. Chấm dứt hợp đồng trước."
        )
    owed = connection_panels.owed_vnd([customer.pk])
    if owed:
        raise CustomersError(
            f"Chưa xóa được: khách hàng {customer.code} còn nợ {format_money_vnd(owed)}. Quyết toán trước khi xóa."
        )
    own_ids = list(customer.connections.values_list("pk", flat=True))
    codes = list(customer.connections.values_list("code", flat=True))
    applied_for = _applied_for(customer)
    papers = _papers_of(customer, applied_for)
    readings = Reading.objects.filter(of_customer(customer, "read_at"))
    Sending.objects.filter(
        key__in=[f"usage-warning:{pk}{way}" for pk in readings.values_list("pk", flat=True) for way in _WARNING_ENDS],
        person__isnull=True,
    ).update(address=ERASED_ADDRESS)  # fmt: skip
    readings.exclude(judged_at=None).exclude(judged_note="Có chỉ số mới thay.").update(judged_note="")
    sent = Q(reading__in=readings.values("pk")) | Q(reading__isnull=True, body__connection__in=own_ids)
    FieldItem.objects.filter(sent).update(body={})
    readings.update(latitude=None, longitude=None, note="")
    Customer.objects.filter(pk=customer.pk).update(
        name=ERASED_NAME, phone="", email="", identity_number="", tax_code="", address="", erased_at=now,
        version=customer.version + 1,
    )  # fmt: skip
    for one in customer.connections.all():
        Connection.objects.filter(pk=one.pk).update(
            address=ERASED_ADDRESS, latitude=None, longitude=None, note="", version=one.version + 1,
            folded=f" {fold(one.code)} | | ",
        )  # fmt: skip
    Contract.objects.filter(customer=customer).update(paper=None, end_reason="")
    _norms_of(customer).update(paper=None, persons=0)
    PovertyYear.objects.filter(customer=customer).delete()
    Consent.objects.filter(customer=customer).update(how="")
    Consent.objects.filter(customer=customer, withdrawn_at__isnull=True).update(withdrawn_at=now)
    applications = Application.objects.filter(connection__in=applied_for)
    application_messages.forget_addresses(list(applications.values_list("pk", flat=True)))
    applications.update(name=ERASED_NAME, phone="", email="", address=ERASED_ADDRESS, latitude=None, longitude=None)
    ApplicationStep.objects.filter(application__connection__in=applied_for).update(note="", paper=None)
    ApplicationMessage.objects.filter(application__connection__in=applied_for).update(text="")
    request_operations.erase_customer(customer, by=by, now=now)
    connection_panels.erase_customer(customer)
    ConnectionEvent.objects.filter(connection__in=own_ids).update(text="")
    _throw_away(papers)
    log_access(by, DataAccess.What.ERASURE, now=now, customer=customer, purpose=reason)
    audit.record("customers.customer.erased", actor=by, target=customer, connections=codes)
    customer.refresh_from_db()
    return customer


def _applied_for(customer: Customer) -> list[int]:
    """Return the connections that the customer was the first to have, also those that went to somebody else since."""
    own = set(customer.connections.values_list("pk", flat=True))
    held = own | set(Contract.objects.filter(customer=customer).values_list("connection_id", flat=True))
    contracts = Contract.objects.filter(connection__in=held).order_by("-signed_date", "-pk")
    first = dict.fromkeys(own, customer.pk) | dict(contracts.values_list("connection_id", "customer_id"))
    return [pk for pk in held if first[pk] == customer.pk]


def _norms_of(customer: Customer) -> QuerySet[NormPersons]:
    """Return the norms that were decided while the customer held the connection: a transfer begins them anew."""
    return NormPersons.objects.filter(held_by(customer, OuterRef("valid_from")))


def _papers_of(customer: Customer, applied_for: list[int]) -> list[StoredFile]:
    ids = {
        *Contract.objects.filter(customer=customer).values_list("paper_id", flat=True),
        *_norms_of(customer).values_list("paper_id", flat=True),
        *ApplicationStep.objects.filter(application__connection__in=applied_for).values_list("paper_id", flat=True),
    }
    return list(StoredFile.objects.filter(pk__in=ids - {None}))


def _throw_away(papers: list[StoredFile]) -> None:
    """Delete the bytes of papers that nobody else's file shows, once this is committed; the row stays, nameless."""
    for paper in papers:
        if is_kept_elsewhere(paper):
            continue
        StoredFile.objects.filter(pk=paper.pk).update(name=ERASED_FILE)
        path = files.path_of(paper)
        transaction.on_commit(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]


def is_kept_elsewhere(paper: StoredFile, *, but: type[Model] | None = None) -> bool:
    """Return whether any row of any room still shows these bytes: equal files are kept once, whoever brought them.

    but: a table that does not count.
    """
    for relation in StoredFile._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel):
            model: Any = relation.related_model
            if model is but:
                continue
            if model._default_manager.filter(**{relation.field.name: paper}).exists():
                return True
    return False


audit.describe("customers.consent.given", "ghi sự đồng ý xử lý dữ liệu của khách hàng {target}")
audit.describe("customers.consent.withdrawn", "ghi việc rút lại đồng ý của khách hàng {target}")
audit.describe("customers.customer.erased", "xóa dữ liệu cá nhân của khách hàng {target}")
