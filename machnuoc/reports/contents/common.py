"""What several kinds of report say alike: targets of the plan, its tasks, money of its projects, words for periods."""

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal

from django.db.models import Prefetch

from machnuoc.core import units, vietnamese
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Organisation
from machnuoc.planning import project_queries
from machnuoc.planning.models import Duty, Project, Proposal, Target, Task, TaskProgress
from machnuoc.reports import kinds
from machnuoc.reports.kinds import TOTAL, Context, Figure, TableColumn, TableSpec

TARGETS = TableSpec(
    "targets",
    "Biểu 1. Kết quả thực hiện các chỉ tiêu",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Chỉ tiêu", 3.6),
        TableColumn("goal", "Kế hoạch", 1.7, is_number=False),
        TableColumn("reached", "Thực hiện", 1.6, is_number=False),
        TableColumn("status", "Đánh giá", 1.5, is_number=False),
    ),
    after="targets",
)
TASKS = TableSpec(
    "tasks",
    "Biểu 2. Tình hình thực hiện nhiệm vụ",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Nhiệm vụ", 4),
        TableColumn("lead", "Chủ trì", 2.2, is_number=False),
        TableColumn("due", "Thời gian", 1.5, is_number=False),
        TableColumn("state", "Tình trạng", 1.6, is_number=False),
    ),
    after="tasks",
)
PROJECTS = TableSpec(
    "projects",
    "Kết quả thực hiện các dự án",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Dự án", 3.6),
        TableColumn("total", "Tổng mức", 1.5, is_number=False),
        TableColumn("capital", "Vốn trong năm", 1.5, is_number=False),
        TableColumn("paid", "Đã giải ngân trong năm", 1.5, is_number=False),
        TableColumn("state", "Tình trạng", 1.5, is_number=False),
    ),
    unit_note="Đơn vị tính: triệu đồng",
)


def period_words(period: Period) -> str:
    """Return the period as a title says it: «tháng 10 năm 2026», «quý III năm 2026», «6 tháng đầu năm 2026».

    >>> period_words(Period.parse("2026-Q3"))
    'quý III năm 2026'
    >>> period_words(Period.parse("2026-H1"))
    '6 tháng đầu năm 2026'
    """
    year, month = period.start_date.year, period.start_date.month
    match period.kind:
        case "M":
            return f"tháng {month} năm {year}"
        case "Q":
            return f"quý {('I', 'II', 'III', 'IV')[(month - 1) // 3]} năm {year}"
        case "H":
            return f"6 tháng {'đầu' if month == 1 else 'cuối'} năm {year}"
        case "Y":
            return f"năm {year}"
    return period.label_vi.lower()


def plan_words(context: Context) -> str:
    """Return the plan as a sentence names it: «Kế hoạch số 79/KH-TTNS», or by its title where it has no number."""
    document = context.plan.document if context.plan is not None else None
    if document is not None and document.number:
        return f"Kế hoạch số {document.number}"
    return f"Kế hoạch «{context.plan.short_name}»" if context.plan is not None else "Kế hoạch năm"


def opening(context: Context, what: str = "kết quả") -> str:
    """Return the first sentence: which plan, of what day and on what, and that this is its report."""
    document = context.plan.document if context.plan is not None else None
    day = f" ngày {vietnamese.format_date(document.issue_date)}" if document and document.issue_date else ""
    issuer = context.plan.issuer if context.plan is not None else None
    of_whom = f" của {issuer.subject.name}" if issuer is not None else ""
    name = f"Kế hoạch số {document.number}" if document and document.number else "Kế hoạch"
    title = f" về {document.title[:1].lower()}{document.title[1:]}" if document else ""
    return (
        f"Thực hiện {name}{day}{of_whom}{title}; {context.organisation.subject.name} báo cáo {what} "
        f"{period_words(context.period)} như sau:"
    )


def receiver(context: Context, kind_key: str) -> tuple[str, Organisation | None]:
    """Return whom the plan's duty names for this kind of report: as printed, and the organisation where it is known."""
    duties = Duty.objects.filter(plan=context.plan, report_kind=kind_key, units__organisation=context.organisation)
    duty = duties.select_related("to_organisation__subject").first()
    if duty is None:
        return "", None
    return duty.to_as_printed, duty.to_organisation


def missing(what: str) -> str:
    return f"{what}: {NO_FIGURE} trong hệ thống."


# --- targets ----------------------------------------------------------------------------------------------------


def list_targets(context: Context) -> Iterable[Target]:
    if context.plan is None:
        return ()
    return (
        Target.objects.filter(plan=context.plan, parent=None, is_active=True)
        .select_related("metric", "subject", "standing__value__metric", "standing__value__band")
        .prefetch_related(Prefetch("proposals", Proposal.objects.filter(state=Proposal.State.APPROVED)))
    )


def goal(target: Target) -> str:
    printed = target.comparator_as_printed
    if target.amount is None:
        return printed or target.get_comparator_display()
    number = vietnamese.format_number(target.amount, target.decimals)
    if target.upper is not None:
        number = f"{number}–{vietnamese.format_number(target.upper, target.decimals)}"
    unit = f"\u00a0{_unit(target.unit)}" if target.unit else ""
    return f"{printed or target.get_comparator_display()} {number}{unit}".strip()


def _unit(unit: str) -> str:
    """Return the unit's words; a unit that only the plan knows stands as it is."""
    try:
        return units.label(unit)
    except units.UnknownUnit:
        return unit


def source_of(target: Target) -> str:
    return f"Mục {target.section} của kế hoạch" if target.section else "Kế hoạch"


def about_targets(targets: list[Target], where: str = "Biểu 1") -> str:
    if not targets:
        return f"Chỉ tiêu của kế hoạch: {NO_FIGURE} trong hệ thống."
    counts: dict[str, int] = {}
    for target in targets:
        standing = getattr(target, "standing", None)
        status = standing.get_status_display() if standing is not None else "Chưa có số liệu"
        counts[status] = counts.get(status, 0) + 1
    told = "; ".join(f"{count} chỉ tiêu «{status[:1].lower()}{status[1:]}»" for status, count in counts.items())
    return f"Kế hoạch giao {len(targets)} chỉ tiêu. Đến ngày báo cáo: {told} ({where})."


def about_proposals(targets: list[Target]) -> str:
    lines = [f"- {target.name}: {proposal.solution}" for target in targets for proposal in target.proposals.all()]
    return "\n".join(lines) or "Không có."


# --- tasks and handover -----------------------------------------------------------------------------------------


def _end_of(context: Context) -> datetime:
    return datetime.combine(context.period.end_date, time.min, LOCAL_ZONE)


def list_tasks(context: Context) -> list[Task]:
    if context.plan is None:
        return []
    newest = TaskProgress.objects.filter(at__lt=_end_of(context)).order_by("-at")
    return list(
        Task.objects.filter(plan=context.plan)
        .prefetch_related("units__organisation__subject", Prefetch("progress", newest))
        .order_by("order", "id")
    )


def task_figures(tasks: list[Task], context: Context) -> Iterable[Figure]:
    for task in tasks:
        leads = [unit for unit in task.units.all() if unit.role == "LEAD"]
        printed = dict.fromkeys(str(unit) for unit in leads)
        for column, text in (
            ("lead", "; ".join(list(printed)[:3]) or "–"), ("due", _due(task)), ("state", _state(task)),
        ):  # fmt: skip
            yield Figure(
                f"tasks/{task.pk}/{column}", _cut(task.content), text, source="Sổ theo dõi nhiệm vụ của kế hoạch"
            )
    done = [task for task in tasks if state_of(task) == Task.State.DONE]
    for key, label, chosen in (
        ("tasks_total", "Số nhiệm vụ của kế hoạch", tasks), ("tasks_done", "Số nhiệm vụ đã hoàn thành", done),
    ):  # fmt: skip
        yield Figure(
            key, label, vietnamese.format_number(len(chosen)), str(len(chosen)),
            source=f"Đếm nhiệm vụ, đến hết {context.period.label_vi.lower()}",
            counted=tuple((task.key, "1") for task in chosen),
        )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:299]}…"


def state_of(task: Task) -> str:
    """Return the state as the last entry before the end of the period says it."""
    entries = list(task.progress.all())
    return entries[0].state if entries else Task.State.NOT_STARTED


def _state(task: Task) -> str:
    entries = list(task.progress.all())
    if not entries:
        return "Chưa có báo cáo tiến độ"
    share = f", {entries[0].share_pct}\u00a0%" if entries[0].share_pct is not None else ""
    mark = " (mô phỏng)" if entries[0].is_simulated else ""
    return f"{Task.State(entries[0].state).label}{share}{mark}"


def _due(task: Task) -> str:
    if task.timing_as_printed:
        return task.timing_as_printed
    return vietnamese.format_date(task.due_on) if task.due_on else task.get_timing_display()


def about_tasks(tasks: list[Task], context: Context, where: str = "Biểu 2") -> str:
    if not tasks:
        return f"Nhiệm vụ của kế hoạch: {NO_FIGURE} trong hệ thống."
    done = sum(1 for task in tasks if state_of(task) == Task.State.DONE)
    silent = sum(1 for task in tasks if not task.progress.all())
    last_day = context.period.end_date - timedelta(days=1)
    overdue = sum(1 for task in tasks if task.due_on and task.due_on < last_day and state_of(task) != Task.State.DONE)
    text = f"Kế hoạch có {len(tasks)} nhiệm vụ; đến {vietnamese.format_date(last_day)} đã hoàn thành {done} nhiệm vụ"
    if overdue:
        text += f", {overdue} nhiệm vụ quá hạn"
    return f"{text} ({where})." + (f" {silent} nhiệm vụ chưa có báo cáo tiến độ trong hệ thống." if silent else "")


def about_next(tasks: list[Task], context: Context) -> str:
    following = context.period.shift(1)
    soon = [
        task
        for task in tasks
        if task.due_on
        and following.contains(task.due_on)
        and state_of(task) not in {Task.State.DONE, Task.State.CANCELLED}
    ]
    lines = [f"- {task} (hạn {vietnamese.format_date(task.due_on)})." for task in soon[:8]]
    going_on = [task for task in tasks if task not in soon and state_of(task) == Task.State.DOING][:5]
    lines += [f"- Tiếp tục: {task}." for task in going_on]
    return "\n".join(lines) or "Tiếp tục thực hiện các nhiệm vụ của kế hoạch theo phân công."


def target_figures(targets: Sequence[Target]) -> Iterable[Figure]:
    """Give goal, what was reached and how each target stands."""
    for target in targets:
        yield Figure(f"targets/{target.key}/goal", target.name, goal(target), source=source_of(target))
        yield reached(target)
        yield status_of(target)


def reached(target: Target) -> Figure:
    """Return the figure that the target's standing rests on; none of a finer period, which says nothing of the goal."""
    key = f"targets/{target.key}/reached"
    standing = getattr(target, "standing", None)
    value = standing.value if standing is not None else None
    # What compares with the period before says nothing of a year while it is about a month.
    is_of_target = value is not None and (
        value.period_kind == target.period_kind or value.metric.kind == Metric.Kind.MEASURE
    )
    if value is not None and is_of_target and target.measured_as != Target.MeasuredAs.GROWTH:
        return kinds.figure_of(key, target.name, value, with_band=True)
    return Figure(key, target.name)


def status_of(target: Target) -> Figure:
    standing = getattr(target, "standing", None)
    status = standing.get_status_display() if standing is not None else "Chưa có số liệu"
    day = f"Đánh giá của hệ thống ngày {vietnamese.format_date(standing.computed_on)}" if standing else ""
    return Figure(f"targets/{target.key}/status", target.name, status, source=day)


# --- money ------------------------------------------------------------------------------------------------------


def project_figures(context: Context) -> list[Figure]:
    """Return the plan's projects with this year's capital and payments, in million đồng, a total at the end."""
    if context.plan is None:
        return []
    rows = project_queries.read_rows(
        Project.objects.filter(plan=context.plan), year=context.period.start_date.year, today=context.today
    )
    figures: list[Figure] = []
    sums: dict[str, int] = {}
    mock: set[str] = set()
    for row in rows:
        money = (("total", row.total_vnd, False), ("capital", row.planned_vnd, row.is_simulated),
                 ("paid", row.paid_vnd, row.is_simulated))  # fmt: skip
        for column, amount_vnd, is_mock in money:
            figures.append(_money(f"projects/{row.key}/{column}", row.name, amount_vnd, is_mock))
            if amount_vnd is not None:
                sums[column] = sums.get(column, 0) + amount_vnd
                mock |= {column} if is_mock else set()
        figures.append(Figure(f"projects/{row.key}/state", row.name, row.status_label, source="Sổ theo dõi dự án"))
    if rows:
        figures += [
            _money(f"projects/{TOTAL}/{column}", "Tổng cộng", sums.get(column), column in mock)
            for column in ("total", "capital", "paid")
        ]
    return figures


def _money(key: str, label: str, amount_vnd: int | None, is_mock: bool) -> Figure:
    if amount_vnd is None:
        return Figure(key, label)
    text = vietnamese.format_number(Decimal(amount_vnd) / 1_000_000)
    return Figure(
        key, label, f"{text} (mô phỏng)" if is_mock else text, str(amount_vnd), source="Sổ theo dõi dự án, đồng"
    )


def about_projects(figures: Sequence[Figure]) -> str:
    by_key = {figure.key: figure for figure in figures}
    total, capital, paid = (by_key.get(f"projects/{TOTAL}/{column}") for column in ("total", "capital", "paid"))
    if total is None:
        return missing("Kết quả đầu tư và giải ngân")
    count = sum(key.endswith("/state") for key in by_key)
    amount = f"tổng mức {_bare(total)} triệu đồng" if total.raw else f"tổng mức: {NO_FIGURE}"
    lines = [f"Kế hoạch có {count} dự án, {amount}."]
    if capital is not None and paid is not None and capital.raw and paid.raw:
        mark = " (số liệu mô phỏng)" if "(mô phỏng)" in f"{capital.display}{paid.display}" else ""
        lines.append(f"Đã giải ngân {_bare(paid)}/{_bare(capital)} triệu đồng vốn trong năm{mark}.")
    else:
        lines.append(f"Kết quả giải ngân trong năm: {NO_FIGURE}.")
    return "\n".join(lines)


def _bare(figure: Figure) -> str:
    return figure.display.replace(" (mô phỏng)", "")
