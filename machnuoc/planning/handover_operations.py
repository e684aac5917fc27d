"""What takes a work from one operator to another, step by step. Each step is one transaction with its audit row.

The rules of the way are in `handover`. Until the last step nothing of the work changes; the last step changes its
operator (or enters it, where the program did not know it), states its opening households and counts toward the
receiver's figure `works.handed_over`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from machnuoc.core import audit
from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators.models import Metric, State
from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.planning import handover as rules
from machnuoc.planning.errors import ChangedMeanwhile
from machnuoc.planning.models import Handover, HandoverItem, HandoverMove, HandoverPaper, Plan
from machnuoc.planning.project_operations import ProjectError
from machnuoc.works import operations as work_operations
from machnuoc.works.models import Work

Step = Handover.Step
HANDED_OVER = "works.handed_over"
_CONNECTED = "works.households_connected"

audit.describe("planning.handover.requested", "ghi đề nghị bàn giao {target}")
audit.describe("planning.handover.changed", "sửa hồ sơ bàn giao {target}")
audit.describe("planning.handover.inventoried", "kiểm kê tài sản bàn giao {target}: {count} dòng")
audit.describe("planning.handover.scored", "đánh giá hiện trạng bàn giao {target}")
audit.describe("planning.handover.papers_checked", "rà soát hồ sơ bàn giao {target}")
audit.describe("planning.handover.paper_kept", "nộp hồ sơ «{name}» của bàn giao {target}")
audit.describe("planning.handover.decided", "ghi quyết định bàn giao {target}")
audit.describe("planning.handover.effective", "tiếp nhận công trình {target}")
audit.describe("planning.handover.taken_back", "đưa bàn giao {target} về bước {to}")
audit.describe("planning.handover.stopped", "dừng bàn giao {target}")


class HandoverError(ProjectError):
    """A step of a handover that cannot be taken; the text says why and what to do."""


@dataclass(frozen=True)
class Item:
    """A line of the inventory. condition: 1 (hỏng) to 5 (tốt), None until somebody has looked."""

    name: str
    unit: str = ""
    quantity: Decimal | None = None
    condition: int | None = None
    weight: int = 1
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper that the giver owes: there, or missing."""

    name: str
    is_there: bool = False
    note: str = ""


@transaction.atomic
def request_handover(
    *,
    name: str,
    place: Subject,
    receiver: Organisation,
    giver: Organisation | None = None,
    giver_as_printed: str = "",
    plan: Plan | None = None,
    work: Work | None = None,
    request_as_printed: str = "",
    requested_on: date | None = None,
    note: str = "",
    passage: Passage | None = None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Record that a work is offered. place: the unit in which it lies. Raises HandoverError."""
    if not name.strip():
        raise HandoverError("Chưa ghi tên công trình bàn giao. Ghi tên rồi lưu lại.")
    if requested_on is not None and requested_on > today:
        raise HandoverError(f"Ngày đề nghị {format_date(requested_on)} chưa tới. Kiểm tra lại ngày.")
    if giver is not None and giver.pk == receiver.pk:
        raise HandoverError(f"Bên giao và bên nhận cùng là «{receiver}». Chọn lại một bên.")
    if work is not None and work.operator_id == receiver.pk:
        raise HandoverError(f"«{receiver}» đang vận hành «{work}», không cần bàn giao. Chọn công trình khác.")
    if work is not None and _open_of(work).exists():
        raise HandoverError(f"Công trình «{work}» đang có một hồ sơ bàn giao khác. Tiếp tục hồ sơ đó.")
    made = Handover.objects.create(
        plan=plan, name=name.strip()[:300], work=work, subject=place, giver=giver, giver_as_printed=giver_as_printed,
        receiver=receiver, request_as_printed=request_as_printed, requested_on=requested_on, note=note, passage=passage,
    )  # fmt: skip
    HandoverMove.objects.create(handover=made, to_step=Step.REQUESTED, on_date=requested_on, made_by=by)
    _mark_dirty(made, requested_on or today)
    audit.record("planning.handover.requested", actor=by, target=made)
    return made


@transaction.atomic
def change_handover(
    handover: Handover,
    *,
    name: str,
    giver: Organisation | None,
    giver_as_printed: str,
    work: Work | None,
    request_as_printed: str,
    requested_on: date | None,
    note: str,
    version: int | None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Correct what the request says, until the work has changed hands. Raises HandoverError, ChangedMeanwhile."""
    handover = _locked(handover, version)
    if handover.step == Step.EFFECTIVE:
        raise HandoverError(f"«{handover}» đã tiếp nhận, hồ sơ không sửa nữa. Sửa ở trang công trình.")
    if requested_on is not None and requested_on > today:
        raise HandoverError(f"Ngày đề nghị {format_date(requested_on)} chưa tới. Kiểm tra lại ngày.")
    if work is not None and work.pk != handover.work_id and _open_of(work).exclude(pk=handover.pk).exists():
        raise HandoverError(f"Công trình «{work}» đang có một hồ sơ bàn giao khác. Tiếp tục hồ sơ đó.")
    handover.name, handover.giver, handover.giver_as_printed = name.strip()[:300], giver, giver_as_printed
    handover.work, handover.request_as_printed, handover.requested_on = work, request_as_printed, requested_on
    handover.note = note
    _save(handover)
    _mark_dirty(handover, requested_on or today)
    audit.record("planning.handover.changed", actor=by, target=handover)
    return handover


@transaction.atomic
def record_inventory(
    handover: Handover,
    items: Sequence[Item],
    *,
    on_date: date,
    version: int | None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Keep what is handed over, line by line; also corrects a list that is not judged yet. Raises HandoverError."""
    handover = _locked(handover, version)
    _require_step(handover, Step.REQUESTED, Step.INVENTORIED)
    listed = [item for item in items if item.name.strip()]
    if not listed:
        raise HandoverError(f"Bảng kiểm kê của «{handover}» chưa có dòng nào. Ghi ít nhất một tài sản.")
    for item in listed:
        if item.condition is not None and not rules.WORST <= item.condition <= rules.BEST:
            raise HandoverError(f"Tình trạng của «{item.name}» phải từ 1 (hỏng) đến 5 (tốt). Sửa lại dòng này.")
        if item.weight < 1 or (item.quantity is not None and item.quantity < 0):
            raise HandoverError(f"Dòng «{item.name}»: trọng số từ 1 trở lên, số lượng không âm. Sửa lại dòng này.")
    _check_day(handover, on_date, today, after=handover.requested_on)
    handover.items.all().delete()
    HandoverItem.objects.bulk_create(
        HandoverItem(
            handover=handover,
            order=order,
            name=item.name.strip()[:200],
            unit=item.unit[:20],
            quantity=item.quantity,
            condition=item.condition,
            weight=item.weight,
            note=item.note[:300],
        )
        for order, item in enumerate(listed, start=1)
    )
    handover.inventoried_on = on_date
    _move(handover, Step.INVENTORIED, on_date, by)
    audit.record("planning.handover.inventoried", actor=by, target=handover, count=len(listed))
    return handover


@transaction.atomic
def record_condition(
    handover: Handover,
    conditions: Mapping[int, int | None],
    *,
    on_date: date,
    version: int | None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Judge each line of the inventory (item id → 1 to 5); every line must be judged. Raises HandoverError."""
    handover = _locked(handover, version)
    _require_step(handover, Step.INVENTORIED, Step.SCORED)
    items = list(handover.items.all())
    for item in items:
        if item.pk in conditions:
            item.condition = conditions[item.pk]
        if item.condition is not None and not rules.WORST <= item.condition <= rules.BEST:
            raise HandoverError(f"Tình trạng của «{item.name}» phải từ 1 (hỏng) đến 5 (tốt). Sửa lại dòng này.")
    missing = [item.name for item in items if item.condition is None]
    if missing:
        raise HandoverError(
            f"Còn {len(missing)} dòng chưa đánh giá: {', '.join(missing[:3])}{'…' if len(missing) > 3 else ''}. "
            "Đánh giá đủ các dòng rồi lưu lại."
        )
    _check_day(handover, on_date, today, after=handover.inventoried_on)
    HandoverItem.objects.bulk_update(items, ["condition"])
    handover.scored_on = on_date
    _move(handover, Step.SCORED, on_date, by)
    audit.record("planning.handover.scored", actor=by, target=handover)
    return handover


@transaction.atomic
def check_papers(
    handover: Handover,
    papers: Sequence[Paper],
    *,
    on_date: date,
    version: int | None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Keep which papers are there and which are missing; missing ones do not stop the way. Raises HandoverError."""
    handover = _locked(handover, version)
    _require_step(handover, Step.SCORED, Step.PAPERS)
    listed = [paper for paper in papers if paper.name.strip()]
    if not listed:
        raise HandoverError(f"Danh mục hồ sơ của «{handover}» chưa có dòng nào. Ghi ít nhất một hồ sơ.")
    _check_day(handover, on_date, today, after=handover.scored_on)
    kept = {paper.name: paper.file_id for paper in handover.papers.all()}
    if lost := sorted(name for name, file in kept.items() if file and name not in {one.name.strip() for one in listed}):
        raise HandoverError(f"Hồ sơ «{lost[0]}» đã có tệp đính kèm, không bỏ hay đổi tên được. Giữ lại dòng này.")
    handover.papers.all().delete()
    HandoverPaper.objects.bulk_create(
        HandoverPaper(
            handover=handover,
            order=order,
            name=paper.name.strip()[:200],
            is_there=paper.is_there or bool(kept.get(paper.name.strip())),
            file_id=kept.get(paper.name.strip()),
            note=paper.note[:300],
        )
        for order, paper in enumerate(listed, start=1)
    )
    handover.papers_checked_on = on_date
    _move(handover, Step.PAPERS, on_date, by)
    audit.record(
        "planning.handover.papers_checked", actor=by, target=handover, count=len(listed),
        missing=sum(not paper.is_there for paper in listed),
    )  # fmt: skip
    return handover


@transaction.atomic
def keep_paper(paper: HandoverPaper, file: StoredFile, *, by: Person | None = None) -> HandoverPaper:
    """Keep the paper itself; a later file takes the place of an earlier one. It may come after the taking over.

    Raises HandoverError for a handover that was stopped.
    """
    handover = _locked(paper.handover, None)
    found = handover.papers.filter(pk=paper.pk).first()
    if found is None:
        raise HandoverError("Danh mục hồ sơ vừa được rà soát lại. Tải lại trang rồi nộp lại tệp.")
    if handover.step == Step.STOPPED:
        raise HandoverError(f"«{handover}» không tiếp nhận nữa nên không nộp thêm hồ sơ. Mở lại hồ sơ bàn giao trước.")
    found.file, found.is_there = file, True
    found.save(update_fields=["file", "is_there"])
    _save(handover)
    audit.record("planning.handover.paper_kept", actor=by, target=handover, name=found.name, sha256=file.sha256)
    return found


@transaction.atomic
def decide(
    handover: Handover,
    *,
    decision_as_printed: str,
    decided_on: date,
    version: int | None,
    today: date,
    by: Person | None = None,
) -> Handover:
    """Record the decision that gives the work to the receiver. Raises HandoverError."""
    handover = _locked(handover, version)
    _require_step(handover, Step.PAPERS, Step.DECIDED)
    if not decision_as_printed.strip():
        raise HandoverError("Chưa ghi số, ngày của quyết định giao. Ghi như in trong văn bản.")
    _check_day(handover, decided_on, today, after=handover.papers_checked_on)
    handover.decision_as_printed, handover.decided_on = decision_as_printed.strip()[:200], decided_on
    _move(handover, Step.DECIDED, decided_on, by)
    audit.record("planning.handover.decided", actor=by, target=handover)
    return handover


@transaction.atomic
def take_over(
    handover: Handover,
    *,
    effective_on: date,
    opening_households: int,
    opening_meter_m3: Decimal | None = None,
    opening_debt_vnd: int | None = None,
    team: Organisation | None = None,
    kind: str = Work.Kind.SCHEME,
    sector: str = Work.Sector.RURAL,
    version: int | None,
    by: Person,
    now: datetime,
) -> Handover:
    """Let the receiver run the work from a day on, with the opening figures.

    A work that the program does not know yet is entered (kind, sector are its). opening_households becomes a stated
    figure of its month. Raises HandoverError, works.WorksError. Call indicators.recompute_dirty afterwards.
    """
    handover = _locked(handover, version)
    _require_step(handover, Step.DECIDED)
    today = timezone.localdate(now)
    _check_day(handover, effective_on, today, after=handover.decided_on)
    if opening_households < 0 or (opening_debt_vnd or 0) < 0 or (opening_meter_m3 or 0) < 0:
        raise HandoverError(f"Số liệu khi tiếp nhận «{handover}» không thể âm. Kiểm tra lại.")
    if handover.work is not None:
        work = handover.work
        work_operations.hand_over(
            work, handover.receiver, team=team, from_date=effective_on, passage=handover.passage, by=by
        )
        if work.status != Work.Status.RUNNING:
            work_operations.set_status(
                work, Work.Status.RUNNING, from_date=effective_on, reason="Đã tiếp nhận, đưa vào khai thác", by=by
            )
    else:
        unit = AdministrativeUnit.objects.filter(pk=handover.subject_id).first()
        work = work_operations.add_work(
            name=handover.name[:200], kind=kind, sector=sector, operator=handover.receiver, team=team,
            territories=[unit] if unit else [], status=Work.Status.RUNNING, from_date=effective_on,
            passage=handover.passage, by=by,
        )  # fmt: skip
        handover.work = work
    connected = Metric.objects.filter(key=_CONNECTED).first()
    if connected is not None:
        indicator_operations.state_fact(
            metric=connected, subject=work.subject, period=Period.containing(effective_on, "M"),
            number=Decimal(opening_households), state=State.ENTERED,
            note=f"Số hộ khi tiếp nhận công trình ngày {format_date(effective_on)}", by=by, now=now,
        )  # fmt: skip
    handover.effective_on, handover.opening_households = effective_on, opening_households
    handover.opening_meter_m3, handover.opening_debt_vnd = opening_meter_m3, opening_debt_vnd
    _move(handover, Step.EFFECTIVE, effective_on, by)
    _mark_dirty(handover, effective_on)
    audit.record("planning.handover.effective", actor=by, target=handover, work=work.subject.key)
    return handover


@transaction.atomic
def go_back(handover: Handover, *, to: str, reason: str, version: int | None, by: Person | None = None) -> Handover:
    """Take the handover back to an earlier step, or out of a stop, with the reason. Raises HandoverError."""
    handover = _locked(handover, version)
    if not reason.strip():
        raise HandoverError("Chưa ghi lý do đưa về bước trước. Ghi lý do rồi lưu lại.")
    if not rules.may_go_back(handover.step, to):
        if handover.step == Step.EFFECTIVE:
            raise HandoverError(
                f"«{handover}» đã tiếp nhận nên không quay lại được. Nếu công trình đổi đơn vị vận hành lần nữa, "
                "lập hồ sơ bàn giao mới."
            )
        raise HandoverError("Chỉ đưa về được một bước trước bước hiện tại. Chọn lại bước.")
    before = handover.step
    handover.step = to
    for step, fields in _FILLED.items():  # what later steps said no longer holds; the moves keep their days
        if rules.STEPS.index(step) > rules.STEPS.index(to):
            for field in fields:
                setattr(handover, field, "" if field == "decision_as_printed" else None)
    _save(handover)
    HandoverMove.objects.create(
        handover=handover, from_step=before, to_step=to, on_date=timezone.localdate(), reason=reason.strip()[:300],
        made_by=by,
    )  # fmt: skip
    audit.record("planning.handover.taken_back", actor=by, target=handover, to=Step(to).label)
    return handover


_FILLED: dict[str, tuple[str, ...]] = {
    "INVENTORIED": ("inventoried_on",),
    "SCORED": ("scored_on",),
    "PAPERS": ("papers_checked_on",),
    "DECIDED": ("decision_as_printed", "decided_on"),
}


@transaction.atomic
def stop(handover: Handover, *, reason: str, version: int | None, by: Person | None = None) -> Handover:
    """Say that the work will not be taken over, and why. Raises HandoverError."""
    handover = _locked(handover, version)
    if not reason.strip():
        raise HandoverError("Chưa ghi lý do không tiếp nhận. Ghi lý do rồi lưu lại.")
    if not rules.may_stop(handover.step):
        raise HandoverError(f"«{handover}» ở bước «{handover.get_step_display()}», không dừng được nữa.")
    before = handover.step
    handover.step = Step.STOPPED
    _save(handover)
    HandoverMove.objects.create(
        handover=handover, from_step=before, to_step=Step.STOPPED, on_date=timezone.localdate(),
        reason=reason.strip()[:300], made_by=by,
    )  # fmt: skip
    audit.record("planning.handover.stopped", actor=by, target=handover)
    return handover


# --- what the steps share -------------------------------------------------------------------------------------------


def _open_of(work: Work) -> Any:
    """Return the open handovers of the work; nobody else begins one until this transaction commits."""
    Subject.objects.select_for_update().only("pk").get(pk=work.pk)
    return Handover.objects.filter(work=work).exclude(step__in=[Step.EFFECTIVE, Step.STOPPED])


def _locked(handover: Handover, version: int | None) -> Handover:
    """Read the handover again; whoever else writes to it waits here until this transaction commits."""
    found = (
        Handover.objects.select_for_update(of=("self",))
        .select_related("receiver__subject", "work__subject", "passage")
        .get(pk=handover.pk)
    )
    if version is not None and found.version != version:
        raise ChangedMeanwhile(
            f"Hồ sơ bàn giao «{found}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi làm tiếp."
        )
    return found


def _require_step(handover: Handover, *allowed: str) -> None:
    if handover.step not in allowed:
        wanted = " hoặc ".join(f"«{Step(step).label}»" for step in allowed)
        raise HandoverError(
            f"«{handover}» đang ở bước «{handover.get_step_display()}»; việc này làm được ở bước {wanted}. "
            "Tải lại trang để xem bước hiện tại."
        )


def _check_day(handover: Handover, day: date, today: date, *, after: date | None) -> None:
    if day > today:
        raise HandoverError(f"Ngày {format_date(day)} chưa tới. Ghi bước này khi việc đã diễn ra.")
    if after is not None and day < after:
        raise HandoverError(
            f"Ngày {format_date(day)} đứng trước bước liền trước ({format_date(after)}). Kiểm tra lại ngày."
        )


def _move(handover: Handover, to: str, on_date: date, by: Person | None) -> None:
    before = handover.step
    handover.step = to
    _save(handover)
    if before != to:
        HandoverMove.objects.create(handover=handover, from_step=before, to_step=to, on_date=on_date, made_by=by)


def _save(handover: Handover) -> None:
    handover.version += 1
    handover.save()


def _mark_dirty(handover: Handover, day: date) -> None:
    metric = Metric.objects.filter(key=HANDED_OVER).first()
    if metric is not None:
        indicator_operations.mark_dirty(
            metric, subject=Subject.objects.get(pk=handover.receiver_id), period=Period.containing(day, "Y"),
            reason=f"bàn giao {handover.name}"[:200],
        )  # fmt: skip
