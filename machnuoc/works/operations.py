"""What writes water works. Each act is one transaction with its audit row; figures built on it are marked dirty."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.utils.text import slugify

from machnuoc.core import audit, folding
from machnuoc.core.models import Passage, Person
from machnuoc.core.vietnamese import format_number
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators.models import Metric, Value
from machnuoc.places import operations as place_operations
from machnuoc.places.models import AdministrativeUnit, Organisation, ParentLink, PrintedName, Subject
from machnuoc.works import search_entries
from machnuoc.works.models import Capacity, ServiceArea, TreatmentTrain, Work, WorkOperator, WorkStatus

LATITUDES, LONGITUDES = (6, 24), (101, 118)
"""Degrees between which a work can stand: Vietnam with its islands."""


class WorksError(ValueError):
    """An act on a work that cannot be done; the text says why and what to do."""


@transaction.atomic
def put_treatment_train(
    *, key: str, name: str, source_kind: str, steps: list[str], passage: Passage | None, by: Person | None = None
) -> TreatmentTrain:
    """Keep a chain of treatment steps. Idempotent."""
    fields = {"name": name, "source_kind": source_kind, "steps": steps, "passage": passage}
    train, created = TreatmentTrain.objects.get_or_create(key=key, defaults=fields)
    if created or any(getattr(train, field) != value for field, value in fields.items()):
        for field, value in fields.items():
            setattr(train, field, value)
        train.save()
        audit.record("works.treatment_train.saved", actor=by, target=train)
    return train


@transaction.atomic
def put_work(
    *,
    key: str,
    name: str,
    kind: str,
    sector: str,
    parent: Work | None = None,
    territories: Iterable[AdministrativeUnit] = (),
    urban_area: Subject | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    source_kind: str = "",
    treatment: TreatmentTrain | None = None,
    contact_name: str = "",
    contact_phone: str = "",
    note: str = "",
    passage: Passage | None = None,
    version: int | None = None,
    by: Person | None = None,
) -> Work:
    """Create the work of this key, or bring it to what is said here. Idempotent.

    territories: the communes it lies in (or the province, where no document says more). Operator, status, capacity and
    service areas have operations of their own, since they have a history.
    Raises WorksError (key of another kind, part of itself), places.ChangedMeanwhile.
    """
    subject, created = Subject.objects.get_or_create(key=key, defaults={"kind": Subject.Kind.WORK, "name": name})
    if subject.kind != Subject.Kind.WORK:
        raise WorksError(
            f"Khóa «{key}» đã dùng cho {subject.get_kind_display().lower()} «{subject.name}». Chọn khóa khác."
        )
    if parent is not None and parent.pk == subject.pk:
        raise WorksError("Một công trình không thể là phần của chính nó.")
    fields = {
        "kind": kind, "sector": sector, "parent": parent, "source_kind": source_kind, "treatment": treatment,
        "contact_name": contact_name, "contact_phone": contact_phone, "note": note, "passage": passage,
    }  # fmt: skip
    about = {"name": name, "latitude": latitude, "longitude": longitude}
    if created:
        Subject.objects.filter(pk=subject.pk).update(**about)
        subject.refresh_from_db()
        work = Work.objects.create(subject=subject, **fields)
        changed = True
    else:
        place_operations.require_current(subject, version)
        work = Work.objects.select_related("subject").get(pk=subject.pk)
        changed = any(getattr(work, field) != value for field, value in fields.items())
        changed = changed or any(getattr(subject, field) != value for field, value in about.items())
        if changed:
            for field, value in fields.items():
                setattr(work, field, value)
            work.save()
            Subject.objects.filter(pk=subject.pk).update(**about)
            subject.refresh_from_db()
            place_operations.touch(subject)
            work.subject = subject
    places = [unit.subject for unit in territories] + ([urban_area] if urban_area else [])
    moved = place_operations.set_parents(subject, ParentLink.Reason.TERRITORY, places, passage=passage, rebuild=False)
    moved |= place_operations.set_parents(
        subject, ParentLink.Reason.PART_OF, [parent.subject] if parent else [], passage=passage, rebuild=False
    )
    if moved or created:
        place_operations.rebuild_containment([subject.pk])
    if moved and not created:
        _mark_sums_dirty(work, None, f"địa bàn của {key}")
    if changed or moved:
        search_entries.put_work(work)
        audit.record("works.work.saved", actor=by, target=work, created=created)
    return work


@transaction.atomic
def add_work(
    *,
    name: str,
    kind: str,
    sector: str,
    operator: Organisation | None,
    team: Organisation | None = None,
    parent: Work | None = None,
    territories: Iterable[AdministrativeUnit] = (),
    status: str = Work.Status.UNKNOWN,
    from_date: date | None = None,
    source_kind: str = "",
    note: str = "",
    passage: Passage | None = None,
    key: str = "",
    by: Person,
) -> Work:
    """Enter a work that the program does not know yet, with its operator and status.

    from_date: since when the operator runs it and the status holds (None: since before we know).
    key: made of the name if empty. Raises WorksError for a key that is taken or is none of a work.
    """
    if key:
        _require_new_key(key)
    else:
        key = _make_key(name, parent)
    work = put_work(
        key=key, name=name, kind=kind, sector=sector, parent=parent, territories=territories, source_kind=source_kind,
        note=note, passage=passage, by=by,
    )  # fmt: skip
    if operator is not None:
        set_operator(work, operator, team=team, from_date=from_date, passage=passage, by=by)
    set_status(work, status, from_date=from_date, passage=passage, by=by)
    return work


def _make_key(name: str, parent: Work | None) -> str:
    stem = f"{parent.subject.key}." if parent else "work."
    slug = slugify(folding.fold(name))[:60].strip("-") or "cong-trinh"
    taken = set(Subject.objects.filter(key__startswith=f"{stem}{slug}").values_list("key", flat=True))
    return next(
        candidate
        for candidate in (f"{stem}{slug}{f'-{number}' if number > 1 else ''}" for number in range(1, len(taken) + 2))
        if candidate not in taken
    )


def _require_new_key(key: str) -> None:
    if not _KEY.fullmatch(key) or len(key) > 120:
        raise WorksError(
            f"Mã «{key[:40]}» không dùng được cho công trình: viết «work.» rồi chữ thường không dấu, số, dấu gạch "
            "ngang, ví dụ work.tram-a."
        )
    if Subject.objects.filter(key=key).exists():
        raise WorksError(f"Mã «{key}» đã có. Chọn mã khác, hoặc bỏ trống để chương trình đặt mã theo tên.")


_KEY = re.compile(r"work\.[a-z0-9]+(?:[.-][a-z0-9]+)*", re.ASCII)


@transaction.atomic
def describe(work: Work, *, note: str | None = None, name: str | None = None, by: Person) -> None:
    """Change the note on a work, its name, or both. The caller has asked whether the person may."""
    work = Work.objects.select_related("subject").select_for_update(of=("self",)).get(pk=work.pk)
    if note is not None:
        work.note = note
        work.save(update_fields=["note"])
    if name is not None:
        Subject.objects.filter(pk=work.pk).update(name=name)
        work.subject.name = name
        search_entries.put_work(work)
    place_operations.touch(work.subject)
    audit.record("works.work.saved", actor=by, target=work, created=False)


@transaction.atomic
def put_position(work: Work, position: tuple[float, float] | None, *, by: Person) -> None:
    """Say where a work stands: (latitude, longitude) in degrees, or None where nobody knows. Idempotent.

    The caller has asked whether the person may. Raises WorksError for a place that is not in Vietnam.
    """
    latitude, longitude = position or (None, None)
    if position is not None and not (
        LATITUDES[0] <= position[0] <= LATITUDES[1] and LONGITUDES[0] <= position[1] <= LONGITUDES[1]
    ):
        raise WorksError(
            f"Vị trí của «{work}» ở ngoài Việt Nam: vĩ độ từ {LATITUDES[0]} đến {LATITUDES[1]}, "
            f"kinh độ từ {LONGITUDES[0]} đến {LONGITUDES[1]}. Kiểm tra thứ tự kinh độ, vĩ độ."
        )
    place_operations.require_current(work.subject, None)
    work = Work.objects.select_related("subject").get(pk=work.pk)
    if (work.subject.latitude, work.subject.longitude) == (latitude, longitude):
        return
    Subject.objects.filter(pk=work.pk).update(latitude=latitude, longitude=longitude)
    place_operations.touch(work.subject)
    audit.record("works.work.saved", actor=by, target=work, created=False)


@transaction.atomic
def hand_over(
    work: Work,
    operator: Organisation,
    *,
    team: Organisation | None = None,
    from_date: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
) -> None:
    """Let an organisation run the work from a day on, with the sub-schemes that the same organisation ran with it.

    Raises WorksError as set_operator does.
    """
    former_id = work.operator_id
    set_operator(work, operator, team=team, from_date=from_date, passage=passage, by=by)
    for part in Work.objects.filter(parent=work, operator_id=former_id).select_related("subject"):
        hand_over(part, operator, team=team, from_date=from_date, passage=passage, by=by)


def _mark_sums_dirty(work: Work, from_date: date | None, reason: str) -> None:
    """Let the sums of organisations and units be computed anew: the work has moved from one to another.

    Figures of the year of the move are those of its end, so they go with the work.
    """
    start = date(from_date.year, 1, 1) if from_date else date.min
    measures = Metric.objects.filter(
        kind=Metric.Kind.MEASURE, pk__in=Value.objects.filter(subject_id=work.pk).values("metric_id")
    )
    for metric in measures:
        indicator_operations.mark_dirty(metric, subject=work.subject, from_date=start, reason=reason)


@transaction.atomic
def set_operator(
    work: Work,
    operator: Organisation,
    *,
    team: Organisation | None = None,
    from_date: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
) -> WorkOperator:
    """Let an organisation run the work from a day on (None: since before we know). The former operator ends there.

    team: the unit of the operator that runs it day by day. Raises WorksError if the day does not follow the last one.
    """
    Work.objects.select_for_update().get(pk=work.pk)
    live = WorkOperator.objects.filter(work=work, valid_to__isnull=True).first()
    if live is not None and live.organisation_id == operator.pk:
        if work.operator_id == operator.pk and work.team_id == (team.pk if team else None):
            return live
        record = live
    else:
        if live is not None:
            if from_date is None or (live.valid_from is not None and from_date <= live.valid_from):
                raise WorksError(
                    f"«{work}» đang do «{live.organisation}» vận hành. "
                    "Cần ngày chuyển giao, sau ngày đơn vị này bắt đầu."
                )
            live.valid_to = from_date
            live.save(update_fields=["valid_to"])
        record = WorkOperator.objects.create(work=work, organisation=operator, valid_from=from_date, passage=passage)
    work.operator, work.team = operator, team
    work.save(update_fields=["operator", "team"])
    place_operations.set_parents(
        work.subject, ParentLink.Reason.OPERATED_BY, [(team or operator).subject], from_date=from_date, passage=passage
    )
    _mark_sums_dirty(work, from_date, f"đơn vị vận hành của {work.subject.key}")
    search_entries.put_work(work)
    audit.record("works.operator.set", actor=by, target=work, organisation=operator.pk, team=team.pk if team else None)
    return record


@transaction.atomic
def set_status(
    work: Work,
    status: str,
    *,
    from_date: date | None = None,
    reason: str = "",
    passage: Passage | None = None,
    by: Person | None = None,
) -> None:
    """Record a status and make it today's. Idempotent for the same status and passage."""
    if status not in Work.Status.values:
        raise WorksError(f"Không có tình trạng «{status}».")
    last = WorkStatus.objects.filter(work=work).first()
    if last and (last.status, last.from_date, last.passage_id) == (status, from_date, passage.pk if passage else None):
        return
    if last and last.from_date and from_date and from_date < last.from_date:
        raise WorksError(f"Tình trạng trước đó của «{work}» có từ ngày {last.from_date:%d/%m/%Y}; chọn ngày sau đó.")
    WorkStatus.objects.create(work=work, status=status, from_date=from_date, reason=reason, passage=passage)
    work.status = status
    work.save(update_fields=["status"])
    search_entries.put_work(work)
    audit.record("works.status.set", actor=by, target=work, status=status)


@transaction.atomic
def record_capacity(
    work: Work,
    *,
    kind: str,
    basis: str,
    amount: Decimal,
    from_date: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
) -> Capacity:
    """Record what the work can carry from a day on (None: since before we know); the former capacity ends there.

    Idempotent. Raises WorksError for a negative amount, a fraction of a household, or a day before the last change.
    """
    if amount < 0:
        raise WorksError(f"Công suất của «{work}» không thể âm.")
    if basis == Capacity.Basis.HOUSEHOLDS and amount != amount.to_integral_value():
        raise WorksError(f"Công suất theo hộ của «{work}» phải là số nguyên.")
    Work.objects.select_for_update().get(pk=work.pk)
    live = Capacity.objects.filter(work=work, kind=kind, basis=basis, valid_to__isnull=True).first()
    if live is not None and live.amount == amount and (from_date is None or live.valid_from == from_date):
        return live
    if live is not None:
        if from_date is None or (live.valid_from is not None and from_date <= live.valid_from):
            raise WorksError(
                f"«{work}» đã có công suất {live.get_kind_display().lower()} "
                f"{format_number(live.amount.normalize() + 0)} {live.get_basis_display()}. "
                "Cần ngày bắt đầu của công suất mới, sau ngày bắt đầu của công suất này."
            )
        live.valid_to = from_date
        live.save(update_fields=["valid_to"])
    capacity = Capacity.objects.create(
        work=work, kind=kind, basis=basis, amount=amount, valid_from=from_date, passage=passage, recorded_by=by
    )
    metric = Metric.objects.filter(key=_MEASURES.get((kind, basis), "")).first()
    if metric is not None:
        indicator_operations.mark_dirty(
            metric, subject=work.subject, from_date=from_date or date.min, reason=f"công suất của {work.subject.key}"
        )
    audit.record("works.capacity.recorded", actor=by, target=work, kind=kind, basis=basis)
    return capacity


_MEASURES: dict[tuple[str, str], str] = {
    (Capacity.Kind.DESIGN, Capacity.Basis.HOUSEHOLDS): "works.households_design",
    (Capacity.Kind.DESIGN, Capacity.Basis.M3D): "works.capacity_design_m3d",
}


@transaction.atomic
def set_service_areas(
    work: Work,
    places: Iterable[tuple[Subject, str]],
    *,
    is_planned: bool = False,
    from_date: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
) -> None:
    """Let the work serve exactly these places (each with the name as printed, or «»). Idempotent.

    Places no longer named end on from_date (or are removed where no day is known).
    """
    wanted = {place.pk: (place, printed) for place, printed in places}
    live = {
        area.place_id: area
        for area in ServiceArea.objects.filter(work=work, is_planned=is_planned, valid_to__isnull=True)
    }
    for place_id in live.keys() - wanted.keys():
        if from_date is None:
            live[place_id].delete()
        else:
            live[place_id].valid_to = from_date
            live[place_id].save(update_fields=["valid_to"])
    fresh = [
        ServiceArea(
            work=work, place=place, is_planned=is_planned, as_printed=printed, valid_from=from_date, passage=passage
        )
        for place_id, (place, printed) in wanted.items()
        if place_id not in live
    ]
    ServiceArea.objects.bulk_create(fresh)
    if fresh or live.keys() - wanted.keys():
        search_entries.put_work(work)
        audit.record("works.service_areas.set", actor=by, target=work, count=len(wanted), planned=is_planned)


@transaction.atomic
def add_alias(
    work: Work,
    text: str,
    *,
    certainty: str = PrintedName.Certainty.STATED,
    note: str = "",
    passage: Passage | None = None,
    by: Person | None = None,
) -> None:
    """Keep a name under which a document prints the work, and let the search box find the work under it."""
    place_operations.put_printed_name(work.subject, text, certainty=certainty, note=note, passage=passage, by=by)
    search_entries.put_work(work)


audit.describe("works.work.saved", "lưu hồ sơ công trình {target}")
audit.describe("works.operator.set", "ghi đơn vị vận hành của công trình {target}")
audit.describe("works.status.set", "ghi tình trạng của công trình {target}")
audit.describe("works.capacity.recorded", "ghi công suất của công trình {target}")
audit.describe("works.service_areas.set", "ghi phạm vi cấp nước của công trình {target}")
audit.describe("works.treatment_train.saved", "lưu dây chuyền xử lý {target}")
