"""The annual report on urban water of Cao Bằng's plan of 2026: tables after its Biểu 01–04 with their bands.

The plan's text names the four tables but does not give them: what it does say is there, all else «chưa có số liệu».
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.db.models import QuerySet

from machnuoc.core.periods import Period
from machnuoc.indicators.models import Value
from machnuoc.places.models import Containment, Organisation, Subject
from machnuoc.reports import kinds
from machnuoc.reports.contents import common
from machnuoc.reports.kinds import TOTAL, Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec
from machnuoc.works.models import ServiceArea, Work

_NAME = (TableColumn("", "TT", 0.5), TableColumn("label", "Công trình", 3))
_AREA = (TableColumn("", "TT", 0.5), TableColumn("label", "Đô thị", 3))
_NOTE = ("Mức đánh giá theo ghi chú của Kế hoạch. Dấu «–»: chưa có số liệu.",)
CAPACITY = TableSpec(
    "capacity",
    "Biểu 01. Mức độ khai thác công suất các công trình cấp nước đô thị",
    (
        *_NAME,
        TableColumn("design", "Công suất thiết kế (m³/ngày đêm)", 1.6),
        TableColumn("output", "Sản lượng (m³/ngày đêm)", 1.6),
        TableColumn("before", "Mức khai thác năm trước", 1.8, is_number=False),
        TableColumn("now", "Mức khai thác trong năm", 1.8, is_number=False),
    ),
    notes=_NOTE,
    is_landscape=True,
)
LOSSES = TableSpec(
    "losses",
    "Biểu 02. Tỷ lệ thất thoát nước sạch của các công trình",
    (
        *_NAME,
        TableColumn("input", "Nước vào mạng lưới (m³)", 1.6),
        TableColumn("billed", "Nước ghi thu (m³)", 1.6),
        TableColumn("before", "Tỷ lệ thất thoát năm trước", 1.8, is_number=False),
        TableColumn("now", "Tỷ lệ thất thoát trong năm", 1.8, is_number=False),
    ),
    notes=_NOTE,
    is_landscape=True,
)
COVERAGE = TableSpec(
    "coverage",
    "Biểu 03. Tỷ lệ dân số đô thị được sử dụng nước sạch qua hệ thống cấp nước tập trung",
    (
        *_AREA,
        TableColumn("people", "Dân số đô thị (người)", 1.5),
        TableColumn("served", "Được cấp nước (người)", 1.5),
        TableColumn("before", "Tỷ lệ năm trước", 1.8, is_number=False),
        TableColumn("now", "Tỷ lệ trong năm", 1.8, is_number=False),
    ),
    notes=_NOTE,
    is_landscape=True,
)
PLANNED = TableSpec(
    "planned",
    "Biểu 04. Kế hoạch và kết quả tỷ lệ dân số đô thị được sử dụng nước sạch",
    (
        *_AREA,
        TableColumn("plan", "Kế hoạch trong năm", 2, is_number=False),
        TableColumn("now", "Thực hiện trong năm", 2, is_number=False),
    ),
    notes=_NOTE,
)
OUTLINE = (
    Section("opening", "Mở đầu", 0),
    Section("results", "Kết quả thực hiện", 1, has_text=False),
    Section("targets", "Các mục tiêu, chỉ tiêu", 2),
    Section("capacity", "Khai thác công suất", 2),
    Section("losses", "Giảm thất thoát nước sạch", 2),
    Section("coverage", "Bao phủ dịch vụ cấp nước", 2),
    Section("quality", "Chất lượng nước", 2),
    Section("safety", "Cấp nước an toàn, liên tục", 2),
    Section("investment", "Đầu tư, cải tạo công trình", 2),
    Section("tasks", "Tình hình thực hiện nhiệm vụ", 1),
    Section("obstacles", "Tồn tại, hạn chế và nguyên nhân", 1),
    Section("next", "Nhiệm vụ, giải pháp năm tới", 1),
    Section("requests", "Đề xuất, kiến nghị", 1),
)
_METRICS = {
    "capacity": {"design": "works.capacity_design_m3d", "output": "works.output_m3d",
                 "pct": "works.utilisation_volume_pct"},
    "losses": {"input": "losses.system_input_m3", "billed": "losses.billed_m3", "pct": "losses.nrw_pct"},
    "coverage": {"people": "coverage.urban_population", "served": "coverage.urban_population_served",
                 "pct": "coverage.urban_pct"},
}  # fmt: skip


def gather(context: Context) -> Gathered:
    """Return figures and suggestions of one year, of the territory's urban works and areas."""
    works, areas = list_works(context), list_areas(context)
    if not _is_by_place(context):
        context = replace(context, subject=context.organisation.subject)
    figures = [
        *table_figures(context, "capacity", works),
        *table_figures(context, "losses", works),
        *table_figures(context, "coverage", areas),
        *planned_figures(context, areas),
    ]
    targets = list(common.list_targets(context))
    tasks = common.list_tasks(context)
    projects = common.project_figures(context)
    by_key = {figure.key: figure for figure in figures}
    suggestions = {
        "opening": common.opening(context),
        "targets": common.about_targets(targets, "bảng dưới đây"),
        "capacity": about_capacity(by_key, len(works)),
        "losses": about_losses(by_key) if works else _NO_WORKS,
        "coverage": about_coverage(by_key) if areas else _NO_WORKS,
        "quality": common.missing("Kết quả kiểm tra, giám sát và công bố chất lượng nước"),
        "safety": common.missing("Phương án cấp nước an toàn, thời gian cấp nước, sự cố trong năm"),
        "investment": common.about_projects(projects, context),
        "tasks": common.about_tasks(tasks, context),
        "obstacles": common.about_obstacles(targets, context),
        "next": common.about_next(tasks, context),
        "requests": common.about_proposals(targets),
    }
    addressee, to_organisation = common.receiver(context, "cb_annual")
    return Gathered(
        figures=(*figures, *common.target_figures(targets, context), *common.task_figures(tasks, context), *projects),
        suggestions=suggestions,
        addressee=addressee,
        to_organisation=to_organisation,
        title=f"Kết quả thực hiện kế hoạch cấp nước đô thị {common.period_words(context.period)}",
    )


def _is_by_place(context: Context) -> bool:
    """Return whether the report is about a territory: the whole plan's, or that of a commune's committee."""
    return common.speaks_for_all(context) or context.organisation.kind == Organisation.Kind.AUTHORITY


def _own_works(context: Context) -> QuerySet[Work]:
    return Work.objects.filter(operator=context.organisation, parent=None)


def list_works(context: Context) -> list[Subject]:
    """Return the urban works to report on: those of the territory, or those that the unit runs (none is possible)."""
    works = _own_works(context)
    if _is_by_place(context):
        inside = Containment.objects.filter(ancestor=context.subject).values("descendant_id")
        works = Work.objects.filter(pk__in=inside, parent=None)
    return [work.subject for work in works.select_related("subject").order_by("subject__name")]


def list_areas(context: Context) -> list[Subject]:
    """Return the urban areas to report on: those of the territory, or those that the unit's works serve."""
    areas = Subject.objects.filter(kind=Subject.Kind.URBAN_AREA)
    if _is_by_place(context):
        areas = areas.filter(pk__in=Containment.objects.filter(ancestor=context.subject).values("descendant_id"))
    else:
        areas = areas.filter(pk__in=ServiceArea.objects.filter(work__in=_own_works(context)).values("place_id"))
    return list(areas.order_by("name"))


def _last_label(context: Context) -> str:
    if not _is_by_place(context):
        return "Tổng cộng"
    return "Toàn tỉnh" if common.speaks_for_all(context) else "Toàn xã"


def table_figures(context: Context, table: str, rows: Sequence[Subject]) -> Iterable[Figure]:
    """Give the figures of one of Biểu 01–03: each row, and the territory as the last line."""
    if not rows:
        return
    metrics = _METRICS[table]
    now, before = context.period, context.period.previous
    everyone = [*rows, context.subject]
    values = kinds.read_values(list(metrics.values()), [row.pk for row in everyone], [now, before])
    for subject in everyone:
        key = f"{table}/{TOTAL if subject == context.subject else subject.key}"
        name = _last_label(context) if subject == context.subject else subject.name
        for column, metric in metrics.items():
            if column == "pct":
                yield _banded(f"{key}/before", name, values.get((metric, subject.pk, before.key)))
                yield _banded(f"{key}/now", name, values.get((metric, subject.pk, now.key)))
            else:
                yield _plain(f"{key}/{column}", name, values, metric, subject.pk, (now, before))


def planned_figures(context: Context, areas: Sequence[Subject]) -> Iterable[Figure]:
    """Give what was planned for the year beside what was reached (Biểu 04)."""
    if not areas:
        return
    metric = _METRICS["coverage"]["pct"]
    everyone = [*areas, context.subject]
    ids = [row.pk for row in everyone]
    plan = kinds.read_values([metric], ids, [context.period], scenario="P")
    now = kinds.read_values([metric], ids, [context.period])
    for subject in everyone:
        key = f"planned/{TOTAL if subject == context.subject else subject.key}"
        name = _last_label(context) if subject == context.subject else subject.name
        for column, values in (("plan", plan), ("now", now)):
            yield _banded(f"{key}/{column}", name, values.get((metric, subject.pk, context.period.key)))


def _banded(key: str, name: str, value: Value | None) -> Figure:
    return kinds.figure_of(key, name, value, with_band=True)


def _plain(
    key: str, name: str, values: dict[tuple[str, int, str], Value], metric: str, subject_id: int,
    periods: Sequence[Period],
) -> Figure:  # fmt: skip
    """Return the newest of the periods' figures, without the unit, which stands in the column's head."""
    found = next((value for period in periods if (value := values.get((metric, subject_id, period.key)))), None)
    figure = kinds.figure_of(key, name, found)
    return replace(figure, display=figure.display.split("\u00a0")[0]) if figure.raw else figure


_NO_WORKS = "Nội dung này không thuộc phạm vi quản lý của đơn vị."


def about_capacity(by_key: dict[str, Figure], count: int) -> str:
    told = _counted(by_key, "capacity")
    if not count:
        return _NO_WORKS
    if not told:
        return f"Theo dõi {count} công trình cấp nước đô thị. {common.missing('Mức khai thác công suất')}"
    return f"Theo dõi {count} công trình cấp nước đô thị, trong đó {told} có số liệu mức khai thác (Biểu 01)."


def about_losses(by_key: dict[str, Figure]) -> str:
    before, now = (by_key[f"losses/{TOTAL}/{column}"] for column in ("before", "now"))
    lines = []
    if before.value is not None:
        lines.append(f"Tỷ lệ thất thoát nước sạch bình quân năm trước: {before.display}.")
    lines.append(
        f"Trong năm: {now.display}." if now.value is not None
        else common.missing("Tỷ lệ thất thoát bình quân trong năm")
    )  # fmt: skip
    over: dict[str, list[str]] = {}
    for key, figure in by_key.items():
        if key.startswith("losses/") and key.endswith("/before") and figure.value is not None and not figure.raw:
            over.setdefault(figure.display, []).append(figure.label)
    lines += [f"Tỷ lệ thất thoát năm trước {words}: {'; '.join(names)} (Biểu 02)." for words, names in over.items()]
    return "\n".join(lines)


def about_coverage(by_key: dict[str, Figure]) -> str:
    before, now = (by_key[f"coverage/{TOTAL}/{column}"] for column in ("before", "now"))
    plan = by_key[f"planned/{TOTAL}/plan"]
    lines = [
        f"Tỷ lệ dân số đô thị được sử dụng nước sạch {words}: {figure.display}."
        for words, figure in (("năm trước", before), ("theo kế hoạch trong năm", plan), ("trong năm", now))
    ]
    return "\n".join([*lines, "Chi tiết theo đô thị tại Biểu 03, Biểu 04."])


def _counted(by_key: dict[str, Figure], table: str) -> int:
    return sum(
        figure.value is not None and not key.startswith(f"{table}/{TOTAL}/")
        for key, figure in by_key.items()
        if key.startswith(f"{table}/") and key.endswith("/now")
    )


KIND = kinds.register(
    Kind(
        key="cb_annual",
        name="Báo cáo năm cấp nước đô thị",
        period_kind="Y",
        outline=OUTLINE,
        tables=(
            replace(common.TARGETS, title="Kết quả thực hiện các chỉ tiêu"),
            CAPACITY, LOSSES, COVERAGE, PLANNED, common.TASKS, common.PROJECTS,
        ),
        gather=gather,
        plan_key="cb.cap-nuoc-2026",
        field="URBAN",
    )
)  # fmt: skip
