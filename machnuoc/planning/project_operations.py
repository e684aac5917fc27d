"""What writes projects and their money. Each act is one transaction with its audit row.

Payments and accepted volumes are never edited: a wrong one is reversed by its negative, with the reason. Who may act is
asked by views and the API (project_queries.may_manage, may_enter); `by` None is the program itself (loading).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import Max, Sum
from django.urls import reverse
from django.utils.text import slugify

from machnuoc.core import audit, folding, notices, search
from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators.models import Metric
from machnuoc.places import operations as place_operations
from machnuoc.places.models import AdministrativeUnit, Organisation, ParentLink, Subject
from machnuoc.planning import disbursement, task_operations
from machnuoc.planning.errors import PlanningError
from machnuoc.planning.models import (
    AcceptedVolume,
    Disbursement,
    FundingSource,
    Milestone,
    Obstacle,
    Plan,
    PlannedPayment,
    ProgrammeFund,
    Project,
    YearlyPlan,
)
from machnuoc.planning.money import format_amount
from machnuoc.works.models import Work

PROJECT = "project"  # its kind in the search box
NOTICE = "planning.project"
PLANNED, DISBURSED = "investment.planned_vnd", "investment.disbursed_vnd"
_FIRST_YEAR, _LAST_YEAR = 1990, 2200

audit.describe("planning.project.saved", "lưu dự án {target}")
audit.describe("planning.project.yearly_plan_saved", "ghi kế hoạch vốn năm {year} của dự án {target}")
audit.describe("planning.project.disbursed", "ghi giải ngân của dự án {target}")
audit.describe("planning.project.disbursement_reversed", "đảo bút toán giải ngân của dự án {target}")
audit.describe("planning.project.volume_accepted", "ghi giá trị nghiệm thu của dự án {target}")
audit.describe("planning.project.volume_reversed", "đảo giá trị nghiệm thu của dự án {target}")
audit.describe("planning.project.milestone_saved", "ghi mốc của dự án {target}")
audit.describe("planning.project.milestone_removed", "xóa mốc của dự án {target}")
audit.describe("planning.project.obstacle_raised", "nêu vướng mắc của dự án {target}")
audit.describe("planning.project.obstacle_resolved", "ghi đã gỡ vướng mắc của dự án {target}")
audit.describe("planning.project.progress_set", "ghi tình trạng của dự án {target}")
audit.describe("planning.fund.saved", "ghi nguồn vốn của kế hoạch {target}")


class ProjectError(PlanningError):
    """An act on a project that cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Source:
    """Where money of a project comes from; the amount in đồng where the document gives one."""

    name: str
    amount_vnd: int | None = None


# --- the project itself ---------------------------------------------------------------------------------------------


@transaction.atomic
def put_project(
    *,
    key: str,
    name: str,
    plan: Plan | None = None,
    number: str = "",
    owner: Organisation | None = None,
    owner_as_printed: str = "",
    carried_out_by: Organisation | None = None,
    contractor: str = "",
    total_vnd: int | None = None,
    total_as_printed: str = "",
    sources: Sequence[Source] | None = None,
    completion_as_printed: str = "",
    starts_on: date | None = None,
    due_on: date | None = None,
    outcome: str = "",
    people_expected: int | None = None,
    territories: Iterable[AdministrativeUnit] = (),
    work: Work | None = None,
    note: str = "",
    passage: Passage | None = None,
    version: int | None = None,
    by: Person | None = None,
) -> Project:
    """Create the project of this key, or bring it to what is said here. Idempotent.

    carried_out_by: who carries it out besides the owner; sums and rights reach it too. due_on: the last day that still
    counts. sources None leaves them. Status, people reached and money have acts of their own.
    Raises ProjectError, places.ChangedMeanwhile.
    """
    name = " ".join(name.split())
    if not name or len(name) > 200:
        raise ProjectError("Tên dự án phải có, và dài nhất 200 ký tự. Sửa tên rồi lưu lại.")
    if total_vnd is not None and total_vnd < 0:
        raise ProjectError(f"Tổng mức của dự án «{name}» không thể âm. Kiểm tra lại số tiền.")
    if starts_on and due_on and due_on < starts_on:
        raise ProjectError(f"Dự án «{name}»: ngày phải hoàn thành đứng trước ngày khởi công. Sửa lại hai ngày.")
    subject, created = Subject.objects.get_or_create(key=key, defaults={"kind": Subject.Kind.PROJECT, "name": name})
    if subject.kind != Subject.Kind.PROJECT:
        raise ProjectError(
            f"Khóa «{key}» đã dùng cho {subject.get_kind_display().lower()} «{subject.name}». Chọn khóa khác."
        )
    fields: dict[str, Any] = {
        "plan_id": plan.pk if plan else None, "number": number, "owner_id": owner.pk if owner else None,
        "owner_as_printed": owner_as_printed, "contractor": contractor, "total_vnd": total_vnd,
        "total_as_printed": total_as_printed, "completion_as_printed": completion_as_printed, "starts_on": starts_on,
        "due_on": due_on, "outcome": outcome, "people_expected": people_expected,
        "work_id": work.pk if work else None, "note": note, "passage_id": passage.pk if passage else None,
    }  # fmt: skip
    if created:
        project, changed = Project.objects.create(subject=subject, **fields), True
    else:
        place_operations.require_current(subject, version)
        project = Project.objects.select_related("subject").get(pk=subject.pk)
        changed = subject.name != name or any(getattr(project, field) != value for field, value in fields.items())
        if changed:
            for field, value in fields.items():
                setattr(project, field, value)
            project.save()
            Subject.objects.filter(pk=subject.pk).update(name=name)
            subject.refresh_from_db()
            project.subject = subject
    if sources is not None:
        changed |= _set_sources(project, sources)
    changed |= _set_places(project, territories, [owner, carried_out_by], passage, created)
    if changed:
        if not created:
            place_operations.touch(subject)
        _index(project)
        audit.record("planning.project.saved", actor=by, target=project, created=created)
    return project


@transaction.atomic
def add_project(*, name: str, by: Person, **said: Any) -> Project:
    """Enter a project that the program does not know yet; its key is made of the name. Raises as put_project."""
    same = Project.objects.filter(
        subject__name__iexact=" ".join(name.split()), plan=said.get("plan"), owner=said.get("owner")
    )
    if same.exists():
        raise ProjectError(
            f"Đã có dự án «{name.strip()}» của cùng chủ đầu tư và kế hoạch, có thể vừa được lưu. "
            "Mở dự án đó để sửa, hoặc ghi tên khác."
        )
    slug = slugify(folding.fold(name))[:60].strip("-") or "du-an"
    taken = set(Subject.objects.filter(key__startswith=f"project.{slug}").values_list("key", flat=True))
    key = next(
        candidate
        for candidate in (f"project.{slug}{f'-{count}' if count > 1 else ''}" for count in range(1, len(taken) + 2))
        if candidate not in taken
    )
    return put_project(key=key, name=name, by=by, version=0, **said)


def _set_sources(project: Project, sources: Sequence[Source]) -> bool:
    """Bring the sources to what is said, keeping the rows that payments point to."""
    held = {row.name: row for row in FundingSource.objects.filter(project=project)}
    wanted = {source.name: source for source in sources}
    if len(wanted) != len(sources):
        raise ProjectError(f"Dự án «{project}»: một nguồn vốn ghi hai lần. Gộp thành một dòng.")
    changed = False
    for name in held.keys() - wanted.keys():
        if held[name].disbursements.exists():
            raise ProjectError(
                f"Nguồn vốn «{name}» của dự án «{project}» đã có giải ngân, không bỏ được. Giữ lại dòng này."
            )
        held[name].delete()
        changed = True
    for order, source in enumerate(sources):
        row = held.get(source.name)
        if row is None:
            FundingSource.objects.create(
                project=project, order=order, name=source.name[:300], amount_vnd=source.amount_vnd
            )
            changed = True
        elif (row.order, row.amount_vnd) != (order, source.amount_vnd):
            row.order, row.amount_vnd = order, source.amount_vnd
            row.save(update_fields=["order", "amount_vnd"])
            changed = True
    return changed


def _set_places(
    project: Project,
    territories: Iterable[AdministrativeUnit],
    organisations: Iterable[Organisation | None],
    passage: Passage | None,
    created: bool,
) -> bool:
    subject = project.subject
    moved = place_operations.set_parents(
        subject, ParentLink.Reason.TERRITORY, [unit.subject for unit in territories], passage=passage, rebuild=False
    )
    moved |= place_operations.set_parents(
        subject, ParentLink.Reason.SUBORDINATE, [one.subject for one in organisations if one], passage=passage,
        rebuild=False,
    )  # fmt: skip
    if moved or created:
        place_operations.rebuild_containment([subject.pk])
    if moved and not created:
        for year in _years(project):
            mark_dirty(project, year, reason=f"địa bàn, chủ đầu tư của {subject.key}")
    return moved


def _index(project: Project) -> None:
    owner = project.owner_as_printed or (str(project.owner) if project.owner_id else "")
    search.put(
        PROJECT,
        project.pk,
        title=project.subject.name,
        subtitle=" · ".join(filter(None, ["Dự án", owner])),
        url=reverse("planning:project_detail", args=[project.subject.key]),
        text=" ".join([project.subject.name, owner, project.contractor, project.outcome]),
        subject_id=project.pk,
        weight=22,
    )


def _locked(project: Project) -> Project:
    """Read the project again; whoever else writes to it waits here until this transaction commits."""
    Subject.objects.select_for_update().only("pk").get(pk=project.pk)
    return Project.objects.select_related("subject").get(pk=project.pk)


def _not_in_future(day: date, today: date, what: str) -> None:
    if day.year < _FIRST_YEAR:
        raise ProjectError(f"{what} ngày {format_date(day)}: năm phải từ {_FIRST_YEAR} trở đi. Nhập lại ngày.")
    if day > today:
        raise ProjectError(f"{what} ngày {format_date(day)} chưa tới. Ghi khi việc đã diễn ra.")


# --- the year's capital ---------------------------------------------------------------------------------------------


@transaction.atomic
def put_yearly_plan(
    project: Project,
    *,
    year: int,
    amount_vnd: int,
    carried_over_vnd: int = 0,
    carry_over_until: date | None = None,
    months: Mapping[int, int] | None = None,
    document_as_printed: str = "",
    is_simulated: bool = False,
    by: Person | None = None,
) -> YearlyPlan:
    """Keep what may be paid in the year. Idempotent.

    carry_over_until: the last lawful day of the carried capital as the document gives it; None counts as 31/12.
    months: month → what is meant to be paid in it, adding up to capital and carried capital; None leaves them, {} takes
    them away. Raises ProjectError.
    """
    project = _locked(project)
    head = f"Kế hoạch vốn năm {year} của dự án «{project}»"
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ProjectError(f"Năm {year} không hợp lệ. Nhập năm bốn chữ số.")
    if amount_vnd < 0 or carried_over_vnd < 0 or amount_vnd + carried_over_vnd == 0:
        raise ProjectError(f"{head}: cần một số tiền lớn hơn 0. Nhập vốn trong năm, vốn kéo dài, hoặc cả hai.")
    if carry_over_until is not None and not carried_over_vnd:
        raise ProjectError(
            f"{head}: có hạn giải ngân vốn kéo dài nhưng không có vốn kéo dài. Nhập số tiền hoặc bỏ hạn."
        )
    if carry_over_until is not None and carry_over_until.year < year:
        raise ProjectError(f"{head}: hạn giải ngân vốn kéo dài đứng trước năm {year}. Xem lại văn bản cho phép.")
    if months:
        if any(month not in range(1, 13) or amount < 0 for month, amount in months.items()):
            raise ProjectError(f"{head}: mỗi tháng từ 1 đến 12 ghi một số tiền không âm.")
        total = sum(months.values())
        if total != amount_vnd + carried_over_vnd:
            raise ProjectError(
                f"{head}: các tháng cộng lại {format_amount(total)}, khác với {format_amount(amount_vnd)} vốn trong "
                f"năm và {format_amount(carried_over_vnd)} vốn kéo dài. Sửa để hai bên bằng nhau."
            )
    paid = _paid_in(project, year)
    if paid[False] > amount_vnd or paid[True] > carried_over_vnd:
        raise ProjectError(
            f"{head} thấp hơn số đã giải ngân ({format_amount(paid[False])} vốn trong năm, "
            f"{format_amount(paid[True])} vốn kéo dài). Đảo bút toán ghi sai trước."
        )
    said: dict[str, Any] = {
        "amount_vnd": amount_vnd, "carried_over_vnd": carried_over_vnd, "carry_over_until": carry_over_until,
        "document_as_printed": document_as_printed, "is_simulated": is_simulated,
    }  # fmt: skip
    plan = YearlyPlan.objects.filter(project=project, year=year).first()
    if plan is None:
        plan, changed = YearlyPlan.objects.create(project=project, year=year, made_by=by, **said), True
    else:
        changed = any(getattr(plan, field) != value for field, value in said.items())
        if changed:
            for field, value in said.items():
                setattr(plan, field, value)
            plan.made_by = by
            plan.save()
    if months is not None and dict(plan.months.values_list("month", "amount_vnd")) != dict(months):
        plan.months.all().delete()
        PlannedPayment.objects.bulk_create(
            PlannedPayment(yearly_plan=plan, month=month, amount_vnd=amount) for month, amount in sorted(months.items())
        )
        changed = True
    if changed:
        mark_dirty(project, year, reason=f"kế hoạch vốn của {project.subject.key}")
        audit.record("planning.project.yearly_plan_saved", actor=by, target=project, year=year)
    return plan


def _paid_in(project: Project, year: int) -> dict[bool, int]:
    """Return what was paid in the year out of its own capital (False) and out of what was carried over (True)."""
    rows = (
        Disbursement.objects.filter(project=project, on_date__year=year)
        .order_by()
        .values_list("from_carry_over")
        .annotate(total=Sum("amount_vnd"))
    )
    return {False: 0, True: 0} | dict(rows)


# --- payments and accepted volumes ----------------------------------------------------------------------------------


@transaction.atomic
def disburse(
    project: Project,
    *,
    on_date: date,
    amount_vnd: int,
    today: date,
    source: FundingSource | None = None,
    from_carry_over: bool = False,
    voucher: str = "",
    note: str = "",
    is_simulated: bool = False,
    by: Person | None = None,
) -> Disbursement:
    """Record money paid out. Raises ProjectError: beyond the year's capital or the total, after the last lawful day."""
    project = _locked(project)
    if amount_vnd <= 0:
        raise ProjectError("Số tiền giải ngân phải lớn hơn 0. Ghi nhầm thì đảo bút toán, không ghi số âm.")
    _not_in_future(on_date, today, "Giải ngân")
    if source is not None and source.project_id != project.pk:
        raise ProjectError(f"Nguồn vốn «{source}» không thuộc dự án «{project}». Chọn nguồn của dự án này.")
    capital = YearlyPlan.objects.filter(project=project, year=on_date.year).first()
    if from_carry_over and (capital is None or not capital.carried_over_vnd):
        raise ProjectError(
            f"Dự án «{project}» không có vốn kéo dài sang năm {on_date.year}. "
            "Nhập vốn kéo dài ở kế hoạch vốn năm, hoặc bỏ chọn «từ vốn kéo dài»."
        )
    if capital is not None:
        if from_carry_over:
            last = capital.carry_over_until or date(capital.year, 12, 31)
            if on_date > last:
                raise ProjectError(
                    f"Vốn kéo dài của dự án «{project}» chỉ được giải ngân đến hết ngày {format_date(last)}; "
                    f"ngày {format_date(on_date)} đã quá hạn. Kiểm tra lại ngày hoặc văn bản cho phép."
                )
        most = capital.carried_over_vnd if from_carry_over else capital.amount_vnd
        paid = _paid_in(project, on_date.year)[from_carry_over]
        if paid + amount_vnd > most:
            pot = "vốn kéo dài" if from_carry_over else f"kế hoạch vốn năm {on_date.year}"
            raise ProjectError(
                f"Giải ngân {format_amount(amount_vnd)} vượt {pot} của dự án «{project}»: đã giải ngân "
                f"{format_amount(paid)} trên {format_amount(most)}, còn {format_amount(max(most - paid, 0))}. "
                "Sửa số tiền, hoặc cập nhật kế hoạch vốn trước."
            )
    if project.total_vnd is not None:
        ever = Disbursement.objects.filter(project=project).aggregate(total=Sum("amount_vnd"))["total"] or 0
        if ever + amount_vnd > project.total_vnd:
            raise ProjectError(
                f"Giải ngân {format_amount(amount_vnd)} vượt tổng mức {format_amount(project.total_vnd)} của dự án "
                f"«{project}» (đã giải ngân {format_amount(ever)}). Kiểm tra số tiền, hoặc sửa tổng mức."
            )
    made = Disbursement.objects.create(
        project=project, on_date=on_date, amount_vnd=amount_vnd, source=source, from_carry_over=from_carry_over,
        voucher=voucher[:120], note=note[:300], recorded_by=by, is_simulated=is_simulated,
    )  # fmt: skip
    mark_dirty(project, on_date.year, reason=f"giải ngân của {project.subject.key}")
    audit.record("planning.project.disbursed", actor=by, target=project, disbursement=made.pk)
    return made


@transaction.atomic
def reverse_disbursement(entry: Disbursement, *, reason: str, by: Person | None = None) -> Disbursement:
    """Take a payment back by its negative on the same day, with the reason. Raises ProjectError."""
    project = _locked(entry.project)
    entry = Disbursement.objects.get(pk=entry.pk)
    _require_reversible(entry, reason, "Bút toán giải ngân")
    made = Disbursement.objects.create(
        project=project, on_date=entry.on_date, amount_vnd=-entry.amount_vnd, source=entry.source,
        from_carry_over=entry.from_carry_over, voucher=entry.voucher, note=reason.strip()[:300], reverses=entry,
        recorded_by=by, is_simulated=entry.is_simulated,
    )  # fmt: skip
    mark_dirty(project, entry.on_date.year, reason=f"đảo bút toán giải ngân của {project.subject.key}")
    audit.record("planning.project.disbursement_reversed", actor=by, target=project, disbursement=entry.pk)
    return made


@transaction.atomic
def accept_volume(
    project: Project,
    *,
    on_date: date,
    amount_vnd: int,
    today: date,
    note: str = "",
    is_simulated: bool = False,
    by: Person | None = None,
) -> AcceptedVolume:
    """Record the value of work accepted. Raises ProjectError."""
    project = _locked(project)
    if amount_vnd <= 0:
        raise ProjectError("Giá trị nghiệm thu phải lớn hơn 0. Ghi nhầm thì đảo dòng ghi, không ghi số âm.")
    _not_in_future(on_date, today, "Nghiệm thu")
    made = AcceptedVolume.objects.create(
        project=project, on_date=on_date, amount_vnd=amount_vnd, note=note[:300], recorded_by=by,
        is_simulated=is_simulated,
    )  # fmt: skip
    audit.record("planning.project.volume_accepted", actor=by, target=project, volume=made.pk)
    return made


@transaction.atomic
def reverse_volume(entry: AcceptedVolume, *, reason: str, by: Person | None = None) -> AcceptedVolume:
    """Take an accepted value back by its negative on the same day, with the reason. Raises ProjectError."""
    project = _locked(entry.project)
    entry = AcceptedVolume.objects.get(pk=entry.pk)
    _require_reversible(entry, reason, "Dòng nghiệm thu")
    made = AcceptedVolume.objects.create(
        project=project, on_date=entry.on_date, amount_vnd=-entry.amount_vnd, note=reason.strip()[:300], reverses=entry,
        recorded_by=by, is_simulated=entry.is_simulated,
    )  # fmt: skip
    audit.record("planning.project.volume_reversed", actor=by, target=project, volume=entry.pk)
    return made


def _require_reversible(entry: Disbursement | AcceptedVolume, reason: str, what: str) -> None:
    if not reason.strip():
        raise ProjectError("Chưa ghi lý do đảo. Ghi lý do rồi đảo lại.")
    if entry.reverses_id is not None:
        raise ProjectError(f"{what} này là bút toán đảo, không đảo lần nữa. Ghi một bút toán mới.")
    if type(entry).objects.filter(reverses_id=entry.pk).exists():
        raise ProjectError(f"{what} ngày {format_date(entry.on_date)} đã được đảo trước đó.")


# --- milestones, obstacles, people, end -----------------------------------------------------------------------------


@transaction.atomic
def put_milestone(
    project: Project,
    *,
    name: str,
    planned_on: date | None = None,
    reached_on: date | None = None,
    note: str = "",
    milestone: Milestone | None = None,
    today: date,
    by: Person | None = None,
) -> Milestone:
    """Add a milestone, or change one of the project. Raises ProjectError."""
    project = _locked(project)
    if not name.strip():
        raise ProjectError("Chưa ghi tên mốc. Ghi tên rồi lưu lại.")
    if reached_on is not None:
        _not_in_future(reached_on, today, "Mốc đạt")
    said: dict[str, Any] = {
        "name": name.strip()[:200], "planned_on": planned_on, "reached_on": reached_on, "note": note[:300],
    }  # fmt: skip
    if milestone is None:
        last = Milestone.objects.filter(project=project).aggregate(last=Max("order"))["last"] or 0
        made = Milestone.objects.create(project=project, order=last + 1, **said)
    else:
        held = Milestone.objects.filter(pk=milestone.pk, project=project).first()
        if held is None:
            raise ProjectError(f"Mốc «{milestone}» vừa được người khác xóa. Tải lại trang; còn cần thì thêm mốc mới.")
        made = held
        for field, value in said.items():
            setattr(made, field, value)
        made.save()
    audit.record("planning.project.milestone_saved", actor=by, target=project, milestone=made.pk)
    return made


@transaction.atomic
def remove_milestone(milestone: Milestone, *, by: Person | None = None) -> None:
    project = _locked(milestone.project)
    audit.record("planning.project.milestone_removed", actor=by, target=project, milestone=milestone.pk)
    milestone.delete()


@transaction.atomic
def raise_obstacle(
    project: Project,
    *,
    text: str,
    raised_on: date,
    owner: Organisation | None = None,
    due_on: date | None = None,
    today: date,
    by: Person | None = None,
) -> Obstacle:
    """Say what holds the project up, who must clear it and by when; its people are told. Raises ProjectError."""
    project = _locked(project)
    if not text.strip():
        raise ProjectError("Chưa ghi nội dung vướng mắc. Ghi nội dung rồi lưu lại.")
    _not_in_future(raised_on, today, "Vướng mắc nêu")
    if due_on is not None and due_on < raised_on:
        raise ProjectError("Hạn gỡ vướng mắc đứng trước ngày nêu. Sửa lại ngày.")
    made = Obstacle.objects.create(
        project=project, text=text.strip(), owner=owner, raised_on=raised_on, due_on=due_on, raised_by=by
    )
    audit.record("planning.project.obstacle_raised", actor=by, target=project, obstacle=made.pk)
    if owner is not None:
        people = [
            one for one in task_operations.list_people([owner]).get(owner.pk, []) if by is None or one.pk != by.pk
        ]
        until = f", hạn hết ngày {format_date(due_on)}" if due_on else ""
        notices.notify(
            people, kind=NOTICE, text=f"«{owner}» cần gỡ vướng mắc của dự án «{project}»{until}: {made.text}",
            url=reverse("planning:project_detail", args=[project.subject.key]) + "#vuong-mac",
        )  # fmt: skip
    return made


@transaction.atomic
def resolve_obstacle(
    obstacle: Obstacle, *, resolved_on: date, resolution: str, today: date, by: Person | None = None
) -> Obstacle:
    """Say how and when an obstacle was cleared. Raises ProjectError."""
    project = _locked(obstacle.project)
    obstacle = Obstacle.objects.get(pk=obstacle.pk)
    if obstacle.resolved_on is not None:
        raise ProjectError(f"Vướng mắc này đã gỡ ngày {format_date(obstacle.resolved_on)}.")
    if not resolution.strip():
        raise ProjectError("Chưa ghi cách gỡ. Ghi cách gỡ rồi lưu lại.")
    if resolved_on < obstacle.raised_on:
        raise ProjectError("Ngày gỡ đứng trước ngày nêu vướng mắc. Sửa lại ngày.")
    _not_in_future(resolved_on, today, "Gỡ vướng mắc")
    obstacle.resolved_on, obstacle.resolution = resolved_on, resolution.strip()
    obstacle.save(update_fields=["resolved_on", "resolution"])
    audit.record("planning.project.obstacle_resolved", actor=by, target=project, obstacle=obstacle.pk)
    return obstacle


@transaction.atomic
def set_progress(
    project: Project,
    *,
    status: str,
    today: date,
    finished_on: date | None = None,
    people_reached: int | None = None,
    version: int | None = None,
    by: Person | None = None,
) -> Project:
    """Say where the project stands, whom it reaches, and when it was finished. Idempotent.

    FINISHED and SETTLED need the day of completion. Raises ProjectError, places.ChangedMeanwhile.
    """
    place_operations.require_current(project.subject, version)
    project = _locked(project)
    ended = status in {Project.Status.FINISHED, Project.Status.SETTLED}
    if status not in Project.Status.values:
        raise ProjectError(f"Không có tình trạng «{status}».")
    if ended and finished_on is None:
        raise ProjectError(f"Dự án «{project}» đã hoàn thành thì cần ngày hoàn thành. Nhập ngày rồi lưu lại.")
    if not ended and finished_on is not None:
        raise ProjectError(
            f"Dự án «{project}» có ngày hoàn thành nhưng tình trạng chưa phải «Đã hoàn thành». Chọn lại tình trạng."
        )
    if finished_on is not None:
        _not_in_future(finished_on, today, "Hoàn thành")
        if project.starts_on and finished_on < project.starts_on:
            raise ProjectError(f"Ngày hoàn thành của dự án «{project}» đứng trước ngày khởi công. Sửa lại ngày.")
    said: dict[str, Any] = {"status": status, "finished_on": finished_on, "people_reached": people_reached}
    if all(getattr(project, field) == value for field, value in said.items()):
        return project
    for field, value in said.items():
        setattr(project, field, value)
    project.save(update_fields=list(said))
    place_operations.touch(project.subject)
    audit.record("planning.project.progress_set", actor=by, target=project, status=status)
    return project


# --- funds of programmes --------------------------------------------------------------------------------------------


@transaction.atomic
def put_fund(
    *,
    plan: Plan,
    order: int,
    name: str,
    amount_vnd: int,
    amount_as_printed: str,
    kind: str = "",
    year: int | None = None,
    qualifier: str = "",
    passage: Passage | None = None,
    by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> ProgrammeFund:
    """Keep a sum of a programme as the plan states it, at its place in the plan's list. Idempotent.

    year None: the whole period. recorded_in_bulk: the caller writes one audit row for all.
    """
    said: dict[str, Any] = {
        "name": name, "kind": kind, "year": year, "amount_vnd": amount_vnd, "amount_as_printed": amount_as_printed,
        "qualifier": qualifier, "passage_id": passage.pk if passage else None,
    }  # fmt: skip
    fund = ProgrammeFund.objects.filter(plan=plan, order=order).first()
    if fund is not None and all(getattr(fund, field) == value for field, value in said.items()):
        return fund
    fund, _ = ProgrammeFund.objects.update_or_create(plan=plan, order=order, defaults=said)
    if not recorded_in_bulk:
        audit.record("planning.fund.saved", actor=by, target=plan, order=order)
    return fund


# --- figures that rest on this --------------------------------------------------------------------------------------


def mark_dirty(project: Project, year: int, *, reason: str) -> None:
    """Let the figures of the year be computed anew: each month, and the year."""
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=[PLANNED, DISBURSED])}
    periods = [Period("Y", date(year, 1, 1)), *(Period("M", date(year, month, 1)) for month in range(1, 13))]
    for key in (PLANNED, DISBURSED):
        if key in metrics:
            for period in periods:
                indicator_operations.mark_dirty(metrics[key], subject=project.subject, period=period, reason=reason)


def _years(project: Project) -> list[int]:
    paid = {day.year for day in Disbursement.objects.filter(project=project).dates("on_date", "year")}
    return sorted(paid | set(YearlyPlan.objects.filter(project=project).values_list("year", flat=True)))


def read_capital(plan: YearlyPlan, months: Mapping[int, int] | None = None) -> disbursement.Capital:
    """Return the year's capital as the pure rules take it. months: already read, else asked for."""
    divided = months if months is not None else dict(plan.months.values_list("month", "amount_vnd"))
    return disbursement.Capital(
        plan.year, plan.amount_vnd, plan.carried_over_vnd, plan.carry_over_until, dict(divided)
    )  # fmt: skip
