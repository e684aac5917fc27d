"""The monthly result of the plan of Quảng Ngãi's rural water centre (79/KH-TTNS): targets, stations, tasks.

IV.3 of the plan asks for it by day 14. Figures of the month where there are any, else the newest of the year before the
month ends; what no room gives yet is printed «chưa có số liệu».
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal

from django.db.models import Prefetch

from machnuoc.core import units, vietnamese
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.planning.models import Handover, Proposal, Target, Task, TaskProgress
from machnuoc.reports import kinds, rules
from machnuoc.reports.kinds import TOTAL, Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec
from machnuoc.works.models import Work

CONNECTED, DESIGN, PLANNED = "works.households_connected", "works.households_design", "works.households_planned"

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
GROWTH = TableSpec(
    "growth",
    "Phát triển khách hàng theo trạm cấp nước",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Trạm cấp nước", 3),
        TableColumn("design", "Thiết kế", 1.2),
        TableColumn("base", "Đấu nối đến 31/12 năm trước", 1.4),
        TableColumn("plan", "Kế hoạch tăng thêm trong năm", 1.4),
        TableColumn("now", "Đấu nối đến cuối kỳ", 1.3),
        TableColumn("added", "Đã tăng thêm", 1.2),
        TableColumn("share", "So với kế hoạch (%)", 1.3),
        TableColumn("spare", "Còn lại so với thiết kế", 1.3),
    ),
    unit_note="Đơn vị tính: hộ",
    notes=("Hộ của công trình đã gồm hộ của các phân hệ. Dấu «–»: chưa có số liệu.",),
    is_landscape=True,
)
OUTLINE = (
    Section("opening", "Mở đầu", 0),
    Section("results", "Kết quả thực hiện các chỉ tiêu", 1, has_text=False),
    Section("targets", "Đánh giá chung", 2),
    Section("growth", "Phát triển khách hàng sử dụng nước sạch", 2),
    Section("operation", "Quản lý, vận hành công trình và chất lượng nước", 2),
    Section("investment", "Đầu tư và giải ngân vốn đầu tư công", 2),
    Section("handover", "Tiếp nhận công trình cấp nước", 2),
    Section("tasks", "Tình hình thực hiện nhiệm vụ", 1),
    Section("obstacles", "Khó khăn, vướng mắc", 1),
    Section("next", "Nhiệm vụ trọng tâm kỳ tới", 1),
    Section("requests", "Đề xuất, kiến nghị", 1),
)


def gather(context: Context) -> Gathered:
    """Return figures and suggestions of one month."""
    growth = read_growth(context)
    targets = list(_targets(context))
    tasks = _tasks(context)
    figures = [*_target_figures(context, targets, growth), *growth.figures, *_task_figures(tasks, context)]
    month = context.period.start_date
    plan_number = context.plan.document.number if context.plan and context.plan.document else ""
    of_plan = f"Kế hoạch số {plan_number}" if plan_number else "Kế hoạch năm"
    suggestions = {
        "opening": _opening(context, of_plan),
        "targets": _about_targets(targets),
        "growth": _about_growth(growth),
        "operation": f"Tỷ lệ công trình vận hành ổn định, kết quả mẫu nước kiểm nghiệm: {NO_FIGURE} trong hệ thống.",
        "investment": f"Kết quả giải ngân vốn đầu tư công: {NO_FIGURE} trong hệ thống.",
        "handover": _about_handovers(context),
        "tasks": _about_tasks(tasks, context),
        "obstacles": "",
        "next": _about_next(tasks, context),
        "requests": _about_proposals(targets),
    }
    return Gathered(
        figures=tuple(figures),
        suggestions=suggestions,
        title=f"Kết quả thực hiện {of_plan} tháng {month.month} năm {month.year}",
        addressee=context.organisation.parent.subject.name if context.organisation.parent else "",
        to_organisation=context.organisation.parent,
        recipients=("Như trên", "Lãnh đạo Trung tâm", "Các phòng, trạm trực thuộc", "Lưu: VT, KH-KT&TT"),
        signer_capacity="GIÁM ĐỐC",
    )


def _opening(context: Context, of_plan: str) -> str:
    document = context.plan.document if context.plan is not None else None
    day = f" ngày {vietnamese.format_date(document.issue_date)}" if document and document.issue_date else ""
    title = f" về {document.title[:1].lower()}{document.title[1:]}" if document else ""
    month = context.period.start_date
    return (
        f"Thực hiện {of_plan}{day} của {context.organisation.subject.name}{title}; "
        f"{context.organisation.subject.name} báo cáo kết quả tháng {month.month} năm {month.year} như sau:"
    )


# --- growth -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Growth:
    """Households by station. as_of: the period whose figures «now» is; None where there are none in the year."""

    figures: tuple[Figure, ...]
    as_of: Period | None
    raws: dict[str, str]
    is_simulated: bool


def read_growth(context: Context) -> Growth:
    """Return households by station: design, connected a year ago, planned growth, connected now, added, spare."""
    year = Period.containing(context.period.start_date, "Y")
    before = year.previous
    works = list(
        Work.objects.filter(operators__organisation=context.organisation, parent=None)
        .select_related("subject")
        .distinct()
        .order_by("subject__key")
    )
    ids = [work.pk for work in works]
    everyone = [*ids, context.organisation.pk]
    months = [month for month in year.split("M") if month.start_date < context.period.end_date]
    yearly = kinds.read_values([CONNECTED, DESIGN], everyone, [before])
    planned = kinds.read_values([PLANNED], everyone, [year, before], scenario="P") | kinds.read_values(
        [PLANNED], everyone, [year]
    )
    monthly = kinds.read_values([CONNECTED], everyone, months)
    as_of = next(
        (
            month
            for month in reversed(months)
            if (whole := monthly.get((CONNECTED, context.organisation.pk, month.key))) is not None
            and whole.parts_total <= whole.parts_present * 2
        ),
        None,
    )
    figures: list[Figure] = []
    for work in works:
        figures += _growth_row(
            work.subject.key, work.subject.name, work.pk, yearly, planned, monthly, before, year, as_of
        )
    figures += _growth_row(TOTAL, "Tổng cộng", context.organisation.pk, yearly, planned, monthly, before, year, as_of)
    figures = derive(figures)
    raws = {figure.key: figure.raw for figure in figures}
    simulated = any(figure.value is not None and figure.value.state == State.SIMULATED for figure in figures)
    return Growth(tuple(figures), as_of, raws, simulated)


def _growth_row(
    row: str,
    name: str,
    subject_id: int,
    yearly: dict[tuple[str, int, str], Value],
    planned: dict[tuple[str, int, str], Value],
    monthly: dict[tuple[str, int, str], Value],
    before: Period,
    year: Period,
    as_of: Period | None,
) -> Iterable[Figure]:
    def key(column: str) -> str:
        return f"growth/{row}/{column}"

    now = monthly.get((CONNECTED, subject_id, as_of.key)) if as_of is not None else None
    yield _bare(kinds.figure_of(key("design"), name, yearly.get((DESIGN, subject_id, before.key))))
    yield _bare(kinds.figure_of(key("base"), name, yearly.get((CONNECTED, subject_id, before.key))))
    yield _bare(kinds.figure_of(key("planned"), name, planned.get((PLANNED, subject_id, year.key))))
    yield _bare(kinds.figure_of(key("now"), name, now))
    yield Figure(key("plan"), name, source=rules.difference(key("planned"), key("base")))
    yield Figure(key("added"), name, source=rules.difference(key("now"), key("base")))
    yield Figure(key("share"), name, source=rules.share_pct(key("added"), key("plan")))
    yield Figure(key("spare"), name, source=rules.difference(key("design"), key("now")))


def _bare(figure: Figure) -> Figure:
    """Return the figure without its unit, which stands above the table."""
    return replace(figure, display=figure.display.replace("\u00a0hộ", ""))


def derive(figures: Iterable[Figure]) -> list[Figure]:
    """Return the figures with those that follow from others worked out; simulated ones make them simulated."""
    found = list(figures)
    raws = {figure.key: figure.raw for figure in found}
    mock = {figure.key for figure in found if "(mô phỏng)" in figure.display}
    for place, figure in enumerate(found):
        if not rules.is_rule(figure.source):
            continue
        number = rules.evaluate(figure.source, raws, own_key=figure.key, decimals=1)
        if number is None:
            continue
        raw = str(number)
        is_mock = any(word in mock for word in figure.source.split())
        text = vietnamese.format_number(number, 1 if "/ " in figure.source else 0)
        found[place] = replace(figure, raw=raw, display=f"{text} (mô phỏng)" if is_mock else text)
        raws[figure.key] = raw
        if is_mock:
            mock.add(figure.key)
    return found


def _about_growth(growth: Growth) -> str:
    plan, added, share = (growth.raws.get(f"growth/{TOTAL}/{column}", "") for column in ("plan", "added", "share"))
    base = growth.raws.get(f"growth/{TOTAL}/base", "")
    lines = []
    if base and plan:
        lines.append(
            f"Đến hết năm trước có {_number(base)} hộ đấu nối; kế hoạch năm phát triển thêm {_number(plan)} hộ "
            "(chi tiết theo trạm tại Phụ lục)."
        )
    if growth.as_of is None or not added:
        lines.append(f"Số hộ đấu nối trong năm: {NO_FIGURE}.")
        return "\n".join(lines)
    mark = " (số liệu mô phỏng)" if growth.is_simulated else ""
    lines.append(
        f"Lũy kế đến hết {growth.as_of.label_vi.lower()} tăng thêm {_number(added)} hộ, đạt {_number(share)}\u00a0% "
        f"kế hoạch năm{mark}."
    )
    behind = sorted(
        (Decimal(raw), key.split("/")[1])
        for key, raw in growth.raws.items()
        if key.endswith("/share") and raw and key.split("/")[1] != TOTAL
    )[:3]
    names = {figure.key.split("/")[1]: figure.label for figure in growth.figures}
    if behind:
        told = "; ".join(f"{names[row]} ({_number(str(share_pct))}\u00a0%)" for share_pct, row in behind)
        lines.append(f"Các trạm đạt thấp nhất so với kế hoạch: {told}{mark}.")
    return "\n".join(lines)


def _number(raw: str) -> str:
    return vietnamese.format_number(Decimal(raw)) if raw else NO_FIGURE


# --- targets ----------------------------------------------------------------------------------------------------


def _targets(context: Context) -> Iterable[Target]:
    if context.plan is None:
        return ()
    return (
        Target.objects.filter(plan=context.plan, parent=None, is_active=True)
        .select_related("metric", "subject", "standing__value__metric", "standing__value__band")
        .prefetch_related(Prefetch("proposals", Proposal.objects.filter(state=Proposal.State.APPROVED)))
    )


def _target_figures(context: Context, targets: list[Target], growth: Growth) -> Iterable[Figure]:
    for target in targets:
        standing = getattr(target, "standing", None)
        label = target.name
        yield Figure(f"targets/{target.key}/goal", label, _goal(target), source=_source(target))
        yield _reached(context, target, growth)
        status = standing.get_status_display() if standing is not None else "Chưa có số liệu"
        yield Figure(
            f"targets/{target.key}/status", label, status,
            source=f"Đánh giá của hệ thống ngày {vietnamese.format_date(standing.computed_on)}" if standing else "",
        )  # fmt: skip


def _reached(context: Context, target: Target, growth: Growth) -> Figure:
    key = f"targets/{target.key}/reached"
    standing = getattr(target, "standing", None)
    is_growth = target.measured_as == Target.MeasuredAs.GROWTH
    if is_growth and target.metric is not None and target.metric.key == CONNECTED:
        if target.subject_id == context.organisation.pk:
            parts = (f"growth/{TOTAL}/now", f"growth/{TOTAL}/base")
            raw = growth.raws.get(f"growth/{TOTAL}/added", "")
            if raw:
                mark = " (mô phỏng)" if growth.is_simulated else ""
                return Figure(key, target.name, f"{_number(raw)}\u00a0hộ{mark}", raw, source=rules.difference(*parts))
        return Figure(key, target.name)
    value = standing.value if standing is not None else None
    # What compares with the period before says nothing of a year while it is about a month.
    is_of_target = value is not None and (
        value.period_kind == target.period_kind or value.metric.kind == Metric.Kind.MEASURE
    )
    if value is not None and is_of_target and not is_growth:
        return kinds.figure_of(key, target.name, value, with_band=True)
    return Figure(key, target.name)


def _goal(target: Target) -> str:
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


def _source(target: Target) -> str:
    return f"Mục {target.section} của kế hoạch" if target.section else "Kế hoạch"


def _about_targets(targets: list[Target]) -> str:
    if not targets:
        return f"Chỉ tiêu của kế hoạch: {NO_FIGURE} trong hệ thống."
    counts: dict[str, int] = {}
    for target in targets:
        standing = getattr(target, "standing", None)
        status = standing.get_status_display() if standing is not None else "Chưa có số liệu"
        counts[status] = counts.get(status, 0) + 1
    told = "; ".join(f"{count} chỉ tiêu «{status[:1].lower()}{status[1:]}»" for status, count in counts.items())
    return f"Kế hoạch giao {len(targets)} chỉ tiêu. Đến ngày báo cáo: {told} (Biểu 1)."


def _about_proposals(targets: list[Target]) -> str:
    lines = [f"- {target.name}: {proposal.solution}" for target in targets for proposal in target.proposals.all()]
    return "\n".join(lines) or "Không có."


# --- tasks and handover -----------------------------------------------------------------------------------------


def _end_of(context: Context) -> datetime:
    return datetime.combine(context.period.end_date, time.min, LOCAL_ZONE)


def _tasks(context: Context) -> list[Task]:
    if context.plan is None:
        return []
    newest = TaskProgress.objects.filter(at__lt=_end_of(context)).order_by("-at")
    return list(
        Task.objects.filter(plan=context.plan)
        .prefetch_related("units__organisation__subject", Prefetch("progress", newest))
        .order_by("order", "id")
    )


def _task_figures(tasks: list[Task], context: Context) -> Iterable[Figure]:
    for task in tasks:
        leads = [unit for unit in task.units.all() if unit.role == "LEAD"]
        printed = dict.fromkeys(str(unit) for unit in leads)
        for column, text in (
            ("lead", "; ".join(list(printed)[:3]) or "–"), ("due", _due(task)), ("state", _state(task)),
        ):  # fmt: skip
            yield Figure(
                f"tasks/{task.pk}/{column}", _cut(task.content), text, source="Sổ theo dõi nhiệm vụ của kế hoạch"
            )
    done = [task for task in tasks if _state_of(task) == Task.State.DONE]
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


def _state_of(task: Task) -> str:
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


def _about_tasks(tasks: list[Task], context: Context) -> str:
    if not tasks:
        return f"Nhiệm vụ của kế hoạch: {NO_FIGURE} trong hệ thống."
    done = sum(1 for task in tasks if _state_of(task) == Task.State.DONE)
    silent = sum(1 for task in tasks if not task.progress.all())
    last_day = context.period.end_date - timedelta(days=1)
    overdue = sum(1 for task in tasks if task.due_on and task.due_on < last_day and _state_of(task) != Task.State.DONE)
    text = f"Kế hoạch có {len(tasks)} nhiệm vụ; đến {vietnamese.format_date(last_day)} đã hoàn thành {done} nhiệm vụ"
    if overdue:
        text += f", {overdue} nhiệm vụ quá hạn"
    return f"{text} (Biểu 2)." + (f" {silent} nhiệm vụ chưa có báo cáo tiến độ trong hệ thống." if silent else "")


def _about_next(tasks: list[Task], context: Context) -> str:
    following = context.period.shift(1)
    soon = [
        task
        for task in tasks
        if task.due_on
        and following.contains(task.due_on)
        and _state_of(task) not in {Task.State.DONE, Task.State.CANCELLED}
    ]
    lines = [f"- {task} (hạn {vietnamese.format_date(task.due_on)})." for task in soon[:8]]
    going_on = [task for task in tasks if task not in soon and _state_of(task) == Task.State.DOING][:5]
    lines += [f"- Tiếp tục: {task}." for task in going_on]
    return "\n".join(lines) or "Tiếp tục thực hiện các nhiệm vụ của kế hoạch theo phân công."


def _about_handovers(context: Context) -> str:
    rows = list(Handover.objects.filter(receiver=context.organisation).order_by("requested_on", "pk"))
    if not rows:
        return f"Công trình tiếp nhận: {NO_FIGURE} trong hệ thống."
    done = [row for row in rows if row.effective_on and row.effective_on < context.period.end_date]
    lines = [f"Đã tiếp nhận {len(done)} công trình; đang làm thủ tục {len(rows) - len(done)} công trình:"]
    for row in rows:
        state = (
            f"đã tiếp nhận từ {vietnamese.format_date(row.effective_on)}" if row in done
            else f"bước «{row.get_step_display()}»"
        )  # fmt: skip
        lines.append(f"- {row.name}: {state}.")
    return "\n".join(lines)


KIND = kinds.register(
    Kind(
        key="qn_monthly",
        name="Báo cáo tháng kết quả thực hiện kế hoạch cấp nước nông thôn",
        period_kind="M",
        outline=OUTLINE,
        tables=(TARGETS, TASKS, GROWTH),
        gather=gather,
        plan_key="qn.79-2026",
        field="RURAL",
    )
)
