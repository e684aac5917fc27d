"""Simulated customers of Quảng Ngãi's centre: as many households a station as appendix 1 prints. Idempotent.

No household, meter, reading, bill or payment of these exists; each is marked is_simulated, so that every page of
theirs says «mô phỏng». Phone numbers begin with 0000 and the bank account is all noughts: nothing reaches anybody.
Rows are written by columns, as an import would; bills come from runs that are previewed, approved and issued.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from machnuoc.billing import ledger, runs, tariff_operations
from machnuoc.billing.models import (
    Account,
    Allocation,
    Area,
    Bill,
    BillingProfile,
    BillingRun,
    InvoiceSeries,
    Payment,
    Posting,
    Tariff,
    TariffPrice,
)
from machnuoc.billing.tariff_checks import Row
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE, Period, local_date
from machnuoc.customers import connection_queries
from machnuoc.customers.models import (
    Connection,
    Contract,
    Customer,
    Fitting,
    Group,
    Meter,
    PovertyYear,
    Reading,
    Round,
    Route,
)
from machnuoc.demo import plans
from machnuoc.demo.planning import read_targets, targets
from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.works.models import Work

SEED = 20260211  # the day after the plan whose stations these are
CENTRE = "org.qn.trung-tam"
MONTHS = 4  # that have readings; the last one is still being read, those before it are billed
READ_DAY = 20
ISSUE_DAY = 25
PORTAL_PHONE = "0000000001"  # of the first simulated customer: who tries the customers' pages signs in with it
A_ROUTE = 120  # connections that one person reads in a day
_CHUNK = 500
_FAMILY = (
    "Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh", "Võ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý", "Phan", "Đinh",
)  # fmt: skip
_MIDDLE = ("Văn", "Thị", "Minh", "Ngọc", "Thanh", "Hữu", "Đức", "Kim", "Quốc", "Thu")
_GIVEN = (
    "An", "Bình", "Châu", "Dũng", "Hà", "Hạnh", "Hiền", "Hòa", "Hùng", "Hương", "Khánh", "Lan", "Long", "Mai", "Nam",
    "Nga", "Phúc", "Phương", "Quang", "Sơn", "Tâm", "Thảo", "Thủy", "Trung", "Tuấn", "Vân", "Vinh", "Yến",
)  # fmt: skip
# Of a public sample of rural blocks, đồng a m³; no decision of the province.
_BLOCKS = ((0, 10_000, 9_000), (10_000, 20_000, 11_500), (20_000, 30_000, 15_000), (30_000, None, 18_000))
_FLAT = ((Group.SH_NGHEO, 5_400), (Group.HCSN, 12_000), (Group.SX, 14_000), (Group.KDDV, 18_000))
_METHODS = (Payment.Method.BANK, Payment.Method.VNPAY, Payment.Method.MOMO, Payment.Method.ZALOPAY)


@dataclass(frozen=True)
class _Station:
    """One station, with how many it served at the end of 2025 and how many joined in each finished month of 2026."""

    work: Work
    place: Subject | None
    code: str
    before: int
    joined: tuple[tuple[date, int], ...]


def _nothing(done: int, total: int) -> None:
    return None


def load_customers(now: datetime, *, most: int | None = None, tell: Callable[[int, int], None] = _nothing) -> int:
    """Put customers with meters, routes and readings, then bill and pay the months that are over; return how many.

    most: customers a station; None: settings.SIMULATED_CUSTOMERS, where 0 means the plan's numbers. What is there is
    left alone; what a killed call did not come to is done by the next. tell: called with steps done and all steps.
    """
    most = settings.SIMULATED_CUSTOMERS if most is None else most
    made = 0
    _put_billing(now)
    stations, months = _list_stations(now, most), _billed_months(now)
    for number, station in enumerate(stations):
        tell(number, len(stations) + len(months))
        made += _put_station(station, now)
    for number, month in enumerate(months, start=len(stations)):
        tell(number, len(stations) + len(months))
        _bill(month)
        _pay(month, now)
    return made


def _list_stations(now: datetime, most: int) -> list[_Station]:
    works = {work.subject.key: work for work in Work.objects.select_related("subject", "operator")}
    units = {unit.code: unit.subject for unit in AdministrativeUnit.objects.select_related("subject").filter(
        is_in_force=True, parent__subject__key="vn.quang-ngai")}  # fmt: skip
    shares = {share.station.key: share for share in read_targets.list_station_shares()}
    last = local_date(now)
    months = [month for month in Period("Y", date(2026, 1, 1)).split("M") if month.end_date <= last]
    found = []
    for number, row in enumerate(plans.list_stations(), start=1):
        before = reached = row.connected_2025
        joined = []
        for month in months if row.key in shares else ():
            then = targets.simulated_households(shares[row.key], month)
            joined.append((month.start_date, max(0, then - reached)))
            reached = max(reached, then)
        if most:
            before, joined = min(before, most), [(day, min(1, count)) for day, count in joined[-2:]]
        place = units.get(row.commune_codes[0]) if row.commune_codes else None
        found.append(_Station(works[row.key], place, f"{number:02d}", before, tuple(joined)))
    return found


# --- customers --------------------------------------------------------------------------------------------------------


def _put_station(station: _Station, now: datetime) -> int:
    """Write the customers of one station that are not there yet, in chunks that leave room for others."""
    rng = random.Random(f"{SEED}/{station.code}")  # noqa: S311 - a simulation, no secret
    days = [date(rng.randint(2012, 2025), rng.randint(1, 12), rng.randint(1, 28)) for _ in range(station.before)]
    days += [day.replace(day=rng.randint(1, 15)) for day, count in station.joined for _ in range(count)]
    operator = station.work.operator
    if operator is None:
        raise LookupError(f"{station.work} has no operator")
    there = Connection.objects.filter(work=station.work, code__startswith=f"DNMP{station.code}").count()
    if there >= len(days):
        return 0
    routes = _put_routes(station, len(days))
    _open_rounds(routes, now)
    for first in range(there, len(days), _CHUNK):  # chunks are whole: of a later month, the ones that joined since
        with transaction.atomic():
            _put_chunk(station, operator, days[first : first + _CHUNK], first, routes, now)
    audit.record("demo.customers.loaded", actor=None, target=station.work.subject, count=len(days) - there)
    return len(days) - there


def _put_routes(station: _Station, connections: int) -> list[Route]:
    reader = Person.objects.filter(username="qn.ghichiso").first() if station.code == "01" else None
    Route.objects.bulk_create(
        [
            Route(
                code=f"MP{station.code}-{number + 1:02d}", name=f"{station.work.subject.name}, tuyến {number + 1}",
                work=station.work, reader=reader, read_day=READ_DAY, is_simulated=True,
            )
            for number in range((connections + A_ROUTE - 1) // A_ROUTE)
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return list(Route.objects.filter(work=station.work, is_simulated=True).order_by("code"))


def _put_chunk(
    station: _Station, operator: Organisation, days: Sequence[date], first: int, routes: Sequence[Route], now: datetime
) -> None:
    rng = random.Random(f"{SEED}/{station.code}/{first}")  # noqa: S311 - a simulation, no secret
    groups = [_group(rng) for _ in days]
    customers = Customer.objects.bulk_create(
        [
            _customer(operator, f"MP{station.code}{first + number:05d}", group, rng, now)
            for number, group in enumerate(groups)
        ]
    )
    commune = f", {station.place.name}" if station.place else ""
    connections = Connection.objects.bulk_create(
        [
            Connection(
                code=f"DNMP{station.code}{first + number:05d}", work=station.work, customer=customer,
                place=station.place, address=f"Số {first + number + 1}{commune} (mô phỏng)", group=groups[number],
                persons=rng.randint(2, 6), status=Connection.Status.ACTIVE, connected_date=days[number],
                origin=Connection.Origin.NEW if days[number].year == 2026 else Connection.Origin.EXISTING,
                route=routes[(first + number) // A_ROUTE], route_order=(first + number) % A_ROUTE + 1,
                folded=connection_queries.folded_text(
                    f"DNMP{station.code}{first + number:05d}", customer.name,
                    f"Số {first + number + 1}{commune} (mô phỏng)",
                ),
                is_simulated=True,
            )
            for number, customer in enumerate(customers)
        ]
    )  # fmt: skip
    Contract.objects.bulk_create(
        [
            Contract(
                connection=one,
                customer_id=one.customer_id,
                number=f"HĐ-{one.code}",
                signed_date=one.connected_date or date(2026, 1, 1),
            )
            for one in connections
        ]
    )
    PovertyYear.objects.bulk_create(
        [
            PovertyYear(customer=customer, year=2026, kind=PovertyYear.Kind.POOR, decision="Danh sách mô phỏng")
            for customer, group in zip(customers, groups, strict=True)
            if group == Group.SH_NGHEO
        ]
    )
    meters = Meter.objects.bulk_create(
        [
            Meter(
                operator=operator, serial=f"MP{one.code.removeprefix('DNMP')}", make="Đồng hồ mô phỏng",
                accuracy_class="B", verified_date=_later(one.connected_date), is_simulated=True,
                verification_due_date=_later(one.connected_date, 60),
            )
            for one in connections
        ]
    )  # fmt: skip
    fittings = Fitting.objects.bulk_create(
        [
            Fitting(connection=one, meter=meter, installed_at=_at(_later(one.connected_date)))
            for one, meter in zip(connections, meters, strict=True)
        ]
    )
    _put_readings(connections, fittings, rng, now)


def _customer(operator: Organisation, code: str, group: str, rng: random.Random, now: datetime) -> Customer:
    kinds = {Group.HCSN: Customer.Kind.AGENCY, Group.KDDV: Customer.Kind.BUSINESS}
    kind = kinds.get(Group(group), Customer.Kind.HOUSEHOLD)
    name = f"{rng.choice(_FAMILY)} {rng.choice(_MIDDLE)} {rng.choice(_GIVEN)}"
    priority = ""
    if kind == Customer.Kind.AGENCY:
        priority = rng.choice((Customer.Priority.SCHOOL, Customer.Priority.HEALTH, ""))
        name = {"SCHOOL": "Trường học", "HEALTH": "Trạm y tế"}.get(priority, "Cơ quan") + f" mô phỏng {code[2:]}"
    elif kind == Customer.Kind.BUSINESS:
        name = f"Cửa hàng {name}"
    phone = f"0000{rng.randint(0, 999_999):06d}"
    return Customer(
        operator=operator, code=f"KH{code}", kind=kind, priority=priority, name=name,
        phone=PORTAL_PHONE if code == "MP0100000" else phone, is_simulated=True, created_at=now,
    )  # fmt: skip


def _group(rng: random.Random) -> str:
    return rng.choices((Group.SH, Group.SH_NGHEO, Group.HCSN, Group.KDDV), (93, 4, 1, 2))[0]


def _later(day: date | None, months: int = 0) -> date:
    """Return the last verification (no meter hangs longer than its term), or that many months after it."""
    day = max(day or date(2026, 1, 1), date(2021, 6, 15))
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, 28))


# --- readings ---------------------------------------------------------------------------------------------------------


def _months(now: datetime) -> list[date]:
    """Return the first days of the months that are read, the oldest first: MONTHS of them and one to begin from."""
    day = local_date(now)
    newest = day.year * 12 + day.month - 1 - (day.day <= READ_DAY)
    return [date(number // 12, number % 12 + 1, 1) for number in range(newest - MONTHS, newest + 1)]


def _billed_months(now: datetime) -> list[date]:
    """Return the months that are billed: all but the one to begin from and the newest, still being read."""
    return _months(now)[1:-1]


def _put_readings(
    connections: Sequence[Connection], fittings: Sequence[Fitting], rng: random.Random, now: datetime
) -> None:
    months = _months(now)
    readings: list[Reading] = []
    for one, fitting in zip(connections, fittings, strict=True):
        begun = one.connected_date or months[0]
        usual_m3 = rng.lognormvariate(2.3, 0.5) * (4 if one.group in (Group.HCSN, Group.KDDV) else 1)
        index_m3 = 0 if begun >= months[0] else rng.randint(50, 2_000)
        if begun.year == 2026:
            readings.append(_reading(one, fitting, None, fitting.installed_at, 0, Reading.Kind.INITIAL))
        for month in months:
            if begun >= month:
                continue
            share = (
                (month.replace(day=READ_DAY) - begun).days / 30 if (begun.year, begun.month) == _before(month) else 1
            )
            index_m3 += round(usual_m3 * rng.uniform(0.7, 1.3) * min(1.5, share))
            if month == months[-1] and rng.random() < 0.15:
                continue  # not read yet
            at = _at(month.replace(day=READ_DAY), 7 + rng.randint(0, 9), rng.randint(0, 59))
            readings.append(_reading(one, fitting, month, at, index_m3 * 1_000, Reading.Kind.ACTUAL))
    for chunk in _chunks(readings, _CHUNK):
        Reading.objects.bulk_create(chunk)


def _before(month: date) -> tuple[int, int]:
    number = month.year * 12 + month.month - 2
    return number // 12, number % 12 + 1


def _reading(one: Connection, fitting: Fitting, month: date | None, at: datetime, index_l: int, kind: str) -> Reading:
    return Reading(
        connection=one, fitting=fitting, period_start_date=month, kind=kind, read_at=at, index_l=index_l,
        source=Reading.Source.SWAP if kind == Reading.Kind.INITIAL else Reading.Source.FIELD, received_at=at,
        is_simulated=True,
    )  # fmt: skip


def _open_rounds(routes: Sequence[Route], now: datetime) -> None:
    *over, newest = _months(now)[1:]
    rows = [
        Round(route=route, period_start_date=month, state=state, opened_at=_at(month.replace(day=READ_DAY)),
              closed_at=_at(month.replace(day=READ_DAY), 18) if state == Round.State.CLOSED else None)
        for route in routes
        for month, state in [*((month, Round.State.CLOSED) for month in over), (newest, Round.State.OPEN)]
    ]  # fmt: skip
    Round.objects.bulk_create(rows, batch_size=_CHUNK, ignore_conflicts=True)


# --- bills and payments -----------------------------------------------------------------------------------------------


def _put_billing(now: datetime) -> None:
    """Put the centre's prices, numbers and account: simulated, and said to be."""
    centre = Organisation.objects.select_related("subject").get(subject__key=CENTRE)
    year = _months(now)[0].year
    with transaction.atomic():
        BillingProfile.objects.get_or_create(
            operator=centre,
            defaults={
                "legal_name": f"{centre.subject.name} (mô phỏng)", "tax_code": "0000000000", "address": "Mô phỏng",
                "bank_bin": "970436", "bank_account": "0000000000", "bank_account_name": "MO PHONG",
                "is_simulated": True,
            },
        )  # fmt: skip
        InvoiceSeries.objects.get_or_create(operator=centre, form="1", code=f"K{year % 100}TMP")
        if Tariff.objects.filter(scope=centre.subject).exists():
            return
        by = Person.objects.get(username="qn.lanhdao")
        structure = TariffPrice.Structure
        rows = [Row(Group.SH, structure.BLOCK_PER_CONNECTION, *block) for block in _BLOCKS]
        rows += [Row(group, structure.FLAT, 0, None, price_vnd) for group, price_vnd in _FLAT]
        draft = tariff_operations.add_draft(
            rows=rows, by=by, is_simulated=True, scope=centre.subject, name="Biểu giá mô phỏng", area=Area.RURAL,
            decision="Giá mô phỏng, không phải quyết định của UBND tỉnh", valid_from=date(2026, 1, 1),
            vat_basis_points=500, includes_vat=False,
            note="Bậc giá theo một mẫu công khai, để xem thử.",
        )  # fmt: skip
        tariff_operations.put_in_force(draft, valid_from=date(2026, 1, 1), by=by, is_confirmed=True)


def _bill(month: date) -> None:
    """Bill a month through a run, as people would: previewed by one, approved by another."""
    centre = Subject.objects.get(key=CENTRE)
    issued_at = _at(month.replace(day=ISSUE_DAY), 9)
    done = BillingRun.objects.filter(scope=centre, period_start_date=month, is_simulated=True).order_by("pk").last()
    if done is not None and done.state == BillingRun.State.DONE:
        return
    clerk, leader = Person.objects.get(username="qn.hcth"), Person.objects.get(username="qn.lanhdao")
    run = done or runs.open_run(scope=centre, period_start=month, now=issued_at, by=clerk, is_simulated=True)
    if run.state == BillingRun.State.PREVIEW:
        runs.preview(run, now=issued_at, by=clerk)
        run.refresh_from_db()
        run = runs.approve(run, by=leader, now=issued_at)
    # In this process, not by the worker: the bills are to bear the day they would have been issued on.
    BillingRun.objects.filter(pk=run.pk).update(state=BillingRun.State.ISSUING)
    runs.issue(run.pk, now=issued_at)


def _pay(month: date, now: datetime) -> None:
    """Let most bills of a month be paid, each on a day of its own: by transfer, cash or a wallet."""
    rng = random.Random(f"{SEED}/{month:%Y-%m}")  # noqa: S311 - a simulation, no secret
    bills = Bill.objects.filter(period_start_date=month, is_simulated=True, allocations__isnull=True, total_vnd__gt=0)
    if Payment.objects.filter(is_simulated=True, external_id__startswith=f"MP-{month:%Y%m}-").exists():
        return
    age = max(0, (local_date(now) - month).days // 30)
    share = min(0.97, 0.80 + 0.06 * age)
    chosen = [bill for bill in bills.order_by("pk") if rng.random() < share]
    with transaction.atomic():
        for chunk in _chunks(chosen, _CHUNK):
            _pay_chunk(chunk, month, rng, now)
        audit.record("demo.payments.loaded", actor=None, count=len(chosen), month=f"{month:%Y-%m}")


def _pay_chunk(bills: Sequence[Bill], month: date, rng: random.Random, now: datetime) -> None:
    payments = []
    for bill in bills:
        at = min(now, bill.issued_at + timedelta(days=rng.randint(0, 20), minutes=rng.randint(0, 600)))
        payments.append(
            Payment(
                operator_id=bill.operator_id, connection_id=bill.connection_id, customer_id=bill.customer_id,
                method=rng.choices(_METHODS, (6, 2, 1, 1))[0], amount_vnd=bill.total_vnd, received_at=at,
                recorded_at=at, external_id=f"MP-{month:%Y%m}-{bill.pk}", note="Mô phỏng", is_simulated=True,
            )
        )  # fmt: skip
    Payment.objects.bulk_create(payments)
    Allocation.objects.bulk_create(
        [
            Allocation(payment=payment, bill=bill, amount_vnd=bill.total_vnd, at=payment.recorded_at)
            for payment, bill in zip(payments, bills, strict=True)
        ]
    )
    moves = []
    for payment in payments:
        account = Account.BANK if payment.method == Payment.Method.BANK else Account.TRANSIT
        moves.append(
            ledger.Move(
                payment.operator_id, payment.recorded_at, account, Account.ADVANCE, payment.amount_vnd,
                payment.connection_id, Posting.Source.PAYMENT, payment.pk, is_simulated=True,
            )
        )  # fmt: skip
        moves.append(
            ledger.allocation_move(
                operator_id=payment.operator_id, connection_id=payment.connection_id, payment_id=payment.pk,
                amount_vnd=payment.amount_vnd, at=payment.recorded_at, is_simulated=True,
            )
        )  # fmt: skip
    ledger.post(moves)


def _chunks(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _at(day: date, hour: int = 8, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), LOCAL_ZONE)
