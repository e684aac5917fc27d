"""What writes plans and targets. Each act is one transaction with its audit row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.db.models import Max

from machnuoc.core import audit
from machnuoc.core.models import Document, Passage, Person
from machnuoc.core.periods import Period
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Plan, PlanBasis, Target, TargetChange, TargetPoint, TargetUnit

audit.describe("planning.plan.saved", "lưu kế hoạch {target}")
audit.describe("planning.target.saved", "lưu chỉ tiêu kế hoạch {target}")


@dataclass(frozen=True)
class Basis:
    """A legal basis as printed; the document or passage where we hold it."""

    text: str
    document: Document | None = None
    passage: Passage | None = None


@dataclass(frozen=True)
class Unit:
    """Who leads a target or helps; the name as printed where it names no organisation that we hold."""

    role: str  # TargetUnit.Role
    organisation: Organisation | None = None
    name_as_printed: str = ""


@dataclass(frozen=True)
class Point:
    """A step of the path: what should be reached by the end of the period, in the target's own measure."""

    period: Period
    amount: Decimal
    passage: Passage | None = None


def lead(organisation: Organisation | None, printed: str = "") -> Unit:
    return Unit(TargetUnit.Role.LEAD, organisation, printed)


def cooperate(organisation: Organisation | None, printed: str = "") -> Unit:
    return Unit(TargetUnit.Role.COOPERATE, organisation, printed)


def _differing(row: models.Model, said: dict[str, Any]) -> list[str]:
    return [name for name, value in said.items() if getattr(row, name) != value]


def _require_current(row: Plan | Target, version: int | None) -> None:
    if version is not None and row.version != version:
        raise ChangedMeanwhile(
            f"«{row}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )


@transaction.atomic
def put_plan(
    *,
    key: str,
    name: str,
    short_name: str,
    territory: Subject,
    document: Document | None = None,
    issuer: Organisation | None = None,
    field: str = "ALL",
    valid_from: date | None = None,
    valid_to: date | None = None,
    status: str = Plan.Status.IN_FORCE,
    carries_out: Iterable[Plan] | None = None,
    bases: Sequence[Basis] | None = None,
    note: str = "",
    version: int | None = None,
    by: Person | None = None,
) -> Plan:
    """Create the plan of this key, or bring it to what is said here. Idempotent.

    valid_to is exclusive. carries_out, bases: None leaves them as they are. version: of the plan as the reader saw it.
    Raises PlanningError, ChangedMeanwhile.
    """
    if valid_from and valid_to and valid_from >= valid_to:
        raise PlanningError(f"Kế hoạch «{short_name}»: ngày bắt đầu phải trước ngày kết thúc. Sửa lại kỳ kế hoạch.")
    said: dict[str, Any] = {
        "name": name, "short_name": short_name, "territory_id": territory.pk,
        "document_id": document.pk if document else None, "issuer_id": issuer.pk if issuer else None, "field": field,
        "valid_from": valid_from, "valid_to": valid_to, "status": status, "note": note,
    }  # fmt: skip
    plan = Plan.objects.select_for_update().filter(key=key).first()
    if plan is None:
        plan, created, changed = Plan.objects.create(key=key, **said), True, True
    else:
        _require_current(plan, version)
        created = False
        changed = bool(_differing(plan, said))
        for field_name, value in said.items():
            setattr(plan, field_name, value)
    if bases is not None:
        wanted = [
            (order, basis.text, basis.document.pk if basis.document else None,
             basis.passage.pk if basis.passage else None)
            for order, basis in enumerate(bases)
        ]  # fmt: skip
        if list(plan.bases.values_list("order", "text", "document_id", "passage_id")) != wanted:
            changed = True
            plan.bases.all().delete()
            PlanBasis.objects.bulk_create(
                PlanBasis(plan=plan, order=order, text=text, document_id=document_id, passage_id=passage_id)
                for order, text, document_id, passage_id in wanted
            )
    if carries_out is not None:
        above = {one.pk for one in carries_out}
        if plan.pk in above:
            raise PlanningError(f"Kế hoạch «{plan}» không thể thực hiện chính nó. Chọn kế hoạch khác.")
        if set(plan.carries_out.values_list("pk", flat=True)) != above:
            changed = True
            plan.carries_out.set(above)
    if changed:
        if not created:
            plan.version += 1
            plan.save()
        audit.record("planning.plan.saved", actor=by, target=plan, key=key)
    return plan


# What a target promises: a change of one of these is kept with what was promised before.
PROMISE = (
    "name", "text", "subject_id", "metric_id", "measured_as", "comparator", "comparator_as_printed", "amount", "upper",
    "unit", "decimals", "baseline", "baseline_period_start", "baseline_text", "period_kind", "period_start", "due_on",
)  # fmt: skip


def _check_target(said: dict[str, Any]) -> None:
    comparator, amount, upper = said["comparator"], said["amount"], said["upper"]
    if comparator not in Target.Comparator.values:
        raise PlanningError(
            f"Chỉ tiêu «{said['name']}»: không có cách so sánh «{comparator}». Chọn một cách trong biểu."
        )
    needless = {Target.Comparator.NONE_LEFT, Target.Comparator.KEEP, Target.Comparator.JUDGED}
    if amount is None and comparator not in needless:
        raise PlanningError(f"Chỉ tiêu «{said['name']}» chưa có mức phải đạt. Nhập mức hoặc chọn đánh giá định tính.")
    if comparator == Target.Comparator.RANGE and (upper is None or upper < amount):
        raise PlanningError(
            f"Chỉ tiêu «{said['name']}» đặt trong khoảng nhưng thiếu đầu trên, hoặc đầu trên nhỏ hơn đầu dưới. "
            "Nhập lại hai đầu."
        )


def _quantised(amount: Decimal | int | None) -> Decimal | None:
    return None if amount is None else Decimal(amount).quantize(Decimal("0.0001"))


@transaction.atomic
def put_target(
    *,
    plan: Plan,
    key: str,
    name: str,
    subject: Subject,
    comparator: str,
    amount: Decimal | int | None = None,
    upper: Decimal | int | None = None,
    comparator_as_printed: str = "",
    unit: str = "",
    decimals: int = 0,
    metric: Metric | None = None,
    measured_as: str = Target.MeasuredAs.LEVEL,
    text: str = "",
    section: str = "",
    passage: Passage | None = None,
    order: int | None = None,
    baseline: Decimal | int | None = None,
    baseline_period: Period | None = None,
    baseline_text: str = "",
    period: Period | None = None,
    due_on: date | None = None,
    accountable: Person | None = None,
    accountable_text: str = "",
    parent: Target | None = None,
    parts_check: str = Target.PartsCheck.NONE,
    units: Sequence[Unit] | None = None,
    path: Sequence[Point] | None = None,
    is_active: bool = True,
    note: str = "",
    reason: str = "Cập nhật theo văn bản",
    version: int | None = None,
    by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> Target:
    """Create the target of this key in the plan, or bring it to what is said here. Idempotent.

    amount, upper, baseline, path: in `unit` (a key of core/units.py, or words). period: in which it must be reached;
    due_on, the last day that still counts, defaults to the period's last day. units, path: None leaves them.
    A changed promise is kept as it was before (TargetChange with the reason). recorded_in_bulk: the caller writes one
    audit row for all. Raises PlanningError, ChangedMeanwhile.
    """
    if due_on is None and period is not None:
        due_on = date.fromordinal(period.end_date.toordinal() - 1)
    said: dict[str, Any] = {
        "name": name, "text": text, "section": section, "passage_id": passage.pk if passage else None,
        "subject_id": subject.pk, "metric_id": metric.pk if metric else None, "measured_as": measured_as,
        "comparator": comparator, "comparator_as_printed": comparator_as_printed, "amount": _quantised(amount),
        "upper": _quantised(upper), "unit": unit, "decimals": decimals, "baseline": _quantised(baseline),
        "baseline_period_start": baseline_period.start_date if baseline_period else None,
        "baseline_text": baseline_text, "period_kind": period.kind if period else "Y",
        "period_start": period.start_date if period else None, "due_on": due_on,
        "accountable_id": accountable.pk if accountable else None, "accountable_text": accountable_text,
        "parent_id": parent.pk if parent else None, "parts_check": parts_check, "is_active": is_active, "note": note,
    }  # fmt: skip
    if order is not None:
        said["order"] = order
    _check_target(said)
    target = Target.objects.select_for_update().filter(plan=plan, key=key).first()
    if target is None:
        if order is None:
            said["order"] = (plan.targets.aggregate(last=Max("order"))["last"] or 0) + 1
        target, changed = Target.objects.create(plan=plan, key=key, **said), True
    else:
        _require_current(target, version)
        if parent is not None and _is_below(parent, target):
            raise PlanningError(f"Chỉ tiêu «{target}» không thể là một phần của chính nó. Chọn chỉ tiêu chung khác.")
        differing = _differing(target, said)
        changed = bool(differing)
        if set(differing) & set(PROMISE):
            TargetChange.objects.create(target=target, before=before_image(target), reason=reason[:300], made_by=by)
        if changed:
            for field_name, value in said.items():
                setattr(target, field_name, value)
            target.version += 1
            target.save()
    if units is not None:
        changed |= _set_units(target, units)
    if path is not None:
        changed |= _set_path(target, path)
    if changed and not recorded_in_bulk:
        audit.record("planning.target.saved", actor=by, target=target, plan=plan.key, key=key)
    return target


def _is_below(candidate: Target, target: Target) -> bool:
    seen: Target | None = candidate
    while seen is not None:
        if seen.pk == target.pk:
            return True
        seen = seen.parent
    return False


def before_image(target: Target) -> dict[str, Any]:
    """Return what the target promises now, as JSON values, with its path."""
    image: dict[str, Any] = {}
    for field_name in PROMISE:
        value = getattr(target, field_name)
        image[field_name] = str(value) if isinstance(value, Decimal | date) else value
    image["path"] = [
        {"period": Period(point.period_kind, point.period_start).key, "amount": str(point.amount)}  # type: ignore[arg-type]
        for point in target.path.all()
    ]
    return image


def _set_units(target: Target, units: Sequence[Unit]) -> bool:
    wanted = [(one.role, one.organisation.pk if one.organisation else None, one.name_as_printed) for one in units]
    held = list(target.units.order_by("id").values_list("role", "organisation_id", "name_as_printed"))
    if held == wanted:
        return False
    target.units.all().delete()
    TargetUnit.objects.bulk_create(
        TargetUnit(target=target, role=role, organisation_id=organisation_id, name_as_printed=printed)
        for role, organisation_id, printed in wanted
    )
    return True


def _set_path(target: Target, path: Sequence[Point]) -> bool:
    wanted = sorted(
        (
            point.period.kind, point.period.start_date, _quantised(point.amount),
            point.passage.pk if point.passage else None,
        )
        for point in path
    )  # fmt: skip
    held = sorted(target.path.values_list("period_kind", "period_start", "amount", "passage_id"))
    if held == wanted:
        return False
    target.path.all().delete()
    TargetPoint.objects.bulk_create(
        TargetPoint(target=target, period_kind=kind, period_start=start, amount=amount, passage_id=passage_id)
        for kind, start, amount, passage_id in wanted
    )
    return True
