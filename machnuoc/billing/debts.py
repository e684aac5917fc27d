"""The way of an unpaid connection: reminder, written notice (the clock of the law starts), last notice, cut-off.

Every step bears the day on which it is recorded; none can be dated back, so nobody, whatever their rights, gets past
the clock of cutoff_clock.py. Paying ends the case at any step and asks for the water to be opened again.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import IntegrityError, transaction

from machnuoc.billing import debt_queries
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import DebtCase, DebtStep
from machnuoc.core import audit, sending
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_date, format_money_vnd
from machnuoc.customers import connection_operations, work_orders
from machnuoc.customers.models import Connection, Consent, Customer, WorkOrder

State, Kind = DebtCase.State, DebtStep.Kind


class StepRefused(BillingError):
    """The case is not at this step, or the law does not allow it yet."""


@transaction.atomic
def open_case(connection: Connection, *, now: datetime, by: Person | None) -> DebtCase:
    """Begin to follow an unpaid connection, or return the case that is open. Raises StepRefused if nothing is due."""
    own = DebtCase.objects.filter(
        connection=connection, customer=connection.customer_id, state__in=debt_queries.LIVE
    )  # fmt: skip
    live = own.first()
    if live is not None:
        return live
    if not debt_queries.overdue_of([connection.pk], local_date(now))[connection.pk]:
        raise StepRefused(f"Đấu nối {connection.code} không có nợ quá hạn nên chưa mở hồ sơ được.")
    try:
        with transaction.atomic():
            made = DebtCase.objects.create(connection=connection, customer=connection.customer, opened_at=now)
    except IntegrityError:  # somebody opened it at the same moment
        return own.get()
    audit.record("billing.debt.opened", actor=by, target=made)
    return made


@transaction.atomic
def remind(case: DebtCase, *, how: str = "", now: datetime, by: Person | None) -> DebtStep:
    """Remind a customer: recorded, and sent to phone or e-mail where the customer agreed to be told."""
    held = _hold(case, State.OPEN, State.PAUSED)
    step = _take(held, Kind.REMINDER, how or "Nhắn tin", now, by)
    sent = _send_reminder(held, step, now)
    if not how:
        step.how = sent
        step.save(update_fields=["how"])
    return step


def _send_reminder(case: DebtCase, step: DebtStep, now: datetime) -> str:
    customer = case.customer
    agreed = customer.consents.filter(
        purpose__in=[Consent.Purpose.NOTICES, Consent.Purpose.CONTRACT], withdrawn_at__isnull=True
    )
    if not agreed.exists():
        return "Chưa nhắn được: khách hàng chưa đồng ý nhận tin"
    text = (
        f"Đấu nối {case.connection.code} còn nợ quá hạn {format_money_vnd(step.owed_vnd)} tiền nước "
        f"tính đến {format_date(step.date)}. Vui lòng thanh toán; nếu đã trả, xin bỏ qua tin này."
    )
    channels = []
    for channel, address in (
        (sending.Channel.SMS, sending.phone_84(customer.phone)), (sending.Channel.EMAIL, customer.email),
    ):  # fmt: skip
        if address and sending.is_configured(channel):
            sending.queue(
                key=f"debt:{step.pk}:{channel}", channel=channel, title="Nhắc thanh toán tiền nước", text=text,
                now=now, address=address,
            )  # fmt: skip
            channels.append(channel.label)
    return f"Nhắn qua {', '.join(channels)}" if channels else "Chưa nhắn được: chưa có kênh nhắn tin dùng được"


@transaction.atomic
def give_notice(
    case: DebtCase, *, document: str, proof: StoredFile | None = None, now: datetime, by: Person
) -> DebtStep:
    """Record that the written notice was handed over today: the clock of the law starts. Raises StepRefused.

    A second one only for what became overdue after the first, when all that the first told of is paid.
    document: number of the paper and how it was handed over.
    """
    held = _hold(case, State.OPEN)
    if debt_queries.running_notice(held, local_date(now)) is not None:
        raise StepRefused("Hồ sơ đã có thông báo bằng văn bản; thời hạn đang chạy từ ngày đó.")
    if not document.strip():
        raise StepRefused("Ghi số văn bản và cách giao thông báo.")
    return _take(held, Kind.NOTICE, document, now, by, proof)


@transaction.atomic
def tell_reason(case: DebtCase, *, reason: str, now: datetime, by: Person) -> DebtCase:
    """Record the objective reason that a household told: it has ten weeks instead of five. Raises StepRefused."""
    held = _hold(case, State.OPEN, State.PAUSED)
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise StepRefused("Ghi lý do khách quan mà khách hàng đã báo.")
    if held.customer.kind != Customer.Kind.HOUSEHOLD:
        raise StepRefused("Lý do khách quan chỉ kéo dài thời hạn của hộ gia đình (Điều 45 Nghị định 117/2007/NĐ-CP).")
    if held.objective_reason:
        raise StepRefused("Hồ sơ đã ghi lý do khách quan.")
    held.objective_reason, held.objective_reason_date = reason, local_date(now)
    held.save(update_fields=["objective_reason", "objective_reason_date"])
    audit.record("billing.debt.reason", actor=by, target=held)
    return held


@transaction.atomic
def give_final_notice(
    case: DebtCase, *, document: str, proof: StoredFile | None = None, now: datetime, by: Person
) -> DebtStep:
    """Record the last notice before a cut-off, handed over today. Raises StepRefused before the written notice."""
    held = _hold(case, State.OPEN)
    if debt_queries.running_notice(held, local_date(now)) is None:
        raise StepRefused("Chưa có thông báo bằng văn bản; gửi thông báo đó trước.")
    if not document.strip():
        raise StepRefused("Ghi số văn bản và cách giao thông báo.")
    return _take(held, Kind.FINAL_NOTICE, document, now, by, proof)


@transaction.atomic
def pause(case: DebtCase, *, reason: str, now: datetime, by: Person) -> DebtStep:
    """Let a case rest, as when a plan of payment was agreed. The clock runs on; water stays on."""
    held = _hold(case, State.OPEN)
    if not reason.strip():
        raise StepRefused("Ghi lý do tạm dừng.")
    held.state = State.PAUSED
    held.save(update_fields=["state"])
    return _take(held, Kind.PAUSE, reason, now, by, must_owe=False)


@transaction.atomic
def resume(case: DebtCase, *, now: datetime, by: Person) -> DebtStep:
    held = _hold(case, State.PAUSED)
    held.state = State.OPEN
    held.save(update_fields=["state"])
    return _take(held, Kind.RESUME, "", now, by, must_owe=False)


@transaction.atomic
def order_cut_off(case: DebtCase, *, now: datetime, by: Person) -> WorkOrder:
    """Write the work order for a cut-off. Raises StepRefused while the law, a complaint or a payment forbids it."""
    held = _hold(case, State.OPEN)
    if held.work_order is not None and held.work_order.state in {WorkOrder.State.OPEN, WorkOrder.State.STARTED}:
        raise StepRefused(f"Đã có phiếu ngừng cấp nước {held.work_order.code}.")
    standing = debt_queries.standing_of(held, local_date(now))
    if not standing.may_cut_off:
        raise StepRefused(f"Chưa ngừng cấp nước {held.connection.code} được. {standing.why_not}")
    order = _make_work_order(
        held, WorkOrder.Kind.CUT_OFF, f"Ngừng cấp nước {held.connection.code} vì nợ quá hạn", now, by
    )
    held.work_order = order
    held.save(update_fields=["work_order"])
    audit.record("billing.debt.cut_off_ordered", actor=by, target=held)
    return order


@transaction.atomic
def record_cut_off(case: DebtCase, *, note: str = "", now: datetime, by: Person) -> DebtStep:
    """Record that the water was cut off: judged once more, since a payment or complaint may have come meanwhile."""
    held = _hold(case, State.OPEN)
    if held.work_order is None or held.work_order.state == WorkOrder.State.CANCELLED:
        raise StepRefused("Chưa có phiếu ngừng cấp nước.")
    standing = debt_queries.standing_of(held, local_date(now))
    if not standing.may_cut_off:
        raise StepRefused(f"Không ngừng cấp nước {held.connection.code} nữa. {standing.why_not}")
    _end_work_order(held.work_order, WorkOrder.State.DONE, now, note or "Đã ngừng cấp nước", by)
    connection_operations.cut_off(
        held.connection, on_date=local_date(now), reason=f"Nợ quá hạn, phiếu {held.work_order.code}", by=by, now=now
    )
    held.state = State.CUT_OFF
    held.save(update_fields=["state"])
    return _take(held, Kind.CUT_OFF, f"Phiếu {held.work_order.code}", now, by)


@transaction.atomic
def record_reopened(case: DebtCase, *, note: str = "", now: datetime, by: Person) -> DebtStep:
    """Record that the water is on again after everything was paid. Raises StepRefused."""
    held = _hold(case, State.SETTLED)
    if held.connection.status != Connection.Status.CUT_OFF:
        raise StepRefused(f"Đấu nối {held.connection.code} không ở tình trạng ngừng cấp vì nợ.")
    if held.work_order is not None:
        _end_work_order(held.work_order, WorkOrder.State.DONE, now, note or "Đã mở nước lại", by)
    connection_operations.reopen(held.connection, on_date=local_date(now), reason="Đã trả đủ nợ", by=by, now=now)
    return _take(held, Kind.REOPEN, note or "Đã mở nước", now, by, must_owe=False)


def settle_if_paid(connection_ids: Collection[int], *, now: datetime, by: Person | None) -> int:
    """End the cases of connections that owe nothing past due any more, and return how many; part of a payment's act.

    A cut-off that is only ordered is called off; where the water is off, opening it is ordered.
    """
    states = [*debt_queries.LIVE, State.CUT_OFF]
    cases = list(
        DebtCase.objects.select_for_update(of=("self",))
        .filter(connection_id__in=connection_ids, state__in=states)
        .select_related("connection__customer", "customer", "work_order")
        .prefetch_related("steps")
    )
    if not cases:
        return 0
    owed = debt_queries.overdue_by_holder({case.connection_id for case in cases}, local_date(now))
    settled = [case for case in cases if (case.connection_id, case.customer_id) not in owed]
    for case in settled:
        was_off = case.state == State.CUT_OFF
        case.state, case.closed_at = State.SETTLED, now
        _take(case, Kind.SETTLED, "", now, by, must_owe=False)
        if was_off:
            case.work_order = _make_work_order(
                case, WorkOrder.Kind.REOPEN, f"Mở nước lại {case.connection.code}: đã trả đủ nợ", now, by
            )
        elif case.work_order is not None:
            _end_work_order(case.work_order, WorkOrder.State.CANCELLED, now, "Khách hàng đã trả đủ nợ", by)
        case.save(update_fields=["state", "closed_at", "work_order"])
    return len(settled)


@transaction.atomic
def cancel_case(case: DebtCase, *, reason: str, now: datetime, by: Person) -> DebtCase:
    """End a case that was opened wrongly. Raises StepRefused."""
    held = _hold(case, State.OPEN, State.PAUSED)
    if not reason.strip():
        raise StepRefused("Ghi lý do hủy hồ sơ.")
    if held.work_order is not None:
        _end_work_order(held.work_order, WorkOrder.State.CANCELLED, now, reason, by)
    held.state, held.closed_at = State.CANCELLED, now
    held.save(update_fields=["state", "closed_at"])
    audit.record("billing.debt.cancelled", actor=by, target=held)
    return held


# --- parts ------------------------------------------------------------------------------------------------------------


def _hold(case: DebtCase, *states: str) -> DebtCase:
    """Return the case as it is now, held until the transaction ends. Raises StepRefused in another state.

    The connection is held first, as whoever records a payment does: a cut-off and a payment come one after the other.
    """
    list(Connection.objects.select_for_update(no_key=True).filter(pk=case.connection_id).values_list("pk"))
    held: DebtCase = (
        DebtCase.objects.select_for_update(of=("self",))
        .select_related("connection__customer", "connection__work", "customer", "work_order")
        .prefetch_related("steps")
        .get(pk=case.pk)
    )
    if held.state not in states:
        raise StepRefused(f"Hồ sơ nợ #{held.pk} {held.get_state_display().lower()}: không làm bước này được.")
    return held


def _take(
    case: DebtCase, kind: str, how: str, now: datetime, by: Person | None, proof: StoredFile | None = None, *,
    must_owe: bool = True,
) -> DebtStep:  # fmt: skip
    today = local_date(now)
    owed_vnd = debt_queries.overdue_of_case(case, today)
    if must_owe and not owed_vnd:
        raise StepRefused(f"Đấu nối {case.connection.code} không còn nợ quá hạn.")
    made = DebtStep.objects.create(
        case=case, kind=kind, date=today, at=now, by=by, owed_vnd=owed_vnd, how=" ".join(how.split())[:200], proof=proof
    )
    audit.record("billing.debt.step", actor=by, target=case, step=kind)
    return made


def _make_work_order(case: DebtCase, kind: str, text: str, now: datetime, by: Person | None) -> WorkOrder:
    return work_orders.create(kind=kind, text=text, connection=case.connection, now=now, by=by)


def _end_work_order(order: WorkOrder, state: str, now: datetime, note: str, by: Person | None) -> None:
    """Finish or cancel an order that has not ended; by None: the program itself, as when a gateway told of money."""
    if not WorkOrder.objects.filter(pk=order.pk, state__in=work_orders.OPEN_STATES).exists():
        return
    if state == WorkOrder.State.DONE:
        work_orders.finish(order, note=note, by=by, now=now)
    else:
        work_orders.cancel(order, why=note, by=by, now=now)


audit.describe("billing.debt.opened", "mở hồ sơ nợ {target}")
audit.describe("billing.debt.reason", "ghi lý do khách quan vào hồ sơ nợ {target}")
audit.describe("billing.debt.step", "ghi bước {step} của hồ sơ nợ {target}")
audit.describe("billing.debt.cut_off_ordered", "lập phiếu ngừng cấp nước theo hồ sơ nợ {target}")
audit.describe("billing.debt.cancelled", "hủy hồ sơ nợ {target}")
