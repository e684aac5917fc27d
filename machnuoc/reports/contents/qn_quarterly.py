"""The quarterly result of the plan of Quảng Ngãi's rural water centre (79/KH-TTNS, IV.3): as the month's, by quarter,
with how far each unit is with its tasks.
"""

from collections.abc import Iterable
from dataclasses import replace

from machnuoc.core import vietnamese
from machnuoc.planning.models import Task
from machnuoc.reports import kinds
from machnuoc.reports.contents import common, qn_monthly
from machnuoc.reports.kinds import TOTAL, Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec

UNITS = TableSpec(
    "units",
    "Biểu 2. Mức độ hoàn thành nhiệm vụ theo đơn vị chủ trì",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Đơn vị chủ trì", 3.6),
        TableColumn("tasks", "Nhiệm vụ chủ trì", 1.3),
        TableColumn("done", "Đã hoàn thành", 1.3),
        TableColumn("overdue", "Quá hạn", 1.3),
        TableColumn("silent", "Chưa báo tiến độ", 1.3),
    ),
    after="units",
    notes=("Một nhiệm vụ có nhiều đơn vị chủ trì được đếm cho từng đơn vị; dòng cuối đếm mỗi nhiệm vụ một lần.",),
)
_COLUMNS = ("tasks", "done", "overdue", "silent")


def gather(context: Context) -> Gathered:
    """Return what the month's report says, of a quarter, and the units' table."""
    gathered = qn_monthly.gather(context)
    units = list(unit_figures(context))
    suggestions = dict(gathered.suggestions)
    suggestions["units"] = about_units(units)
    return replace(gathered, figures=(*gathered.figures, *units), suggestions=suggestions)


def unit_figures(context: Context) -> Iterable[Figure]:
    """Give for each lead unit how many tasks it leads, has done, is late with, and has said nothing of."""
    tasks = common.list_tasks(context)
    led: dict[str, list[Task]] = {}
    for task in tasks:
        for name in dict.fromkeys(str(unit) for unit in task.units.all() if unit.role == "LEAD"):
            led.setdefault(name, []).append(task)
    ordered = sorted(led.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    for number, (name, own) in enumerate([*ordered, ("Tổng cộng", tasks)], 1):
        row = TOTAL if number > len(ordered) else f"{number:02}"
        for column, chosen in zip(_COLUMNS, _split(own, context), strict=True):
            yield Figure(
                f"units/{row}/{column}", name, vietnamese.format_number(len(chosen)), str(len(chosen)),
                source=f"Đếm nhiệm vụ, {common.period_words(context.period)}",
                counted=tuple((task.key, "1") for task in chosen),
            )  # fmt: skip


def _split(tasks: list[Task], context: Context) -> tuple[list[Task], ...]:
    done = [task for task in tasks if common.state_of(task) == Task.State.DONE]
    overdue = [task for task in tasks if common.is_overdue(task, context)]
    silent = [task for task in tasks if not task.progress.all()]
    return tasks, done, overdue, silent


def about_units(figures: list[Figure]) -> str:
    late = [
        f"{figure.label} ({figure.display})"
        for figure in figures
        if figure.key.endswith("/overdue") and figure.raw != "0" and not figure.key.startswith(f"units/{TOTAL}/")
    ]
    if not figures:
        return common.missing("Nhiệm vụ của từng đơn vị")
    if not late:
        return "Không đơn vị nào có nhiệm vụ quá hạn (Biểu 2)."
    return f"Đơn vị có nhiệm vụ quá hạn: {'; '.join(late[:6])} (Biểu 2)."


_at = next(place for place, section in enumerate(qn_monthly.OUTLINE) if section.key == "obstacles")
KIND = kinds.register(
    Kind(
        key="qn_quarterly",
        name="Báo cáo quý kết quả thực hiện kế hoạch cấp nước nông thôn",
        period_kind="Q",
        outline=(
            *qn_monthly.OUTLINE[:_at],
            Section("units", "Mức độ hoàn thành nhiệm vụ của các đơn vị", 1),
            *qn_monthly.OUTLINE[_at:],
        ),
        tables=(common.TARGETS, UNITS, qn_monthly.GROWTH, common.TASKS, common.PROJECTS),
        gather=gather,
        plan_key="qn.79-2026",
        field="RURAL",
    )
)
