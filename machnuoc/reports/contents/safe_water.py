"""The half-year and annual report on safe water supply of Lai Châu's plan for Directive 34/CT-TTg (III.8).

What incident, risk and quality rooms will give is printed «chưa có số liệu» until they are there.
"""

from collections.abc import Iterable
from dataclasses import replace

from machnuoc.indicators.models import Metric
from machnuoc.reports import kinds
from machnuoc.reports.contents import common
from machnuoc.reports.kinds import Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec

SERVICE = TableSpec(
    "service",
    "Biểu 2. Tình hình cấp nước, chất lượng nước",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Nội dung", 4.4),
        TableColumn("before", "Kỳ trước", 1.6, is_number=False),
        TableColumn("now", "Kỳ báo cáo", 1.6, is_number=False),
    ),
    after="service",
)
METRICS = (
    "coverage.urban_pct", "coverage.rural_systems_pct", "losses.nrw_pct", "quality.samples_tested",
    "quality.samples_passed", "quality.samples_passed_pct", "service.supply_hours_a_day",
    "service.works_without_long_outage_pct", "safety.suppliers", "safety.suppliers_with_plan",
    "safety.suppliers_with_plan_pct",
)  # fmt: skip
OUTLINE = (
    Section("opening", "Mở đầu", 0),
    Section("targets", "Kết quả thực hiện mục tiêu", 1),
    Section("service", "Tình hình cấp nước và chất lượng nước", 1),
    Section("safety", "Bảo đảm cấp nước an toàn", 1, has_text=False),
    Section("plans", "Lập và thực hiện kế hoạch cấp nước an toàn", 2),
    Section("quality", "Kiểm soát chất lượng nước: nội kiểm, ngoại kiểm", 2),
    Section("incidents", "Sự cố và ứng phó sự cố", 2),
    Section("rationing", "Ngừng, giảm cấp nước; cấp nước luân phiên, lưu động", 2),
    Section("spots", "Điểm đen, khu vực có nguy cơ", 2),
    Section("drills", "Diễn tập, tập huấn, tuyên truyền", 2),
    Section("tasks", "Tình hình thực hiện nhiệm vụ", 1),
    Section("obstacles", "Khó khăn, vướng mắc", 1),
    Section("next", "Nhiệm vụ, giải pháp kỳ tới", 1),
    Section("requests", "Đề xuất, kiến nghị", 1),
)


def gather(context: Context) -> Gathered:
    """Return figures and suggestions of half a year, or of a year."""
    targets = list(common.list_targets(context))
    tasks = common.list_tasks(context)
    service = list(service_figures(context))
    suggestions = {
        "opening": common.opening(context, "kết quả bảo đảm cấp nước an toàn"),
        "targets": common.about_targets(targets),
        "service": about_service(service),
        "plans": common.missing("Kế hoạch cấp nước an toàn đã lập, đã phê duyệt, đã thực hiện"),
        "quality": common.missing("Số mẫu nội kiểm, ngoại kiểm và mẫu không đạt"),
        "incidents": common.missing("Sự cố, thời gian phát hiện, xử lý và thông báo"),
        "rationing": common.missing("Các lần ngừng, giảm cấp nước; lịch cấp nước luân phiên; xe bồn"),
        "spots": common.missing("Điểm đen về cấp nước"),
        "drills": common.missing("Diễn tập, tập huấn"),
        "tasks": common.about_tasks(tasks, context),
        "obstacles": common.about_obstacles(targets, context),
        "next": common.about_next(tasks, context),
        "requests": common.about_proposals(targets),
    }
    addressee, to_organisation = common.receiver(
        context, "safe_water_half" if context.period.kind == "H" else "safe_water_annual"
    )
    return Gathered(
        figures=(*common.target_figures(targets, context), *service, *common.task_figures(tasks, context)),
        suggestions=suggestions,
        addressee=addressee,
        to_organisation=to_organisation,
        title=f"Kết quả thực hiện kế hoạch bảo đảm cấp nước an toàn {common.period_words(context.period)}",
    )


def service_figures(context: Context) -> Iterable[Figure]:
    """Give the territory's figures of the period and of the one before; of half a year where it is one."""
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=METRICS)}
    before, now = context.period.previous, context.period
    values = kinds.read_values(METRICS, [context.subject.pk], [before, now])
    for key in METRICS:
        for column, period in (("before", before), ("now", now)):
            yield kinds.figure_of(
                f"service/{key}/{column}", metrics[key].name, values.get((key, context.subject.pk, period.key)),
                with_band=True,
            )  # fmt: skip


def about_service(figures: list[Figure]) -> str:
    given = [figure for figure in figures if figure.key.endswith("/now") and figure.value is not None]
    if not given:
        return common.missing("Tình hình cấp nước, chất lượng nước trong kỳ")
    return "\n".join(f"- {figure.label}: {figure.display}." for figure in given)


_TABLES = (common.TARGETS, SERVICE, common.TASKS)
HALF = kinds.register(
    Kind(
        key="safe_water_half",
        name="Báo cáo 6 tháng cấp nước an toàn",
        period_kind="H",
        outline=OUTLINE,
        tables=_TABLES,
        gather=gather,
        plan_key="lc.chi-thi-34",
    )
)
ANNUAL = kinds.register(replace(HALF, key="safe_water_annual", name="Báo cáo năm cấp nước an toàn", period_kind="Y"))
