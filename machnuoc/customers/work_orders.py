"""Work orders: what a request, a meter or a debt asks people to do at a place."""

import secrets
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from machnuoc.core import audit, notices
from machnuoc.core.models import Person
from machnuoc.customers import clock, request_routing
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, Request, RequestEvent, WorkOrder
from machnuoc.places import access
from machnuoc.places.models import Containment, Organisation
from machnuoc.works.models import Work

OPEN_STATES = (WorkOrder.State.OPEN, WorkOrder.State.STARTED)
State = WorkOrder.State

audit.describe("customers.work_order.created", "lập phiếu công việc {target}")
audit.describe("customers.work_order.started", "bắt đầu phiếu công việc {target}")
audit.describe("customers.work_order.done", "hoàn thành phiếu công việc {target}")
audit.describe("customers.work_order.cancelled", "hủy phiếu công việc {target}")


class WorkOrderError(CustomersError):
    """An act on a work order that cannot be done."""


def visible(person: Person, action: str = "serve") -> QuerySet[WorkOrder]:
    """Return the work orders of works and units on which the person may do the action, and the person's own."""
    rows = WorkOrder.objects.all()
    if access.sees_everything(person, action):
        return rows
    scopes = access.list_scopes(person, action)
    inside = Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id")
    return rows.filter(Q(work_id__in=inside) | Q(unit_id__in=inside) | Q(assignee=person))


def may(person: Person, action: str, order: WorkOrder) -> bool:
    """Return whether the person may do the action on the order: at its work or unit."""
    return access.may(person, action, order.work_id) or (
        order.unit_id is not None and access.may(person, action, order.unit_id)
    )


@transaction.atomic
def create(
    *,
    kind: str,
    text: str,
    now: datetime,
    by: Person | None,
    request: Request | None = None,
    connection: Connection | None = None,
    work: Work | None = None,
    unit: Organisation | None = None,
    assignee: Person | None = None,
    due_at: datetime | None = None,
) -> WorkOrder:
    """Make a work order and tell whom it falls to. What is not given comes from the request or connection.

    The request is then in hand, and of the work if its own was not known. Raises WorkOrderError.
    """
    if request is not None:
        request = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
        connection = connection or request.connection
    work = work or (connection.work if connection else None) or (request.work if request else None)
    if work is None:
        raise WorkOrderError("Chưa rõ phiếu của công trình nào. Chọn công trình, hoặc nhập mã đấu nối, rồi lập phiếu.")
    if request is not None and request.operator_id not in (None, work.operator_id):
        raise WorkOrderError(f"{work.subject.name} thuộc đơn vị cấp nước khác. Chọn công trình khác.")
    unit = unit or (request.unit if request else None) or work.team or work.operator
    said = text.replace("\0", "").strip()[:500]
    if not said:
        raise WorkOrderError("Phiếu công việc chưa có nội dung. Viết việc cần làm và nơi làm.")
    if due_at is not None and due_at <= now:
        raise WorkOrderError("Hạn của phiếu công việc đã qua. Chọn hạn sau thời điểm này.")
    order = WorkOrder.objects.create(
        code=f"~{secrets.token_hex(10)}", kind=kind, request=request, connection=connection, work=work, unit=unit,
        assignee=assignee, text=said, created_at=now, created_by=by, due_at=due_at,
    )  # fmt: skip
    order.code = code_of(order.pk, now)
    order.save(update_fields=["code"])
    audit.record(
        "customers.work_order.created", actor=by, target=order, kind=kind, request=request.pk if request else None
    )
    if request is not None:
        is_new = request.state == Request.State.NEW
        if is_new or request.work_id is None:
            request.state, request.work = Request.State.ASSIGNED if is_new else request.state, work
            request.version += 1
            request.save(update_fields=["state", "work", "version"])
        _tell(
            request, now, by, f"Đã lập phiếu công việc {order.code}: {order.get_kind_display().lower()}.", public=True
        )
    told = [assignee] if assignee else request_routing.list_people(unit.pk) if unit else []
    others = [one for one in told if by is None or one.pk != by.pk]
    notices.notify(
        others,
        kind="work_order",
        text=f"Phiếu {order.code}: {order.get_kind_display()} · {work.subject.name}",
        url=page_of(order),
    )
    return order


def code_of(pk: int, at: datetime) -> str:
    """Return what people call the order.

    >>> code_of(45, datetime(2026, 7, 6, tzinfo=clock.ZONE))
    'PCV-2026-000045'
    """
    return f"PCV-{at.astimezone(clock.ZONE).year}-{pk:06d}"


def page_of(order: WorkOrder) -> str:
    return f"/phieu-cong-viec/{order.code}/"


@transaction.atomic
def start(order: WorkOrder, *, by: Person, now: datetime) -> WorkOrder:
    """Say that the work has begun; an order without a name gets theirs. Raises WorkOrderError."""
    row = _lock(order, [State.OPEN], "bắt đầu")
    row.state = State.STARTED
    row.assignee = row.assignee or by
    row.save(update_fields=["state", "assignee"])
    audit.record("customers.work_order.started", actor=by, target=row)
    if row.request:
        _tell(row.request, now, by, f"Phiếu {row.code}: đã có người đến làm.", public=True)
    return row


@transaction.atomic
def finish(order: WorkOrder, *, note: str, by: Person | None, now: datetime) -> WorkOrder:
    """Say that the work is done and what was found. Its request still waits for its answer. Raises WorkOrderError."""
    row = _lock(order, OPEN_STATES, "hoàn thành")
    said = note.replace("\0", "").strip()[:500]
    if not said:
        raise WorkOrderError(f"Phiếu {row.code}: ghi kết quả đã làm trước khi hoàn thành.")
    row.state, row.done_at, row.done_note = State.DONE, now, said
    row.assignee = row.assignee or by
    row.save(update_fields=["state", "done_at", "done_note", "assignee"])
    audit.record("customers.work_order.done", actor=by, target=row)
    if row.request:
        _tell(row.request, now, by, f"Phiếu {row.code}: đã làm xong tại hiện trường.", public=True)
        _tell(row.request, now, by, f"Kết quả {row.code}: {said}")
        told = [row.request.handler] if row.request.handler else []
        text = f"{row.request.code}: phiếu {row.code} đã xong, hãy trả lời người gửi"
        notices.notify(
            [one for one in told if by is None or one.pk != by.pk],
            kind="request",
            text=text,
            url=f"/phan-anh/{row.request.code}/",
        )
    return row


@transaction.atomic
def cancel(order: WorkOrder, *, why: str, by: Person | None, now: datetime) -> WorkOrder:
    """Cancel an order that has not been done, with the reason. Raises WorkOrderError."""
    row = _lock(order, OPEN_STATES, "hủy")
    said = why.replace("\0", "").strip()[:500]
    if not said:
        raise WorkOrderError(f"Phiếu {row.code}: ghi lý do hủy.")
    row.state, row.done_at, row.done_note = State.CANCELLED, now, said
    row.save(update_fields=["state", "done_at", "done_note"])
    audit.record("customers.work_order.cancelled", actor=by, target=row)
    if row.request:
        _tell(row.request, now, by, f"Hủy phiếu {row.code}: {said}")
    return row


def _lock(order: WorkOrder, states: list[str] | tuple[str, ...], act: str) -> WorkOrder:
    row = WorkOrder.objects.select_for_update(of=("self",)).get(pk=order.pk)
    if row.state not in states:
        raise WorkOrderError(
            f"Phiếu {row.code} {row.get_state_display().lower()} nên không {act} được. Tải lại trang để xem lại."
        )
    return row


def _tell(request: Request, at: datetime, by: Person | None, text: str, *, public: bool = False) -> None:
    kind = RequestEvent.Kind.WORK_ORDER if public else RequestEvent.Kind.NOTE
    RequestEvent.objects.create(request=request, kind=kind, at=at, by=by, text=text, is_public=public)


def is_overdue(order: WorkOrder, now: datetime | None = None) -> bool:
    return order.state in OPEN_STATES and order.due_at is not None and order.due_at < (now or timezone.now())
