"""The quarterly report on the new-rural programme of Khánh Hòa (1355/KH-UBND): criteria, roadmap, gaps, money."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count

from machnuoc.core import vietnamese
from machnuoc.core.figures import NO_FIGURE
from machnuoc.planning import programme_queries, project_queries
from machnuoc.planning.models import Assessment, CriteriaSet, Programme
from machnuoc.reports import kinds
from machnuoc.reports.contents import common
from machnuoc.reports.kinds import Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec

ROADMAP = TableSpec(
    "roadmap",
    "Biểu 1. Lộ trình đạt chuẩn của các xã",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Danh hiệu", 3),
        TableColumn("printed", "Tổng theo kế hoạch (như in)", 1.5),
        TableColumn("named", "Nêu tên trong lộ trình", 1.5),
        TableColumn("due", "Đến hết năm báo cáo", 1.5),
        TableColumn("recognised", "Đã công nhận", 1.5),
    ),
    after="roadmap",
    notes=("Số xã nêu tên gồm những dòng đọc được của kế hoạch; chỗ khác với tổng như in thì ghi cả hai.",),
)
CRITERIA = TableSpec(
    "criteria",
    "Kết quả đánh giá theo bộ tiêu chí",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Bộ tiêu chí, tiêu chí", 4.6),
        TableColumn("met", "Đạt", 1),
        TableColumn("not_met", "Chưa đạt", 1),
        TableColumn("open", "Chưa đánh giá", 1.1),
    ),
    unit_note="Đơn vị tính: lượt địa phương × chỉ tiêu",
)
GAPS = TableSpec(
    "gaps",
    "Biểu 2. Nội dung chưa đạt theo cơ quan phụ trách",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Cơ quan phụ trách", 4.4),
        TableColumn("open", "Nội dung chưa đạt", 1.5),
        TableColumn("due", "Đã đến quý dự kiến đạt", 1.6),
    ),
    after="gaps",
)
FUNDS = TableSpec(
    "funds",
    "Nhu cầu vốn của kế hoạch",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Nguồn vốn", 5),
        TableColumn("amount", "Số tiền (triệu đồng)", 2, is_number=False),
    ),
)
OUTLINE = (
    Section("opening", "Mở đầu", 0),
    Section("results", "Kết quả thực hiện Chương trình", 1, has_text=False),
    Section("roadmap", "Lộ trình đạt chuẩn", 2),
    Section("criteria", "Kết quả đánh giá tiêu chí", 2),
    Section("gaps", "Nội dung chưa đạt và trách nhiệm của các cơ quan", 2),
    Section("investment", "Huy động và giải ngân vốn", 2),
    Section("tasks", "Tình hình thực hiện nhiệm vụ", 1),
    Section("obstacles", "Khó khăn, vướng mắc; nguyên nhân khách quan, chủ quan", 1),
    Section("next", "Nhiệm vụ trọng tâm quý tới", 1),
    Section("requests", "Đề xuất, kiến nghị", 1),
)
_SOURCE = "Sổ theo dõi Chương trình"


def gather(context: Context) -> Gathered:
    """Return figures and suggestions of one quarter. An agency's report names its own gaps first."""
    programme = Programme.objects.filter(plan=context.plan).first() if context.plan is not None else None
    tasks = common.list_tasks(context)
    targets = list(common.list_targets(context))
    figures: list[Figure] = []
    gaps: list[Figure] = []
    own = ""
    if programme is not None:
        last_day = context.period.end_date - timedelta(days=1)
        year = _year_of(programme, last_day.year)
        lines = programme_queries.list_agencies(programme, None, year, last_day)
        gaps = list(_gap_figures(lines, year))
        own = _about_own(context, lines)
        figures = [*_roadmap_figures(programme, last_day.year), *_criteria_figures(programme, year), *gaps]
        figures += _fund_figures(context)
    suggestions = {
        "opening": common.opening(context),
        "roadmap": _about_roadmap(figures),
        "criteria": _about_criteria(figures),
        "gaps": "\n".join(line for line in (own, _about_gaps(gaps)) if line),
        "investment": _about_funds(figures),
        "tasks": common.about_tasks(tasks, context),
        "obstacles": common.about_obstacles(targets, context),
        "next": common.about_next(tasks, context),
        "requests": common.about_proposals(targets),
    }
    addressee, to_organisation = common.receiver(context, "ntm_quarterly")
    return Gathered(
        figures=(*figures, *common.task_figures(tasks, context)),
        suggestions=suggestions,
        addressee=addressee,
        to_organisation=to_organisation,
        title="Kết quả thực hiện Chương trình mục tiêu quốc gia xây dựng nông thôn mới "
        + common.period_words(context.period),
    )


def _year_of(programme: Programme, wanted: int) -> int:
    """Return the newest year with assessments up to the one that the report is about; that one if there are none."""
    years = [year for year in programme_queries.list_years(programme) if year <= wanted]
    return max(years, default=wanted)


def _count(key: str, label: str, number: int | None, source: str = _SOURCE) -> Figure:
    if number is None:
        return Figure(key, label)
    return Figure(key, label, vietnamese.format_number(number), str(number), source=source)


def _roadmap_figures(programme: Programme, year: int) -> Iterable[Figure]:
    due: dict[str, int] = {}
    for tier, planned in programme.roadmap.filter(level="COMMUNE").values_list("tier", "year"):
        due[tier] = due.get(tier, 0) + (planned <= year)
    for one in programme_queries.sum_tiers(programme):
        key = f"roadmap/{one.tier.lower()}"
        yield _count(f"{key}/printed", one.label, one.printed, "Tổng như in của kế hoạch")
        yield _count(f"{key}/named", one.label, one.planned, "Lộ trình của kế hoạch")
        yield _count(f"{key}/due", one.label, due.get(one.tier, 0), f"Lộ trình đến hết năm {year}")
        yield _count(f"{key}/recognised", one.label, one.recognised, "Lộ trình: đã có quyết định công nhận")


def _criteria_figures(programme: Programme, year: int) -> Iterable[Figure]:
    rows = (
        Assessment.objects.filter(programme=programme, year=year)
        .order_by("criterion__criteria_set_id", "criterion__order")
        .values_list(
            "criterion_id", "criterion__number", "criterion__name", "criterion__criteria_set__level",
            "criterion__criteria_set__tier", "result",
        )
        .annotate(Count("pk"))
    )  # fmt: skip
    counted: dict[int, tuple[str, dict[str, int]]] = {}
    for criterion_id, number, name, level, tier, result, count in rows:
        of_whom = f"{CriteriaSet.Level(level).label} {CriteriaSet.Tier(tier).label.lower()}"
        _, results = counted.setdefault(criterion_id, (f"{of_whom}: {number}. {name}", {}))
        results[result] = count
    results_of = Assessment.Result
    for criterion_id, (label, results) in counted.items():
        for column, result in (
            ("met", results_of.MET), ("not_met", results_of.NOT_MET), ("open", results_of.NOT_ASSESSED),
        ):  # fmt: skip
            source = f"Đánh giá năm {year}"
            yield _count(f"criteria/{criterion_id}/{column}", label[:300], results.get(result, 0), source)


def _gap_figures(lines: Sequence[programme_queries.AgencyLine], year: int) -> Iterable[Figure]:
    for line in sorted(lines, key=lambda line: (-line.open, line.order)):
        if line.open:
            yield _count(f"gaps/{line.order}/open", line.name, line.open, f"Đánh giá năm {year}")
            yield _count(f"gaps/{line.order}/due", line.name, line.due, f"Đánh giá năm {year}")


def _fund_figures(context: Context) -> Iterable[Figure]:
    if context.plan is None:
        return
    for fund in project_queries.list_funds(context.plan):
        year = f"năm {fund.year}" if fund.year and str(fund.year) not in fund.name else ""
        words = " ".join(part for part in (fund.name, year, fund.qualifier) if part)
        text = vietnamese.format_number(Decimal(fund.amount_vnd) / 1_000_000)
        yield Figure(
            f"funds/{fund.order:03}/amount", words, text, str(fund.amount_vnd), source="Mục V của kế hoạch, đồng"
        )


def _about_roadmap(figures: Sequence[Figure]) -> str:
    by_key = {figure.key: figure for figure in figures}
    lines = [
        f"- {figure.label}: lộ trình nêu tên {figure.display} xã, "
        f"{_recognised(by_key[key.replace('/named', '/recognised')])}."
        for key, figure in by_key.items()
        if key.startswith("roadmap/") and key.endswith("/named")
    ]
    return "\n".join([*lines, "Chi tiết tại Biểu 1."]) if lines else common.missing("Lộ trình đạt chuẩn")


def _recognised(figure: Figure) -> str:
    return f"đã công nhận {figure.display} xã" if figure.raw != "0" else "chưa xã nào được công nhận"


def _about_criteria(figures: Sequence[Figure]) -> str:
    sums = {
        column: sum(
            int(figure.raw)
            for figure in figures
            if figure.key.startswith("criteria/") and figure.key.endswith(f"/{column}")
        )
        for column in ("met", "not_met", "open")
    }
    if not any(sums.values()):
        return common.missing("Kết quả đánh giá tiêu chí")
    number = vietnamese.format_number
    return (
        f"Sổ theo dõi có {number(sum(sums.values()))} lượt đánh giá: {number(sums['met'])} đạt, "
        f"{number(sums['not_met'])} chưa đạt, {number(sums['open'])} chưa đánh giá "
        f"(chi tiết tại {common.annex(CRITERIA)})."
    )


def _about_gaps(gaps: Sequence[Figure]) -> str:
    largest = [figure for figure in gaps if figure.key.endswith("/open")][:5]
    if not largest:
        return common.missing("Nội dung chưa đạt theo cơ quan")
    told = "; ".join(f"{figure.label} ({figure.display})" for figure in largest)
    return f"Cơ quan phụ trách nhiều nội dung chưa đạt nhất: {told} (Biểu 2)."


def _about_own(context: Context, lines: Sequence[programme_queries.AgencyLine]) -> str:
    mine = [line for line in lines if line.organisation is not None and line.organisation.pk == context.organisation.pk]
    if not mine:
        return ""
    count = sum(line.open for line in mine)
    return f"{context.organisation.subject.name} phụ trách {vietnamese.format_number(count)} nội dung chưa đạt."


def _about_funds(figures: Sequence[Figure]) -> str:
    if not any(figure.key.startswith("funds/") for figure in figures):
        return common.missing("Nhu cầu vốn và kết quả giải ngân")
    return (
        f"Nhu cầu vốn theo kế hoạch tại {common.annex(FUNDS)}. "
        f"Kết quả huy động, giải ngân trong quý: {NO_FIGURE} trong hệ thống."
    )


KIND = kinds.register(
    Kind(
        key="ntm_quarterly",
        name="Báo cáo quý Chương trình nông thôn mới",
        period_kind="Q",
        outline=OUTLINE,
        tables=(ROADMAP, GAPS, CRITERIA, FUNDS, common.TASKS),
        gather=gather,
        plan_key="kh.1355-2024",
        field="RURAL",
    )
)
