"""The monthly result of the plan of Quảng Ngãi's rural water centre (79/KH-TTNS): targets, stations, tasks.

IV.3 of the plan asks for it by day 14. Figures of the month where there are any, else the newest of the year before the
month ends; what no room gives yet is printed «chưa có số liệu».
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from django.db.models import Q

from machnuoc.core import vietnamese
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import Period
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.planning.models import Handover, Target
from machnuoc.reports import kinds, rules
from machnuoc.reports.contents import common
from machnuoc.reports.kinds import TOTAL, Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec
from machnuoc.works.models import Work

CONNECTED, DESIGN, PLANNED = "works.households_connected", "works.households_design", "works.households_planned"
DISBURSED_PCT, TAKEN_OVER = "investment.disbursement_pct", "works.handed_over"
# Of service to customers: key of the figure, the metric it is.
SERVICE = {
    "requests_received": "requests.received",
    "requests_answered": "requests.answered",
    "requests_in_time": "requests.in_time_pct",
    "requests_hours": "requests.mean_answer_hours",
    "requests_open": "requests.open",
    "billed_volume": "billing.volume_m3",
}

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
        TableColumn("fresh", "Tăng trong kỳ", 1.1),
        TableColumn("added", "Tăng từ đầu năm", 1.2),
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
    Section("service", "Phục vụ khách hàng", 2),
    Section("investment", "Đầu tư và giải ngân vốn đầu tư công", 2),
    Section("handover", "Tiếp nhận công trình cấp nước", 2),
    Section("tasks", "Tình hình thực hiện nhiệm vụ", 1),
    Section("obstacles", "Khó khăn, vướng mắc", 1),
    Section("next", "Nhiệm vụ trọng tâm kỳ tới", 1),
    Section("requests", "Đề xuất, kiến nghị", 1),
)


def gather(context: Context) -> Gathered:
    """Return figures and suggestions of one month, or of one quarter."""
    growth = read_growth(context)
    targets = list(common.list_targets(context))
    tasks = common.list_tasks(context)
    projects = common.project_figures(context)
    handovers = list_handovers(context)
    service = _service_figures(context)
    figures = [  # growth and money first: what targets have reached follows from them
        *growth.figures,
        *projects,
        *_target_figures(context, targets, growth, projects, handovers),
        *service,
        *common.task_figures(tasks, context),
    ]
    suggestions = {
        "opening": common.opening(context),
        "targets": common.about_targets(targets),
        "growth": _about_growth(growth, context),
        "operation": common.missing("Tỷ lệ công trình vận hành ổn định, kết quả mẫu nước kiểm nghiệm"),
        "service": _about_service(service, context),
        "investment": common.about_projects(projects, context),
        "handover": _about_handovers(handovers, context),
        "tasks": common.about_tasks(tasks, context),
        "obstacles": common.about_obstacles(targets, context),
        "next": common.about_next(tasks, context),
        "requests": common.about_proposals(targets),
    }
    parent = context.organisation.parent
    return Gathered(
        figures=tuple(figures),
        suggestions=suggestions,
        title=f"Kết quả thực hiện {common.plan_words(context)} {common.period_words(context.period)}",
        addressee=parent.subject.name if parent is not None else "",
        to_organisation=parent,
        recipients=("Như trên", "Lãnh đạo Trung tâm", "Các phòng, trạm trực thuộc", "Lưu: VT, KH-KT&TT"),
        signer_capacity="GIÁM ĐỐC",
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
    # What was connected when the period began: a month before it, or the end of last year.
    opening = Period.containing(context.period.start_date, "M").previous
    monthly = kinds.read_values([CONNECTED], everyone, [*months, opening])
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
    held = _Held(yearly, planned, monthly, before, year, opening, as_of, _is_fresh(as_of, context.period))
    for work in works:
        figures += _growth_row(work.subject.key, work.subject.name, work.pk, held)
    figures += _growth_row(TOTAL, "Tổng cộng", context.organisation.pk, held)
    figures = derive(figures)
    raws = {figure.key: figure.raw for figure in figures}
    simulated = any(figure.value is not None and figure.value.state == State.SIMULATED for figure in figures)
    return Growth(tuple(figures), as_of, raws, simulated)


def _is_fresh(as_of: Period | None, period: Period) -> bool:
    """Return whether the newest figures are of the period itself, so that they tell what came to it."""
    return as_of is not None and period.contains(as_of.start_date)


@dataclass(frozen=True)
class _Held:
    """The figures that rows of growth are made of. opening: the month before the period."""

    yearly: dict[tuple[str, int, str], Value]
    planned: dict[tuple[str, int, str], Value]
    monthly: dict[tuple[str, int, str], Value]
    before: Period
    year: Period
    opening: Period
    as_of: Period | None
    is_fresh: bool


def _growth_row(row: str, name: str, subject_id: int, held: _Held) -> Iterable[Figure]:
    def key(column: str) -> str:
        return f"growth/{row}/{column}"

    base = held.yearly.get((CONNECTED, subject_id, held.before.key))
    now = held.monthly.get((CONNECTED, subject_id, held.as_of.key)) if held.as_of is not None else None
    begins_year = held.opening.start_date < held.year.start_date
    start = base if begins_year else held.monthly.get((CONNECTED, subject_id, held.opening.key))
    yield _bare(kinds.figure_of(key("design"), name, held.yearly.get((DESIGN, subject_id, held.before.key))))
    yield _bare(kinds.figure_of(key("base"), name, base))
    yield _bare(kinds.figure_of(key("planned"), name, held.planned.get((PLANNED, subject_id, held.year.key))))
    yield _bare(kinds.figure_of(key("start"), name, start if held.is_fresh else None))
    yield _bare(kinds.figure_of(key("now"), name, now))
    yield Figure(key("plan"), name, source=rules.difference(key("planned"), key("base")))
    yield Figure(key("fresh"), name, source=rules.difference(key("now"), key("start")))
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


def _about_growth(growth: Growth, context: Context) -> str:
    plan, added, share, fresh = (
        growth.raws.get(f"growth/{TOTAL}/{column}", "") for column in ("plan", "added", "share", "fresh")
    )
    base = growth.raws.get(f"growth/{TOTAL}/base", "")
    lines = []
    if base and plan:
        lines.append(
            f"Đến hết năm trước có {_number(base)} hộ đấu nối; kế hoạch năm phát triển thêm {_number(plan)} hộ "
            f"(chi tiết theo trạm tại {common.annex(GROWTH)})."
        )
    if growth.as_of is None or not added:
        lines.append(f"Số hộ đấu nối trong năm: {NO_FIGURE}.")
        return "\n".join(lines)
    mark = " (số liệu mô phỏng)" if growth.is_simulated else ""
    until = growth.as_of.label_inside_vi
    of_plan = f", đạt {_share(share)}\u00a0% kế hoạch năm" if share else ""
    if fresh and growth.as_of.end_date == context.period.end_date:
        head = f"Trong {common.period_words(context.period)} {_change(fresh)}; lũy kế từ đầu năm {_change(added)}"
    elif fresh:
        head = f"Từ đầu kỳ đến hết {until} {_change(fresh)}; lũy kế từ đầu năm {_change(added)}"
    else:
        head = (
            f"Số hộ phát triển trong {common.period_words(context.period)}: {NO_FIGURE}; "
            f"lũy kế từ đầu năm đến hết {until} {_change(added)}"
        )
    lines.append(f"{head}{of_plan}{mark}.")
    behind = sorted(
        (Decimal(raw), key.split("/")[1])
        for key, raw in growth.raws.items()
        if key.endswith("/share") and raw and key.split("/")[1] != TOTAL
    )[:3]
    names = {figure.key.split("/")[1]: figure.label for figure in growth.figures}
    if behind:
        told = "; ".join(f"{names[row]} ({_share(str(share_pct))}\u00a0%)" for share_pct, row in behind)
        lines.append(f"Các trạm đạt thấp nhất so với kế hoạch: {told}{mark}.")
    return "\n".join(lines)


def _change(raw: str) -> str:
    """Return what became of the number of households: more, as many, or fewer.

    >>> _change("0"), _change("-3")
    ('không phát triển thêm hộ nào', 'giảm 3 hộ')
    """
    number = Decimal(raw)
    if not number:
        return "không phát triển thêm hộ nào"
    return f"{'phát triển thêm' if number > 0 else 'giảm'} {vietnamese.format_number(abs(number))} hộ"


def _number(raw: str) -> str:
    return vietnamese.format_number(Decimal(raw)) if raw else NO_FIGURE


def _share(raw: str) -> str:
    return vietnamese.format_number(Decimal(raw), 1)


# --- service ----------------------------------------------------------------------------------------------------


def _service_figures(context: Context) -> list[Figure]:
    """Return what customers told and were answered in the period, and what water was billed.

    Of a period that is over: while it runs these figures change every night, and a report that is to be signed cannot.
    """
    period, pk = context.period, context.organisation.pk
    is_over = period.end_date <= context.today
    values = kinds.read_values(list(SERVICE.values()), [pk], [period]) if is_over else {}
    names = dict(Metric.objects.filter(key__in=SERVICE.values()).values_list("key", "name"))
    return [
        kinds.figure_of(key, names.get(metric, metric), values.get((metric, pk, period.key)))
        for key, metric in SERVICE.items()
    ]


def _about_service(figures: list[Figure], context: Context) -> str:
    if context.period.end_date > context.today:
        return "Số phản ánh, yêu cầu của khách hàng và lượng nước theo hóa đơn được tính khi hết kỳ."
    is_mock = any("(mô phỏng)" in figure.display for figure in figures)
    said = {figure.key: figure.display.replace(" (mô phỏng)", "") for figure in figures if figure.raw}
    lines = [f"Phản ánh, yêu cầu của khách hàng: {NO_FIGURE}", f"Nước theo hóa đơn: {NO_FIGURE}"]
    if "requests_received" in said:
        notes = [f"{said['requests_in_time']} trong hạn"] if "requests_in_time" in said else []
        notes += [f"bình quân {said['requests_hours']}"] if "requests_hours" in said else []
        answered = said.get("requests_answered", NO_FIGURE) + (f" ({', '.join(notes)})" if notes else "")
        lines[0] = (
            f"Tiếp nhận {said['requests_received']} phản ánh, yêu cầu của khách hàng; "
            f"đã trả lời {answered}; còn {said.get('requests_open', NO_FIGURE)} chưa trả lời khi hết kỳ"
        )
    if "billed_volume" in said:
        lines[1] = f"Nước theo hóa đơn trong kỳ: {said['billed_volume']}"
    return "\n".join(f"{line}{' (số liệu mô phỏng)' if is_mock and NO_FIGURE not in line else ''}." for line in lines)


# --- targets ----------------------------------------------------------------------------------------------------


def _target_figures(
    context: Context, targets: list[Target], growth: Growth, projects: list[Figure], handovers: list[Handover]
) -> Iterable[Figure]:
    for target in targets:
        yield Figure(f"targets/{target.key}/goal", target.name, common.goal(target), source=common.source_of(target))
        metric = target.metric.key if target.metric is not None else ""
        if metric == DISBURSED_PCT:
            yield _disbursed(target, projects, context)
        elif metric == TAKEN_OVER:
            yield _taken_over(target, handovers, context)
        else:
            yield _reached(context, target, growth)
        yield common.status_of(target)


def _disbursed(target: Target, projects: list[Figure], context: Context) -> Figure:
    """Return the share of the year's capital that was paid by the end of the period, of the projects with capital."""
    key = f"targets/{target.key}/reached"
    money = {figure.key: figure for figure in projects if figure.raw and f"/{TOTAL}/" not in figure.key}
    planned = {name: figure for name, figure in money.items() if name.endswith("/capital")}
    capital_vnd = sum((Decimal(figure.raw) for figure in planned.values()), Decimal(0))
    if not capital_vnd:
        return Figure(key, target.name)
    paid = [money[name.replace("/capital", "/paid")] for name in planned if name.replace("/capital", "/paid") in money]
    paid_vnd = sum((Decimal(figure.raw) for figure in paid), Decimal(0))
    share = vietnamese.round_half_up(100 * paid_vnd / capital_vnd, 1)
    mark = " (mô phỏng)" if any("(mô phỏng)" in figure.display for figure in (*planned.values(), *paid)) else ""
    day = vietnamese.format_date(common.last_day(context))
    return Figure(
        key, target.name, f"{vietnamese.format_number(share, 1)}\u00a0%{mark}", str(share),
        source=f"Sổ theo dõi dự án, đến {day}",
    )  # fmt: skip


def _taken_over(target: Target, handovers: list[Handover], context: Context) -> Figure:
    year = Period.containing(context.period.start_date, "Y")
    done = [row for row in handovers if _is_done(row, context) and year.contains(row.effective_on)]  # type: ignore[arg-type]
    day = vietnamese.format_date(common.last_day(context))
    return Figure(
        f"targets/{target.key}/reached", target.name, f"{len(done)}\u00a0công trình", str(len(done)),
        source=f"Sổ tiếp nhận công trình, đến {day}", counted=tuple((row.name, "1") for row in done),
    )  # fmt: skip


def _reached(context: Context, target: Target, growth: Growth) -> Figure:
    """Return the growth of the whole centre for the target of customers; else what the target's standing rests on."""
    is_growth = target.measured_as == Target.MeasuredAs.GROWTH
    raw = growth.raws.get(f"growth/{TOTAL}/added", "")
    if not (is_growth and target.metric is not None and target.metric.key == CONNECTED and raw):
        return common.reached(target, context)
    if target.subject_id != context.organisation.pk:
        return common.reached(target, context)
    key, mark = f"targets/{target.key}/reached", " (mô phỏng)" if growth.is_simulated else ""
    added, base = f"growth/{TOTAL}/added", f"growth/{TOTAL}/base"
    if target.unit == "pct":  # growth as a share of what was connected a year ago
        rule = rules.share_pct(added, base)
        share = rules.evaluate(rule, growth.raws, decimals=2)
        if share is None:
            return common.reached(target, context)
        text = f"{vietnamese.format_number(share, 2)}\u00a0%{mark}"
        return Figure(key, target.name, text, str(share), source=rule)
    return Figure(
        key, target.name, f"{_number(raw)}\u00a0hộ{mark}", raw, source=rules.difference(f"growth/{TOTAL}/now", base)
    )


def list_handovers(context: Context) -> list[Handover]:
    """Return the handovers to the organisation that had been asked for by the end of the period."""
    day = common.last_day(context)
    asked = Q(requested_on__isnull=True) | Q(requested_on__lte=day)
    return list(Handover.objects.filter(asked, receiver=context.organisation).order_by("requested_on", "pk"))


def _is_done(row: Handover, context: Context) -> bool:
    return row.effective_on is not None and row.effective_on <= common.last_day(context)


def _about_handovers(rows: list[Handover], context: Context) -> str:
    if not rows:
        return f"Công trình tiếp nhận: {NO_FIGURE} trong hệ thống."
    done = [row for row in rows if _is_done(row, context)]
    parts = [f"Đã tiếp nhận {len(done)} công trình" if done else "Chưa tiếp nhận xong công trình nào"]
    if len(rows) > len(done):
        parts.append(f"đang làm thủ tục {len(rows) - len(done)} công trình")
    lines = [f"{'; '.join(parts)}:"]
    for row in rows:
        step = row.get_step_display()
        state = (
            f"đã tiếp nhận từ {vietnamese.format_date(row.effective_on)}" if row in done
            else f"đang ở bước {step[:1].lower()}{step[1:]}"
        )  # fmt: skip
        lines.append(f"- {row.name}: {state}.")
    return "\n".join(lines)


KIND = kinds.register(
    Kind(
        key="qn_monthly",
        name="Báo cáo tháng kết quả thực hiện kế hoạch cấp nước nông thôn",
        period_kind="M",
        outline=OUTLINE,
        tables=(common.TARGETS, GROWTH, common.TASKS, common.PROJECTS),
        gather=gather,
        plan_key="qn.79-2026",
        field="RURAL",
    )
)
