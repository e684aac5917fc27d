"""Simulated work with the simulated customers: requests, odd readings, applications, debts and corrected bills.

Everything goes through the operations that people use, dated back, and is marked is_simulated. Nobody is reached: none
of these customers has a phone or an address outside the program. Idempotent, part by part.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.db.models import F

from machnuoc.billing import corrections, debt_queries, debts, payments
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, Correction, DebtCase, Payment
from machnuoc.core.models import Notice, Person
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.customers import application_operations, readings, request_messages, request_operations
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.models import Application, ApplicationStep, Category, Connection, Group, Reading, Request
from machnuoc.customers.request_queries import OPEN_STATES

_Stage = Application.Stage
SEED = 20260212
REQUESTS = 60
DAYS_BACK = 90
PLACE = "Điểm phản ánh mô phỏng số {}"
_REFUSED = "Việc này thuộc hộ gia đình sau đồng hồ, đơn vị cấp nước không sửa được. (mô phỏng)"
# category, what was said, what was answered
_TALES: tuple[tuple[str, str, str], ...] = (
    ("ro-ri-mang-dich-vu", "Ống vào nhà bị rò, nước thấm ướt vách.", "Đã thay đoạn ống trước đồng hồ, hết rò."),
    ("vo-ong-phan-phoi", "Nước chảy tràn ra đường cạnh trường học.", "Đã vá ống D63 và mở nước lại."),
    ("mat-nuoc", "Cả xóm mất nước từ sáng sớm.", "Trạm mất điện, đã chạy máy phát và cấp nước lại."),
    ("nuoc-yeu", "Buổi tối nước rất yếu, không lên được bồn.", "Đã súc rửa tuyến ống, áp lực đã trở lại."),
    ("chat-luong-nuoc", "Nước hơi đục sau khi sửa ống.", "Đã xả cặn cuối tuyến, mẫu nước sau xả trong."),
    ("kiem-tra-dong-ho", "Đồng hồ quay dù đã khóa hết vòi.", "Đã kiểm tra: rò ở bồn vệ sinh sau đồng hồ."),
    ("khieu-nai-hoa-don", "Hóa đơn tháng này cao gấp đôi.", "Đã đọc lại chỉ số, số trên hóa đơn đúng."),
    ("lap-moi-thay-doi", "Muốn lắp thêm một đồng hồ cho nhà con trai.", "Đã hẹn ngày khảo sát."),
    ("thai-do-phuc-vu", "Góp ý giờ ghi số quá sớm.", "Đã nhắc người ghi đi sau 7 giờ."),
    ("vi-pham-cong-trinh", "Có người đào đất sát đường ống chính.", "Đã yêu cầu dừng và cắm mốc bảo vệ."),
)  # fmt: skip


@dataclass(frozen=True)
class _People:
    clerk: Person  # serves customers and prepares bills
    cashier: Person
    leader: Person


def load_stories(now: datetime, *, requests: int = REQUESTS) -> int:
    """Put the stories that are not there yet, after the customers; return how many. requests: how many at most."""
    people = _People(*(Person.objects.get(username=username) for username in ("qn.hcth", "qn.thungan", "qn.lanhdao")))
    if not Connection.objects.filter(is_simulated=True, status=Connection.Status.ACTIVE).exists():
        return 0
    return (
        _tell_requests(requests, people, now)
        + _odd_readings(people, now)
        + _open_applications(people, now)
        + _correct_bills(people, now)
        + _follow_debts(people, now)
    )


def _some_connections(count: int, seed: str, **where: object) -> list[Connection]:
    ids = list(Connection.objects.filter(is_simulated=True, **where).order_by("pk").values_list("pk", flat=True))
    chosen = random.Random(f"{SEED}/{seed}").sample(ids, min(count, len(ids)))  # noqa: S311 - a simulation, no secret
    found = Connection.objects.select_related("work__operator__subject", "work__subject", "customer").in_bulk(chosen)
    return [found[pk] for pk in chosen]


# --- requests ---------------------------------------------------------------------------------------------------------


def _tell_requests(count: int, people: _People, now: datetime) -> int:
    known = set(Request.objects.filter(is_simulated=True).values_list("address", flat=True))
    categories = {row.key: row for row in Category.objects.filter(is_active=True)}
    connections = _some_connections(count, "requests", status=Connection.Status.ACTIVE)
    if not connections or not categories:
        return 0
    made: list[Request] = []
    for number in range(count):
        key, said, answered = _TALES[number % len(_TALES)]
        address = PLACE.format(number + 1)
        if address in known or key not in categories:
            continue
        at = _working_hour(now - timedelta(days=DAYS_BACK * (count - number) / (count + 1)), number)
        if at >= now:
            continue
        row = request_operations.receive(
            category=categories[key], channel=list(Request.Channel.values)[number % 5], text=f"{said} (mô phỏng)",
            now=at, by=people.cashier, connection=connections[number % len(connections)], address=address,
            name="Người phản ánh mô phỏng", is_simulated=True,
            urgency=Request.Urgency.HIGH if key in {"mat-nuoc", "vo-ong-phan-phoi"} else Request.Urgency.NORMAL,
        )  # fmt: skip
        _go_on(row, number, f"{answered} (mô phỏng)", people, now, made)
        made.append(row)
    over = Request.objects.filter(pk__in=[row.pk for row in made]).exclude(state__in=OPEN_STATES)
    Notice.objects.filter(url__in=[request_messages.page_of(row) for row in over], read_at__isnull=True).update(
        read_at=now
    )
    return len(made)


def _working_hour(at: datetime, number: int) -> datetime:
    return datetime.combine(local_date(at), time(7 + number % 10, number * 7 % 60), LOCAL_ZONE)


def _go_on(row: Request, number: int, text: str, people: _People, now: datetime, before: Sequence[Request]) -> None:
    """Let a request come as far as its number and its age say: most are answered in time, some late, a few wait."""
    given = row.received_at + timedelta(hours=1)
    is_fresh = now - row.received_at < timedelta(days=8)
    if given >= now or (is_fresh and number % 3 == 0):
        return  # nobody has looked at it yet
    if row.unit is not None:
        row = request_operations.assign(
            row, unit=row.unit, handler=None, by=people.clerk, now=given, version=_version(row)
        )
    if number % 15 == 13 and before and before[-1].operator_id == row.operator_id:
        main = Request.objects.get(pk=before[-1].pk)
        if main.state in OPEN_STATES and not row.category.is_bill_dispute:
            request_operations.merge(row, main, by=people.clerk, now=given, version=_version(row))
            return
    if (is_fresh and number % 3 == 1) or number % 20 == 19:
        return  # under way, one of twenty since long
    limit = row.due_at or row.received_at + timedelta(days=3)
    is_late = number % 6 == 5
    at = limit + timedelta(hours=20) if is_late else row.received_at + (limit - row.received_at) * 0.4
    if at >= now:
        return
    if number % 12 == 8:
        request_operations.reject(row, text=_REFUSED, by=people.clerk, now=at, version=_version(row))
        return
    row = request_operations.answer(row, text=text, by=people.clerk, now=at, version=_version(row))
    if number % 17 == 4 and at + timedelta(days=1) < now:
        request_operations.reply(row, text="Hôm nay lại bị như cũ. (mô phỏng)", now=at + timedelta(days=1))
        again = at + timedelta(days=2)
        if again < now:
            row = request_operations.answer(row, text=text, by=people.clerk, now=again, version=_version(row))
            at = again
    if number % 4 != 3 and Request.objects.get(pk=row.pk).state == Request.State.ANSWERED:
        stars = 2 if is_late else 5 - number % 2
        request_operations.rate(row, stars=stars, note="", now=min(now, at + timedelta(hours=5)))
    closed_at = at + request_operations.CLOSES_AFTER
    if closed_at < now and Request.objects.get(pk=row.pk).state == Request.State.ANSWERED:
        request_operations.close(row, by=None, now=closed_at)


def _version(row: Request) -> int:
    return Request.objects.values_list("version", flat=True).get(pk=row.pk)


# --- readings ---------------------------------------------------------------------------------------------------------


def _odd_readings(people: _People, now: datetime) -> int:
    """Put some readings that wait for a person: far too much water, and another value than the one that is there."""
    waiting = Reading.objects.filter(is_simulated=True, state__in=[Reading.State.SUSPECT, Reading.State.CONFLICT])
    newest = (
        Reading.objects.filter(is_simulated=True, period_start_date__isnull=False)
        .order_by("-period_start_date")
        .values_list("period_start_date", flat=True)
        .first()
    )
    if waiting.exists() or newest is None:
        return 0
    at = now - timedelta(hours=2)
    read = Reading.objects.filter(period_start_date=newest, state=Reading.State.ACCEPTED, is_simulated=True)
    unread = Connection.objects.exclude(pk__in=read.values("connection_id")).values("pk")
    done = 0
    for one in _some_connections(4, "suspect", status=Connection.Status.ACTIVE, pk__in=unread):
        last = one.readings.filter(state=Reading.State.ACCEPTED, index_l__isnull=False).order_by("-read_at").first()
        if last is not None and last.read_at < at:
            readings.take_reading(
                one, read_at=at, source=Reading.Source.OFFICE, person=people.clerk, period_start_date=newest, now=now,
                index_l=(last.index_l or 0) + 900_000, note="Mô phỏng", is_simulated=True,
            )  # fmt: skip
            done += 1
    for one in _some_connections(3, "conflict", status=Connection.Status.ACTIVE, pk__in=read.values("connection_id")):
        first = read.get(connection=one)
        if first.read_at < at:
            readings.take_reading(
                one, read_at=at, source=Reading.Source.CUSTOMER, person=people.cashier, period_start_date=newest,
                now=now, index_l=(first.index_l or 0) + 7_000, note="Khách hàng báo lại (mô phỏng)", is_simulated=True,
            )  # fmt: skip
            done += 1
    return done


# --- applications -----------------------------------------------------------------------------------------------------


def _open_applications(people: _People, now: datetime) -> int:
    """Put an application at every step, from a survey to the first bill, and two that came to nothing."""
    if Application.objects.filter(is_simulated=True).exists():
        return 0
    billed = _some_connections(1, "billed", origin=Connection.Origin.NEW, bills__isnull=False, application__isnull=True)
    works = [one.work for one in _some_connections(4, "applications")]
    begun = now - timedelta(days=30)
    stages = [stage for stage in _Stage.values if stage != _Stage.BILLED or billed]
    for number, stage in enumerate([*stages, _Stage.REQUESTED, _Stage.QUOTED]):
        facts = ApplicationFacts(
            name=f"Người đề nghị mô phỏng {number + 1}", address=f"Nhà số {number + 1} (mô phỏng)", persons=4,
            group=Group.SH,
        )  # fmt: skip
        one = application_operations.open_application(
            work=works[number % len(works)] if stage != _Stage.BILLED else billed[0].work, facts=facts,
            by=people.cashier, now=begun + timedelta(days=number % 5), is_simulated=True,
            stage=_Stage.SURVEYED if stage == _Stage.SURVEYED else _Stage.REQUESTED, note="Mô phỏng",
        )  # fmt: skip
        _walk(one, stage, begun + timedelta(days=number % 5), people, now, billed)
    return len(stages) + 2


def _walk(
    one: Application, stage: str, at: datetime, people: _People, now: datetime, billed: Sequence[Connection]
) -> None:
    if stage in {_Stage.REFUSED, _Stage.WITHDRAWN}:
        reason = "Ngoài phạm vi tuyến ống (mô phỏng)" if stage == _Stage.REFUSED else "Chưa cần nữa (mô phỏng)"
        application_operations.stop(one, stage, reason=reason, by=people.clerk, now=at + timedelta(days=3))
        return
    steps = {_Stage.QUOTED: 1, _Stage.CONTRACTED: 2, _Stage.INSTALLED: 2, _Stage.BILLED: 2}.get(_Stage(stage), 0)
    for step, said in enumerate(({"quote_vnd": 1_450_000}, {"contract_number": f"MP-{one.code}"})[:steps], start=1):
        one = application_operations.advance(one, at=at + timedelta(days=3 * step), by=people.clerk, now=now, **said)
    if stage == _Stage.INSTALLED:
        application_operations.install(
            one, at=at + timedelta(days=10), serial=f"MP-{one.code}", by=people.clerk, now=now,
            make="Đồng hồ mô phỏng", verified_date=local_date(at),
        )  # fmt: skip
    elif stage == _Stage.BILLED:  # of a connection that is there, with bills
        for last in (_Stage.INSTALLED, _Stage.BILLED):
            ApplicationStep.objects.create(application=one, stage=last, at=at + timedelta(days=12), note="Mô phỏng")
        Application.objects.filter(pk=one.pk).update(
            stage=_Stage.BILLED, connection=billed[0], version=F("version") + 1
        )


# --- bills that were wrong --------------------------------------------------------------------------------------------


def _correct_bills(people: _People, now: datetime) -> int:
    """Adjust one bill of the newest billed month and replace another; a third correction waits for approval."""
    if Correction.objects.filter(bill__is_simulated=True).exists():
        return 0
    newest = Bill.objects.filter(is_simulated=True).order_by("-period_start_date").first()
    if newest is None:
        return 0
    bills = Bill.objects.filter(
        is_simulated=True, period_start_date=newest.period_start_date, kind=Bill.Kind.NORMAL,
        state=Bill.State.ISSUED, volume_l__gt=4_000, group=Group.SH,
    ).select_related("connection", "series").order_by("pk")  # fmt: skip
    done = 0
    for bill, (way, less_l, is_decided) in zip(
        bills[:3], (("ADJUST", 2_000, True), ("REPLACE", 1_000, True), ("ADJUST", 3_000, False)), strict=False
    ):
        asked_at = min(now, bill.issued_at + timedelta(days=4))
        facts = corrections.facts_of(bill)
        wish = corrections.ask(
            bill, way=way, reason="Ghi nhầm chỉ số (mô phỏng)", by=people.clerk, now=asked_at,
            facts=corrections.Facts(facts.volume_l - less_l, facts.group, facts.households, facts.persons),
        )  # fmt: skip
        if is_decided:
            corrections.approve(wish, by=people.leader, now=min(now, asked_at + timedelta(days=1)))
        done += 1
    return done


# --- debts ------------------------------------------------------------------------------------------------------------


def _follow_debts(people: _People, now: datetime) -> int:
    """Put a case at each step of the way of an unpaid bill, as far as there are unpaid bills old enough."""
    if DebtCase.objects.filter(connection__is_simulated=True).exists():
        return 0
    unpaid = Bill.objects.filter(
        is_simulated=True, state=Bill.State.ISSUED, total_vnd__gt=0, allocations__isnull=True,
        due_date__lt=local_date(now),
        connection__status=Connection.Status.ACTIVE, customer__kind="HOUSEHOLD",
    ).order_by("due_date", "pk").values_list("connection_id", "due_date")  # fmt: skip
    first_due: dict[int, datetime] = {}
    for connection_id, due in unpaid:
        first_due.setdefault(connection_id, datetime.combine(due, time(9), LOCAL_ZONE) + timedelta(days=3))
    steps: list[Callable[[DebtCase, datetime, _People, datetime], None]] = [
        _to_cut_off, _to_final_notice, _to_notice, _to_reason, _to_pause, _to_paid, _to_reminder,
    ]  # fmt: skip
    done = 0
    for (connection_id, at), step in zip(list(first_due.items()), steps, strict=False):
        if at >= now:
            break
        connection = Connection.objects.select_related("customer", "work").get(pk=connection_id)
        case = debts.open_case(connection, now=at, by=people.cashier)
        debts.remind(case, how="Gọi điện (mô phỏng)", now=at, by=people.cashier)
        step(case, at + timedelta(days=2), people, now)
        done += 1
    return done


def _to_reminder(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    """Nothing more than the reminder."""


def _to_notice(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    if at < now:
        debts.give_notice(case, document="01/TB-MP, giao tận nhà (mô phỏng)", now=at, by=people.cashier)


def _to_reason(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    _to_notice(case, at, people, now)
    if at + timedelta(days=2) < now:
        debts.tell_reason(
            case, reason="Đi chữa bệnh dài ngày (mô phỏng)", now=at + timedelta(days=2), by=people.cashier
        )


def _to_final_notice(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    _to_notice(case, at, people, now)
    final_at = at + timedelta(weeks=5, days=1)
    if final_at < now:
        debts.give_final_notice(case, document="02/TB-MP, giao tận nhà (mô phỏng)", now=final_at, by=people.cashier)


def _to_cut_off(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    _to_final_notice(case, at, people, now)
    cut_at = at + timedelta(weeks=5, days=4)
    case.refresh_from_db()
    if cut_at >= now or not debt_queries.standing_of(case, local_date(cut_at)).may_cut_off:
        return
    debts.order_cut_off(case, now=cut_at, by=people.clerk)
    debts.record_cut_off(case, now=cut_at, by=people.clerk)


def _to_pause(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    if at < now:
        debts.pause(case, reason="Đã hẹn trả dần (mô phỏng)", now=at, by=people.cashier)


def _to_paid(case: DebtCase, at: datetime, people: _People, now: datetime) -> None:
    """Let everything that is owed be paid, which ends the case."""
    owed_vnd = debt_queries.overdue_of([case.connection_id], local_date(now))[case.connection_id]
    if not owed_vnd:
        raise BillingError(f"Đấu nối {case.connection.code} không còn nợ quá hạn.")
    payments.record_payment(
        connection=case.connection, amount_vnd=owed_vnd, method=Payment.Method.BANK, received_at=min(at, now),
        now=min(at, now), by=people.cashier, external_id=f"MP-NO-{case.pk}", note="Mô phỏng", is_simulated=True,
    )  # fmt: skip
