"""What people do to customers and connections. Each act in one transaction, with an event and an audit row.

The audit trail holds ids and codes, never personal data. Rights: `serve` on the connection's work; `by` None is the
program itself. A row edited on a page carries the version that was read, so that two clerks cannot overwrite each other
unseen; acts on one connection wait for one another by its row lock.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Max

from machnuoc.core import audit, files
from machnuoc.core.models import Document, Person, StoredFile
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import connection_queries, visibility
from machnuoc.customers.connection_queries import folded_text
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import (
    Connection,
    ConnectionEvent,
    Contract,
    Customer,
    Group,
    NormPersons,
    PovertyYear,
    Route,
    UseShare,
)
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work

_CODE = re.compile(r"[0-9A-Z][0-9A-Z._-]{0,23}")
_PHONE = re.compile(r"0\d{8,10}")
_TAX = re.compile(r"\d{10}(-?\d{3})?|\d{12}")
_TRIES = 5
PAPER_KINDS = frozenset({"pdf", "png", "jpeg"})
Status, Kind = Connection.Status, ConnectionEvent.Kind


class RecordError(CustomersError):
    """What was asked cannot be done to this connection or customer; the text says why and what to do."""


class ChangedMeanwhile(RecordError):
    """Somebody else saved it first."""


@dataclass(frozen=True)
class CustomerFacts:
    """Who a customer is. phone: as typed; it is kept as digits."""

    name: str
    kind: str = Customer.Kind.HOUSEHOLD
    priority: str = ""
    phone: str = ""
    email: str = ""
    identity_number: str = ""
    tax_code: str = ""
    address: str = ""


@dataclass(frozen=True)
class ConnectionFacts:
    """Where a connection is and how it is used."""

    address: str
    place: Subject | None = None
    latitude: float | None = None
    longitude: float | None = None
    group: str = Group.SH
    households: int = 1
    route: Route | None = None
    route_order: int = 0
    note: str = ""


# --- reading what was typed


def read_phone(text: str) -> str:
    """Return a phone number as digits in national form. Raises RecordError if it is none; empty stays empty.

    >>> read_phone("+84 905 123 456"), read_phone("0905.123.456"), read_phone("")
    ('0905123456', '0905123456', '')
    """
    plain = "".join(char for char in text.strip() if char not in " .-()")
    if plain.startswith("+84"):
        plain = "0" + plain[3:]
    elif plain.startswith("84") and len(plain) == 11:
        plain = "0" + plain[2:]
    if plain and not _PHONE.fullmatch(plain):
        raise RecordError(
            f"«{text[:30]}» không phải số điện thoại Việt Nam. Ghi 9 đến 11 chữ số, bắt đầu bằng 0, ví dụ 0905123456."
        )
    return plain


def clean_customer(facts: CustomerFacts) -> CustomerFacts:
    """Return the facts as they are kept. Raises RecordError."""
    name = " ".join(facts.name.split())
    if not name:
        raise RecordError("Khách hàng phải có họ tên hoặc tên đơn vị.")
    if len(name) > 160:
        raise RecordError(f"Họ tên, tên đơn vị «{name[:40]}…» dài quá 160 ký tự. Viết gọn lại.")
    tax_code = facts.tax_code.strip()
    if tax_code and not _TAX.fullmatch(tax_code):
        raise RecordError(f"Mã số thuế «{tax_code[:20]}» không đúng: gồm 10, 12 hoặc 13 chữ số. Kiểm tra lại.")
    identity = "".join(facts.identity_number.split())
    if identity and not (identity.isascii() and identity.isdigit() and len(identity) in {9, 12}):
        raise RecordError("Số định danh cá nhân phải gồm 12 chữ số (hoặc 9 chữ số của giấy cũ). Kiểm tra lại.")
    if facts.kind not in Customer.Kind.values or facts.priority not in Customer.Priority.values:
        raise RecordError("Chọn loại khách hàng và diện ưu tiên trong danh sách.")
    return CustomerFacts(
        name, facts.kind, facts.priority, read_phone(facts.phone), facts.email.strip().lower(), identity, tax_code,
        " ".join(facts.address.split())[:300],
    )  # fmt: skip


def clean_connection(facts: ConnectionFacts, work: Work) -> ConnectionFacts:
    """Return the facts as they are kept. Raises RecordError."""
    address = " ".join(facts.address.split())
    if not address:
        raise RecordError("Đấu nối phải có địa chỉ.")
    if facts.households < 1:
        raise RecordError("Một đấu nối phục vụ ít nhất 1 hộ.")
    if (facts.latitude is None) != (facts.longitude is None):
        raise RecordError("Ghi cả vĩ độ và kinh độ, hoặc để trống cả hai.")
    if facts.group not in Group.values:
        raise RecordError("Chọn đối tượng sử dụng nước trong danh sách.")
    if facts.route is not None and facts.route.work_id != work.pk:
        raise RecordError(f"Tuyến {facts.route.code} không thuộc công trình này. Chọn tuyến khác.")
    return ConnectionFacts(**{**_plain(facts), "address": address[:300], "note": facts.note.strip()[:300]})


def check_group(by: Person | None, work: Work, group: str) -> None:
    """Raise RecordError if who may not classify there names another group than that of households: it sets the price.

    by None: customers who ask themselves; what they say is confirmed by who surveys.
    """
    if by is not None and group != Group.SH and not visibility.may_work(by, "classify", work.pk):
        raise RecordError(
            f"Đối tượng «{Group(group).label if group in Group.values else group}» quyết định giá nước: người thu tiền "
            f"chỉ ghi «{Group.SH.label}». Để mặc định, rồi nhờ trạm hoặc phòng khách hàng xác định khi khảo sát."
        )


def _plain(facts: Any) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__dataclass_fields__}


def clean_code(code: str, what: str) -> str:
    """Return a code of a customer, connection or contract in capitals. Raises RecordError."""
    plain = code.strip().upper()
    if not _CODE.fullmatch(plain):
        raise RecordError(f"{what} «{code[:30]}» không dùng được: chữ không dấu, số, «-», «.», «_»; tối đa 24 ký tự.")
    return plain


# --- making


@transaction.atomic
def create_customer(
    operator: Organisation,
    facts: CustomerFacts,
    *,
    by: Person | None,
    now: datetime,
    code: str = "",
    is_simulated: bool = False,
) -> Customer:
    """Enter a customer of an operator. code: empty lets the program number it. Raises RecordError."""
    kept = asdict(clean_customer(facts))
    given = clean_code(code, "Mã khách hàng") if code.strip() else ""
    for attempt in range(_TRIES):
        number = connection_queries.next_number(Customer) + attempt
        try:
            with transaction.atomic():
                made = Customer.objects.create(
                    operator=operator,
                    code=given or f"KH{number:07d}",
                    is_simulated=is_simulated,
                    created_at=now,
                    **kept,
                )
        except IntegrityError:
            if given:
                raise RecordError(f"{operator} đã có khách hàng mang mã {given}. Chọn mã khác.") from None
            continue
        audit.record("customers.customer.created", actor=by, target=made)
        return made
    raise RecordError("Nhiều người đang lập khách hàng cùng lúc, chưa đánh được mã. Bấm lưu lại lần nữa.")


def _last_on(route: Route) -> int:
    return Connection.objects.filter(route=route).aggregate(last=Max("route_order"))["last"] or 0


@transaction.atomic
def create_connection(
    *,
    work: Work,
    customer: Customer | CustomerFacts,
    facts: ConnectionFacts,
    by: Person | None,
    now: datetime,
    code: str = "",
    status: str = Status.ACTIVE,
    origin: str = Connection.Origin.NEW,
    connected_date: date | None = None,
    contract_number: str = "",
    signed_date: date | None = None,
    persons: int = 0,
    is_group_confirmed: bool = False,
    is_simulated: bool = False,
) -> Connection:
    """Enter a connection, with its customer (an existing one, or facts of a new one) and contract.

    connected_date: needed unless its status is PENDING. contract_number: empty for none yet. persons: registered for
    the norm from the day of connection. Without an order on its route it comes last there. is_group_confirmed: somebody
    who may classify has decided on the group before. Raises RecordError, PermissionDenied.
    """
    if by is not None:
        visibility.require_work(by, "serve", work.pk)
    if not is_group_confirmed:
        check_group(by, work, facts.group)
    operator = work.operator
    if operator is None:
        raise RecordError(f"Công trình {work} chưa có đơn vị vận hành. Ghi đơn vị vận hành trước khi lập đấu nối.")
    facts = clean_connection(facts, work)
    if facts.route is not None and not facts.route_order:
        facts = replace(facts, route_order=_last_on(facts.route) + 1)
    today = local_date(now)
    if status != Status.PENDING and connected_date is None:
        raise RecordError("Đấu nối đang dùng phải có ngày đấu nối.")
    if connected_date is not None and connected_date > today:
        raise RecordError(f"Ngày đấu nối {format_date(connected_date)} ở tương lai. Ghi ngày đã đấu nối.")
    if isinstance(customer, Customer):
        if customer.operator_id != operator.pk:
            raise RecordError(f"Khách hàng {customer.code} thuộc đơn vị cấp nước khác. Lập khách hàng mới.")
        if customer.erased_at is not None:
            raise RecordError(f"Dữ liệu cá nhân của khách hàng {customer.code} đã xóa. Lập khách hàng mới.")
        owner = customer
    else:
        owner = create_customer(operator, customer, by=by, now=now, is_simulated=is_simulated)
    given = clean_code(code, "Mã đấu nối") if code.strip() else ""
    made = None
    for attempt in range(_TRIES):
        number = given or f"DN{connection_queries.next_number(Connection) + attempt:07d}"
        try:
            with transaction.atomic():
                made = Connection.objects.create(
                    code=number, work=work, customer=owner, status=status, origin=origin, persons=persons,
                    connected_date=connected_date, is_simulated=is_simulated,
                    folded=folded_text(number, owner.name, facts.address), **_plain(facts),
                )  # fmt: skip
            break
        except IntegrityError:
            if given:
                raise RecordError(f"Đã có đấu nối mang mã {given}. Chọn mã khác.") from None
    if made is None:
        raise RecordError("Nhiều người đang lập đấu nối cùng lúc, chưa đánh được mã. Bấm lưu lại lần nữa.")
    day = connected_date or today
    if contract_number.strip():
        _begin_contract(made, owner, contract_number, signed_date or day)
    if persons:
        NormPersons.objects.create(connection=made, persons=persons, valid_from=day, decided_by=by)
    _event(made, Kind.CREATED, today, by, now, Connection.Origin(origin).label)
    audit.record("customers.connection.created", actor=by, target=made, work_id=work.pk, origin=origin)
    return made


def _begin_contract(one: Connection, owner: Customer, number: str, signed_date: date) -> Contract:
    number = " ".join(number.split())[:60]
    check_contract_number(number)
    return Contract.objects.create(connection=one, customer=owner, number=number, signed_date=signed_date)


def check_contract_number(number: str) -> None:
    """Raise RecordError if a contract has this number already."""
    if Contract.objects.filter(number=number).exists():
        raise RecordError(f"Đã có hợp đồng số {number}. Kiểm tra lại số hợp đồng.")


def _event(
    one: Connection, kind: str, on_date: date, by: Person | None, now: datetime, text: str = ""
) -> ConnectionEvent:
    return ConnectionEvent.objects.create(connection=one, kind=kind, on_date=on_date, at=now, by=by, text=text[:300])


# --- changing


def _take(one: Connection, by: Person | None, version: int | None) -> Connection:
    """Return the connection as it is now, locked: a second act on it waits here until the first commits."""
    # Without joins: who waited for a transfer would look for the new customer with the eyes of before it.
    locked = Connection.objects.select_for_update().get(pk=one.pk)
    if by is not None:
        visibility.require_connection(by, "serve", locked)
    if version is not None and locked.version != version:
        raise ChangedMeanwhile(f"Đấu nối {locked.code} vừa được người khác sửa. Tải lại trang rồi làm tiếp.")
    return locked


def _require_classify(by: Person | None, one: Connection) -> None:
    """Raise PermissionDenied unless the person may set what the price of the connection's water rests on."""
    if by is not None and not visibility.may(by, "classify", one):
        raise PermissionDenied(
            f"Đối tượng, số hộ, định mức và tỷ lệ mục đích của đấu nối {one.code} quyết định giá nước: người thu tiền "
            "không sửa. Nhờ trạm hoặc phòng khách hàng ghi."
        )


def _save(one: Connection, *names: str) -> None:
    """Write the connection if nobody did since it was read. SQLite has no row locks: there this is what notices."""
    values = {name: getattr(one, name) for name in names}
    changed = Connection.objects.filter(pk=one.pk, version=one.version).update(version=one.version + 1, **values)
    if not changed:
        raise ChangedMeanwhile(f"Đấu nối {one.code} vừa được người khác sửa. Tải lại trang rồi làm tiếp.")
    one.version += 1


@transaction.atomic
def edit_connection(
    one: Connection, facts: ConnectionFacts, *, version: int | None, by: Person | None, now: datetime
) -> Connection:
    """Bring a connection to what is said. Raises ChangedMeanwhile, RecordError, PermissionDenied."""
    one = _take(one, by, version)
    facts = clean_connection(facts, one.work)
    changed = [name for name, value in _plain(facts).items() if getattr(one, name) != value]
    if not changed:
        return one
    if {"group", "households"} & set(changed):
        _require_classify(by, one)
    if "group" in changed and one.shares.filter(valid_to__isnull=True).exists():
        raise RecordError(
            f"Đấu nối {one.code} đang tính theo tỷ lệ nhiều mục đích sử dụng. Sửa ở mục «Mục đích sử dụng»."
        )
    for name in changed:
        setattr(one, name, getattr(facts, name))
    one.folded = folded_text(one.code, one.customer.name, one.address)
    _save(one, "folded", *changed)
    _event(one, Kind.CHANGED, local_date(now), by, now, _changed_text(changed))
    audit.record("customers.connection.changed", actor=by, target=one, fields=changed)
    return one


_FIELD_WORDS = {
    "address": "địa chỉ", "place": "địa bàn", "latitude": "vị trí", "longitude": "vị trí", "group": "đối tượng",
    "households": "số hộ", "route": "tuyến", "route_order": "thứ tự", "note": "ghi chú",
}  # fmt: skip


def _changed_text(names: Iterable[str]) -> str:
    return "Sửa " + ", ".join(dict.fromkeys(_FIELD_WORDS.get(name, name) for name in names))


@transaction.atomic
def edit_customer(
    customer: Customer, facts: CustomerFacts, *, version: int | None, by: Person | None, now: datetime
) -> Customer:
    """Bring a customer to what is said; their connections are found by the new name.

    Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    customer = Customer.objects.select_for_update().get(pk=customer.pk)
    require_customer(by, customer)
    if version is not None and customer.version != version:
        raise ChangedMeanwhile(f"Khách hàng {customer.code} vừa được người khác sửa. Tải lại trang rồi làm tiếp.")
    if customer.erased_at is not None:
        raise RecordError(f"Dữ liệu cá nhân của khách hàng {customer.code} đã xóa, không ghi lại được.")
    kept = asdict(clean_customer(facts))
    changed = [name for name, value in kept.items() if getattr(customer, name) != value]
    if not changed:
        return customer
    before = customer.version
    done = Customer.objects.filter(pk=customer.pk, version=before).update(version=before + 1, **kept)
    if not done:
        raise ChangedMeanwhile(f"Khách hàng {customer.code} vừa được người khác sửa. Tải lại trang rồi làm tiếp.")
    customer.refresh_from_db()
    if "name" in changed:
        refold(customer)
    audit.record("customers.customer.changed", actor=by, target=customer, fields=changed)
    return customer


def refold(customer: Customer) -> None:
    """Let the search find the customer's connections by what the customer is called now."""
    for one in customer.connections.all():
        Connection.objects.filter(pk=one.pk).update(folded=folded_text(one.code, customer.name, one.address))


def require_customer(by: Person | None, customer: Customer, action: str = "serve") -> None:
    """Raise PermissionDenied unless the person serves one of the customer's connections, or all of the operator's."""
    if by is None:
        return
    if visibility.list_connections(by, action).filter(customer=customer).exists():
        return
    visibility.require_work(by, action, customer.operator_id)


# --- norm, shares, poverty


@transaction.atomic
def set_norm(
    one: Connection,
    *,
    persons: int,
    valid_from: date,
    by: Person | None,
    now: datetime,
    paper: StoredFile | None = None,
) -> NormPersons:
    """Register how many persons count for the norm from a day on; the row before ends there.

    Raises RecordError, PermissionDenied.
    """
    one = _take(one, by, None)
    _require_classify(by, one)
    if not 0 <= persons <= 999:
        raise RecordError("Số người tính định mức phải từ 0 đến 999.")
    last = one.norms.filter(valid_to__isnull=True).first()
    if last is not None and valid_from < last.valid_from:
        raise RecordError(
            f"Định mức đang dùng của đấu nối {one.code} bắt đầu từ {format_date(last.valid_from)}; "
            "định mức mới phải bắt đầu sau ngày đó."
        )
    if last is not None and valid_from == last.valid_from:
        last.delete()
    elif last is not None:
        NormPersons.objects.filter(pk=last.pk).update(valid_to=valid_from)
    made = NormPersons.objects.create(
        connection=one, persons=persons, valid_from=valid_from, paper=paper, decided_by=by
    )
    if valid_from <= local_date(now):
        one.persons = persons
    _save(one, "persons")
    _event(one, Kind.CHANGED, valid_from, by, now, f"Định mức {persons} người")
    audit.record("customers.norm.set", actor=by, target=one, persons=persons, valid_from=valid_from.isoformat())
    return made


@transaction.atomic
def set_shares(
    one: Connection, shares: Mapping[str, int], *, valid_from: date, by: Person | None, now: datetime
) -> list[UseShare]:
    """Say what shares of the water go to which use from a day on. shares: {group: per cent}; empty: all to its group.

    Raises RecordError, PermissionDenied.
    """
    one = _take(one, by, None)
    _require_classify(by, one)
    given = {group: share for group, share in shares.items() if share}
    if given and sum(given.values()) != 100:
        raise RecordError(
            f"Tỷ lệ các mục đích của đấu nối {one.code} cộng lại là {sum(given.values())} %, phải là 100 %."
        )
    if any(group not in Group.values or not 1 <= share <= 100 for group, share in given.items()):
        raise RecordError("Mỗi tỷ lệ là số nguyên từ 1 đến 100, của một đối tượng trong danh sách.")
    open_rows = one.shares.filter(valid_to__isnull=True)
    later = open_rows.filter(valid_from__gt=valid_from).first()
    if later is not None:
        raise RecordError(f"Đã có tỷ lệ từ {format_date(later.valid_from)}; tỷ lệ mới phải bắt đầu từ ngày đó trở đi.")
    open_rows.filter(valid_from=valid_from).delete()
    one.shares.filter(valid_to__isnull=True).update(valid_to=valid_from)
    made = [
        UseShare.objects.create(connection=one, group=group, share_pct=share, valid_from=valid_from)
        for group, share in sorted(given.items())
    ]
    _save(one)
    words = ", ".join(f"{row.get_group_display()} {row.share_pct} %" for row in made) or "một mục đích"
    _event(one, Kind.CHANGED, valid_from, by, now, f"Mục đích sử dụng: {words}")
    audit.record("customers.shares.set", actor=by, target=one, shares=given, valid_from=valid_from.isoformat())
    return made


@transaction.atomic
def set_poverty(
    customer: Customer,
    *,
    year: int,
    kind: str,
    decision: str,
    by: Person | None,
    document: Document | None = None,
) -> PovertyYear | None:
    """Put a household on the list of a year, or take it off (kind empty). Raises RecordError, PermissionDenied."""
    require_customer(by, customer)
    require_customer(by, customer, "classify")
    if not 2000 <= year <= 2100:
        raise RecordError("Năm của danh sách phải từ 2000 đến 2100.")
    if kind and kind not in PovertyYear.Kind.values:
        raise RecordError("Chọn diện hộ nghèo, cận nghèo hoặc chính sách trong danh sách.")
    if kind and customer.kind != Customer.Kind.HOUSEHOLD:
        raise RecordError(f"Khách hàng {customer.code} không phải hộ gia đình, không ghi được diện hộ nghèo.")
    made = None
    if kind:
        made, _ = PovertyYear.objects.update_or_create(
            customer=customer, year=year,
            defaults={"kind": kind, "decision": decision.strip()[:120], "document": document},
        )  # fmt: skip
    else:
        PovertyYear.objects.filter(customer=customer, year=year).delete()
    audit.record("customers.poverty.set", actor=by, target=customer, year=year, kind=kind)
    return made


# --- contracts


@transaction.atomic
def sign_contract(one: Connection, *, number: str, signed_date: date, by: Person | None, now: datetime) -> Contract:
    """Write down the contract of a connection that has none in force. Raises RecordError, PermissionDenied."""
    one = _take(one, by, None)
    if one.contracts.filter(ended_date__isnull=True).exists():
        raise RecordError(f"Đấu nối {one.code} đã có hợp đồng còn hiệu lực. Dùng «Chuyển tên» để thay hợp đồng.")
    if not number.strip():
        raise RecordError("Ghi số hợp đồng.")
    made = _begin_contract(one, one.customer, number, signed_date)
    audit.record("customers.contract.signed", actor=by, target=one, contract_id=made.pk)
    return made


@transaction.atomic
def keep_paper(contract: Contract, content: Any, *, name: str, by: Person | None) -> StoredFile:
    """Keep the scan of a contract (PDF or picture). Raises files.RefusedFile, PermissionDenied."""
    if by is not None:
        visibility.require_connection(by, "serve", contract.connection)
    stored = files.store(content, name=name, by=by, kinds=PAPER_KINDS)
    Contract.objects.filter(pk=contract.pk).update(paper=stored)
    audit.record("customers.contract.paper", actor=by, target=contract.connection, contract_id=contract.pk)
    return stored


@transaction.atomic
def transfer(
    one: Connection,
    *,
    to: Customer | CustomerFacts,
    number: str,
    signed_date: date,
    version: int | None,
    by: Person | None,
    now: datetime,
    reason: str = "",
) -> Contract:
    """Give the connection to another customer: the contract in force ends on the day the new one begins.

    Bills issued before stay with whom they were issued to; readings and the meter stay with the connection. The number
    of registered persons starts anew. Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(one, by, version)
    if one.status in {Status.CLOSED, Status.PENDING}:
        raise RecordError(f"Đấu nối {one.code} {one.get_status_display().lower()}, không chuyển tên được.")
    if signed_date > local_date(now):
        raise RecordError("Ngày ký hợp đồng mới ở tương lai. Ghi chuyển tên khi hợp đồng đã ký.")
    old = one.contracts.filter(ended_date__isnull=True).first()
    begun = old.signed_date if old else one.connected_date
    if begun is not None and signed_date <= begun:
        raise RecordError(
            f"Hợp đồng trước của đấu nối {one.code} bắt đầu {format_date(begun)}; hợp đồng mới phải ký sau ngày đó."
        )
    if isinstance(to, Customer):
        if to.operator_id != one.customer.operator_id or to.erased_at is not None:
            raise RecordError(f"Không chuyển được cho khách hàng {to.code}. Lập khách hàng mới.")
        if to.pk == one.customer_id:
            raise RecordError(f"Đấu nối {one.code} đã thuộc khách hàng {to.code}.")
        owner = to
    else:
        owner = create_customer(one.customer.operator, to, by=by, now=now, is_simulated=one.is_simulated)
    former_id, one.customer = one.customer_id, owner
    one.folded = folded_text(one.code, owner.name, one.address)
    one.persons = 0
    _save(one, "customer", "folded", "persons")
    if old is not None:
        Contract.objects.filter(pk=old.pk).update(
            ended_date=signed_date, end_reason=(reason.strip() or "Chuyển tên")[:200]
        )
    one.norms.filter(valid_to__isnull=True, valid_from__gte=signed_date).delete()
    one.norms.filter(valid_to__isnull=True).update(valid_to=signed_date)
    made = _begin_contract(one, owner, number, signed_date)
    _event(one, Kind.TRANSFERRED, signed_date, by, now, f"Hợp đồng mới số {made.number}")
    audit.record(
        "customers.connection.transferred", actor=by, target=one, from_customer=former_id, to_customer=owner.pk,
        contract_id=made.pk,
    )  # fmt: skip
    return made


# --- in use or not


_MOVES = {
    Kind.SUSPENDED: (frozenset({Status.ACTIVE}), Status.SUSPENDED, "tạm ngừng"),
    Kind.CUT_OFF: (frozenset({Status.ACTIVE}), Status.CUT_OFF, "ngừng cấp"),
    Kind.REOPENED: (frozenset({Status.SUSPENDED, Status.CUT_OFF}), Status.ACTIVE, "mở lại"),
    Kind.CLOSED: (frozenset({Status.ACTIVE, Status.SUSPENDED, Status.CUT_OFF}), Status.CLOSED, "chấm dứt"),
}


def suspend(one: Connection, *, on_date: date, reason: str, by: Person | None, now: datetime,
            version: int | None = None) -> Connection:  # fmt: skip
    """Stop supply at the customer's wish. Raises RecordError, PermissionDenied."""
    return _move(one, Kind.SUSPENDED, on_date, reason, by, now, version)


def cut_off(one: Connection, *, on_date: date, reason: str, by: Person | None, now: datetime,
            version: int | None = None) -> Connection:  # fmt: skip
    """Stop supply for debt: only after the lawful steps, which billing keeps. Raises as suspend does."""
    return _move(one, Kind.CUT_OFF, on_date, reason, by, now, version)


def reopen(one: Connection, *, on_date: date, reason: str, by: Person | None, now: datetime,
           version: int | None = None) -> Connection:  # fmt: skip
    """Supply again after a suspension or cut-off. Raises as suspend does."""
    return _move(one, Kind.REOPENED, on_date, reason, by, now, version)


def close(one: Connection, *, on_date: date, reason: str, by: Person | None, now: datetime,
          version: int | None = None) -> Connection:  # fmt: skip
    """End a connection for good: its contract ends; its history stays. The meter must have been taken off first."""
    return _move(one, Kind.CLOSED, on_date, reason, by, now, version)


@transaction.atomic
def _move(
    one: Connection, kind: str, on_date: date, reason: str, by: Person | None, now: datetime, version: int | None
) -> Connection:
    one = _take(one, by, version)
    allowed, status, words = _MOVES[Kind(kind)]
    if one.status not in allowed:
        raise RecordError(
            f"Đấu nối {one.code} {one.get_status_display().lower()}, không {words} được. "
            "Tải lại trang để xem tình trạng."
        )
    if on_date > local_date(now):
        raise RecordError(f"Ngày {words} {format_date(on_date)} ở tương lai. Ghi khi việc đã làm.")
    if one.connected_date is not None and on_date < one.connected_date:
        raise RecordError(
            f"Đấu nối {one.code} bắt đầu dùng {format_date(one.connected_date)}; ngày {words} không thể trước ngày đó."
        )
    moved = {Kind.INSTALLED, Kind.TRANSFERRED, Kind.SUSPENDED, Kind.REOPENED, Kind.CUT_OFF, Kind.CLOSED}
    last = one.events.filter(kind__in=moved).order_by("-on_date", "-id").first()
    if last is not None and on_date < last.on_date:
        raise RecordError(
            f"Đấu nối {one.code} đã có «{last.get_kind_display()}» ngày {format_date(last.on_date)}; "
            f"ngày {words} không thể trước ngày đó."
        )
    if not reason.strip() and kind != Kind.REOPENED:
        raise RecordError(f"Ghi lý do {words}: khách hàng và người làm sau cần biết.")
    names = ["status"]
    one.status = status
    if kind == Kind.CLOSED:
        if one.fittings.filter(removed_at__isnull=True).exists():
            raise RecordError(
                f"Đấu nối {one.code} còn đồng hồ. Ghi tháo đồng hồ với chỉ số cuối cùng trước khi chấm dứt."
            )
        one.closed_date = on_date
        names.append("closed_date")
        one.contracts.filter(ended_date__isnull=True).update(ended_date=on_date, end_reason=reason.strip()[:200])
    _save(one, *names)
    _event(one, kind, on_date, by, now, reason.strip())
    audit.record(f"customers.connection.{kind.lower()}", actor=by, target=one, on_date=on_date.isoformat())
    return one


def mark_installed(one: Connection, on_date: date, by: Person | None, now: datetime) -> None:
    """Write the event that water began to flow, for what puts a connection in."""
    _event(one, Kind.INSTALLED, on_date, by, now)


audit.describe("customers.customer.created", "lập khách hàng {target}")
audit.describe("customers.customer.changed", "sửa thông tin khách hàng {target}")
audit.describe("customers.connection.created", "lập đấu nối {target}")
audit.describe("customers.connection.changed", "sửa đấu nối {target}")
audit.describe("customers.connection.transferred", "chuyển tên đấu nối {target}")
audit.describe("customers.connection.suspended", "tạm ngừng đấu nối {target}")
audit.describe("customers.connection.cut_off", "ngừng cấp nước đấu nối {target}")
audit.describe("customers.connection.reopened", "mở lại đấu nối {target}")
audit.describe("customers.connection.closed", "chấm dứt đấu nối {target}")
audit.describe("customers.norm.set", "ghi định mức {persons} người cho đấu nối {target}")
audit.describe("customers.shares.set", "ghi tỷ lệ mục đích sử dụng của đấu nối {target}")
audit.describe("customers.poverty.set", "ghi diện hộ nghèo, cận nghèo năm {year} của khách hàng {target}")
audit.describe("customers.contract.signed", "ghi hợp đồng của đấu nối {target}")
audit.describe("customers.contract.paper", "lưu bản chụp hợp đồng của đấu nối {target}")
