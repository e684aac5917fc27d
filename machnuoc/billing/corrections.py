"""What is done about an issued bill that is wrong: it is never edited, but adjusted or replaced by another.

A clerk asks, with a reason; somebody else who may approve decides. A real reading after estimates makes its adjustments
by itself, within the run that was approved. What a decrease lowers is set against open bills, the oldest first.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum

from machnuoc.billing import debts, ledger, payments, tariff, tariff_queries
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Allocation, Bill, BillingProfile, BillingRun, BillLine, Correction, InvoiceSeries
from machnuoc.billing.tariff import Charge, Part, Share, Usage
from machnuoc.core import audit, notices
from machnuoc.core.models import Person
from machnuoc.core.periods import local_date
from machnuoc.customers import consumption, reading_queries, visibility
from machnuoc.customers.consumption import Point
from machnuoc.customers.models import Connection, Group, NormPersons, UseShare
from machnuoc.customers.reading_queries import TrueUps
from machnuoc.places import access
from machnuoc.places.models import Containment, Grant

audit.describe("billing.correction.asked", "đề nghị sửa hóa đơn #{bill} ({way})")
audit.describe("billing.correction.approved", "duyệt sửa hóa đơn #{bill}: lập hóa đơn #{made}")
audit.describe("billing.correction.refused", "không duyệt sửa hóa đơn #{bill}")
audit.describe("billing.bill.trued_up", "điều chỉnh {count} hóa đơn tạm tính theo chỉ số thực tế")

TRUE_UP_REASON = "Điều chỉnh theo chỉ số thực tế sau kỳ tạm tính"
_CHAINS_AT_ONCE = 1_000  # connections whose readings are read together

Way = Correction.Way
Chains = Mapping[int, Sequence[Point]]  # of reading_queries.read_chains


class AlreadyCorrected(BillingError):
    """Somebody else has corrected the bill, or asked for it, meanwhile."""


@dataclass(frozen=True)
class Facts:
    """What a bill rests on beside its days and prices. Volume in litres."""

    volume_l: int
    group: str
    households: int
    persons: int


# --- what it would cost -----------------------------------------------------------------------------------------------


def charge_for(connection: Connection, from_date: date, to_date: date, facts: Facts) -> Charge:
    """Return what the facts cost at the prices of those days. Raises tariff.CannotCharge.

    Shares of use in force then are kept if the group is still the connection's own; else all goes to the group. Of
    norms that changed meanwhile each part keeps its own, unless the facts tell another number than the last of them.
    """
    book = tariff_queries.price_book([connection.work_id], from_date, to_date)
    shares = list(UseShare.objects.filter(connection=connection))
    norms = list(NormPersons.objects.filter(connection=connection))
    return _charge(connection, from_date, to_date, facts, book, shares, norms)


def _charge(
    connection: Connection,
    from_date: date,
    to_date: date,
    facts: Facts,
    book: tariff_queries.PriceBook,
    shares: Sequence[UseShare],
    norms: Sequence[NormPersons],
) -> Charge:
    """Do the same with prices, shares and norms that have been read."""
    spans = book.spans(connection.work_id, from_date, to_date)
    if facts.group != connection.group:
        shares = []
    edges = {span.from_date for span in spans}
    dated: list[UseShare | NormPersons] = [*shares, *norms]
    for row in dated:
        edges |= {day for day in (row.valid_from, row.valid_to) if day is not None and from_date < day < to_date}
    days = [*sorted(edges), to_date]
    follows_norms = _persons_on(norms, days[-2]) == facts.persons
    parts = []
    for day, end in pairwise(days):
        span = next(one for one in reversed(spans) if one.from_date <= day)
        there = [row for row in shares if row.valid_from <= day and (row.valid_to is None or day < row.valid_to)]
        pairs = [(row.group, row.share_pct) for row in there] or [(facts.group, 100)]
        parts.append(
            Part(
                (end - day).days, span.tariff_id,
                tuple(Share(group, pct, span.fee_basis_points.get(group, 0)) for group, pct in pairs),
                facts.households, (_persons_on(norms, day) if follows_norms else None) or facts.persons,
            )
        )  # fmt: skip
    return tariff.charge(Usage(facts.volume_l, tuple(parts)), book.prices)


def _persons_on(norms: Sequence[NormPersons], day: date) -> int | None:
    there = (row for row in norms if row.valid_from <= day and (row.valid_to is None or day < row.valid_to))
    return next((row.persons for row in there), None)


def facts_of(bill: Bill) -> Facts:
    """Return what the bill rests on today: its own figures, with the volume of its adjustments."""
    more_l = bill.corrections.exclude(kind=Bill.Kind.REPLACEMENT).aggregate(more=Sum("volume_l"))["more"] or 0
    last = bill.corrections.exclude(kind=Bill.Kind.REPLACEMENT).order_by("-pk").first() or bill
    return Facts(bill.volume_l + more_l, last.group, last.households, last.persons)


@dataclass(frozen=True)
class Money:
    """net, vat and fee of a bill together with its adjustments, đồng."""

    net_vnd: int
    vat_vnd: int
    fee_vnd: int

    @property
    def total_vnd(self) -> int:
        return self.net_vnd + self.vat_vnd + self.fee_vnd

    def and_(self, bill: Bill) -> "Money":
        return Money(self.net_vnd + bill.net_vnd, self.vat_vnd + bill.vat_vnd, self.fee_vnd + bill.fee_vnd)


def money_of(bill: Bill) -> Money:
    """Return what the bill comes to together with its adjustments."""
    more = bill.corrections.exclude(kind=Bill.Kind.REPLACEMENT).aggregate(
        net=Sum("net_vnd"), vat=Sum("vat_vnd"), fee=Sum("fee_vnd")
    )
    return Money(
        bill.net_vnd + (more["net"] or 0), bill.vat_vnd + (more["vat"] or 0), bill.fee_vnd + (more["fee"] or 0)
    )


# --- asking and deciding ----------------------------------------------------------------------------------------------


@transaction.atomic
def ask(bill: Bill, *, way: str, facts: Facts, reason: str, by: Person, now: datetime) -> Correction:
    """Ask for a correction of the bill to other facts. Raises BillingError, AlreadyCorrected."""
    visibility.require_connection(by, "bill", bill.connection)
    bill = _locked(bill)
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise BillingError(f"Ghi lý do sửa hóa đơn {bill.name}: người duyệt và khách hàng sẽ đọc lý do này.")
    _require_correctable(bill, way)
    now_facts, money = facts_of(bill), money_of(bill)
    if facts == now_facts and way == Way.ADJUST:
        raise BillingError(f"Hóa đơn {bill.name} đã đúng với số liệu vừa nhập. Nhập số đúng rồi gửi lại.")
    charge = charge_for(bill.connection, bill.from_date, bill.to_date, facts)
    try:
        with transaction.atomic():
            wish = Correction.objects.create(
                bill=bill, way=way, reason=reason, requested_at=now, requested_by=by,
                said={
                    "volume_l": facts.volume_l, "group": facts.group, "households": facts.households,
                    "persons": facts.persons,
                },
                becomes={
                    "net": charge.net_vnd, "vat": charge.vat_vnd, "fee": charge.fee_vnd, "total": charge.total_vnd,
                    "was_volume_l": now_facts.volume_l, "was_total": money.total_vnd,
                    "seen": bill.corrections.count(),
                },
            )  # fmt: skip
    except IntegrityError:
        raise AlreadyCorrected(
            f"Hóa đơn {bill.name} vừa có người khác đề nghị sửa, đang chờ duyệt. Tải lại trang để xem đề nghị đó."
        ) from None
    audit.record("billing.correction.asked", actor=by, target=wish, bill=bill.pk, way=Way(way).label.lower())
    return wish


def may_decide(person: Person, wish: Correction) -> str:
    """Return why the person may not decide on the wish, or nothing."""
    work_id = wish.bill.connection.work_id
    if not (access.may(person, "bill", work_id) and access.may(person, "approve", work_id)):
        return "Người duyệt phải có quyền lập hóa đơn và quyền duyệt ở công trình này."
    if wish.requested_by_id == person.pk and others_may_approve(person, work_id):
        return "Người đề nghị không tự duyệt khi có người khác duyệt được. Nhờ lãnh đạo khác duyệt."
    return ""


def others_may_approve(person: Person, subject_id: int) -> bool:
    """Return whether somebody else may issue and approve bills there."""
    holders = Containment.objects.filter(descendant_id=subject_id).values("ancestor_id")
    others = Person.objects.filter(
        is_active=True, grants__scope_id__in=holders, grants__role=Grant.Role.LEADER
    ).exclude(pk=person.pk)  # fmt: skip
    return any(
        access.may(other, "bill", subject_id) and access.may(other, "approve", subject_id)
        for other in others.distinct()[:20]
    )


@transaction.atomic
def approve(wish: Correction, *, by: Person, now: datetime, note: str = "") -> Bill:
    """Approve a wish and issue the bill that comes of it. Raises BillingError, AlreadyCorrected."""
    payments.lock_money([wish.bill.connection_id])  # first, as whoever records a payment does
    bill = _locked(wish.bill)
    wish = Correction.objects.select_for_update(of=("self",)).select_related("bill__connection").get(pk=wish.pk)
    _require_open(wish)
    if why_not := may_decide(by, wish):
        raise BillingError(f"Chưa duyệt được việc sửa hóa đơn {bill.name}. {why_not}")
    _require_correctable(bill, wish.way)
    if bill.corrections.count() != wish.becomes["seen"]:
        raise AlreadyCorrected(
            f"Hóa đơn {bill.name} đã được điều chỉnh sau khi có đề nghị này. Từ chối đề nghị rồi lập đề nghị mới."
        )
    facts = Facts(**wish.said)
    charge = charge_for(bill.connection, bill.from_date, bill.to_date, facts)
    if charge.total_vnd != wish.becomes["total"]:
        raise AlreadyCorrected(
            f"Giá áp dụng cho hóa đơn {bill.name} đã thay đổi sau khi có đề nghị. Từ chối rồi lập đề nghị mới."
        )
    if wish.way == Way.REPLACE:
        made = _replace(bill, charge, facts, wish.reason, by, now)
    else:
        adjusted = _adjust(bill, charge, facts, wish.reason, by, now)
        if adjusted is None:
            raise BillingError(f"Số đề nghị không làm đổi tiền của hóa đơn {bill.name}. Từ chối đề nghị này.")
        made = adjusted
        _set_against(made, bill, by, now)
    wish.state, wish.made, wish.decided_at, wish.decided_by = Correction.State.APPROVED, made, now, by
    wish.decided_note = note.strip()[:300]
    wish.save(update_fields=["state", "made", "decided_at", "decided_by", "decided_note"])
    audit.record("billing.correction.approved", actor=by, target=wish, bill=bill.pk, made=made.pk, way=wish.way)
    if wish.reason != TRUE_UP_REASON:  # of those many are decided at once
        _tell(wish, by, f"Đề nghị sửa hóa đơn {bill.name} đã được duyệt: lập hóa đơn {made.name}.", made)
    payments.apply_advances([bill.connection_id], now, by)
    if made.total_vnd <= 0:  # which alone may have settled what was owed
        debts.settle_if_paid([bill.connection_id], now=now, by=by)
    return made


@transaction.atomic
def refuse(wish: Correction, *, by: Person, now: datetime, note: str) -> Correction:
    """Refuse a wish, with the reason; who asked may take it back too. Raises BillingError."""
    wish = Correction.objects.select_for_update(of=("self",)).select_related("bill__connection").get(pk=wish.pk)
    _require_open(wish)
    if wish.requested_by_id != by.pk and (why_not := may_decide(by, wish)):
        raise BillingError(f"Chưa từ chối được đề nghị sửa hóa đơn {wish.bill.name}. {why_not}")
    if not note.strip():
        raise BillingError("Ghi lý do không duyệt, để người đề nghị biết.")
    wish.state, wish.decided_at, wish.decided_by = Correction.State.REFUSED, now, by
    wish.decided_note = note.strip()[:300]
    wish.save(update_fields=["state", "decided_at", "decided_by", "decided_note"])
    audit.record("billing.correction.refused", actor=by, target=wish, bill=wish.bill_id)
    _tell(wish, by, f"Đề nghị sửa hóa đơn {wish.bill.name} không được duyệt: {wish.decided_note}", wish.bill)
    return wish


def _tell(wish: Correction, by: Person, text: str, bill: Bill) -> None:
    """Tell who asked what another has decided."""
    if wish.requested_by is not None and wish.requested_by_id != by.pk:
        notices.notify([wish.requested_by], kind="billing.correction", text=text, url=f"/hoa-don/{bill.pk}/")


def _locked(bill: Bill) -> Bill:
    """Return the bill as it is now; a second clerk waits here until the first is done."""
    return (
        Bill.objects.select_for_update(of=("self",))
        .select_related("connection", "series", "customer", "operator")
        .get(pk=bill.pk)
    )


def _require_open(wish: Correction) -> None:
    if wish.state != Correction.State.REQUESTED:
        who = f" bởi {wish.decided_by.full_name}" if wish.decided_by else ""
        raise AlreadyCorrected(
            f"Đề nghị sửa hóa đơn {wish.bill.name} đã được xử lý{who}: {wish.get_state_display().lower()}. "
            "Tải lại trang để xem."
        )


def _require_correctable(bill: Bill, way: str) -> None:
    if bill.state == Bill.State.REPLACED:
        raise AlreadyCorrected(f"Hóa đơn {bill.name} đã bị thay thế. Sửa hóa đơn thay thế nó.")
    if bill.kind not in (Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT):
        raise BillingError(f"Hóa đơn {bill.name} là hóa đơn điều chỉnh. Sửa hóa đơn gốc mà nó điều chỉnh.")
    if way == Way.REPLACE and bill.corrections.exists():
        raise BillingError(
            f"Hóa đơn {bill.name} đã được điều chỉnh nên không thay thế được nữa. Lập tiếp hóa đơn điều chỉnh."
        )


# --- the bills that come of it ----------------------------------------------------------------------------------------


def _new_bill(bill: Bill, *, kind: str, by: Person | None, now: datetime, reason: str, **figures: object) -> Bill:
    """Store a bill that corrects another, with the next number of the series; its lines and postings follow."""
    series = InvoiceSeries.objects.select_for_update().get(operator_id=bill.operator_id, is_active=True)
    InvoiceSeries.objects.filter(pk=series.pk).update(next_number=F("next_number") + 1)
    due_date = bill.due_date  # a replacement is the same debt: neither its day nor the clock of the law begins anew
    if kind == Bill.Kind.ADJUSTMENT_UP:  # what was never asked for before
        due_days = BillingProfile.objects.get(operator_id=bill.operator_id).due_days
        due_date = max(due_date, local_date(now) + timedelta(days=due_days))
    return Bill.objects.create(
        series=series, number=series.next_number, operator_id=bill.operator_id, connection_id=bill.connection_id,
        customer_id=bill.customer_id, period_start_date=bill.period_start_date, from_date=bill.from_date,
        to_date=bill.to_date, kind=kind, corrects=bill, reason=reason[:300], from_reading_id=bill.from_reading_id,
        to_reading_id=bill.to_reading_id, due_date=due_date, issued_at=now,
        issued_by=by, is_simulated=bill.is_simulated, **figures,
    )  # fmt: skip


def _adjust(
    bill: Bill,
    charge: Charge,
    facts: Facts,
    reason: str,
    by: Person | None,
    now: datetime,
    run: BillingRun | None = None,
) -> Bill | None:
    """Issue the difference between what the bill comes to today and the charge; None if there is none."""
    money, before = money_of(bill), facts_of(bill)
    net, vat, fee = charge.net_vnd - money.net_vnd, charge.vat_vnd - money.vat_vnd, charge.fee_vnd - money.fee_vnd
    lines = _line_differences(bill, charge)
    if not (net or vat or fee or lines or facts.volume_l != before.volume_l):
        return None
    made = _new_bill(
        bill, kind=Bill.Kind.ADJUSTMENT_UP if net + vat + fee >= 0 else Bill.Kind.ADJUSTMENT_DOWN, by=by, now=now,
        reason=reason, run=run, group=facts.group, households=facts.households, persons=facts.persons,
        tariff_id=_last_tariff(charge, bill), volume_l=facts.volume_l - before.volume_l, net_vnd=net, vat_vnd=vat,
        fee_vnd=fee, total_vnd=net + vat + fee,
    )  # fmt: skip
    BillLine.objects.bulk_create(
        BillLine(bill=made, order=number, **line) for number, line in enumerate(lines, start=1)
    )
    ledger.post(ledger.bill_moves(made, now))
    return made


def _set_against(credit: Bill, bill: Bill, by: Person | None, now: datetime) -> None:
    """Set a decrease against the bill that it corrects first; what is left of it pays others later."""
    amount_vnd = min(-credit.total_vnd, ledger.owed_by_bill(bill))
    if amount_vnd > 0:
        Allocation.objects.create(credit_bill=credit, bill=bill, amount_vnd=amount_vnd, at=now, by=by)


def _line_differences(bill: Bill, charge: Charge) -> list[dict[str, object]]:
    """Return the lines of the charge less those of the bill and its adjustments, by tariff, group, block and price."""
    sums: dict[tuple[int, str, int, int, int], list[int]] = {}
    ids = [bill.pk, *bill.corrections.exclude(kind=Bill.Kind.REPLACEMENT).values_list("pk", flat=True)]
    for line in BillLine.objects.filter(bill_id__in=ids):
        key = (line.tariff_id, line.group, line.block, line.price_vnd, line.days)
        held = sums.setdefault(key, [0, 0])
        held[0] -= line.volume_l
        held[1] -= line.amount_vnd
    for new in charge.lines:
        held = sums.setdefault((new.tariff_id, new.group, new.block, new.price_vnd, new.days), [0, 0])
        held[0] += new.volume_l
        held[1] += new.amount_vnd
    return [
        {
            "tariff_id": key[0], "group": key[1], "block": key[2], "price_vnd": key[3], "days": key[4],
            "volume_l": volume_l, "amount_vnd": amount_vnd,
        }
        for key, (volume_l, amount_vnd) in sorted(sums.items())
        if volume_l or amount_vnd
    ]  # fmt: skip


def _last_tariff(charge: Charge, bill: Bill) -> int:
    return charge.lines[-1].tariff_id if charge.lines else bill.tariff_id


def _replace(bill: Bill, charge: Charge, facts: Facts, reason: str, by: Person, now: datetime) -> Bill:
    """Issue the whole bill anew: the old one owes nothing any more, what was paid for it pays the new one."""
    freed = payments.release_bill(bill, now=now, by=by)
    Bill.objects.filter(pk=bill.pk).update(state=Bill.State.REPLACED)
    ledger.post([move.back(now) for move in ledger.bill_moves(bill, now)])
    made = _new_bill(
        bill, kind=Bill.Kind.REPLACEMENT, by=by, now=now, reason=reason, group=facts.group,
        households=facts.households, persons=facts.persons, tariff_id=_last_tariff(charge, bill),
        volume_l=facts.volume_l, is_estimated=bill.is_estimated,  # its closing index was not read yet, whoever corrects
        net_vnd=charge.net_vnd, vat_vnd=charge.vat_vnd, fee_vnd=charge.fee_vnd, total_vnd=charge.total_vnd,
    )  # fmt: skip
    BillLine.objects.bulk_create(
        BillLine(
            bill=made, order=number, tariff_id=line.tariff_id, group=line.group, block=line.block, days=line.days,
            volume_l=line.volume_l, price_vnd=line.price_vnd, amount_vnd=line.amount_vnd,
        )
        for number, line in enumerate(charge.lines, start=1)
    )  # fmt: skip
    ledger.post(ledger.bill_moves(made, now))
    payments.pay_again(made, freed, now=now, by=by)
    return made


# --- real readings after estimates ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """What an estimated month lacks, or was billed too much, now that it was read. Volumes in litres, money in đồng.

    volume_l: what the month comes to; difference_l, net, vat and fee: less what it was billed, with its adjustments but
    for those that this run itself has made; done: what those came to, so that a run taken up again goes on from there.
    """

    bill: Bill
    volume_l: int
    difference_l: int
    net_vnd: int
    vat_vnd: int
    fee_vnd: int
    done: Money

    @property
    def total_vnd(self) -> int:
        return self.net_vnd + self.vat_vnd + self.fee_vnd

    @property
    def is_done(self) -> bool:
        return (self.net_vnd, self.vat_vnd, self.fee_vnd) == (self.done.net_vnd, self.done.vat_vnd, self.done.fee_vnd)

    def figures(self) -> tuple[int, ...]:
        """Return what a hash of it is made of."""
        return self.bill.pk, self.volume_l, self.difference_l, self.net_vnd, self.vat_vnd, self.fee_vnd


def list_due(
    found: TrueUps, connection_ids: Sequence[int], *, run: BillingRun | None, chains: Chains | None = None
) -> list[Due]:
    """Return what a run has to adjust of estimated months, by connection and month; nothing is written.

    run: None where no run looks, but somebody who orders adjustments by themselves, of connections that are known to
    have estimated bills (estimates.py).
    found: months that the readings of the run's own month true up. connection_ids: all that the run looks at here,
    ascending; of those, months that other bills have left behind are found too (`_left_behind`). chains: of all of
    them, where they have been read. A month that was never billed, or whose bill was replaced by one that is no
    estimate, is left alone. Raises BillingError.
    """
    targets = _targets(found)
    looked_at = set(connection_ids) if run is None else _waiting_ids(connection_ids, run)
    ids = sorted({*looked_at, *(pk for pk, _ in targets)})
    bills: list[Bill] = []
    before: dict[int, tuple[Facts, Money]] = {}
    done: dict[int, Money] = {}
    wanted: dict[int, int] = {}
    for first in range(0, len(ids), _CHAINS_AT_ONCE):
        part = ids[first : first + _CHAINS_AT_ONCE]
        live = list(
            _live_bills().filter(connection_id__in=part).select_related("connection", "series")
            .order_by("connection_id", "period_start_date", "from_date")
        )  # fmt: skip
        adjusted = _with_adjustments(live, run)
        known = chains if chains is not None else reading_queries.read_chains(part)
        here = {bill.pk: volume_l for bill, volume_l in _left_behind(live, adjusted, known)}
        for bill in live:
            if bill.is_estimated and (bill.connection_id, bill.period_start_date) in targets:
                here[bill.pk] = targets[bill.connection_id, bill.period_start_date]
        bills += [bill for bill in live if bill.pk in here]
        wanted |= here
        before |= {pk: adjusted.before[pk] for pk in here}
        done |= {pk: money for pk, money in adjusted.done.items() if pk in here}
    return _price(bills, wanted, before, done)


def _targets(found: TrueUps) -> dict[tuple[int, date], int]:
    months = found.period_start_date.astype("datetime64[D]").astype(object).tolist()
    return dict(zip(zip(found.connection_id.tolist(), months, strict=True), found.volume_l.tolist(), strict=True))


def _live_bills() -> QuerySet[Bill]:
    return Bill.objects.filter(state=Bill.State.ISSUED, kind__in=[Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT])


def _waiting_ids(connection_ids: Sequence[int], run: BillingRun) -> set[int]:
    """Return the connections with estimated bills that no run has trued up before."""
    if not len(connection_ids):
        return set()
    trued_up = Bill.objects.filter(corrects=OuterRef("pk"), run__isnull=False).exclude(run=run)
    waiting = (
        _live_bills()
        .filter(is_estimated=True, connection_id__gte=connection_ids[0], connection_id__lte=connection_ids[-1])
        .exclude(Exists(trued_up))
    )
    return set(waiting.values_list("connection_id", flat=True)) & set(connection_ids)


def _price(
    bills: Sequence[Bill], wanted: Mapping[int, int], before: Mapping[int, tuple[Facts, Money]],
    done: Mapping[int, Money],
) -> list[Due]:  # fmt: skip
    """Return what each bill lacks of the volume wanted, at the prices of its month."""
    bills = [bill for bill in bills if wanted[bill.pk] != before[bill.pk][0].volume_l]
    if not bills:
        return []
    ids = {bill.connection_id for bill in bills}
    shares, norms = _by_connection(UseShare, ids), _by_connection(NormPersons, ids)
    book = tariff_queries.price_book(
        {bill.connection.work_id for bill in bills}, min(bill.from_date for bill in bills),
        max(bill.to_date for bill in bills),
    )  # fmt: skip
    dues = []
    for bill in bills:
        facts, money = before[bill.pk]
        volume_l = wanted[bill.pk]
        wished = Facts(volume_l, facts.group, facts.households, facts.persons)
        own_shares, own_norms = shares.get(bill.connection_id, []), norms.get(bill.connection_id, [])
        try:
            charge = _charge(bill.connection, bill.from_date, bill.to_date, wished, book, own_shares, own_norms)
        except tariff.CannotCharge as reason:
            raise BillingError(
                f"Chưa điều chỉnh được hóa đơn tạm tính {bill.name} của đấu nối {bill.connection.code}: {reason}"
            ) from None
        dues.append(
            Due(
                bill, volume_l, volume_l - facts.volume_l, charge.net_vnd - money.net_vnd,
                charge.vat_vnd - money.vat_vnd, charge.fee_vnd - money.fee_vnd, done.get(bill.pk, Money(0, 0, 0)),
            )
        )  # fmt: skip
    return dues


def _by_connection(model: Any, ids: Collection[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in model.objects.filter(connection_id__in=ids) if ids else ():
        found[row.connection_id].append(row)
    return found


@dataclass(frozen=True)
class _Adjusted:
    """before: what each bill comes to with its adjustments but for those of the run; done: what those come to.

    settled: bills that another run has trued up.
    """

    before: dict[int, tuple[Facts, Money]]
    done: dict[int, Money]
    settled: set[int]


def _with_adjustments(bills: Sequence[Bill], run: BillingRun | None) -> _Adjusted:
    before = {
        bill.pk: (
            Facts(bill.volume_l, bill.group, bill.households, bill.persons),
            Money(bill.net_vnd, bill.vat_vnd, bill.fee_vnd),
        )
        for bill in bills
    }
    found = _Adjusted(before, {}, set())
    rows = Bill.objects.filter(corrects_id__in=list(before)).exclude(kind=Bill.Kind.REPLACEMENT).order_by("pk")
    for one in rows:
        pk = one.corrects_id or 0
        if run is not None and one.run_id == run.pk:
            made = found.done.get(pk, Money(0, 0, 0))
            found.done[pk] = made.and_(one)
            continue
        facts, money = before[pk]
        facts = Facts(facts.volume_l + one.volume_l, one.group, one.households, one.persons)
        before[pk] = facts, money.and_(one)
        if one.run_id is not None:
            found.settled.add(pk)
    return found


def _left_behind(bills: Sequence[Bill], adjusted: _Adjusted, chains: Chains) -> list[tuple[Bill, int]]:
    """Return estimated bills whose true volume has been known for some time and was never billed, with that volume.

    So when a month is billed only after the next one was, or was read after all when it had been billed. Bills that
    meet at an estimated index belong together: from the real index before them to the real one after them flowed what
    they must come to in all. What they lack of it goes to the estimated ones, by days. Bills that a run has trued up
    before are settled; what readings cannot tell yet waits.
    """
    by_connection: dict[int, list[Bill]] = defaultdict(list)
    for bill in sorted(bills, key=lambda one: (one.from_date, one.period_start_date)):
        by_connection[bill.connection_id].append(bill)
    volumes = {pk: facts.volume_l for pk, (facts, _) in adjusted.before.items()}
    soft = reading_queries.estimated_among(
        {pk for bill in bills for pk in (bill.from_reading_id, bill.to_reading_id) if pk}
    )
    found: list[tuple[Bill, int]] = []
    for pk, own in by_connection.items():
        for together in _joined(own, soft):
            ours = [bill for bill in together if bill.is_estimated and bill.pk not in adjusted.settled]
            after = own[own.index(together[-1]) + 1 :][:1]
            total_l = _flowed(chains.get(pk, []), together, after, soft) if ours else None
            if total_l is None or total_l == sum(volumes[bill.pk] for bill in together):
                continue
            others_l = sum(volumes[bill.pk] for bill in together if bill not in ours)
            days = [(bill.to_date - bill.from_date).days for bill in ours]
            found += zip(ours, consumption.split_l(max(0, total_l - others_l), days), strict=True)
    return found


def _joined(bills: Sequence[Bill], soft: Collection[int]) -> Iterator[list[Bill]]:
    """Yield the bills of a connection, in the order of time, in groups that meet at estimated indices."""
    group: list[Bill] = []
    for bill in bills:
        if group and not (bill.from_reading_id in soft and bill.from_reading_id == group[-1].to_reading_id):
            yield group
            group = []
        group.append(bill)
    if group:
        yield group


def _flowed(chain: Sequence[Point], bills: Sequence[Bill], after: Sequence[Bill], soft: Collection[int]) -> int | None:
    """Return what flowed from the real index before the bills to the real one after them; None if that is unknown."""
    first, last = bills[0], bills[-1]
    if first.from_reading_id in soft or (after and after[0].from_reading_id in soft):
        return None
    places = {point.reading_id: number for number, point in enumerate(chain) if point.reading_id}
    if first.from_reading_id:
        start = places.get(first.from_reading_id)
    else:
        start = next((number for number, point in enumerate(chain) if point.begins), None)
    if last.to_reading_id in soft:  # the month may have been read after all
        month = last.period_start_date
        end = next((n for n, at in enumerate(chain) if at.period_start_date == month and not at.is_estimated), None)
    else:
        end = places.get(last.to_reading_id or 0)
    if start is None or end is None or end <= start:
        return None
    try:
        return consumption.span_l(chain[start : end + 1])
    except consumption.Unexplained:
        return None


def true_up(dues: Sequence[Due], *, run: BillingRun, now: datetime) -> list[Bill]:
    """Issue the adjustments that are due, at the prices of their months, and set decreases against what is owed.

    In a transaction that holds the money of these connections. Done twice, it makes no second adjustment. Raises
    AlreadyCorrected if a bill has changed since: what was approved is what is issued.
    """
    ids = [due.bill.pk for due in dues]
    rows = _live_bills().filter(pk__in=ids, is_estimated=True).select_related("connection", "series")
    bills = {bill.pk: bill for bill in rows.select_for_update(of=("self",))}
    before = _with_adjustments(list(bills.values()), run).before
    made = []
    for due in dues:
        bill = bills.get(due.bill.pk)
        if bill is None or before[bill.pk][0].volume_l != due.volume_l - due.difference_l:
            raise AlreadyCorrected(f"Hóa đơn tạm tính {due.bill.name} vừa được sửa. Tính thử lại đợt này.")
        facts, money = before[bill.pk]
        facts = Facts(due.volume_l, facts.group, facts.households, facts.persons)
        charge = charge_for(bill.connection, bill.from_date, bill.to_date, facts)
        if charge.total_vnd - money.total_vnd != due.total_vnd:
            raise AlreadyCorrected(f"Giá của hóa đơn tạm tính {bill.name} vừa thay đổi. Tính thử lại đợt này.")
        adjusted = _adjust(bill, charge, facts, TRUE_UP_REASON, run.approved_by, now, run)
        if adjusted is not None:
            _set_against(adjusted, bill, run.approved_by, now)
            made.append(adjusted)
    if made:
        debts.settle_if_paid({bill.connection_id for bill in made}, now=now, by=run.approved_by)
        audit.record("billing.bill.trued_up", actor=run.approved_by, target=run, count=len(made))
    return made


# --- numbers ----------------------------------------------------------------------------------------------------------


def list_gaps(series: InvoiceSeries) -> list[int]:
    """Return the first numbers of a series that no bill has, though later ones have: there must be none."""
    counted = Bill.objects.filter(series=series).aggregate(count=Count("id"))["count"]
    if counted == series.next_number - 1:
        return []
    known = set(Bill.objects.filter(series=series).values_list("number", flat=True))
    return [number for number in range(1, series.next_number) if number not in known][:20]


def groups() -> list[tuple[str, str]]:
    return list(Group.choices)
