"""What writes plans and targets. Each act is one transaction with its audit row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils.text import slugify

from machnuoc.core import audit, folding, notices, units
from machnuoc.core.models import Document, Passage, Person
from machnuoc.core.periods import Period, local_date
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.planning import plan_search, plan_standings
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import (
    Plan,
    PlanAmendment,
    PlanBasis,
    Proposal,
    Target,
    TargetChange,
    TargetJudgement,
    TargetPoint,
    TargetUnit,
)

audit.describe("planning.plan.saved", "lưu kế hoạch {target}")
audit.describe("planning.target.saved", "lưu chỉ tiêu kế hoạch {target}")
audit.describe("planning.plan.amended", "điều chỉnh kế hoạch {target}")
audit.describe("planning.target.changed", "thay đổi chỉ tiêu kế hoạch {target}")
audit.describe("planning.target.carried_down", "giao chỉ tiêu {target} xuống {count} đơn vị")
audit.describe("planning.target.judged", "đánh giá chỉ tiêu kế hoạch {target}")


def _target_names(ids: set[str]) -> dict[str, str]:
    return {str(pk): f"«{name}»" for pk, name in Target.objects.filter(pk__in=ids).values_list("pk", "name")}


for _act, _verb in (("saved", "soạn"), ("submitted", "gửi"), ("decided", "xem xét")):
    audit.describe(f"planning.proposal.{_act}", f"{_verb} đề xuất giải pháp cho chỉ tiêu {{of}}", of=_target_names)

recompute_standings = plan_standings.recompute_standings


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
        plan_search.put_plan(plan)
        audit.record("planning.plan.saved", actor=by, target=plan, key=key)
    return plan


@transaction.atomic
def add_plan(*, short_name: str, territory: Subject, by: Person, **said: Any) -> Plan:
    """Enter a plan that the program does not know yet; its key is made of its short name. Raises as put_plan."""
    Subject.objects.select_for_update(no_key=True).only("pk").get(pk=territory.pk)  # one after the other
    if Plan.objects.filter(short_name__iexact=short_name.strip(), territory=territory).exists():
        raise PlanningError(
            f"«{territory}» đã có kế hoạch tên ngắn «{short_name.strip()}», có thể vừa được lưu. "
            "Mở kế hoạch đó, hoặc đặt tên ngắn khác, ví dụ thêm năm."
        )
    key = _free_key(short_name, 50, "ke-hoach", Plan.objects.all())
    return put_plan(key=key, short_name=short_name, territory=territory, by=by, **said | {"version": 0})


@transaction.atomic
def add_target(*, plan: Plan, name: str, by: Person, **said: Any) -> Target:
    """Enter a target that the plan does not have yet; its key is made of its name. Raises as put_target."""
    Plan.objects.select_for_update(no_key=True).only("pk").get(pk=plan.pk)
    period = said.get("period")
    same = plan.targets.filter(name__iexact=name.strip(), subject=said.get("subject"), is_active=True)
    if same.filter(period_start=period.start_date if period else None, due_on=_due(said)).exists():
        raise PlanningError(
            f"Kế hoạch «{plan}» đã có chỉ tiêu «{name.strip()}» của cùng nơi, cùng kỳ, có thể vừa được lưu. "
            "Mở chỉ tiêu đó để sửa, hoặc đặt tên khác."
        )
    key = _free_key(name, 60, "chi-tieu", plan.targets.all())
    return put_target(plan=plan, key=key, name=name, by=by, **said | {"version": 0})


def _due(said: dict[str, Any]) -> date | None:
    """Return the last day that counts: as said, else the last of the period."""
    period = said.get("period")
    return said.get("due_on") or (date.fromordinal(period.end_date.toordinal() - 1) if period else None)


def _free_key(name: str, most_chars: int, otherwise: str, rows: models.QuerySet[Any]) -> str:
    slug = slugify(folding.fold(name))[:most_chars].strip("-") or otherwise
    taken = {*rows.filter(key__startswith=slug).values_list("key", flat=True), *_WORDS_OF_ADDRESSES}
    return next(one for n in range(1, len(taken) + 2) if (one := slug if n == 1 else f"{slug}-{n}") not in taken)


_WORDS_OF_ADDRESSES = ("them",)  # /ke-hoach/them/ is a page, not a plan


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
    _require_whole(said["name"], said["unit"], amount, upper)


_WHOLE = frozenset({"household", "customer", "connection", "person", "work", "commune", "sample", "task", "count"})


def _require_whole(name: str, unit: str, *amounts: Decimal | int | None) -> None:
    """Refuse a part of what is counted whole, as half a household. Raises PlanningError."""
    broken = next((one for one in amounts if one is not None and one % 1), None) if unit in _WHOLE else None
    if broken is not None:
        said = format_number(Decimal(broken).normalize())
        raise PlanningError(
            f"Chỉ tiêu «{name}» đếm theo {units.label(unit) or 'đơn vị'} nên mức phải là số nguyên, không phải {said}. "
            "Sửa lại mức."
        )


def _quantised(amount: Decimal | int | None) -> Any:
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
    if changed:
        plan_search.put_targets([target])
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


# --- changes in mid-course ----------------------------------------------------------------------------------------


@transaction.atomic
def amend_plan(
    plan: Plan,
    *,
    reference: str,
    effective_on: date,
    summary: str,
    document: Document | None = None,
    version: int | None = None,
    by: Person | None,
) -> PlanAmendment:
    """Write down that a document changes the plan from a day on. Change its targets with the amendment afterwards.

    Raises PlanningError (before the plan began, said twice), ChangedMeanwhile.
    """
    live = Plan.objects.select_for_update().get(pk=plan.pk)
    _require_current(live, version)
    if live.valid_from and effective_on < live.valid_from:
        raise PlanningError(
            f"Kế hoạch «{live}» có từ ngày {format_date(live.valid_from)}; văn bản điều chỉnh không thể có hiệu lực "
            "trước đó. Kiểm tra lại ngày."
        )
    if live.amendments.filter(reference=reference, effective_on=effective_on).exists():
        raise PlanningError(
            f"Kế hoạch «{live}» đã ghi điều chỉnh theo «{reference}» từ ngày {format_date(effective_on)}."
        )
    amendment = PlanAmendment.objects.create(
        plan=live, document=document, reference=reference, effective_on=effective_on, summary=summary, made_by=by
    )
    live.version += 1
    live.save(update_fields=["version"])
    audit.record("planning.plan.amended", actor=by, target=live, amendment=amendment.pk)
    return amendment


_CHANGEABLE = frozenset(PROMISE) - {"subject_id", "metric_id"} | {
    "subject", "metric", "accountable", "accountable_text", "note", "is_active", "parts_check", "section",
}  # fmt: skip


@transaction.atomic
def change_target(
    target: Target,
    *,
    reason: str,
    amendment: PlanAmendment | None = None,
    path: Sequence[Point] | None = None,
    units: Sequence[Unit] | None = None,
    version: int | None = None,
    by: Person | None,
    **changes: Any,
) -> Target:
    """Change what a target promises, keeping what was promised before with the reason or the amendment.

    changes: fields of the target. Raises PlanningError (no reason, another plan's amendment), ChangedMeanwhile.
    """
    if not reason.strip():
        raise PlanningError(f"Chưa ghi lý do thay đổi chỉ tiêu «{target}». Ghi lý do rồi lưu lại.")
    if amendment is not None and amendment.plan_id != target.plan_id:
        raise PlanningError("Văn bản điều chỉnh thuộc kế hoạch khác. Chọn văn bản điều chỉnh của kế hoạch này.")
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"not to be changed here: {sorted(unknown)}")
    live = Target.objects.select_for_update().select_related("plan").get(pk=target.pk)
    _require_current(live, version)
    before = before_image(live)
    for name, value in changes.items():
        setattr(live, name, _quantised(value) if name in {"amount", "upper", "baseline"} else value)
    _check_target({name: getattr(live, name) for name in ("name", "comparator", "amount", "upper", "unit")})
    if path is not None:
        _set_path(live, path)
    if units is not None:
        _set_units(live, units)
    live.version += 1
    live.save()
    plan_search.put_targets([live])
    if before_image(live) != before:
        TargetChange.objects.create(
            target=live, amendment=amendment, before=before, reason=reason.strip()[:300], made_by=by
        )
    audit.record(
        "planning.target.changed", actor=by, target=live, amendment=amendment.pk if amendment else None,
        fields=sorted(changes),
    )  # fmt: skip
    return live


@dataclass(frozen=True)
class Part:
    """A share of a target that one subject carries: amount and baseline in the whole's unit."""

    key: str
    subject: Subject
    amount: Decimal | None
    name: str = ""
    baseline: Decimal | None = None
    baseline_text: str = ""
    units: tuple[Unit, ...] = ()
    passage: Passage | None = None
    section: str = ""
    text: str = ""
    accountable: Person | None = None
    note: str = ""


@transaction.atomic
def carry_down(target: Target, parts: Sequence[Part], *, parts_check: str, by: Person | None = None) -> list[Target]:
    """Give parts of a target to other subjects (province → agency → station). Idempotent by the parts' keys.

    A part has the comparator, unit, metric and due day of the whole. What does not add up is reported by
    plan_queries.check_parts_of, not refused. Raises PlanningError.
    """
    whole = Target.objects.select_related("plan", "metric").select_for_update(of=("self",)).get(pk=target.pk)
    made = []
    before = dict(Target.objects.filter(plan=whole.plan).values_list("pk", "version"))
    for order, part in enumerate(parts, start=1):
        made.append(
            put_target(
                plan=whole.plan, key=part.key, name=part.name or f"{whole.name}: {part.subject.name}",
                subject=part.subject, comparator=whole.comparator, amount=part.amount,
                comparator_as_printed=whole.comparator_as_printed, unit=whole.unit, decimals=whole.decimals,
                metric=whole.metric, measured_as=whole.measured_as, text=part.text, section=part.section,
                passage=part.passage, order=whole.order * 1000 + order, baseline=part.baseline,
                baseline_text=part.baseline_text,
                baseline_period=Period("Y", whole.baseline_period_start) if whole.baseline_period_start else None,
                period=Period(whole.period_kind, whole.period_start) if whole.period_start else None,  # type: ignore[arg-type]
                due_on=whole.due_on, accountable=part.accountable, parent=whole, units=part.units, note=part.note,
                reason="Giao lại phần của chỉ tiêu chung", by=by, recorded_in_bulk=True,
            )
        )  # fmt: skip
    if whole.parts_check != parts_check:
        whole.parts_check = parts_check
        whole.version += 1
        whole.save(update_fields=["parts_check", "version"])
    if any(before.get(one.pk) != one.version for one in (whole, *made)):
        audit.record(
            "planning.target.carried_down", actor=by, target=whole, count=len(made), parts=[part.pk for part in made]
        )
    return made


@dataclass(frozen=True)
class Share:
    """What one subject is given of a target; amount None takes a part back that was given before."""

    subject: Subject
    amount: Decimal | None
    lead: Organisation | None = None  # of a part that is new


@transaction.atomic
def give_shares(
    target: Target, shares: Sequence[Share], *, parts_check: str, version: int | None, by: Person | None
) -> int:
    """Give several subjects their parts at once: new ones are made, others changed or taken back; return how many.

    A part that was there keeps its words, units and path, and what it promised before. Raises PlanningError,
    ChangedMeanwhile.
    """
    whole = Target.objects.select_related("plan", "metric").select_for_update(of=("self",)).get(pk=target.pk)
    _require_current(whole, version)
    if parts_check not in Target.PartsCheck.values:
        raise PlanningError(f"Không có cách đối chiếu «{parts_check}». Chọn một cách trong biểu.")
    held = {part.subject_id: part for part in whole.parts.order_by("is_active", "pk")}
    taken = set(whole.plan.targets.values_list("key", flat=True))
    reason, number = "Giao lại phần của chỉ tiêu chung", len(held)
    new, changed = [], []
    for share in shares:
        part = held.get(share.subject.pk)
        if part is None and share.amount is not None:
            number += 1
            new.append(_new_part(whole, share, number, taken, by))
        elif part is not None and (part.amount if part.is_active else None) != _quantised(share.amount):
            given = {"amount": share.amount, "is_active": True} if share.amount is not None else {"is_active": False}
            changed.append(change_target(part, reason=reason, by=by, **given))
    if whole.parts_check != parts_check:
        whole.parts_check = parts_check
    elif not new and not changed:
        return 0
    whole.version += 1
    whole.save(update_fields=["parts_check", "version"])
    done = [*new, *changed]
    audit.record(
        "planning.target.carried_down", actor=by, target=whole, count=len(done), parts=[part.pk for part in done]
    )
    return len(done)


def _new_part(whole: Target, share: Share, number: int, taken: set[str], by: Person | None) -> Target:
    end = share.subject.key.split(".", 2)[-1][:40]
    start = f"{whole.key[:35]}.{end}"
    key = next(one for n in range(1, len(taken) + 2) if (one := start if n == 1 else f"{start}-{n}") not in taken)
    taken.add(key)
    return put_target(
        plan=whole.plan, key=key, name=f"{whole.name}: {share.subject.name}"[:300], subject=share.subject,
        comparator=whole.comparator, amount=share.amount, comparator_as_printed=whole.comparator_as_printed,
        unit=whole.unit, decimals=whole.decimals, metric=whole.metric, measured_as=whole.measured_as,
        order=whole.order * 1000 + number, parent=whole, due_on=whole.due_on,
        baseline_period=Period("Y", whole.baseline_period_start) if whole.baseline_period_start else None,
        period=Period(whole.period_kind, whole.period_start) if whole.period_start else None,  # type: ignore[arg-type]
        units=[lead(share.lead)] if share.lead is not None else [], by=by, recorded_in_bulk=True,
    )  # fmt: skip


# --- judging and proposing ----------------------------------------------------------------------------------------


@transaction.atomic
def judge_target(
    target: Target, *, is_met: bool, text: str, judged_on: date, by: Person, now: datetime
) -> TargetJudgement:
    """Write down what the judge says of a target that no figure decides. Earlier judgements stay.

    Raises PlanningError: a figure decides this target, no words, a day in the future.
    """
    if target.metric_id is not None and target.comparator != Target.Comparator.JUDGED:
        raise PlanningError(
            f"Chỉ tiêu «{target}» được so bằng số liệu, không đánh giá bằng lời. Cập nhật số liệu của kỳ."
        )
    if not text.strip():
        raise PlanningError(f"Chưa ghi nhận xét khi đánh giá chỉ tiêu «{target}». Ghi căn cứ rồi lưu lại.")
    if judged_on > local_date(now):
        raise PlanningError("Ngày đánh giá ở sau hôm nay. Chọn ngày đã đến.")
    made = TargetJudgement.objects.create(
        target=target, judged_on=judged_on, is_met=is_met, text=text.strip(), judged_by=by, recorded_at=now
    )
    audit.record("planning.target.judged", actor=by, target=target, is_met=is_met)
    recompute_standings(now, [target.pk])
    return made


@transaction.atomic
def save_proposal(
    target: Target,
    organisation: Organisation,
    *,
    cause_kind: str,
    cause: str,
    solution: str,
    new_date: date | None = None,
    proposal: Proposal | None = None,
    version: int | None = None,
    by: Person,
) -> Proposal:
    """Write or rewrite what a lead unit proposes for a target at risk. Only a draft or a returned one is rewritten.

    Raises PlanningError (not a unit of the target, already sent, a date before the due day), ChangedMeanwhile.
    """
    if not target.units.filter(organisation=organisation, role=TargetUnit.Role.LEAD).exists():
        raise PlanningError(f"«{organisation}» không chủ trì chỉ tiêu «{target}» nên không lập đề xuất giải pháp.")
    if new_date is not None and target.due_on is not None and new_date < target.due_on:
        raise PlanningError(
            f"Thời hạn mới phải sau hạn của chỉ tiêu ({format_date(target.due_on)}). Để trống nếu giữ nguyên hạn."
        )
    said = {"cause_kind": cause_kind, "cause": cause.strip(), "solution": solution.strip(), "new_date": new_date}
    if not said["cause"] or not said["solution"]:
        raise PlanningError("Đề xuất cần nêu nguyên nhân và giải pháp. Ghi cả hai rồi lưu lại.")
    if proposal is None:
        made = Proposal.objects.create(target=target, organisation=organisation, made_by=by, **said)
    else:
        made = Proposal.objects.select_for_update().get(pk=proposal.pk, target=target)
        if version is not None and made.version != version:
            raise ChangedMeanwhile(
                f"{made} vừa được người khác sửa. Nội dung của bạn chưa được lưu; tải lại trang rồi sửa tiếp."
            )
        _require_state(made, {Proposal.State.DRAFT, Proposal.State.RETURNED}, "sửa")
        for name, value in said.items():
            setattr(made, name, value)
        made.version += 1
        made.save()
    audit.record("planning.proposal.saved", actor=by, target=made, of=target.pk)
    return made


def _require_state(proposal: Proposal, states: set[str], act: str) -> None:
    if proposal.state not in states:
        raise PlanningError(
            f"{proposal} đang ở trạng thái «{proposal.get_state_display()}» nên không {act} được. Tải lại trang."
        )


@transaction.atomic
def submit_proposal(proposal: Proposal, *, by: Person, now: datetime) -> Proposal:
    """Send the proposal to those who approve for the plan's issuer. Raises PlanningError."""
    made = Proposal.objects.select_for_update().select_related("target__plan").get(pk=proposal.pk)
    _require_state(made, {Proposal.State.DRAFT, Proposal.State.RETURNED}, "gửi")
    made.state, made.submitted_at, made.version = Proposal.State.SUBMITTED, now, made.version + 1
    made.save()
    plan = made.target.plan
    deciding = [plan.issuer_id] if plan.issuer_id else [made.organisation_id]
    for _, people in plan_standings.people_of(deciding, local_date(now), [Grant.Role.LEADER]):
        notices.notify(
            people, kind="planning.proposal", url=_address(made.target),
            text=f"{made.organisation} đề xuất giải pháp cho chỉ tiêu «{made.target}», chờ duyệt.",
        )  # fmt: skip
    audit.record("planning.proposal.submitted", actor=by, target=made, of=made.target_id)
    return made


@transaction.atomic
def decide_proposal(proposal: Proposal, *, approve: bool, text: str, by: Person, now: datetime) -> Proposal:
    """Approve a proposal or return it with words. Its maker is told. Raises PlanningError."""
    made = Proposal.objects.select_for_update().select_related("target__plan").get(pk=proposal.pk)
    _require_state(made, {Proposal.State.SUBMITTED}, "xem xét")
    if made.made_by_id == by.pk:
        raise PlanningError(f"{made} do chính bạn lập. Người khác có quyền duyệt của đơn vị hoặc cấp trên xem xét.")
    if not approve and not text.strip():
        raise PlanningError("Chưa ghi lý do trả lại đề xuất. Ghi lý do rồi trả lại.")
    made.state = Proposal.State.APPROVED if approve else Proposal.State.RETURNED
    made.decided_by, made.decided_at, made.decision, made.version = by, now, text.strip()[:500], made.version + 1
    made.save()
    verb = "được duyệt" if approve else "bị trả lại"
    notices.notify(
        [made.made_by], kind="planning.proposal", url=_address(made.target),
        text=f"Đề xuất giải pháp cho chỉ tiêu «{made.target}» {verb}. {made.decision}".strip(),
    )  # fmt: skip
    audit.record("planning.proposal.decided", actor=by, target=made, of=made.target_id, state=made.state)
    return made


def _address(target: Target) -> str:
    return reverse("planning:target_detail", args=[target.plan.key, target.key])
