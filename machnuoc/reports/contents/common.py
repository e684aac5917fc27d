"""What several kinds of report say alike: targets of the plan, its tasks, money of its projects, words for periods."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import Prefetch, Q

from machnuoc.core import vietnamese
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Organisation
from machnuoc.planning import plan_standings, project_queries
from machnuoc.planning.models import Duty, Obstacle, Project, Proposal, Target, Task, TaskProgress, TaskUnit
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
    "Tình hình thực hiện nhiệm vụ",
    (
        TableColumn("", "TT", 0.6),
        TableColumn("label", "Nhiệm vụ", 6.2),
        TableColumn("lead", "Chủ trì", 2.6, is_number=False),
        TableColumn("due", "Thời gian", 1.6, is_number=False),
        TableColumn("state", "Tình trạng", 1.9, is_number=False),
    ),
    notes=("Dấu «–»: văn bản không ghi.",),
    is_landscape=True,
)
PROJECTS = TableSpec(
    "projects",
    "Kết quả thực hiện các dự án",
    (
        TableColumn("", "TT", 0.6),
        TableColumn("label", "Dự án", 3.6),
        TableColumn("total", "Tổng mức", 1.5, is_number=False),
        TableColumn("capital", "Vốn trong năm", 1.5, is_number=False),
        TableColumn("paid", "Giải ngân từ đầu năm đến cuối kỳ", 1.6, is_number=False),
        TableColumn("state", "Tình trạng", 1.5, is_number=False),
    ),
    unit_note="Đơn vị tính: triệu đồng",
)
LABEL_AT_MOST = 1_000  # characters of a task in its table
_CLAUSE_AT_MOST = 180  # characters of a task in a sentence


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
    return period.label_inside_vi


def last_day(context: Context) -> date:
    """Return the day up to which a report tells: the last of its period, or today while the period runs."""
    return min(context.period.end_date - timedelta(days=1), context.today)


def annex(spec: TableSpec) -> str:
    """Return how a sentence points to a table that has an annex of its own."""
    return f"Phụ lục «{spec.title}»"


def speaks_for_all(context: Context) -> bool:
    """Return whether the organisation reports on the whole plan: it issued it, gathers its reports, or owes the issuer.

    Any other unit reports on its own tasks and works alone.
    """
    plan, organisation = context.plan, context.organisation
    if plan is None:
        return False
    if plan.issuer_id == organisation.pk:
        return True
    duties = Duty.objects.filter(plan=plan).exclude(report_kind="")
    owes_issuer = Q(units__organisation=organisation, to_organisation_id=plan.issuer_id)
    return duties.filter(Q(to_organisation=organisation) | owes_issuer).exists()


def plan_words(context: Context) -> str:
    """Return the plan as a sentence names it: «Kế hoạch số 79/KH-TTNS», or by its title where it has no number."""
    document = context.plan.document if context.plan is not None else None
    if document is not None and document.number:
        return f"Kế hoạch số {document.number}"
    return f"Kế hoạch «{context.plan.short_name}»" if context.plan is not None else "Kế hoạch năm"


def opening(context: Context, what: str = "kết quả thực hiện") -> str:
    """Return the first sentence: which plan, of what day and on what, and that this is its report."""
    document = context.plan.document if context.plan is not None else None
    day = f" ngày {vietnamese.format_date(document.issue_date)}" if document and document.issue_date else ""
    issuer = context.plan.issuer if context.plan is not None else None
    is_own = issuer is not None and issuer.pk == context.organisation.pk
    of_whom = f" của {issuer.subject.name}" if issuer is not None and not is_own else ""
    name = f"Kế hoạch số {document.number}" if document and document.number else "Kế hoạch"
    title = f" về {document.title[:1].lower()}{document.title[1:]}" if document else ""
    return (
        f"Thực hiện {name}{day}{of_whom}{title}, {context.organisation.subject.name} báo cáo {what} "
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
    """Return the goal as a table prints it, with the comparator's words as printed: «tăng khoảng 6,32 %», «100 %»."""
    printed = target.comparator_as_printed
    if target.amount is None:
        return printed or target.get_comparator_display()
    number = vietnamese.format_number(target.amount, target.decimals)
    if target.upper is not None:
        number = f"{number}–{vietnamese.format_number(target.upper, target.decimals)}"
    if number in printed:  # «từ 90% trở lên» says the number itself
        return printed
    # Nothing lies above the whole: «at least 100 %» is 100 %.
    is_whole = target.unit == "pct" and target.amount == 100
    words = printed or ("" if is_whole else target.get_comparator_display())
    return f"{words} {number}\u00a0{_unit(target)}".strip()


def _unit(target: Target) -> str:
    """Return the unit's words; a bare count is of what the target's name counts."""
    if target.unit == "count" and "nhiệm vụ" in target.name.lower():
        return "nhiệm vụ"
    return plan_standings.unit_label(target)


def source_of(target: Target) -> str:
    return f"Mục {target.section} của kế hoạch" if target.section else "Kế hoạch"


def about_targets(targets: list[Target], where: str = "Biểu 1") -> str:
    if not targets:
        return f"Chỉ tiêu của kế hoạch: {NO_FIGURE} trong hệ thống."
    counts: dict[str, int] = {}
    days: set[date] = set()
    for target in targets:
        standing = getattr(target, "standing", None)
        status = standing.get_status_display() if standing is not None else "Chưa có số liệu"
        counts[status] = counts.get(status, 0) + 1
        days |= {standing.computed_on} if standing is not None else set()
    told = "; ".join(f"{count} chỉ tiêu {status[:1].lower()}{status[1:]}" for status, count in counts.items())
    day = f" ngày {vietnamese.format_date(max(days))}" if days else ""
    return f"Kế hoạch giao {len(targets)} chỉ tiêu. Đánh giá{day}: {told} ({where})."


def about_proposals(targets: list[Target]) -> str:
    lines = [f"- {target.name}: {proposal.solution}" for target in targets for proposal in target.proposals.all()]
    return "\n".join(lines) or "Không có."


def about_obstacles(targets: Iterable[Target], context: Context) -> str:
    """Return the causes that approved proposals name and the open obstacles of the plan's projects; «» without any.

    What nobody has written down is for the one who writes the report.
    """
    lines = []
    for target in targets:
        for proposal in target.proposals.all():
            kind = proposal.get_cause_kind_display().lower()
            lines.append(f"- {target.name}: {proposal.cause.strip().rstrip('.')} (nguyên nhân {kind}).")
    if context.plan is not None:
        day = last_day(context)
        open_then = Q(resolved_on__isnull=True) | Q(resolved_on__gt=day)
        for obstacle in Obstacle.objects.filter(
            open_then, project__plan=context.plan, raised_on__lte=day
        ).select_related("project__subject"):
            lines.append(f"- {obstacle.project.subject.name}: {obstacle.text.strip().rstrip('.')}.")
    return "\n".join(lines)


# --- tasks and handover -----------------------------------------------------------------------------------------


def _end_of(context: Context) -> datetime:
    return datetime.combine(context.period.end_date, time.min, LOCAL_ZONE)


def list_tasks(context: Context) -> list[Task]:
    """Return the tasks that the report is about: the whole plan's, or those that the unit leads or takes part in."""
    if context.plan is None:
        return []
    tasks = Task.objects.filter(plan=context.plan)
    if not speaks_for_all(context):
        tasks = tasks.filter(
            pk__in=TaskUnit.objects.filter(organisation=context.organisation, task__plan=context.plan).values("task")
        )
    newest = TaskProgress.objects.filter(at__lt=_end_of(context)).order_by("-at")
    return list(
        tasks.prefetch_related("units__organisation__subject", Prefetch("progress", newest)).order_by("order", "id")
    )


def task_figures(tasks: list[Task], context: Context) -> Iterable[Figure]:
    for task in tasks:
        leads = [unit for unit in task.units.all() if unit.role == "LEAD"]
        printed = dict.fromkeys(str(unit) for unit in leads)
        for column, text in (
            ("lead", "; ".join(list(printed)[:3]) or "–"), ("due", _due(task)), ("state", _state(task)),
        ):  # fmt: skip
            yield Figure(
                f"tasks/{task.pk}/{column}", _cut(task.content, LABEL_AT_MOST), text,
                source="Sổ theo dõi nhiệm vụ của kế hoạch",
            )  # fmt: skip
    done = [task for task in tasks if state_of(task) == Task.State.DONE]
    for key, label, chosen in (
        ("tasks_total", "Số nhiệm vụ của kế hoạch", tasks), ("tasks_done", "Số nhiệm vụ đã hoàn thành", done),
    ):  # fmt: skip
        yield Figure(
            key, label, vietnamese.format_number(len(chosen)), str(len(chosen)),
            source=f"Đếm nhiệm vụ, {period_words(context.period)}",
            counted=tuple((task.key, "1") for task in chosen),
        )  # fmt: skip


def _cut(text: str, most_chars: int) -> str:
    """Return the text, or as many of its whole clauses (words, where there are none) as fit.

    >>> _cut("Chỉ đạo các phòng; theo dõi các trạm", 25)
    'Chỉ đạo các phòng'
    """
    text = " ".join(text.split())
    if len(text) <= most_chars:
        return text
    head = text[:most_chars]
    at = max(head.rfind(sign) for sign in ("; ", ". ", ", ", ": ", " ("))
    if at >= most_chars // 3:
        return head[:at]
    return f"{head[: head.rfind(' ')]}…"


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
        return f"{task.timing_as_printed[:1].upper()}{task.timing_as_printed[1:]}"
    if task.due_on:
        return vietnamese.format_date(task.due_on)
    return "–" if task.timing == Task.Timing.UNSTATED else task.get_timing_display()


def is_overdue(task: Task, context: Context) -> bool:
    """Return whether the task's day had gone by, not done, when the period ended (or today, while it runs)."""
    if task.due_on is None or state_of(task) in {Task.State.DONE, Task.State.CANCELLED}:
        return False
    return task.due_on < min(context.period.end_date, context.today)


def about_tasks(tasks: list[Task], context: Context, where: str = "") -> str:
    """Return how many tasks are done, go on, are late and were never told of. where: the table that names them."""
    whole = speaks_for_all(context)
    if not tasks and whole:
        return f"Nhiệm vụ của kế hoạch: {NO_FIGURE} trong hệ thống."
    if not tasks:
        return "Kế hoạch không giao nhiệm vụ riêng cho đơn vị."
    number = vietnamese.format_number(len(tasks))
    head = f"Kế hoạch có {number} nhiệm vụ" if whole else f"Đơn vị chủ trì, phối hợp {number} nhiệm vụ của kế hoạch"
    head += f" (chi tiết tại {where or annex(TASKS)})"
    day = vietnamese.format_date(last_day(context))
    states = [state_of(task) for task in tasks]
    silent = sum(1 for task in tasks if not task.progress.all())
    late = sum(is_overdue(task, context) for task in tasks)
    if silent == len(tasks):
        text = f"{head}; đến {day} chưa nhiệm vụ nào được báo tiến độ trong hệ thống."
        return text + (f" Đã quá hạn: {late} nhiệm vụ." if late else "")
    parts = [
        f"{words} {count} nhiệm vụ"
        for words, count in (
            ("đã hoàn thành", states.count(Task.State.DONE)), ("đang thực hiện", states.count(Task.State.DOING)),
            ("quá hạn", late), ("chưa có báo cáo tiến độ trong hệ thống", silent),
        )
        if count
    ]  # fmt: skip
    return f"{head}; đến {day}: {', '.join(parts)}."


def about_next(tasks: list[Task], context: Context) -> str:
    following = context.period.shift(1)
    soon = [
        task
        for task in tasks
        if task.due_on
        and following.contains(task.due_on)
        and state_of(task) not in {Task.State.DONE, Task.State.CANCELLED}
    ]
    lines = [f"- {_clause(task)} (hạn {vietnamese.format_date(task.due_on)})." for task in soon[:8]]
    going_on = [task for task in tasks if task not in soon and state_of(task) == Task.State.DOING][:5]
    lines += [f"- Tiếp tục: {_clause(task)[:1].lower()}{_clause(task)[1:]}." for task in going_on]
    return "\n".join(lines) or "Tiếp tục thực hiện các nhiệm vụ của kế hoạch theo phân công."


def _clause(task: Task) -> str:
    return _cut(task.content, _CLAUSE_AT_MOST).rstrip(" .;,:")


def target_figures(targets: Sequence[Target], context: Context) -> Iterable[Figure]:
    """Give goal, what was reached and how each target stands."""
    for target in targets:
        yield Figure(f"targets/{target.key}/goal", target.name, goal(target), source=source_of(target))
        yield reached(target, context)
        yield status_of(target)


def reached(target: Target, context: Context) -> Figure:
    """Return the figure that the target's standing rests on; none of a finer period, which says nothing of the goal.

    None of a later period than the report's either, which nobody knew when it ended.
    """
    key = f"targets/{target.key}/reached"
    standing = getattr(target, "standing", None)
    value = standing.value if standing is not None else None
    # What compares with the period before says nothing of a year while it is about a month.
    is_of_target = (
        value is not None
        and value.period_start < context.period.end_date
        and (value.period_kind == target.period_kind or value.metric.kind == Metric.Kind.MEASURE)
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
    """Return the plan's projects with the year's capital and what was paid of it by the end of the period (or today).

    In million đồng, a total at the end.
    """
    if context.plan is None:
        return []
    projects = Project.objects.filter(plan=context.plan)
    if not speaks_for_all(context):
        projects = projects.filter(owner=context.organisation)
    rows = project_queries.read_rows(projects, year=context.period.start_date.year, today=last_day(context))
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
        state = "–" if row.status == Project.Status.UNKNOWN else row.status_label
        figures.append(Figure(f"projects/{row.key}/state", row.name, state, source="Sổ theo dõi dự án"))
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


def about_projects(figures: Sequence[Figure], context: Context) -> str:
    by_key = {figure.key: figure for figure in figures}
    total, capital, paid = (by_key.get(f"projects/{TOTAL}/{column}") for column in ("total", "capital", "paid"))
    if total is None and not speaks_for_all(context):
        return "Đơn vị không làm chủ đầu tư dự án nào của kế hoạch."
    if total is None:
        return missing("Kết quả đầu tư và giải ngân")
    count = sum(key.endswith("/state") for key in by_key)
    amount = f"tổng mức đầu tư {_bare(total)} triệu đồng" if total.raw else f"tổng mức đầu tư: {NO_FIGURE}"
    who = "Kế hoạch có" if speaks_for_all(context) else "Đơn vị làm chủ đầu tư"
    lines = [f"{who} {count} dự án; {amount} (chi tiết tại {annex(PROJECTS)})."]
    day = vietnamese.format_date(last_day(context))
    if capital is not None and paid is not None and capital.raw and paid.raw:
        mark = " (số liệu mô phỏng)" if "(mô phỏng)" in f"{capital.display}{paid.display}" else ""
        share = ""
        if Decimal(capital.raw):
            share_pct = vietnamese.format_number(100 * Decimal(paid.raw) / Decimal(capital.raw), 1)
            share = f", đạt {share_pct}\u00a0%"
        lines.append(f"Đến {day} đã giải ngân {_bare(paid)}/{_bare(capital)} triệu đồng vốn trong năm{share}{mark}.")
    else:
        lines.append(f"Kết quả giải ngân đến {day}: {NO_FIGURE}.")
    return "\n".join(lines)


def _bare(figure: Figure) -> str:
    return figure.display.replace(" (mô phỏng)", "")
