"""The kinds of report: what each says, of whom, for which period, and how its pages are laid out.

A kind gathers figures and suggested sentences from the database (`gather`) and has an outline; the rest (flow, files,
snapshot, replay) is the same for all. A kind is declared in a module of `machnuoc.reports.contents` with `register`.

Figures have keys: `households_connected` for a single one, `growth/<row>/<column>` for a cell of the table `growth`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import Period
from machnuoc.indicators import queries as indicator_queries
from machnuoc.indicators.models import State, Value
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models import Plan
from machnuoc.reports import layout
from machnuoc.reports.errors import ReportsError
from machnuoc.reports.layout import SIMULATED_MARK, SIMULATED_NOTE, Severity

TOTAL = "total"  # the row key of a table's last line


@dataclass(frozen=True)
class Context:
    """What a report is about: organisation that reports, territory, period, plan, day it is prepared."""

    organisation: Organisation
    subject: Subject
    period: Period
    plan: Plan | None
    today: date


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    value: where it is one figure of the system. raw: the exact number as text, with a point; empty where there is none.
    display: as printed, with its unit. label: what it is; in a table the name of the row.
    source: where no Value stands behind it, in words; or the rule by which it follows from other figures of the report
    (see `rules`: «= a - b»). counted: what was counted or added, (what, amount) each.
    """

    key: str
    label: str
    display: str = NO_FIGURE
    raw: str = ""
    value: Value | None = None
    source: str = ""
    counted: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Gathered:
    """What a kind found. suggestions: text by section key; a list line starts with «- », paragraphs end with a newline.

    addressee as it should be printed; recipients a line each.
    """

    figures: tuple[Figure, ...]
    suggestions: Mapping[str, str]
    title: str = ""
    addressee: str = ""
    to_organisation: Organisation | None = None
    recipients: tuple[str, ...] = ()
    signer_capacity: str = ""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table of figures. key: last part of the figures' keys; «» is the row's number, «label» its name."""

    key: str
    title: str
    share: float = 1.0
    is_number: bool = True


@dataclass(frozen=True)
class TableSpec:
    """A table of figures `<key>/<row>/<column>`. In the body after its section, or in an annex of its own."""

    key: str
    title: str
    columns: tuple[TableColumn, ...]
    after: str = ""  # key of the section; empty: an annex
    unit_note: str = ""
    notes: tuple[str, ...] = ()
    is_landscape: bool = False


@dataclass(frozen=True)
class Section:
    """A heading of the outline. has_text: people write below it; else it only heads those that follow.

    level: 0 for the words before the first heading, which have a title on the screen alone; else 1, 2 or 3.
    """

    key: str
    title: str
    level: int = 1
    has_text: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of report. symbol: of its number, after the slash; «{body}» is the issuing body's abbreviation."""

    key: str
    name: str
    period_kind: str
    outline: tuple[Section, ...]
    tables: tuple[TableSpec, ...]
    gather: Callable[[Context], Gathered]
    plan_key: str = ""
    type_code: str = "BC"
    type_name: str = "BÁO CÁO"
    field: str = "ALL"

    def list_text_sections(self) -> tuple[Section, ...]:
        return tuple(section for section in self.outline if section.has_text)


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Declare a kind. Raises ValueError where a table or section does not fit the outline."""
    sections = {section.key for section in kind.outline}
    for table in kind.tables:
        if table.after and table.after not in sections:
            raise ValueError(f"{kind.key}: table {table.key} stands after the unknown section {table.after}")
    _kinds[kind.key] = kind
    return kind


@cache
def _discover() -> None:
    from machnuoc.reports import contents

    for module in iter_modules(contents.__path__):
        import_module(f"{contents.__name__}.{module.name}")


def get_kind(key: str) -> Kind:
    """Return the kind. Raises ReportsError."""
    _discover()
    try:
        return _kinds[key]
    except KeyError:
        raise ReportsError(f"Không có mẫu báo cáo «{key}». Chọn một trong: {', '.join(sorted(_kinds))}.") from None


def list_kinds() -> list[Kind]:
    """Return all kinds in the order of their names."""
    _discover()
    return sorted(_kinds.values(), key=lambda kind: kind.name)


# --- figures ----------------------------------------------------------------------------------------------------


def figure_of(key: str, label: str, value: Value | None, *, with_band: bool = False) -> Figure:
    """Return a figure of the report from a figure of the system; «chưa có số liệu» where there is none."""
    if value is None or value.parts_present == 0:
        return Figure(key, label)
    text = indicator_queries.as_text(value, value.metric)
    if with_band and value.band is not None and value.band.label != text:
        text = f"{text} ({value.band.label})"
    if value.state == State.SIMULATED:
        text = f"{text} (mô phỏng)"
    raw = "" if value.number is None else str(Decimal(value.number).scaleb(-value.metric.decimals))
    return Figure(key, label, text, raw, value)


def read_values(
    metric_keys: Sequence[str], subject_ids: Sequence[int], periods: Sequence[Period], *, scenario: str = "A"
) -> dict[tuple[str, int, str], Value]:
    """Return values by (metric key, subject id, period key), in one query."""
    rows = Value.objects.filter(
        metric__key__in=list(metric_keys), subject_id__in=list(subject_ids), scenario=scenario,
        period_kind__in={period.kind for period in periods}, period_start__in={period.start_date for period in periods},
        parts_present__gt=0,
    ).select_related("metric", "subject", "band", "fact", "formula")  # fmt: skip
    return {(row.metric.key, row.subject_id, indicator_queries.period_of(row).key): row for row in rows}


# --- pages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A figure as a page shows it."""

    key: str
    label: str
    display: str
    raw: str
    severity: Severity = ""
    is_simulated: bool = False


@dataclass(frozen=True)
class Material:
    """What a page is made of: header and frame of the document, figures in order, text by section key."""

    frame: layout.OfficialDocument
    figures: tuple[Shown, ...]
    texts: Mapping[str, str] = field(default_factory=dict)


def lay_out(kind: Kind, material: Material) -> layout.OfficialDocument:
    """Return the whole document: headings with their numbers, text, tables after their sections, annexes.

    A section that the kind has got since the report was made is not of the report.
    """
    texts = material.texts
    outline = [section for section in kind.outline if not section.has_text or not texts or section.key in texts]
    headed = [section for section in outline if section.level]
    numbered = layout.number_headings((section.level, _case(section)) for section in headed)
    titles = {section.key: title for section, title in zip(headed, numbered, strict=True)}
    tables = {spec.key: _table(spec, material.figures) for spec in kind.tables}
    blocks: list[layout.Block] = []
    for section in outline:
        if section.level:
            blocks.append(layout.Heading(section.level, titles[section.key]))  # type: ignore[arg-type]
        if section.has_text:
            blocks += _paragraphs(texts.get(section.key, ""))
        blocks += [tables[spec.key] for spec in kind.tables if spec.after == section.key]
    blocks = _end(blocks)
    annexes = tuple(
        layout.Annex(spec.title, (replace(tables[spec.key], title=""),), spec.is_landscape)
        for spec in kind.tables
        if not spec.after and tables[spec.key].rows
    )
    return replace(
        material.frame, blocks=tuple(blocks), annexes=annexes,
        figures={shown.key: shown.display for shown in material.figures},
        is_simulated=material.frame.is_simulated or any(shown.is_simulated for shown in material.figures),
    )  # fmt: skip


def _case(section: Section) -> str:
    return section.title.upper() if section.level == 1 else section.title


def _paragraphs(text: str) -> list[layout.Block]:
    return [layout.Paragraph(line.strip()) for line in text.splitlines() if line.strip()]


def _end(blocks: list[layout.Block]) -> list[layout.Block]:
    """Close the last paragraph with «./.», or add nothing where the body ends with a table."""
    for number in range(len(blocks) - 1, -1, -1):
        block = blocks[number]
        if isinstance(block, layout.Paragraph):
            blocks[number] = replace(block, text=f"{block.text.rstrip().rstrip('.;')}./.")
            break
        if isinstance(block, layout.Table):
            break
    return blocks


def _table(spec: TableSpec, figures: Sequence[Shown]) -> layout.Table:
    rows: dict[str, dict[str, Shown]] = {}
    for shown in figures:
        table, _, rest = shown.key.partition("/")
        row, _, column = rest.rpartition("/")
        if table == spec.key and row:
            rows.setdefault(row, {})[column] = shown
    ordered = [key for key in rows if key != TOTAL] + [key for key in rows if key == TOTAL]
    notes = list(spec.notes)
    if any(shown.is_simulated for cells in rows.values() for shown in cells.values()):
        notes.append(SIMULATED_NOTE)
    return layout.Table(
        key=spec.key,
        title=spec.title,
        unit_note=spec.unit_note,
        notes=tuple(notes),
        columns=tuple(
            layout.Column(
                column.title, column.share,
                "center" if column.key == "" else "right" if column.is_number and column.key != "label" else "left",
                column.is_number and column.key not in {"", "label"},
            )
            for column in spec.columns
        ),
        rows=tuple(
            layout.Row(
                tuple(_cell(column, rows[key], "" if key == TOTAL else str(number)) for column in spec.columns),
                key == TOTAL,
            )
            for number, key in enumerate(ordered, 1)
        ),
    )  # fmt: skip


def _cell(column: TableColumn, row: Mapping[str, Shown], number: str) -> layout.Cell:
    if column.key == "":
        return layout.Cell(number)
    if column.key == "label":
        return layout.Cell(next(iter(row.values())).label)
    shown = row.get(column.key)
    if shown is None:
        return layout.Cell("–")
    text = shown.display
    if shown.is_simulated:
        text = text.replace(" (mô phỏng)", "") + SIMULATED_MARK
    if text == NO_FIGURE and column.is_number:
        text = "–"
    return layout.Cell(text, Decimal(shown.raw) if shown.raw and column.is_number else None, shown.severity)
