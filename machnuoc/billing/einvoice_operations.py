"""Electronic invoices of bills: signed in chunks after issuing, sent, asked after, compared day by day.

Simulated bills are always signed with the certificate made for trying, and what that certificate signed is never sent
to anybody but a stand-in on this machine.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet

from machnuoc.billing import bill_pdf, einvoice_certificate, einvoice_provider, einvoice_xml, reference, words
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, BillingProfile, EInvoice, EInvoiceDay
from machnuoc.core import audit, files, jobs, outgoing
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.core.vietnamese import format_money_vnd
from machnuoc.customers.models import Fitting, Group
from machnuoc.places.models import Organisation

log = logging.getLogger(__name__)

SIGN_TASK, SEND_TASK = "billing.sign_einvoices", "billing.send_einvoices"
COMPARE_TASK = "billing.compare_einvoice_day"
CHUNK = 500
MOST_ATTEMPTS = 8
FIRST_RETRY_S = 60
ASK_AFTER = timedelta(minutes=10)
_LOOK_BACK = 100_000  # bills before the last signed one that the hourly round looks through; the nightly one sees all
_FEE_NAME = "Phí bảo vệ môi trường đối với nước thải sinh hoạt"
_PRECISE = Decimal("0.0001")

audit.describe("billing.einvoices.signed", "ký {count} hóa đơn điện tử")
audit.describe("billing.einvoice.again", "cho gửi lại hóa đơn điện tử {target}")
audit.describe("billing.einvoices.compared", "đối chiếu hóa đơn điện tử ngày {day} với nhà cung cấp")


class CannotSendAgain(BillingError):
    """The invoice has been taken already, or must not leave this machine."""


# --- signing ----------------------------------------------------------------------------------------------------------


def sign_waiting(now: datetime, *, all_of_them: bool = False, progress: Callable[[int], None] | None = None) -> int:
    """Sign every bill that has no electronic invoice yet, and return how many were signed.

    all_of_them: look at every bill there is, not only at the latest. Bills of an operator without a legal name and
    tax code wait (see `einvoice_queries.count_unsignable`). Raises einvoice_certificate.CannotSign.
    """
    last = EInvoice.objects.aggregate(last=Max("bill_id"))["last"] or 0
    after_id = 0 if all_of_them else max(last - _LOOK_BACK, 0)
    signed = 0
    while True:
        ids = list(
            Bill.objects.filter(pk__gt=after_id, einvoice__isnull=True)
            .filter(operator__in=BillingProfile.objects.exclude(tax_code="").values("operator_id"))
            .order_by("pk")
            .values_list("pk", flat=True)[:CHUNK]
        )
        if not ids:
            return signed
        signed += sign_bills(ids, now)
        after_id = ids[-1]
        if progress is not None:
            progress(signed)


def sign_bills(bill_ids: Sequence[int], now: datetime) -> int:
    """Sign the bills that have no electronic invoice yet, at most a chunk, and return how many were signed.

    Files are written first, then their rows in one short transaction: after a kill in between they are signed anew.
    """
    bills = list(_load(bill_ids).filter(einvoice__isnull=True))
    if not bills:
        return 0
    fittings: dict[int, list[Fitting]] = defaultdict(list)
    for fitting in Fitting.objects.filter(connection_id__in={one.connection_id for one in bills}).select_related(
        "meter"
    ):
        fittings[fitting.connection_id].append(fitting)
    made = []
    tests = []
    for bill in bills:
        signer = einvoice_certificate.load_test(now) if bill.is_simulated else einvoice_certificate.load(now)
        root = einvoice_xml.build(describe(bill, fittings[bill.connection_id]))
        xml = einvoice_xml.sign(
            root, key=signer.key, certificate=signer.certificate, signed_at=now.astimezone(LOCAL_ZONE)
        )
        made.append((f"{bill.series}-{bill.number:08d}.xml", xml))
        tests.append(signer.is_test)
    stored = files.keep_made(made, "application/xml")  # seconds of disk: outside the transaction
    with transaction.atomic():
        EInvoice.objects.bulk_create(
            [
                EInvoice(bill=bill, xml=file, signed_at=now, is_test_certificate=is_test)
                for bill, file, is_test in zip(bills, stored, tests, strict=True)
            ],
            ignore_conflicts=True,  # another worker may have signed some meanwhile: its file stays
        )
        sealed = hashlib.sha256("".join(file.sha256 for file in stored).encode()).hexdigest()
        audit.record(
            "billing.einvoices.signed",
            actor=None,
            count=len(bills),
            first=bills[0].pk,
            last=bills[-1].pk,
            sha256=sealed,
        )
    return len(bills)


def _load(bill_ids: Sequence[int]) -> QuerySet[Bill]:
    return (
        Bill.objects.filter(pk__in=bill_ids)
        .select_related(
            "series", "operator__billing_profile", "connection", "customer", "from_reading", "to_reading",
            "corrects__series",
        )
        .prefetch_related("lines__tariff")
        .order_by("pk")
    )  # fmt: skip


def key_of(bill: Bill) -> str:
    """Return the id of a bill's signed part, the same however often it is signed or sent."""
    return f"MN-{bill.operator_id}-{bill.series}-{bill.number}"


def describe(bill: Bill, fittings: Sequence[Fitting]) -> einvoice_xml.Invoice:
    """Return what the electronic invoice of a bill says. The bill's operator has a billing profile."""
    profile = bill.operator.billing_profile
    lines = sorted(bill.lines.all(), key=lambda one: one.order)
    rate = _rate(lines[-1].tariff.vat_basis_points if lines else bill.tariff.vat_basis_points)
    return einvoice_xml.Invoice(
        key=key_of(bill),
        form=bill.series.form,
        series=bill.series.code,
        number=bill.number,
        issued_date=local_date(bill.issued_at),
        seller=einvoice_xml.Party(profile.legal_name, profile.tax_code, profile.address),
        buyer=einvoice_xml.Party(bill.customer.name, bill.customer.tax_code, bill.connection.address),
        lines=_lines(bill, rate),
        net_vnd=bill.net_vnd,
        vat_vnd=bill.vat_vnd,
        vat_rate=rate,
        fees=[(_FEE_NAME, bill.fee_vnd)] if bill.fee_vnd else [],
        total_vnd=bill.total_vnd,
        total_words=words.amount_in_words(bill.total_vnd),
        related=_related(bill),
        extras=_extras(bill, fittings),
        provider_tax_code=settings.EINVOICE_TAX_CODE,
    )


def _rate(basis_points: int) -> str:
    """Return a tax rate as the format writes it.

    >>> _rate(500), _rate(0), _rate(850)
    ('5%', '0%', '8.5%')
    """
    return f"{einvoice_xml.plain(Decimal(basis_points) / 100)}%"


def _lines(bill: Bill, rate: str) -> list[einvoice_xml.Line]:
    lines = sorted(bill.lines.all(), key=lambda one: one.order)
    if not lines:  # a difference without blocks of its own
        volume = Decimal(bill.volume_l) / 1000
        price = (Decimal(bill.net_vnd) / volume).quantize(_PRECISE) if volume else Decimal(0)
        return [einvoice_xml.Line("NUOC", "Nước sạch, chênh lệch", "m3", volume, price, bill.net_vnd, rate)]
    nets = einvoice_xml.net_shares([line.amount_vnd for line in lines], bill.net_vnd)
    made = []
    for line, net_vnd in zip(lines, nets, strict=True):
        price = Decimal(line.price_vnd)
        if line.tariff.includes_vat:
            price = (price * 10_000 / (10_000 + line.tariff.vat_basis_points)).quantize(_PRECISE)
        name = f"Nước sạch, {Group(line.group).label.lower()}, bậc {line.block} ({line.days} ngày)"
        made.append(
            einvoice_xml.Line(
                f"NUOC-{line.group}-{line.block}", name, "m3", Decimal(line.volume_l) / 1000, price, net_vnd, rate
            )
        )
    return made


def _related(bill: Bill) -> einvoice_xml.Related | None:
    old = bill.corrects
    if old is None:
        return None
    is_replacement = bill.kind == Bill.Kind.REPLACEMENT
    return einvoice_xml.Related(
        einvoice_xml.REPLACES if is_replacement else einvoice_xml.ADJUSTS,
        old.series.form,
        old.series.code,
        old.number,
        local_date(old.issued_at),
        bill.reason or Bill.Kind(bill.kind).label,
    )


def _extras(bill: Bill, fittings: Sequence[Fitting]) -> list[tuple[str, str]]:
    said = [
        ("Mã khách hàng", bill.customer.code),
        ("Mã đấu nối", bill.connection.code),
        ("Kỳ hóa đơn", f"{bill.period_start_date:%m/%Y}"),
        ("Từ ngày", bill.from_date.isoformat()),
        ("Đến ngày", (bill.to_date - timedelta(days=1)).isoformat()),
        ("Mã thanh toán", reference.make(bill.pk)),
    ]
    rows = bill_pdf.meter_rows(bill, fittings)
    for number, (serial, old_l, new_l, _) in enumerate(rows, start=1):
        suffix = f" {number}" if len(rows) > 1 else ""
        said += [
            (f"Số đồng hồ{suffix}", serial),
            (f"Chỉ số cũ{suffix}", einvoice_xml.plain(Decimal(old_l) / 1000)),
            (f"Chỉ số mới{suffix}", einvoice_xml.plain(Decimal(new_l) / 1000)),
        ]
    if bill.is_estimated:
        said.append(("Tạm tính", "có"))
    if bill.is_simulated:
        said.append(("Mô phỏng", "có"))
    return said


# --- sending ----------------------------------------------------------------------------------------------------------


def _sendable() -> QuerySet[EInvoice]:
    """Return what may leave this machine."""
    real = EInvoice.objects.filter(bill__is_simulated=False)
    return real if einvoice_provider.is_on_this_machine() else real.filter(is_test_certificate=False)


def send_due(now: datetime, *, limit: int = 200) -> tuple[int, int]:
    """Send signed invoices that wait and are due; return how many were taken and how many were not.

    A row is put off before it is tried, so that a worker that dies in between does not send in a loop; the provider
    tells by the key that it has an invoice already. Raises einvoice_provider.NoProvider.
    """
    provider = einvoice_provider.get()
    due = Q(sent_at__isnull=True)
    for attempts in range(1, MOST_ATTEMPTS):
        pause = timedelta(seconds=FIRST_RETRY_S * 2 ** (attempts - 1))
        due |= Q(attempts=attempts, sent_at__lte=now - pause)
    rows = _sendable().filter(due, state=EInvoice.State.SIGNED).select_related("bill__series", "xml")
    taken = failed = 0
    for row in list(rows.order_by("pk")[:limit]):
        mine = EInvoice.objects.filter(pk=row.pk, state=EInvoice.State.SIGNED, attempts=row.attempts)
        if not mine.update(attempts=row.attempts + 1, sent_at=now):
            continue  # another worker has it
        try:
            with files.open_file(row.xml) as file:
                fate = provider.send(file.read(), key=key_of(row.bill))
        except outgoing.CannotCall as reason:
            state = EInvoice.State.REFUSED if reason.is_final else EInvoice.State.SIGNED
            _write_fate(row.pk, state, now, error=str(reason))
            log.warning("e-invoice %s was not taken", row.pk)
            failed += 1
            continue
        _take(row.pk, fate, now)
        taken += fate.state != einvoice_provider.REFUSED
        failed += fate.state == einvoice_provider.REFUSED
    return taken, failed


def ask_after(now: datetime, *, limit: int = 200) -> int:
    """Ask what became of invoices sent a while ago; return how many have an answer now. Raises NoProvider."""
    provider = einvoice_provider.get()
    waiting = _sendable().filter(state=EInvoice.State.SENT, answered_at__lte=now - ASK_AFTER)
    answered = 0
    for row in list(waiting.order_by("answered_at")[:limit]):
        try:
            fate = provider.status(row.provider_reference)
        except outgoing.CannotCall as reason:
            EInvoice.objects.filter(pk=row.pk).update(answered_at=now, error=str(reason)[:300])
            continue
        _take(row.pk, fate, now)
        answered += fate.state != einvoice_provider.RECEIVED
    return answered


_STATE_OF = {
    einvoice_provider.RECEIVED: EInvoice.State.SENT,
    einvoice_provider.ACCEPTED: EInvoice.State.ACCEPTED,
    einvoice_provider.REFUSED: EInvoice.State.REFUSED,
}


def _take(pk: int, fate: einvoice_provider.Fate, now: datetime) -> None:
    changes = {"provider_reference": fate.reference} if fate.reference else {}
    if fate.authority_code:
        changes["authority_code"] = fate.authority_code
    _write_fate(pk, _STATE_OF[fate.state], now, error=fate.error, **changes)


def _write_fate(pk: int, state: str, now: datetime, *, error: str, **changes: str) -> None:
    """Write what became of an invoice; one that was accepted stays so, whatever comes late."""
    row = EInvoice.objects.filter(pk=pk).exclude(state=EInvoice.State.ACCEPTED)
    row.update(state=state, answered_at=now, error=error[:300], **changes)


@transaction.atomic
def send_again(einvoice: EInvoice, *, by: Person, now: datetime) -> None:
    """Queue an invoice that was refused or could not be sent, from its first attempt. Raises CannotSendAgain."""
    row = EInvoice.objects.select_for_update(of=("self",)).select_related("bill__series").get(pk=einvoice.pk)
    shown = row.bill.name
    if row.state not in {EInvoice.State.REFUSED, EInvoice.State.SIGNED}:
        raise CannotSendAgain(f"Hóa đơn {shown} đã gửi, đang chờ hoặc đã được nhận, không cần gửi lại.")
    einvoice_provider.get()
    if row.bill.is_simulated or (row.is_test_certificate and not einvoice_provider.is_on_this_machine()):
        raise CannotSendAgain(
            f"Hóa đơn {shown} mang chữ ký thử nghiệm nên không được gửi đi. Đặt chứng thư thật rồi phát hành."
        )
    row.state, row.attempts, row.sent_at, row.error = EInvoice.State.SIGNED, 0, None, ""
    row.save(update_fields=["state", "attempts", "sent_at", "error"])
    audit.record("billing.einvoice.again", actor=by, target=row)
    jobs.enqueue(SEND_TASK, schedule=SEND_TASK, by=by)


# --- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ours:
    pk: int
    state: str
    total_vnd: int


def compare_day(operator: Organisation, day: date, now: datetime, *, by: Person | None = None) -> EInvoiceDay:
    """Compare an operator's invoices of a day with what the provider has, take over its answers, keep the outcome.

    Raises einvoice_provider.NoProvider, outgoing.CannotCall.
    """
    provider = einvoice_provider.get()
    profile = BillingProfile.objects.get(operator=operator)
    start = datetime.combine(day, time(), LOCAL_ZONE)
    rows = _sendable().filter(
        bill__operator=operator, bill__issued_at__gte=start, bill__issued_at__lt=start + timedelta(days=1)
    )
    ours = {
        (form, code, number): _Ours(pk, state, total_vnd)
        for pk, state, form, code, number, total_vnd in rows.values_list(
            "pk", "state", "bill__series__form", "bill__series__code", "bill__number", "bill__total_vnd"
        )
    }
    seen: set[tuple[str, str, int]] = set()
    extra, refused, differing = [], [], []
    accepted = 0
    for held in provider.list_day(profile.tax_code, day):
        name = (held.form, held.series, held.number)
        shown = reference.name_of(f"{held.form}{held.series}", held.number)
        seen.add(name)
        mine = ours.get(name)
        if mine is None:
            extra.append(shown)
            continue
        _take(mine.pk, held.fate, now)
        accepted += held.fate.state == einvoice_provider.ACCEPTED
        if held.fate.state == einvoice_provider.REFUSED:
            refused.append(shown)
        if held.total_vnd != mine.total_vnd:
            differing.append(f"{shown}: {format_money_vnd(held.total_vnd)} ≠ {format_money_vnd(mine.total_vnd)}")
    missing = [reference.name_of(f"{form}{code}", number) for form, code, number in sorted(set(ours) - seen)]
    with transaction.atomic():
        made, _ = EInvoiceDay.objects.update_or_create(
            operator=operator,
            day=day,
            defaults={
                "checked_at": now, "ours": len(ours), "theirs": len(seen), "accepted": accepted, "missing": missing,
                "extra": sorted(extra), "refused": sorted(refused), "differing": sorted(differing),
            },
        )  # fmt: skip
        audit.record("billing.einvoices.compared", actor=by, target=made, day=day)
    return made
