"""What writes criteria sets and programmes: thresholds, assessments, positions, roadmaps, dossiers.

Each act is one transaction with its audit row. The `put_…` of a document's content are idempotent; with
recorded_in_bulk the caller writes one audit row for all. What a person has changed since is left to that person.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from machnuoc.core import audit
from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.indicators.models import Metric, Scenario, Value
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import criteria, criteria_files, plan_search, programme_measures, programme_places
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import (
    Assessment,
    AssessmentChange,
    CriteriaSet,
    Criterion,
    CriterionGoal,
    Discrepancy,
    Dossier,
    DossierEvent,
    Plan,
    Programme,
    RecognitionDeadline,
    Responsibility,
    RoadmapChange,
    RoadmapEntry,
    RoadmapTotal,
    StatedPosition,
    SubIndicator,
    Threshold,
    UnitProfile,
    UnreadRow,
)

audit.describe("planning.criteria.loaded", "nạp {count} tiêu chí và chỉ tiêu của các bộ tiêu chí")
audit.describe("planning.criterion.saved", "lưu {target} của bộ tiêu chí")
audit.describe("planning.sub_indicator.saved", "lưu {target} của bộ tiêu chí")
audit.describe("planning.threshold.saved", "đặt mức phải đạt {target}")
audit.describe("planning.threshold.ended", "kết thúc mức phải đạt {target}")
audit.describe("planning.profile.saved", "ghi vùng, nhóm xã của một xã")
audit.describe("planning.programme.saved", "lưu chương trình theo tiêu chí {target}")
audit.describe("planning.programme.content", "ghi nội dung của chương trình {target}")
audit.describe("planning.assessment.saved", "đánh giá một chỉ tiêu của xã, huyện")
audit.describe("planning.assessment.filled", "lấy {count} kết quả từ số liệu vào chương trình {target}")
audit.describe("planning.roadmap.frozen", "chốt lộ trình của {target}")
audit.describe("planning.roadmap.changed", "điều chỉnh lộ trình {from_year} → {to_year}")
audit.describe("planning.dossier.moved", "chuyển bước hồ sơ công nhận: {step}")


class RoadmapFrozen(PlanningError):
    """The roadmap has been frozen and no decision is named."""


class UnitEnded(PlanningError):
    """The commune or district is no longer there."""


def _differing(row: models.Model, said: dict[str, Any]) -> list[str]:
    return [name for name, value in said.items() if getattr(row, name) != value]


def _hold(row: models.Model) -> None:
    """Let nobody else begin something below the row until this transaction commits."""
    type(row)._default_manager.select_for_update(no_key=True).only("pk").get(pk=row.pk)


def _put(
    model: Any, identity: dict[str, Any], said: dict[str, Any], *, programme: Programme | None, by: Person | None,
    recorded_in_bulk: bool,
) -> tuple[Any, bool]:  # fmt: skip
    """Create the row of this identity or bring it to what is said; return it and whether anything changed."""
    row = model.objects.filter(**identity).first()
    if row is None:
        row, changed = model.objects.create(**identity, **said), True
    else:
        differing = _differing(row, said)
        changed = bool(differing)
        for name in differing:
            setattr(row, name, said[name])
        if changed:
            row.save(update_fields=differing)
    if changed and not recorded_in_bulk:
        audit.record(
            "planning.programme.content", actor=by, target=programme or row, kind=model._meta.model_name, row=row.pk
        )
    return row, changed


# --- criteria sets ----------------------------------------------------------------------------------------------


@transaction.atomic
def load_criteria_sets(now: datetime) -> int:
    """Create what is missing of the criteria sets that the program brings; return how many rows were made.

    What is there is left as it is: people may have completed it. Bind sub-indicators to metrics once these exist.
    """
    sets = {row.key: row for row in CriteriaSet.objects.all()}
    fresh = [one for one in criteria_files.list_sets() if one.key not in sets]
    for one in fresh:
        sets[one.key] = CriteriaSet.objects.create(
            key=one.key, name=one.name, level=one.level, tier=one.tier, document_as_printed=one.document,
            valid_from=one.valid_from, valid_to=one.valid_to, criteria_stated=one.criteria_stated,
            sub_indicators_stated=one.sub_indicators_stated, confidence=one.confidence,
            note=f"{one.note} Nguồn: {one.source}.".strip() if one.source else one.note,
        )  # fmt: skip
    rows = criteria_files.list_criteria()
    known = {(row.criteria_set_id, row.number): row for row in Criterion.objects.all()}
    parts = {(part.criterion_id, part.number): part for part in SubIndicator.objects.all()}
    metrics = {metric.key: metric for metric in Metric.objects.exclude(subject_kind="WORK")}
    wanted = [
        Criterion(
            criteria_set=sets[row.set_key],
            number=row.criterion,
            order=_order_of(row.criterion),
            name=row.name,
            confidence=row.confidence,
        )
        for row in rows
        if not row.sub_indicator and (sets[row.set_key].pk, row.criterion) not in known
    ]
    Criterion.objects.bulk_create(wanted)
    known |= {(made.criteria_set_id, made.number): made for made in wanted}
    wanted_parts = []
    for row in rows:
        if not row.sub_indicator:
            continue
        criterion, metric = known[sets[row.set_key].pk, row.criterion], metrics.get(row.metric_key)
        standing = parts.get((criterion.pk, row.sub_indicator))
        if standing is None:
            wanted_parts.append(
                SubIndicator(
                    criterion=criterion, number=row.sub_indicator, order=_order_of(row.sub_indicator),
                    name=row.name, unit=row.unit,
                    entry=row.entry, numerator_label=row.numerator, denominator_label=row.denominator, metric=metric,
                    confidence=row.confidence,
                )
            )  # fmt: skip
        elif standing.metric_id is None and metric is not None:
            standing.metric = metric
            standing.save(update_fields=["metric"])
    SubIndicator.objects.bulk_create(wanted_parts)
    if fresh:
        _load_thresholds({one.key for one in fresh})
    if not UnitProfile.objects.exists():
        _load_regions()
    count = len(fresh) + len(wanted) + len(wanted_parts)
    if count:
        audit.record("planning.criteria.loaded", actor=None, count=count)
    return count


def _load_thresholds(set_keys: set[str]) -> None:
    parts = {
        (part.criterion.criteria_set.key, part.number): part
        for part in SubIndicator.objects.select_related("criterion__criteria_set")
    }
    rows = [row for row in criteria_files.list_thresholds() if row.set_key in set_keys]
    places = dict(Subject.objects.filter(key__in={row.territory_key for row in rows}).values_list("key", "pk"))
    Threshold.objects.bulk_create(
        Threshold(
            sub_indicator=part, territory_id=places[row.territory_key] if row.territory_key else None,
            comparator=row.comparator, amount=row.amount, text=row.text, source=row.source, confidence=row.confidence,
            valid_from=part.criterion.criteria_set.valid_from, valid_to=part.criterion.criteria_set.valid_to,
        )
        for row in rows
        for part in [parts[row.set_key, row.sub_indicator]]
        if not row.territory_key or row.territory_key in places
    )  # fmt: skip


def _load_regions() -> None:
    keys = {key for region in criteria_files.list_regions() for key in region.province_keys}
    places = dict(Subject.objects.filter(key__in=keys).values_list("key", "pk"))
    UnitProfile.objects.bulk_create(
        UnitProfile(subject_id=places[key], region=region.code, confidence="recalled")
        for region in criteria_files.list_regions()
        for key in region.province_keys
        if key in places
    )


def get_set(key: str) -> CriteriaSet:
    """Return the criteria set of this key. Raises PlanningError."""
    found = CriteriaSet.objects.filter(key=key).first()
    if found is None:
        raise PlanningError(f"Không có bộ tiêu chí «{key}». Nạp dữ liệu nền hoặc chọn bộ khác.")
    return found


def get_criterion(set_key: str, number: str) -> Criterion:
    """Return a criterion by the number it has in its set. Raises PlanningError."""
    found = Criterion.objects.filter(criteria_set__key=set_key, number=number).select_related("criteria_set").first()
    if found is None:
        raise PlanningError(f"Bộ tiêu chí «{set_key}» không có tiêu chí {number}. Kiểm tra lại số tiêu chí.")
    return found


def get_sub_indicator(set_key: str, number: str) -> SubIndicator:
    """Return a sub-indicator by the number it has in its set («17.1»). Raises PlanningError."""
    found = (
        SubIndicator.objects.filter(criterion__criteria_set__key=set_key, number=number)
        .select_related("criterion__criteria_set", "metric")
        .first()
    )
    if found is None:
        raise PlanningError(f"Bộ tiêu chí «{set_key}» không có chỉ tiêu {number}. Kiểm tra lại số chỉ tiêu.")
    return found


@transaction.atomic
def put_criterion(
    criteria_set: CriteriaSet, *, number: str, name: str, confidence: str = "verified",
    passage: Passage | None = None, by: Person | None = None,
) -> Criterion:  # fmt: skip
    """Enter a criterion of a set, or correct its name. Idempotent."""
    _hold(criteria_set)
    row = criteria_set.criteria.filter(number=number).first()
    said = {"name": name, "confidence": confidence, "passage_id": passage.pk if passage else None}
    if row is None:
        row = Criterion.objects.create(criteria_set=criteria_set, number=number, order=_order_of(number), **said)
    elif not _differing(row, said):
        return row
    else:
        for field, value in said.items():
            setattr(row, field, value)
        row.save()
    audit.record("planning.criterion.saved", actor=by, target=row, set=criteria_set.key, number=number)
    return row


def _order_of(number: str) -> int:
    """Return the place of a number in the order of its set: 17.10 after 17.9, 17.1a right after 17.1.

    >>> [_order_of(number) for number in ("9", "17.1", "17.1a", "17.10")]
    [9000, 17010, 17011, 17100]
    """
    head, _, tail = number.partition(".")
    digits = "".join(letter for letter in tail if letter.isdigit())
    return int(head) * 1000 + int(digits or 0) * 10 + (not tail.isdigit() and bool(tail)) if head.isdigit() else 32_000


@transaction.atomic
def put_sub_indicator(
    criterion: Criterion,
    *,
    number: str,
    name: str,
    unit: str = "",
    entry: str = SubIndicator.Entry.JUDGED,
    numerator_label: str = "",
    denominator_label: str = "",
    metric: Metric | None = None,
    confidence: str = "verified",
    passage: Passage | None = None,
    by: Person | None = None,
) -> SubIndicator:
    """Enter a sub-indicator of a criterion, or correct it. Idempotent.

    Raises PlanningError if how it is entered would change although places were assessed by it.
    """
    if entry not in SubIndicator.Entry.values:
        raise PlanningError(f"Chỉ tiêu {number}: không có cách nhập «{entry}». Chọn một cách trong biểu.")
    said = {
        "name": name, "unit": unit, "entry": entry, "numerator_label": numerator_label,
        "denominator_label": denominator_label, "metric_id": metric.pk if metric else None, "confidence": confidence,
        "passage_id": passage.pk if passage else None,
    }  # fmt: skip
    _hold(criterion)
    row = criterion.sub_indicators.filter(number=number).first()
    if row is None:
        row = SubIndicator.objects.create(criterion=criterion, number=number, order=_order_of(number), **said)
    else:
        differing = _differing(row, said)
        if not differing:
            return row
        if {"unit", "entry"} & set(differing) and row.assessments.exists():
            raise PlanningError(
                f"Không đổi được đơn vị hay cách nhập của chỉ tiêu {number}: đã có xã được đánh giá theo chỉ tiêu này. "
                "Lập bộ tiêu chí mới nếu quy định đã đổi."
            )
        for field, value in said.items():
            setattr(row, field, value)
        row.save()
    audit.record("planning.sub_indicator.saved", actor=by, target=row, number=number)
    return row


@transaction.atomic
def put_threshold(
    sub_indicator: SubIndicator,
    *,
    comparator: str = "GE",
    amount: Decimal | None = None,
    text: str = "",
    region: str = "",
    commune_group: int | None = None,
    territory: Subject | None = None,
    valid_from: date | None = None,
    valid_to: date | None = None,
    source: str = "",
    confidence: str = "verified",
    passage: Passage | None = None,
    by: Person | None = None,
) -> Threshold:
    """Say what the sub-indicator requires of a region, commune group or territory, in a span of days. Idempotent.

    One that begins later ends the open one of the same scope there; with the same beginning it corrects it.
    Assessments that people made for the years concerned are judged again. Raises PlanningError.
    """
    if amount is None and not text:
        raise PlanningError(f"Mức của chỉ tiêu {sub_indicator.number} phải có con số hoặc lời văn. Nhập một trong hai.")
    if comparator not in {"GE", "GT", "LE", "LT", "EQ"}:
        raise PlanningError(f"Chỉ tiêu {sub_indicator.number}: không có cách so sánh «{comparator}».")
    if amount is not None and (amount < 0 or (_factor(sub_indicator) == 100 and amount > 100)):
        raise PlanningError(
            f"Mức của chỉ tiêu {sub_indicator.number} không thể là {format_number(amount)}: mức không âm, "
            "tỷ lệ không quá 100 %. Sửa lại mức."
        )
    if valid_from and valid_to and valid_from >= valid_to:
        raise PlanningError("Ngày bắt đầu áp dụng phải trước ngày kết thúc. Sửa lại hai ngày.")
    scope = {
        "region": region, "commune_group": commune_group, "territory_id": territory.pk if territory else None,
    }  # fmt: skip
    said: dict[str, Any] = {
        "comparator": comparator, "amount": amount, "text": text, "valid_to": valid_to, "source": source,
        "confidence": confidence, "passage_id": passage.pk if passage else None,
    }  # fmt: skip
    _hold(sub_indicator)
    rows = list(sub_indicator.thresholds.select_for_update().filter(**scope))
    row = next((one for one in rows if one.valid_from == valid_from), None)
    if row is not None and not _differing(row, said):
        return row
    if row is None:
        for one in rows:
            begins_later = valid_from is not None and (one.valid_from is None or one.valid_from < valid_from)
            if begins_later and (one.valid_to is None or one.valid_to > valid_from):  # type: ignore[operator]
                one.valid_to = valid_from
                one.save(update_fields=["valid_to"])
        row = Threshold.objects.create(sub_indicator=sub_indicator, valid_from=valid_from, **scope, **said)
    else:
        for field, value in said.items():
            setattr(row, field, value)
        row.save()
    audit.record("planning.threshold.saved", actor=by, target=row, sub_indicator=sub_indicator.pk)
    _judge_again(sub_indicator, by=by)
    return row


@transaction.atomic
def end_threshold(threshold: Threshold, *, on_date: date, by: Person | None = None) -> None:
    """Let a threshold hold no longer from the day on. Raises PlanningError for a day before it began."""
    if threshold.valid_from is not None and on_date <= threshold.valid_from:
        raise PlanningError(
            f"Mức này có hiệu lực từ ngày {format_date(threshold.valid_from)}; chọn ngày kết thúc sau đó."
        )
    threshold.valid_to = on_date
    threshold.save(update_fields=["valid_to"])
    audit.record("planning.threshold.ended", actor=by, target=threshold)
    _judge_again(threshold.sub_indicator, by=by)


def _judge_again(sub_indicator: SubIndicator, *, by: Person | None) -> None:
    """Judge what people entered by the thresholds of now; what a document states stays as printed."""
    rows = list(
        sub_indicator.assessments.filter(passage__isnull=True)
        .exclude(result=Assessment.Result.NOT_APPLICABLE)
        .select_related("unit")
    )
    for year in {row.year for row in rows}:
        its_rows = [row for row in rows if row.year == year]
        places = programme_places.list_places({row.unit_id for row in its_rows}, year)
        requirements = programme_places.read_requirements([sub_indicator.pk])
        for row in its_rows:
            threshold = requirements.choose(sub_indicator.pk, places[row.unit_id], year)
            before = _before(row)
            _take_requirement(row, threshold)
            result = criteria.judge(_exact(row, sub_indicator), _as_required(row))
            if result != criteria.Result.NOT_ASSESSED:
                row.result = result.value
            if _before(row) != before:
                row.version += 1
                row.save()
                AssessmentChange.objects.create(
                    assessment=row, before=before, by=by, reason="Mức phải đạt của chỉ tiêu đã thay đổi"
                )


@transaction.atomic
def put_profile(
    subject: Subject, *, region: str = "", commune_group: int | None = None, valid_from: date | None = None,
    valid_to: date | None = None, confidence: str = "verified", by: Person | None = None,
) -> UnitProfile:  # fmt: skip
    """Record the region or commune group of a place from a day on; the one before it ends there. Idempotent.

    Raises PlanningError for a region or group that is not known, or a day before what is recorded.
    """
    if region and region not in {one.code for one in criteria_files.list_regions()}:
        raise PlanningError(f"Không có vùng «{region}». Chọn một vùng trong danh sách.")
    if commune_group and commune_group not in {one.number for one in criteria_files.list_commune_groups()}:
        raise PlanningError(f"Không có nhóm xã {commune_group}. Chọn nhóm 1, 2 hoặc 3.")
    said = {"region": region, "commune_group": commune_group, "valid_to": valid_to, "confidence": confidence}
    _hold(subject)
    row = UnitProfile.objects.filter(subject=subject, valid_from=valid_from).first()
    if row is not None and not _differing(row, said):
        return row
    if row is None:
        if valid_from is not None:
            later = UnitProfile.objects.filter(subject=subject, valid_from__gt=valid_from).first()
            if later is not None and later.valid_from is not None:
                raise PlanningError(
                    f"«{subject.name}» đã có vùng, nhóm xã ghi từ ngày {format_date(later.valid_from)}. "
                    "Chọn ngày sau đó, hoặc sửa bản ghi của ngày ấy."
                )
            UnitProfile.objects.filter(subject=subject, valid_to__isnull=True).update(valid_to=valid_from)
        row = UnitProfile.objects.create(subject=subject, valid_from=valid_from, **said)
    else:
        for field, value in said.items():
            setattr(row, field, value)
        row.save()
    audit.record("planning.profile.saved", actor=by, target=subject, region=region, group=commune_group)
    return row


# --- the programme ----------------------------------------------------------------------------------------------


@transaction.atomic
def put_programme(
    plan: Plan, *, sets: Iterable[CriteriaSet], units: Iterable[Subject], passage: Passage | None = None,
    by: Person | None = None,
) -> Programme:  # fmt: skip
    """Let a plan follow places against criteria sets. Idempotent; units and sets are added, never dropped."""
    programme, created = Programme.objects.get_or_create(plan=plan, defaults={"passage": passage})
    have_sets, have_units = (
        set(programme.sets.values_list("pk", flat=True)),
        set(programme.units.values_list("pk", flat=True)),
    )
    new_sets = [one for one in sets if one.pk not in have_sets]
    new_units = [one for one in units if one.pk not in have_units]
    programme.sets.add(*new_sets)
    programme.units.add(*new_units)
    if created or new_sets or new_units:
        plan_search.put_programme(programme)
        audit.record("planning.programme.saved", actor=by, target=programme, count=len(new_units), sets=len(new_sets))
    return programme


@transaction.atomic
def put_responsibility(
    programme: Programme, *, order: int, agency_as_printed: str, text: str, organisation: Organisation | None = None,
    criterion: Criterion | None = None, sub_indicator: SubIndicator | None = None, valid_from: date | None = None,
    valid_to: date | None = None, passage: Passage | None = None, by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> Responsibility:  # fmt: skip
    """Say which agency follows and appraises a criterion or sub-indicator (neither: what the text says). Idempotent."""
    row, _ = _put(
        Responsibility,
        {
            "programme": programme, "order": order, "criterion": criterion, "sub_indicator": sub_indicator,
            "text": text,
        },
        {
            "agency_as_printed": agency_as_printed, "organisation": organisation, "valid_from": valid_from,
            "valid_to": valid_to, "passage": passage,
        },
        programme=programme, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


@transaction.atomic
def put_criterion_goal(
    programme: Programme, *, criterion: Criterion, year: int, share_pct: Decimal, as_printed: str = "",
    passage: Passage | None = None, by: Person | None = None, recorded_in_bulk: bool = False,
) -> CriterionGoal:  # fmt: skip
    """Record which share of places is to meet a criterion by the end of the year (appendix 01). Idempotent."""
    row, _ = _put(
        CriterionGoal,
        {"programme": programme, "criterion": criterion, "year": year, "as_printed": as_printed},
        {"share_pct": share_pct, "passage": passage},
        programme=programme, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


@transaction.atomic
def put_deadline(
    programme: Programme, *, step: str, month: int, day: int | None = None, is_exclusive: bool = False,
    opens_month: int | None = None, as_printed: str, passage: Passage | None = None, by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> RecognitionDeadline:  # fmt: skip
    """Record by which day of the year a step of every dossier is to be done. Idempotent.

    «trước ngày 25/9»: step=DISTRICT (the commune has sent its report), month=9, day=25, is_exclusive=True.
    «trước ngày 20/10»: step=PROVINCE. «trong tháng 11, 12»: step=APPRAISED, opens_month=11, month=12.
    """
    row, _ = _put(
        RecognitionDeadline,
        {"programme": programme, "step": step},
        {
            "month": month, "day": day, "is_exclusive": is_exclusive, "opens_month": opens_month,
            "as_printed": as_printed, "passage": passage,
        },
        programme=programme, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


# --- assessments ------------------------------------------------------------------------------------------------


def required_of(sub_indicator: SubIndicator, unit: Subject | int, year: int) -> Threshold | None:
    """Return the threshold that holds for the place at the end of the year: territory > commune group > region."""
    unit_id = unit if isinstance(unit, int) else unit.pk
    place = programme_places.list_places([unit_id], year)[unit_id]
    return programme_places.read_requirements([sub_indicator.pk]).choose(sub_indicator.pk, place, year)


_KEPT = (
    "numerator", "denominator", "measured", "measured_as_printed", "required", "required_comparator",
    "required_as_printed", "result", "agency_as_printed", "agency_id", "solution", "target_quarter_start",
    "target_as_printed", "objective_cause", "value_id",
)  # fmt: skip


def _before(row: Assessment) -> dict[str, str | int | None]:
    """Return what the assessment says, as it is kept in the history."""
    found: dict[str, str | int | None] = {}
    for name in _KEPT:
        value = getattr(row, name)
        if isinstance(value, Decimal):
            value = format(value.normalize() + 0, "f")
        found[name] = value.isoformat() if isinstance(value, date) else value
    return found


def _factor(sub_indicator: SubIndicator | None) -> int:
    return 100 if sub_indicator is not None and sub_indicator.unit == "%" else 1


def _exact(row: Assessment, sub_indicator: SubIndicator | None) -> Any:
    if row.numerator is not None and row.denominator is not None:
        return criteria.ratio(row.numerator, row.denominator, _factor(sub_indicator))
    return row.measured


def _as_required(row: Assessment) -> criteria.Requirement:
    return criteria.Requirement(0, row.required_comparator, row.required, row.required_as_printed)


def _take_requirement(row: Assessment, threshold: Threshold | None) -> None:
    row.required = threshold.amount if threshold else None
    row.required_comparator = threshold.comparator if threshold else "GE"
    row.required_as_printed = threshold.text if threshold else ""


def require_alive(unit: Subject, year: int, what: str) -> None:
    """Raise UnitEnded if the place was gone before the year began; the text says what it became."""
    if unit.valid_to is None or unit.valid_to > date(year, 1, 1):
        return
    became = programme_places.list_successors([unit.pk]).get(unit.pk, [])
    into = ", ".join(one.unit_name for one in became)
    raise UnitEnded(
        f"Không {what} năm {year} cho «{unit.name}»: đơn vị này kết thúc ngày {format_date(unit.valid_to)}"
        + (f", nay thuộc {into}" if into else "")
        + ". Số liệu và lộ trình cũ giữ nguyên; dùng đơn vị hiện nay cho các năm sau."
    )


def _check_place(programme: Programme, unit: Subject, criterion: Criterion) -> None:
    if not programme.sets.filter(pk=criterion.criteria_set_id).exists():
        raise PlanningError(f"Chương trình «{programme}» không dùng bộ tiêu chí của «{criterion}». Chọn bộ khác.")
    if not programme.units.filter(pk=unit.pk).exists():
        raise PlanningError(
            f"«{unit.name}» không thuộc chương trình «{programme}». Thêm nơi này vào chương trình trước."
        )


def _check_numbers(
    sub_indicator: SubIndicator | None, numerator: Decimal | None, denominator: Decimal | None,
    measured: Decimal | None, is_from_document: bool,
) -> None:  # fmt: skip
    name = f"Chỉ tiêu {sub_indicator.number}" if sub_indicator else "Tiêu chí"
    if (numerator is None) != (denominator is None):
        raise PlanningError(f"{name}: nhập cả tử số và mẫu số, hoặc để trống cả hai.")
    if denominator is not None and denominator <= 0:
        raise PlanningError(f"{name}: mẫu số phải lớn hơn 0. Nếu không có đối tượng, chọn «Không áp dụng».")
    if numerator is not None and denominator is not None:
        if numerator < 0:
            raise PlanningError(f"{name}: tử số không thể âm.")
        if _factor(sub_indicator) == 100 and numerator > denominator:
            raise PlanningError(
                f"{name}: tử số ({format_number(numerator)}) lớn hơn mẫu số ({format_number(denominator)}). "
                "Kiểm tra lại hai số."
            )
    is_ratio = sub_indicator is not None and sub_indicator.entry == SubIndicator.Entry.RATIO
    if measured is not None and numerator is None and is_ratio and not is_from_document:
        raise PlanningError(f"{name} là tỷ lệ: nhập tử số và mẫu số, không nhập tỷ lệ.")


@transaction.atomic
def assess(
    programme: Programme,
    unit: Subject,
    *,
    year: int,
    criterion: Criterion | None = None,
    sub_indicator: SubIndicator | None = None,
    numerator: Decimal | None = None,
    denominator: Decimal | None = None,
    measured: Decimal | None = None,
    measured_as_printed: str = "",
    required: Decimal | None = None,
    required_comparator: str = "GE",
    required_as_printed: str = "",
    result: str = "",
    agency_as_printed: str = "",
    agency: Organisation | None = None,
    solution: str = "",
    target_quarter_start: date | None = None,
    target_as_printed: str = "",
    objective_cause: str = "",
    files: Sequence[StoredFile] = (),
    passage: Passage | None = None,
    version: int | None = None,
    reason: str = "",
    by: Person | None = None,
    now: datetime | None = None,
    recorded_in_bulk: bool = False,
) -> Assessment:
    """Say where a place stands on a sub-indicator (or a whole criterion) in a year, and what is done about it.

    criterion: needed only without sub_indicator. A ratio is entered as numerator and denominator; a document (passage)
    may give the measured number alone. required: as the document prints it; else the threshold that holds is taken.
    result: MET, NOT_MET, NOT_ASSESSED, NOT_APPLICABLE, or empty: from the numbers. version: as the reader saw it, 0 for
    a cell that was empty. What it said before is kept. Idempotent. Raises PlanningError, UnitEnded, ChangedMeanwhile.
    """
    if sub_indicator is not None:
        criterion = sub_indicator.criterion
    if criterion is None:
        raise PlanningError("Chọn tiêu chí hoặc chỉ tiêu cần đánh giá.")
    _check_place(programme, unit, criterion)
    require_alive(unit, year, "đánh giá")
    _check_numbers(sub_indicator, numerator, denominator, measured, passage is not None)
    if result and result not in Assessment.Result.values:
        raise PlanningError(f"Không có kết quả «{result}». Chọn đạt, chưa đạt, chưa đánh giá hoặc không áp dụng.")
    if version is not None:
        _hold(unit)
    row = (
        Assessment.objects.select_for_update()
        .filter(programme=programme, unit=unit, criterion=criterion, sub_indicator=sub_indicator, year=year)
        .first()
    )
    if version is not None and (row.version if row else 0) != version:
        who = f" bởi {row.assessed_by.full_name}" if row and row.assessed_by else ""
        raise ChangedMeanwhile(
            f"Ô «{sub_indicator or criterion}» của «{unit.name}» vừa được sửa{who}. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )
    if row is not None and by is None and row.assessed_by_id is not None:
        return row  # a person has worked on it since the document was loaded
    before = _before(row) if row else None
    row = row or Assessment(programme=programme, unit=unit, criterion=criterion, sub_indicator=sub_indicator, year=year)
    row.numerator, row.denominator = numerator, denominator
    row.measured = (
        criteria.kept(criteria.ratio(numerator, denominator, _factor(sub_indicator)))
        if numerator is not None and denominator is not None
        else measured
    )
    row.measured_as_printed, row.value = measured_as_printed, None
    if required is not None or required_as_printed:
        row.required, row.required_comparator = required, required_comparator
        row.required_as_printed = required_as_printed
    else:
        _take_requirement(row, required_of(sub_indicator, unit, year) if sub_indicator else None)
    row.result = _decide(row, sub_indicator, result, is_from_document=passage is not None)
    row.agency_as_printed, row.agency = agency_as_printed, agency
    row.solution, row.objective_cause = solution, objective_cause
    row.target_quarter_start, row.target_as_printed = target_quarter_start, target_as_printed
    row.passage = passage
    changed = before is None or _before(row) != before
    if changed:
        if before is not None:
            row.version += 1
        row.assessed_by, row.assessed_at = by, now or timezone.now()
        row.save()
        if before is not None:
            AssessmentChange.objects.create(assessment=row, before=before, by=by, reason=reason)
    if files:
        row.files.add(*files)
    if (changed or files) and not recorded_in_bulk:
        audit.record(
            "planning.assessment.saved", actor=by, target=row, unit=unit.pk, year=year, result=row.result,
            files=len(files),
        )  # fmt: skip
    return row


def _decide(row: Assessment, sub_indicator: SubIndicator | None, said: str, *, is_from_document: bool) -> str:
    """Return the result: of the numbers where there are any, else what the person or document says."""
    by_numbers = criteria.judge(_exact(row, sub_indicator), _as_required(row))
    if by_numbers == criteria.Result.NOT_ASSESSED or said == Assessment.Result.NOT_APPLICABLE:
        return said or Assessment.Result.NOT_ASSESSED
    if not said or said == by_numbers:
        return by_numbers.value
    if is_from_document:
        return said
    label = Assessment.Result(by_numbers.value).label.lower()
    raise PlanningError(
        f"Theo số liệu, «{sub_indicator or row.criterion}» {label}. Sửa số liệu, hoặc để hệ thống tự xét kết quả."
    )


@transaction.atomic
def assess_bound(programme: Programme, year: int, *, by: Person | None = None, now: datetime | None = None) -> int:
    """Fill the cells whose sub-indicator is bound to a metric from the figures of the year; return how many changed.

    A cell with numbers that a person entered is left to that person; what a document stated is replaced by the figure.
    """
    moment = now or timezone.now()
    parts = list(
        SubIndicator.objects.filter(criterion__criteria_set__programmes=programme, metric__isnull=False).select_related(
            "criterion__criteria_set", "metric"
        )
    )
    units = {unit.pk: unit for unit in programme.units.select_related("unit")}
    levels = {pk: unit.unit.level for pk, unit in units.items()}
    by_metric: dict[int, list[SubIndicator]] = {}
    for part in parts:
        by_metric.setdefault(part.metric_id, []).append(part)  # type: ignore[arg-type]
    values = Value.objects.filter(
        metric_id__in=by_metric, subject_id__in=units, period_kind="Y", period_start=date(year, 1, 1),
        scenario=Scenario.ACTUAL, number__isnull=False,
    ).select_related("metric")  # fmt: skip
    have = {
        (row.unit_id, row.sub_indicator_id): row
        for row in Assessment.objects.select_for_update().filter(
            programme=programme, year=year, sub_indicator__in=parts
        )
    }
    places = programme_places.list_places(units, year)
    requirements = programme_places.read_requirements([part.pk for part in parts])
    count = 0
    for value in values:
        for part in by_metric[value.metric_id]:
            unit = units[value.subject_id]
            if part.criterion.criteria_set.level != levels[unit.pk]:
                continue
            if unit.valid_to is not None and unit.valid_to <= date(year, 1, 1):
                continue
            row = have.get((unit.pk, part.pk))
            if row is not None and row.value_id is None and row.numerator is not None:
                continue
            before = _before(row) if row else None
            row = row or Assessment(
                programme=programme, unit=unit, criterion=part.criterion, sub_indicator=part, year=year
            )
            row.value = value
            row.numerator = row.denominator = None
            row.measured = Decimal(value.number).scaleb(-value.metric.decimals)  # type: ignore[arg-type]
            if not (row.passage_id and row.required is not None):
                _take_requirement(row, requirements.choose(part.pk, places[unit.pk], year))
            result = criteria.judge(row.measured, _as_required(row))
            if result != criteria.Result.NOT_ASSESSED:
                row.result = result.value
            if before == _before(row):
                continue
            if before is not None:
                row.version += 1
            row.assessed_by, row.assessed_at = by, moment
            row.save()
            if before is not None:
                AssessmentChange.objects.create(assessment=row, before=before, by=by, reason="Lấy từ số liệu của kỳ")
            count += 1
    if count:
        audit.record("planning.assessment.filled", actor=by, target=programme, count=count, year=year)
    return count


# --- positions, roadmap -----------------------------------------------------------------------------------------


@transaction.atomic
def put_position(
    programme: Programme, unit: Subject, *, criteria_set: CriteriaSet, year: int, text: str,
    met_count: int | None = None, criteria_count: int | None = None, not_met_as_printed: str = "",
    passage: Passage | None = None, by: Person | None = None, recorded_in_bulk: bool = False,
) -> StatedPosition:  # fmt: skip
    """Record what a document says of a place as a whole («NTM đạt 14/19 TC …»). Idempotent."""
    row, _ = _put(
        StatedPosition,
        {"programme": programme, "unit": unit, "criteria_set": criteria_set, "year": year},
        {
            "met_count": met_count, "criteria_count": criteria_count, "not_met_as_printed": not_met_as_printed,
            "text": text, "passage": passage,
        },
        programme=programme, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


@transaction.atomic
def put_roadmap_entry(
    programme: Programme, *, unit: Subject | None, name_as_printed: str, district_as_printed: str = "",
    level: str = CriteriaSet.Level.COMMUNE, tier: str, year: int, is_recognised: bool = False,
    recognised_by: str = "", passage: Passage | None = None, by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> RoadmapEntry:  # fmt: skip
    """Record the year in which a place is to be (or was) recognised at a tier, as printed. Idempotent.

    The year of an entry is changed by change_roadmap alone; a decision that was entered since is kept.
    Raises RoadmapFrozen for a new place after the freeze.
    """
    row = RoadmapEntry.objects.filter(
        programme=programme, level=level, tier=tier, name_as_printed=name_as_printed,
        district_as_printed=district_as_printed,
    ).first()  # fmt: skip
    if row is None:
        if programme.roadmap_frozen_on is not None:
            raise RoadmapFrozen(
                f"Lộ trình của «{programme}» đã chốt ngày {format_date(programme.roadmap_frozen_on)}: "
                f"không thêm được «{name_as_printed}»."
            )
        row = RoadmapEntry.objects.create(
            programme=programme, unit=unit, name_as_printed=name_as_printed, district_as_printed=district_as_printed,
            level=level, tier=tier, year=year, is_recognised=is_recognised, recognised_by=recognised_by,
            passage=passage,
        )  # fmt: skip
        changed = True
    else:
        said = {"unit": unit, "passage": passage}
        changed = bool(_differing(row, said))
        for field, value in said.items():
            setattr(row, field, value)
        if changed:
            row.save(update_fields=list(said))
    if changed and not recorded_in_bulk:
        audit.record("planning.programme.content", actor=by, target=programme, kind="roadmapentry", row=row.pk)
    return row


@transaction.atomic
def freeze_roadmap(
    programme: Programme, *, on_date: date, text: str, passage: Passage | None = None, by: Person | None = None
) -> None:
    """Freeze the roadmap: from now on a change needs a named decision. Idempotent."""
    Programme.objects.select_for_update().get(pk=programme.pk)
    programme.refresh_from_db()
    if programme.roadmap_frozen_on is not None:
        return
    programme.roadmap_frozen_on, programme.roadmap_frozen_text = on_date, text
    programme.passage = passage or programme.passage
    programme.save(update_fields=["roadmap_frozen_on", "roadmap_frozen_text", "passage"])
    audit.record("planning.roadmap.frozen", actor=by, target=programme, on=on_date)


@transaction.atomic
def change_roadmap(
    entry: RoadmapEntry, *, to_year: int, reason: str, decision: str = "", version: int | None = None,
    by: Person | None = None,
) -> RoadmapChange:  # fmt: skip
    """Move a place to another year of the roadmap; what it was stays in the log.

    decision: the document that allows it, needed after the freeze.
    Raises RoadmapFrozen, UnitEnded (the place is gone by then), ChangedMeanwhile, PlanningError.
    """
    entry = RoadmapEntry.objects.select_for_update(of=("self",)).select_related("programme", "unit").get(pk=entry.pk)
    programme = entry.programme
    if version is not None and entry.version != version:
        raise ChangedMeanwhile(
            f"Lộ trình của «{entry.name_as_printed}» vừa được người khác sửa. Tải lại trang để xem bản mới."
        )
    if not reason.strip():
        raise PlanningError("Ghi lý do điều chỉnh lộ trình.")
    if to_year == entry.year:
        raise PlanningError(f"«{entry.name_as_printed}» đã ở năm {to_year} của lộ trình. Chọn năm khác.")
    if entry.is_recognised:
        raise PlanningError(f"«{entry.name_as_printed}» đã được công nhận năm {entry.year}; không điều chỉnh lộ trình.")
    if not 2000 <= to_year <= 2100:
        raise PlanningError(f"Năm {to_year} không hợp lệ. Nhập năm có bốn chữ số.")
    frozen = programme.roadmap_frozen_on is not None
    if frozen and not decision.strip():
        raise RoadmapFrozen(
            f"Lộ trình đã chốt ngày {format_date(programme.roadmap_frozen_on)} («{programme.roadmap_frozen_text}»). "
            "Chỉ điều chỉnh được khi có văn bản cho phép: ghi số, ngày của văn bản đó."
        )
    if entry.unit is not None:
        require_alive(entry.unit, to_year, "chuyển lộ trình sang")
    change = RoadmapChange.objects.create(
        entry=entry, from_year=entry.year, to_year=to_year, after_freeze=frozen, decision=decision.strip(),
        reason=reason.strip(), by=by,
    )  # fmt: skip
    entry.year, entry.version = to_year, entry.version + 1
    entry.save(update_fields=["year", "version"])
    if frozen:
        Programme.objects.filter(pk=programme.pk).update(roadmap_version=models.F("roadmap_version") + 1)
    audit.record("planning.roadmap.changed", actor=by, target=entry, from_year=change.from_year, to_year=to_year)
    return change


@transaction.atomic
def put_roadmap_total(
    programme: Programme, *, level: str = CriteriaSet.Level.COMMUNE, tier: str, year: int | None,
    count: int | None = None, cumulative: int | None = None, share_as_printed: str = "",
    passage: Passage | None = None, by: Person | None = None, recorded_in_bulk: bool = False,
) -> RoadmapTotal:  # fmt: skip
    """Record what the document prints for a year of the roadmap (year None: its total line). Idempotent."""
    row, _ = _put(
        RoadmapTotal,
        {"programme": programme, "level": level, "tier": tier, "year": year},
        {"count": count, "cumulative": cumulative, "share_as_printed": share_as_printed, "passage": passage},
        programme=programme, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


@transaction.atomic
def put_discrepancy(
    plan: Plan, *, about: str, first: str, second: str, first_passage: Passage | None = None,
    second_passage: Passage | None = None, note: str = "", by: Person | None = None, recorded_in_bulk: bool = False,
) -> Discrepancy:  # fmt: skip
    """Keep two places of one document that say different things of the same; neither is chosen. Idempotent."""
    row, _ = _put(
        Discrepancy,
        {"plan": plan, "about": about},
        {
            "first": first, "first_passage": first_passage, "second": second, "second_passage": second_passage,
            "note": note,
        },
        programme=None, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


@transaction.atomic
def put_unread_row(
    plan: Plan, *, order: int, section: str, text: str, reason: str, by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> UnreadRow:  # fmt: skip
    """List a row of a document that could not be read with certainty. Idempotent by its order in the plan."""
    row, _ = _put(
        UnreadRow, {"plan": plan, "order": order}, {"section": section, "text": text, "reason": reason},
        programme=None, by=by, recorded_in_bulk=recorded_in_bulk,
    )  # fmt: skip
    return row  # type: ignore[no-any-return]


# --- dossiers ---------------------------------------------------------------------------------------------------

_Step = Dossier.Step
_NEXT: dict[str, tuple[str, ...]] = {
    _Step.PREPARING: (_Step.DISTRICT,),
    _Step.DISTRICT: (_Step.PROVINCE, _Step.RETURNED),
    _Step.PROVINCE: (_Step.APPRAISED, _Step.RETURNED),
    _Step.APPRAISED: (_Step.RECOGNISED, _Step.RETURNED),
    _Step.RETURNED: (_Step.DISTRICT, _Step.PROVINCE),
    _Step.RECOGNISED: (),
}


def next_steps(dossier: Dossier) -> tuple[str, ...]:
    """Return the steps that may follow."""
    return _NEXT[dossier.step]


def due_day(programme: Programme, step: str, year: int) -> date | None:
    """Return the last day of the year that still keeps the programme's deadline of the step; None if it has none."""
    row = RecognitionDeadline.objects.filter(programme=programme, step=step).first()
    return criteria.last_lawful_day(year, row.month, row.day, is_exclusive=row.is_exclusive) if row else None


@transaction.atomic
def open_dossier(
    programme: Programme, unit: Subject, *, tier: str, year: int, on_date: date, text: str = "",
    by: Person | None = None,
) -> Dossier:  # fmt: skip
    """Begin the recognition of a place at a tier in a year. Idempotent. Raises UnitEnded, PlanningError."""
    if not programme.units.filter(pk=unit.pk).exists():
        raise PlanningError(f"«{unit.name}» không thuộc chương trình «{programme}».")
    _hold(unit)
    found = Dossier.objects.filter(programme=programme, unit=unit, tier=tier, year=year).first()
    if found is not None:
        return found
    require_alive(unit, year, "lập hồ sơ công nhận")
    dossier = Dossier.objects.create(programme=programme, unit=unit, tier=tier, year=year)
    DossierEvent.objects.create(
        dossier=dossier, step=_Step.PREPARING, on_date=on_date, due_on=due_day(programme, _Step.DISTRICT, year),
        text=text, by=by,
    )  # fmt: skip
    audit.record("planning.dossier.moved", actor=by, target=dossier, step=_Step.PREPARING)
    return dossier


@transaction.atomic
def advance_dossier(
    dossier: Dossier, step: str, *, on_date: date, today: date, text: str = "", decision: str = "",
    files: Sequence[StoredFile] = (), version: int | None = None, by: Person | None = None,
) -> Dossier:  # fmt: skip
    """Take a dossier one step on (or return it, with the reason). Late is recorded, not refused.

    decision: number and date of the recognition, needed for RECOGNISED; the roadmap then shows the place as recognised
    and the counts of communes are marked dirty: call indicators.recompute_dirty afterwards.
    Raises PlanningError (wrong order, a day to come, nothing said), UnitEnded, ChangedMeanwhile.
    """
    dossier = Dossier.objects.select_for_update(of=("self",)).select_related("programme", "unit").get(pk=dossier.pk)
    name = f"Hồ sơ của «{dossier.unit.name}» năm {dossier.year}"
    if version is not None and dossier.version != version:
        raise ChangedMeanwhile(f"{name} vừa được người khác cập nhật. Tải lại trang để xem bản mới rồi làm tiếp.")
    if step not in _NEXT[dossier.step]:
        allowed = ", ".join(f"«{_Step(one).label}»" for one in _NEXT[dossier.step]) or "không còn bước nào"
        raise PlanningError(f"{name} đang ở bước «{dossier.get_step_display()}». Bước tiếp theo: {allowed}.")
    if on_date > today:
        raise PlanningError(f"{name}: ngày {format_date(on_date)} chưa đến. Nhập ngày đã làm xong bước này.")
    last = dossier.events.order_by("-on_date", "-id").first()
    if last is not None and on_date < last.on_date:
        raise PlanningError(f"{name}: bước trước làm ngày {format_date(last.on_date)}. Nhập ngày từ hôm đó trở đi.")
    if step == _Step.RETURNED and not text.strip():
        raise PlanningError(f"{name}: ghi rõ cần bổ sung gì khi trả lại.")
    if step == _Step.RECOGNISED and not decision.strip():
        raise PlanningError(f"{name}: ghi số và ngày của quyết định công nhận.")
    if dossier.unit.valid_to is not None and on_date >= dossier.unit.valid_to:
        require_alive(dossier.unit, on_date.year + 1, "chuyển bước hồ sơ")
    due = due_day(dossier.programme, step, dossier.year)
    event = DossierEvent.objects.create(
        dossier=dossier, step=step, on_date=on_date, due_on=due, text=text.strip(), by=by
    )
    if files:
        event.files.add(*files)
    dossier.step, dossier.version = step, dossier.version + 1
    if step == _Step.RECOGNISED:
        dossier.decision, dossier.decided_on = decision.strip(), on_date
        RoadmapEntry.objects.filter(programme=dossier.programme, unit=dossier.unit, tier=dossier.tier).update(
            is_recognised=True, recognised_by=decision.strip()
        )
    dossier.save()
    audit.record("planning.dossier.moved", actor=by, target=dossier, step=step)
    if step == _Step.RECOGNISED:
        programme_measures.mark_dirty(dossier.programme, reason=f"công nhận {dossier.unit.name}")
    return dossier
