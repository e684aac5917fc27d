"""Where a figure comes from: rebuilt on request from the stored parts, down to document and section or person and time.

A figure rests on one fact; or on a formula and its inputs; or on the parts of a larger subject; or on a room's records;
or on finer periods. Nothing of this is stored beside the value: the formula version, the sums and the fact are.
Large sums are read as one total a province; their parts come page by page, and no object is made for each.
Beyond the reader's scope the tree stops at a subtotal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import folding, units, vietnamese
from machnuoc.core.figures import figure_text
from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import Period
from machnuoc.indicators import columns, computing, formula, providers, queries
from machnuoc.indicators.models import Fact, FormulaVersion, Metric, Scenario, State, Value, ValueChange
from machnuoc.places import access, containment
from machnuoc.places import queries as place_queries
from machnuoc.places.models import AdministrativeUnit, ParentLink, Subject

PAGE_SIZE = 30
_SORTED_HERE = 500
_MAX_DEPTH = 12

Kind = Literal[
    "figure", "formula", "input", "parts", "group", "part", "outside", "own", "fact", "passage", "record", "period",
    "note",
]  # fmt: skip


@dataclass
class Node:
    """One step of the way down.

    details: terms and texts; branch_url: where the children come from when it is opened; more_url: the next page of
    its brothers.
    """

    kind: Kind
    title: str
    text: str = ""
    details: list[tuple[str, str]] = field(default_factory=list)
    note: str = ""
    url: str = ""
    passage: Passage | None = None
    value: Value | None = None
    children: list["Node"] = field(default_factory=list)
    branch_url: str = ""
    more_url: str = ""
    more_text: str = ""


def as_data(node: Node) -> dict[str, Any]:
    """Return the tree as plain data, for the API. Branches that are not open carry the id of their value."""
    data: dict[str, Any] = {"kind": node.kind, "title": node.title}
    if node.text:
        data["figure"] = node.text.replace("\u00a0", " ")
    if node.details:
        data["details"] = [{"term": term, "text": text} for term, text in node.details]
    if node.note:
        data["note"] = node.note
    if node.value is not None:
        data["value_id"] = node.value.pk
        data["state"] = State(node.value.state).label
    if node.passage is not None:
        document = node.passage.document
        data["source"] = {
            "document_key": document.key, "document": document.short_name, "section": node.passage.section,
            "quotation": node.passage.text, "confidence": document.confidence,
        }  # fmt: skip
    if node.url:
        data["url"] = node.url
    if node.children:
        data["children"] = [as_data(child) for child in node.children]
    elif node.branch_url:
        data["is_closed"] = True
    return data


def leaves(node: Node) -> Iterable[Node]:
    """Give the ends of the tree."""
    if not node.children:
        yield node
    for child in node.children:
        yield from leaves(child)


# --- formulas in words ------------------------------------------------------------------------------------------


def in_words(expression: formula.Expression, names: dict[str, str]) -> str:
    """Return a formula with the names of its measures, in Vietnamese. names: by key; an unknown key stands as it is.

    >>> in_words(formula.parse("a.b - previous(a.b)"), {"a.b": "Hộ đấu nối"})
    '«Hộ đấu nối» − «Hộ đấu nối» kỳ trước'
    """
    return _words(expression, names, top=True)


_SIGNS = {"+": "+", "-": "−", "*": "×", "/": "÷"}
_COMPARED = {
    ">": "lớn hơn", ">=": "từ … trở lên", "<": "nhỏ hơn", "<=": "không quá", "=": "bằng", "!=": "khác",
}  # fmt: skip


def _words(node: formula.Expression, names: dict[str, str], *, top: bool = False) -> str:
    match node:
        case formula.Number():
            return vietnamese.format_number(node.value)
        case formula.Measure():
            return _reference_words(node.reference, names)
        case formula.Negative():
            return f"−{_words(node.operand, names)}"
        case formula.Arithmetic():
            text = f"{_words(node.left, names)} {_SIGNS[node.operator]} {_words(node.right, names)}"
        case formula.Extreme():
            which = "số nhỏ nhất" if node.which == "min" else "số lớn nhất"
            return f"{which} trong ({'; '.join(_words(part, names, top=True) for part in node.parts)})"
        case formula.Compare():
            left, right = _words(node.left, names), _words(node.right, names)
            text = (
                f"{left} từ {right} trở lên" if node.operator == ">=" else f"{left} {_COMPARED[node.operator]} {right}"
            )
        case formula.Logic():
            joint = "và" if node.operator == "and" else "hoặc"
            text = f"{_words(node.left, names)} {joint} {_words(node.right, names)}"
        case formula.Not():
            text = f"không phải ({_words(node.operand, names, top=True)})"
        case formula.CountWhere():
            return f"số nơi có {_words(node.condition, names, top=True)}"
    return text if top else f"({text})"


def _reference_words(reference: formula.Reference, names: dict[str, str]) -> str:
    name = f"«{names.get(reference.key, reference.key)}»"
    if reference.baseline is not None:
        return f"{name} {Period.parse(reference.baseline).label_inside_vi}"
    if reference.shift:
        return f"{name} kỳ trước"
    return f"{name} theo kế hoạch" if reference.scenario == "PLAN" else name


def formula_in_words(version: FormulaVersion, names: dict[str, str]) -> str:
    """Return «Hộ đấu nối» ÷ «Thiết kế (hộ)» × 100."""
    numerator = formula.parse(version.numerator)
    if not version.denominator:
        text = _words(numerator, names, top=version.factor == 1)
    else:
        text = f"{_words(numerator, names)} ÷ {_words(formula.parse(version.denominator), names)}"
    return text if version.factor == 1 else f"{text} × {vietnamese.format_number(version.factor)}"


def formula_as_text(version: FormulaVersion) -> str:
    """Return the formula as it is written, in one line: 100 * (a - b) / a."""
    expression = formula.parse(version.numerator)
    if version.denominator:
        expression = formula.Arithmetic("/", expression, formula.parse(version.denominator))
    return formula.to_text(expression) if version.factor == 1 else f"{version.factor} * {formula.to_text(expression)}"


def rounding_rule(metric: Metric) -> str:
    places = f"đến {metric.decimals} chữ số thập phân" if metric.decimals else "đến hàng đơn vị"
    return f"làm tròn một lần, ở phép chia cuối, {places}; số ở giữa được làm tròn lên"


def list_references(version: FormulaVersion) -> list[formula.Reference]:
    """Return what the formula reads, those of the numerator first."""
    found = sorted(formula.references(formula.parse(version.numerator)), key=repr)
    if version.denominator:
        others = formula.references(formula.parse(version.denominator))
        found += [reference for reference in sorted(others, key=repr) if reference not in found]
    return found


def names_of(version: FormulaVersion) -> dict[str, str]:
    keys = {reference.key for reference in list_references(version)}
    return dict(Metric.objects.filter(key__in=keys).values_list("key", "short_name"))


# --- the tree ---------------------------------------------------------------------------------------------------

_WITH = (
    "metric", "subject__unit", "band", "formula__passage__document", "formula__created_by", "fact__passage__document",
    "fact__submission__form", "fact__submission__organisation__subject", "fact__submission__submitted_by",
    "fact__submission__decided_by", "fact__import_file", "fact__recorded_by", "fact__stated_band",
)  # fmt: skip


def get_value(pk: int, visible_to: Person) -> Value:
    """Return a value with all that its tree shows. Raises Value.DoesNotExist, also where the person may not read it."""
    return Value.objects.filter(queries.readable(visible_to)).select_related(*_WITH).get(pk=pk)


def lineage(value: Value, visible_to: Person, *, group: Subject | None = None, page: int = 1) -> Node:
    """Return the tree of a value. The caller has checked that the person may read the value itself.

    group: open the parts that lie in this subject (a province of the country's sum); page: of the parts, from 1.
    """
    if group is not None:
        root = _figure_node(value)
        root.children = _part_nodes(_Sum.of(value), visible_to, group=group, page=page)
        return root
    return _tree(value, visible_to, page=page, depth=0)


def _tree(value: Value, visible_to: Person, *, page: int = 1, depth: int) -> Node:
    node = _figure_node(value)
    if depth >= _MAX_DEPTH:
        node.branch_url = reverse("indicators:value_branch", args=[value.pk])
        return node
    if value.fact_id and value.fact is not None:
        node.children = [_fact_node(value.fact, value.metric)]
    elif value.formula_id and value.formula is not None:
        node.children = _formula_nodes(value, visible_to, page=page, depth=depth)
    elif value.parts_present == 0:
        node.note = "Không còn số liệu nào để tính; xem lịch sử để biết giá trị trước đây."
    elif _is_whole(value):
        node.children = [_parts_node(value, visible_to, page=page)]
    else:
        node.children = _measure_nodes(value, visible_to, depth=depth)
    return node


def _figure_node(value: Value) -> Node:
    period = queries.period_of(value)
    details = [("Tình trạng", State(value.state).label), ("Kỳ", period.label_vi)]
    if value.scenario == Scenario.PLAN:
        details.append(("Loại", Scenario(value.scenario).label))
    if value.parts_total > 1:
        details.append(("Độ phủ", _coverage(value)))
    if value.version > 1:
        details.append(("Phiên bản", str(value.version)))
    return Node(
        "figure", f"{value.metric.name}: {value.subject.name}", queries.as_text(value, value.metric), details,
        url=reverse("indicators:value", args=[value.pk]), value=value,
    )  # fmt: skip


def _coverage(value: Value) -> str:
    return queries.coverage_text(value)


_SMALLEST = {Subject.Kind.WORK, Subject.Kind.OUTSIDE, Subject.Kind.URBAN_AREA, Subject.Kind.VILLAGE}


def _is_whole(value: Value) -> bool:
    """Return whether the value is of a larger subject, that sums others of the metric's kind."""
    if value.subject.kind not in computing.kinds_of_parts(value.metric.subject_kind):
        return True
    if value.subject.kind in _SMALLEST:
        return False
    if value.subject.kind == Subject.Kind.UNIT:
        unit = value.subject.unit  # a former district or province is summed from nothing: its figure is its own
        return unit.level != AdministrativeUnit.Level.COMMUNE and unit.is_in_force
    return value.parts_total > 1


# --- facts and records


def _fact_node(fact: Fact, metric: Metric) -> Node:
    text = figure_text(
        fact.number, fact.low, fact.low_open, fact.high, fact.high_open, metric.decimals, units.label(metric.unit),
        fact.stated_band.label if fact.stated_band is not None else "",
    )  # fmt: skip
    details = [("Tình trạng", State(fact.state).label)]
    if fact.qualifier:
        details.append(("Như in trong văn bản", f"«{fact.qualifier}»"))
    title = "Số liệu theo văn bản" if fact.passage_id else "Số liệu được nhập"
    if fact.submission is not None:
        sent = fact.submission
        title = "Số liệu trong biểu đã nộp"
        details.append(("Biểu", f"{sent.form.name}, {sent.organisation.subject.name}"))
        if sent.submitted_by and sent.submitted_at:
            details.append(("Người nộp", f"{sent.submitted_by.full_name}, {_when(sent.submitted_at)}"))
        if sent.decided_by and sent.decided_at:
            details.append(("Người duyệt", f"{sent.decided_by.full_name}, {_when(sent.decided_at)}"))
    if fact.import_file is not None:
        cell = f", ô {fact.import_cell}" if fact.import_cell else ""
        details.append(("Tệp nhập", f"{fact.import_file.name}{cell}"))
    who = fact.recorded_by.full_name if fact.recorded_by else "Chương trình nạp từ văn bản" if fact.passage_id else ""
    details.append(("Ghi nhận", ", ".join(filter(None, [who, _when(fact.recorded_at)]))))
    if fact.superseded_at is not None:
        details.append(("Đã được thay", _when(fact.superseded_at)))
    url = reverse("indicators:submission", args=[fact.submission_id]) if fact.submission_id and _has_entry() else ""
    node = Node("fact", title, text, details, note=fact.note, url=url)
    if fact.passage is not None:
        node.children = [passage_node(fact.passage)]
    return node


def passage_node(passage: Passage) -> Node:
    return Node(
        "passage", f"{passage.document.short_name}, {passage.section}", passage=passage,
        url=f"{reverse('core:document', args=[passage.document.key])}#{passage.key}",
    )  # fmt: skip


def _has_entry() -> bool:
    from django.urls import NoReverseMatch

    try:
        reverse("indicators:submission", args=[1])
    except NoReverseMatch:
        return False
    return True


def _when(moment: datetime) -> str:
    return vietnamese.format_datetime(moment)


def _record_nodes(metric: Metric, subject_id: int, period: Period) -> list[Node]:
    """Return what a room says about a number that it gives from its records."""
    nodes = []
    for source in providers.explain(metric.key, subject_id, period):
        details = [("Người ghi", source.person)] if source.person else []
        node = Node("record", source.text, details=details, url=source.url)
        if source.passage is not None:
            node.children = [passage_node(source.passage)]
        nodes.append(node)
    return nodes


def _measure_nodes(value: Value, visible_to: Person, *, depth: int) -> list[Node]:
    """Return what a measure of one subject rests on: own facts or records, its sub-works, finer periods."""
    metric, period = value.metric, queries.period_of(value)
    nodes: list[Node] = []
    parts = _tree_parts(value)
    own = _own_fact(value)
    records = _record_nodes(metric, value.subject_id, period) if metric.source == Metric.Source.PROVIDED else []
    if metric.source == Metric.Source.PROVIDED and (records or own is None):
        if parts and records:
            nodes.append(Node("own", f"Riêng {value.subject.name}, không kể phân hệ", children=records))
        else:
            nodes += records
    elif own is not None:
        text = figure_text(own.number, None, False, None, False, metric.decimals, units.label(metric.unit), "")
        nodes.append(
            Node("own", f"Riêng {value.subject.name}, không kể phân hệ", text, children=[_fact_node(own, metric)])
        )
    else:
        nodes += _finer_nodes(value)
    nodes += [_tree(part, visible_to, depth=depth + 1) for part in parts]
    if not nodes:
        nodes.append(Node("note", "Số liệu gốc đã được thay đổi; mở lịch sử để xem các phiên bản."))
    return nodes


def _tree_parts(value: Value) -> list[Value]:
    """Return the values of the direct sub-works that are summed in the value."""
    if value.subject.kind != Subject.Kind.WORK or max(value.parts_total, value.parts_present) <= 1:
        return []
    children = ParentLink.objects.filter(
        containment.valid_on(_last_day(value)), parent_id=value.subject_id, reason=ParentLink.Reason.PART_OF
    ).values("child_id")
    rows = _same_slice(value).filter(subject_id__in=children, number__isnull=False, parts_present__gt=0)
    return list(rows.select_related(*_WITH).order_by("subject__name"))


def _same_slice(value: Value) -> QuerySet[Value]:
    return Value.objects.filter(
        metric_id=value.metric_id, period_kind=value.period_kind, period_start=value.period_start,
        scenario=value.scenario,
    )  # fmt: skip


_FACT_WITH = tuple(name.removeprefix("fact__") for name in _WITH if name.startswith("fact__"))


def _own_fact(value: Value) -> Fact | None:
    return (
        Fact.objects.filter(
            metric_id=value.metric_id, subject_id=value.subject_id, period_kind=value.period_kind,
            period_start=value.period_start, scenario=value.scenario, superseded_at__isnull=True, number__isnull=False,
        )
        .select_related(*_FACT_WITH)
        .first()
    )  # fmt: skip


def _finer_facts(value: Value) -> list[Fact]:
    metric, period = value.metric, queries.period_of(value)
    kinds = metric.period_kinds
    finer = next((kind for kind in kinds if kind in "MQH" and _is_finer(kind, period.kind)), "")
    if not finer or metric.time_how not in {Metric.TimeHow.SUM, Metric.TimeHow.LAST}:
        return []
    return list(
        Fact.objects.filter(
            metric=metric, subject_id=value.subject_id, period_kind=finer, scenario=value.scenario,
            superseded_at__isnull=True, number__isnull=False, period_start__gte=period.start_date,
            period_start__lt=period.end_date,
        )
        .select_related(*_FACT_WITH)
        .order_by("period_start")
    )  # fmt: skip


def _is_finer(kind: str, than: str) -> bool:
    order = "MQHY"
    return kind in order and than in order and order.index(kind) < order.index(than)


def _finer_nodes(value: Value) -> list[Node]:
    facts = _finer_facts(value)
    if not facts:
        return []
    whole = queries.period_of(value)
    how = "Cộng các kỳ" if value.metric.time_how == Metric.TimeHow.SUM else "Lấy kỳ cuối cùng có số liệu"
    expected = len(whole.split(facts[0].period_kind))  # type: ignore[arg-type]
    shown = facts if value.metric.time_how == Metric.TimeHow.SUM else facts[-1:]
    children = []
    for fact in shown:
        period = Period(fact.period_kind, fact.period_start)  # type: ignore[arg-type]
        child = _fact_node(fact, value.metric)
        child.title = f"{period.label_vi}: {child.title[:1].lower()}{child.title[1:]}"
        child.kind = "period"
        children.append(child)
    return [
        Node(
            "parts", f"{how} trong {whole.label_inside_vi}",
            details=[("Có số liệu", f"{len(facts)}/{expected} kỳ")], children=children,
        )
    ]  # fmt: skip


# --- formulas


def _formula_nodes(value: Value, visible_to: Person, *, page: int, depth: int) -> list[Node]:
    version = value.formula
    assert version is not None  # noqa: S101 the caller looked
    references = list_references(version)
    metrics = {
        metric.key: metric for metric in Metric.objects.filter(key__in={reference.key for reference in references})
    }
    names = {key: metric.short_name for key, metric in metrics.items()}
    nodes = [formula_node(version, value.metric, names)]
    if _is_whole(value):
        nodes += _sum_nodes(value, version, metrics)
        nodes.append(_parts_node(value, visible_to, page=page))
        return nodes
    period = queries.period_of(value)
    wanted = Q()
    for reference in references:
        place, scenario = _place(reference, period)
        wanted |= Q(metric__key=reference.key, period_kind=place.kind, period_start=place.start_date, scenario=scenario)
    found = {
        (row.metric.key, row.period_start, row.scenario): row
        for row in Value.objects.filter(wanted, subject_id=value.subject_id).select_related(*_WITH)
    }
    for reference in references:
        place, scenario = _place(reference, period)
        row = found.get((reference.key, place.start_date, scenario))
        title = _reference_words(reference, names)
        if row is None or row.parts_present == 0:
            nodes.append(Node("input", title, "chưa có số liệu", [("Kỳ", place.label_vi)]))
            continue
        child = _tree(row, visible_to, depth=depth + 1)
        child.kind, child.title = "input", f"{title}, {place.label_inside_vi}"
        nodes.append(child)
    return nodes


def _place(reference: formula.Reference, period: Period) -> tuple[Period, str]:
    if reference.baseline is not None:
        period = Period.parse(reference.baseline)
    elif reference.shift:
        period = period.shift(reference.shift)
    return period, Scenario.PLAN if reference.scenario == "PLAN" else Scenario.ACTUAL


def formula_node(version: FormulaVersion, metric: Metric, names: dict[str, str]) -> Node:
    details = [
        ("Bằng lời", formula_in_words(version, names)),
        ("Làm tròn", rounding_rule(metric)),
        ("Phiên bản", str(version.version)),
        ("Người đặt", version.created_by.full_name if version.created_by else "có sẵn trong chương trình"),
        ("Đặt lúc", _when(version.created_at)),
    ]
    if version.valid_from:
        details.append(("Áp dụng từ", vietnamese.format_date(version.valid_from)))
    if version.valid_to:
        details.append(("Áp dụng đến trước", vietnamese.format_date(version.valid_to)))
    node = Node(
        "formula", "Công thức", formula_as_text(version), details,
        url=f"{reverse('indicators:detail', args=[metric.key])}?tab=source",
    )  # fmt: skip
    if version.passage is not None:
        node.children = [passage_node(version.passage)]
    return node


def _sum_nodes(value: Value, version: FormulaVersion, metrics: dict[str, Metric]) -> list[Node]:
    """Return the sums that a larger subject's figure is made of, as they were stored with it."""
    names = {key: metric.short_name for key, metric in metrics.items()}
    rows = [("Tử số", version.numerator, value.numerator, version.numerator_decimals)]
    if version.denominator:
        rows.append(("Mẫu số", version.denominator, value.denominator, version.denominator_decimals))
    expressions = [formula.parse(text) for _, text, _, _ in rows]
    known = _same_inputs(list_references(version), value)
    nodes = []
    for (title, _, number, decimals), expression in zip(rows, expressions, strict=True):
        if number is None:
            continue
        unit = _unit_of(expression, metrics)
        shown = vietnamese.format_number(Decimal(number).scaleb(-decimals), decimals) + (
            f"\u00a0{unit}" if unit else ""
        )
        node = Node("input", f"{title}: tổng {in_words(expression, names)}", shown)
        node.details = [("Cộng trên", f"{_coverage(value)} có đủ số liệu")]
        if isinstance(expression, formula.Measure):
            same = known.get(expression.reference)
            if same is not None:
                node.url, node.value = reverse("indicators:value", args=[same.pk]), same
                if same.number != number:
                    node.note = (
                        f"Tổng của riêng đại lượng này là {queries.as_text(same, same.metric)}; chênh lệch là của "
                        "những nơi không có đủ số liệu cho cả công thức."
                    )
        else:
            node.children = [
                Node(
                    "input", f"{_reference_words(reference, names)}, {queries.period_of(same).label_inside_vi}",
                    queries.as_text(same, same.metric), url=reverse("indicators:value", args=[same.pk]), value=same,
                )
                for reference in sorted(formula.references(expression), key=repr)
                if (same := known.get(reference)) is not None
            ]  # fmt: skip
        nodes.append(node)
    return nodes


def _unit_of(expression: formula.Expression, metrics: dict[str, Metric]) -> str:
    found = {metrics[reference.key].unit for reference in formula.references(expression)}
    return units.label(found.pop()) if len(found) == 1 and not isinstance(expression, formula.CountWhere) else ""


def _same_inputs(references: list[formula.Reference], value: Value) -> dict[formula.Reference, Value]:
    """Return the values of these measures for the value's own subject."""
    if not references:
        return {}
    places = {reference: _place(reference, queries.period_of(value)) for reference in references}
    wanted = Q()
    for reference, (period, scenario) in places.items():
        wanted |= Q(
            metric__key=reference.key, period_kind=period.kind, period_start=period.start_date, scenario=scenario
        )
    rows = Value.objects.filter(wanted, subject_id=value.subject_id, number__isnull=False)
    found = {
        (row.metric.key, row.period_start, row.scenario): row
        for row in rows.select_related("metric", "subject", "band", "fact")
    }
    return {
        reference: found[(reference.key, period.start_date, scenario)]
        for reference, (period, scenario) in places.items()
        if (reference.key, period.start_date, scenario) in found
    }


# --- parts of larger subjects


@dataclass(frozen=True)
class _Sum:
    """What one larger figure sums: its stored slice, its metric, and who is inside."""

    value: Value
    has_formula: bool

    @classmethod
    def of(cls, value: Value) -> "_Sum":
        return cls(value, bool(value.formula_id))

    @cached_property
    def _is_as_today(self) -> bool:
        return containment.is_as_today(_last_day(self.value))

    def _lies_in(self, subject_id: int) -> Q:
        day = _last_day(self.value)
        return Q(subject_id__in=containment.list_descendants(subject_id, day, as_today=self._is_as_today))

    def parts(self, within: Subject | None = None) -> QuerySet[Value]:
        """Return the values of the parts, sub-works apart: they lie in their work."""
        value, kind = self.value, self.value.metric.subject_kind
        rows = _same_slice(value).filter(subject__kind__in=computing.kinds_of_parts(kind), parts_present__gt=0)
        if value.subject.kind != Subject.Kind.COUNTRY:
            rows = rows.filter(self._lies_in(value.subject_id))
        if within is not None:
            rows = rows.filter(self._lies_in(within.pk))
        if kind == Subject.Kind.WORK:
            inside = ParentLink.objects.filter(
                containment.valid_on(_last_day(value)),
                child_id=OuterRef("subject_id"),
                reason=ParentLink.Reason.PART_OF,
            )
            rows = rows.filter(~Exists(inside))
        elif kind == Subject.Kind.UNIT:
            rows = rows.filter(subject__unit__level=AdministrativeUnit.Level.COMMUNE)
        if kind == value.subject.kind:
            rows = rows.exclude(subject_id=value.subject_id)
        return rows.filter(numerator__isnull=False) if self.has_formula else rows.filter(number__isnull=False)

    def figures(self) -> dict[str, Any]:
        """Return the aggregates of parts that give the sum: a formula sums numerators, a measure numbers."""
        zero = IntegerField()
        if self.has_formula:
            return {
                "count": Count("pk"), "top": Coalesce(Sum("numerator"), 0, output_field=zero),
                "bottom": Coalesce(Sum("denominator"), 0, output_field=zero),
            }  # fmt: skip
        return {
            "count": Count("pk"), "top": Coalesce(Sum("number"), 0, output_field=zero),
            "bottom": Coalesce(Sum("number") * 0, 0, output_field=zero),
        }  # fmt: skip

    def totals(self) -> dict[str, int]:
        """Return count, top and bottom of all parts: read once for a value object, which shows and checks them."""
        kept: dict[str, int] | None = getattr(self.value, "_part_totals", None)
        if kept is None:
            kept = self.parts().order_by().aggregate(**self.figures())
            self.value._part_totals = kept  # type: ignore[attr-defined]
        return kept

    def text(self, top: int, bottom: int) -> str:
        """Return a subtotal in words: the figure of the group with its numerator and denominator."""
        metric, version = self.value.metric, self.value.formula
        unit = units.label(metric.unit)
        if version is None:
            return figure_text(top, None, False, None, False, metric.decimals, unit, "")
        if not version.denominator:
            return figure_text(_ratio(version, metric, top, 1), None, False, None, False, metric.decimals, unit, "")
        number = _ratio(version, metric, top, bottom)
        pair = (
            f"{vietnamese.format_number(Decimal(top).scaleb(-version.numerator_decimals))} / "
            f"{vietnamese.format_number(Decimal(bottom).scaleb(-version.denominator_decimals))}"
        )
        shown = figure_text(number, None, False, None, False, metric.decimals, unit, "")
        return f"{pair} = {shown}"


def _last_day(value: Value) -> date:
    """Return the day whose places and operators the figure was summed over."""
    return queries.period_of(value).end_date - timedelta(days=1)


def _ratio(version: FormulaVersion, metric: Metric, top: int, bottom: int) -> int | None:
    numerator = columns.Column(np.array([top], np.int64), np.array([True]), version.numerator_decimals)
    if not version.denominator:
        denominator = columns.constant(1, 1)
    else:
        denominator = columns.Column(np.array([bottom], np.int64), np.array([True]), version.denominator_decimals)
    result = columns.ratio(numerator, denominator, version.factor, metric.decimals)
    return int(result.values[0]) if result.present[0] else None


def _parts_node(value: Value, visible_to: Person, *, page: int) -> Node:
    summed = _Sum.of(value)
    totals = summed.totals()
    node = Node(
        "parts", f"Cộng từ {vietnamese.format_number(totals['count'])} {queries.part_name(value.metric)}",
        summed.text(totals["top"], totals["bottom"]), [("Độ phủ", _coverage(value))],
    )  # fmt: skip
    if value.subject.kind == Subject.Kind.COUNTRY and totals["count"] > PAGE_SIZE:
        node.children = _province_nodes(summed, visible_to, totals)
    else:
        node.children = _part_nodes(summed, visible_to, totals=totals, page=page)
    without = value.parts_present - totals["count"]
    if summed.has_formula and without > 0:
        node.children.append(
            Node(
                "note",
                f"{vietnamese.format_number(without)} {queries.part_name(value.metric)} có mẫu số bằng 0: vẫn cộng vào "
                "tổng, nhưng không có tỷ lệ riêng.",
            )
        )  # fmt: skip
    if value.parts_present < value.parts_total:
        missing = value.parts_total - value.parts_present
        node.note = (
            f"{vietnamese.format_number(missing)} {queries.part_name(value.metric)} chưa có đủ số liệu và không được "
            "tính (chưa có số liệu không phải là 0)."
        )
    return node


def _province_nodes(summed: _Sum, visible_to: Person, totals: dict[str, int]) -> list[Node]:
    """Return one line a province, from one sum; the parts of each are read when it is opened."""
    value = summed.value
    provinces = {row.pk: row for row in place_queries.list_provinces()}
    rows = (
        summed.parts()
        .filter(subject__contained_in__ancestor__in=list(provinces))
        .order_by()
        .values(province=F("subject__contained_in__ancestor_id"))
        .annotate(**summed.figures())
    )
    found: list[dict[str, Any]] = [
        {**row, "name": provinces[row["province"]].full_name, "code": provinces[row["province"]].code} for row in rows
    ]
    sees_all = access.sees_everything(visible_to)
    nodes = []
    counted = 0
    for row in sorted(found, key=lambda row: str(row["code"])):
        counted += row["count"]
        part = queries.part_name(value.metric)
        node = Node(
            "group", row["name"], summed.text(row["top"], row["bottom"]),
            [("Gồm", f"{vietnamese.format_number(row['count'])} {part}")],
            branch_url=f"{reverse('indicators:value_branch', args=[value.pk])}?group={row['province']}",
        )  # fmt: skip
        nodes.append(node)
    rest = totals["count"] - counted
    if rest > 0:
        nodes.append(Node("note", f"{vietnamese.format_number(rest)} nơi không thuộc riêng tỉnh nào"))
    elif rest < 0:
        nodes.append(Node("note", "Có nơi nằm trên nhiều tỉnh: nơi đó được kể ở từng tỉnh, nhưng chỉ cộng một lần."))
    if not sees_all:
        for node in nodes:
            if node.kind == "group":
                node.note = "Chi tiết mở được trong phạm vi của bạn."
    return nodes


def _part_nodes(
    summed: _Sum,
    visible_to: Person,
    *,
    group: Subject | None = None,
    totals: dict[str, int] | None = None,
    page: int = 1,
) -> list[Node]:
    """Return one page of the parts in the reader's scope, and one line for all beyond it."""
    value = summed.value
    every = summed.parts(group)
    totals = totals or every.order_by().aggregate(**summed.figures())
    mine, inside = every, totals
    if not access.sees_everything(visible_to):
        mine = every.filter(subject_id__in=access.visible_subject_ids(visible_to))
        inside = mine.order_by().aggregate(**summed.figures())
    start = (max(page, 1) - 1) * PAGE_SIZE
    shown = _page_by_name(mine, inside["count"], start)
    nodes = [_part_line(part) for part in shown]
    branch = reverse("indicators:value_branch", args=[value.pk])
    within = f"group={group.pk}&" if group is not None else ""
    if inside["count"] > start + PAGE_SIZE and nodes:
        left = inside["count"] - start - PAGE_SIZE
        nodes[-1].more_url = f"{branch}?{within}parts=1&page={max(page, 1) + 1}"
        nodes[-1].more_text = f"Xem tiếp {vietnamese.format_number(left)} {queries.part_name(value.metric)}"
    beyond = totals["count"] - inside["count"]
    if beyond > 0:
        nodes.append(
            Node(
                "outside",
                f"{vietnamese.format_number(beyond)} {queries.part_name(value.metric)} ngoài phạm vi của bạn",
                "tổng: " + summed.text(totals["top"] - inside["top"], totals["bottom"] - inside["bottom"]),
            )
        )
    return nodes


def _page_by_name(parts: QuerySet[Value], count: int, start: int) -> list[Value]:
    """Return a page of the parts by name, as the Vietnamese alphabet goes where they are few enough to sort here."""
    rows = parts.select_related("metric", "subject__unit", "band", "fact", "formula")
    if count > _SORTED_HERE:
        return list(rows.order_by("subject__name", "pk")[start : start + PAGE_SIZE])
    light = sorted(parts.values_list("pk", "subject__name"), key=lambda row: (folding.sort_key(row[1]), row[0]))
    chosen = [pk for pk, _ in light[start : start + PAGE_SIZE]]
    found = {row.pk: row for row in rows.filter(pk__in=chosen)}
    return [found[pk] for pk in chosen]


def _part_line(part: Value) -> Node:
    is_unit = part.subject.kind == Subject.Kind.UNIT
    name = part.subject.unit.full_name if is_unit else part.subject.name
    text = queries.as_text(part, part.metric)
    version = part.formula
    if version is not None and version.denominator and part.numerator is not None and part.denominator is not None:
        top = vietnamese.format_number(Decimal(part.numerator).scaleb(-version.numerator_decimals))
        bottom = vietnamese.format_number(Decimal(part.denominator).scaleb(-version.denominator_decimals))
        text = f"{top} / {bottom} = {text}"
    return Node(
        "part", name, text, url=reverse("indicators:value", args=[part.pk]), value=part,
        branch_url=reverse("indicators:value_branch", args=[part.pk]),
    )  # fmt: skip


def more_parts(value: Value, visible_to: Person, *, group: Subject | None = None, page: int = 1) -> list[Node]:
    """Return one further page of the parts of a sum."""
    return _part_nodes(_Sum.of(value), visible_to, group=group, page=page)


# --- former versions


@dataclass(frozen=True)
class FormerVersion:
    """A version that was replaced, with its tree as far as it can be rebuilt today."""

    change: ValueChange
    text: str
    is_reproducible: bool
    verdict: str
    root: Node


def former_version(value: Value, version: int, visible_to: Person) -> FormerVersion:
    """Return a replaced version of a value. Raises ValueChange.DoesNotExist.

    Facts and formula versions are never edited, so what rests on them is there for good. A sum is rebuilt from the
    versions that its parts had then, and said not to be reproducible where those do not give the stored sum.
    """
    change = value.changes.select_related(
        "band", "formula__passage__document", "formula__created_by",
        *[f"fact__{name}" for name in _FACT_WITH],
    ).get(version=version)  # fmt: skip
    metric = value.metric
    text = queries.as_text(change, metric)
    root = Node(
        "figure", f"{metric.name}: {value.subject.name}", text,
        [
            ("Phiên bản", str(change.version)), ("Tính lúc", _when(change.computed_at)),
            ("Thay lúc", _when(change.replaced_at)), ("Lý do thay", change.reason),
        ],
    )  # fmt: skip
    if change.fact is not None:
        root.children = [_fact_node(change.fact, metric)]
        is_same = change.fact.number == change.number
        verdict = "Khớp: số liệu gốc của phiên bản này vẫn còn." if is_same else "Số liệu gốc không còn khớp."
        return FormerVersion(change, text, is_same, verdict, root)
    if change.formula is not None:
        names = names_of(change.formula)
        root.children = [formula_node(change.formula, metric, names)]
        top, bottom = change.numerator, change.denominator
        if top is not None:
            version_row = change.formula
            root.children.append(
                Node(
                    "input", f"Tử số: {in_words(formula.parse(version_row.numerator), names)}",
                    vietnamese.format_number(Decimal(top).scaleb(-version_row.numerator_decimals)),
                )
            )  # fmt: skip
            if version_row.denominator and bottom is not None:
                root.children.append(
                    Node(
                        "input", f"Mẫu số: {in_words(formula.parse(version_row.denominator), names)}",
                        vietnamese.format_number(Decimal(bottom).scaleb(-version_row.denominator_decimals)),
                    )
                )  # fmt: skip
            if not _is_whole(value):
                again = _ratio(version_row, metric, top, bottom or 0)
                is_same = again == change.number
                return FormerVersion(
                    change, text, is_same,
                    "Khớp: tính lại từ tử số và mẫu số đã lưu cho cùng kết quả."
                    if is_same else "Không dựng lại được từ tử số và mẫu số đã lưu.", root,
                )  # fmt: skip
    if _is_whole(value):
        return _former_sum(value, change, text, root)
    root.children.append(Node("note", "Các thành phần của phiên bản này xem ở lịch sử của từng số liệu."))
    return FormerVersion(change, text, False, "Không dựng lại được: số liệu gốc của phiên bản này đã được thay.", root)


def _former_sum(value: Value, change: ValueChange, text: str, root: Node) -> FormerVersion:
    at = change.computed_at
    has_formula = change.formula_id is not None
    column = "numerator" if has_formula else "number"
    summed = _Sum(value, False)
    parts = summed.parts().order_by() if not has_formula else _Sum(value, True).parts().order_by()
    kept = parts.filter(computed_at__lte=at).aggregate(count=Count("pk"), top=Sum(column))
    changed = ValueChange.objects.filter(
        value__in=Value.objects.filter(pk__in=parts.values("pk")), computed_at__lte=at, replaced_at__gt=at
    ).aggregate(count=Count("pk"), top=Sum(column))
    top = (kept["top"] or 0) + (changed["top"] or 0)
    count = kept["count"] + changed["count"]
    wanted = change.numerator if has_formula else change.number
    is_same = top == wanted and count == change.parts_present
    root.children.append(
        Node(
            "parts",
            f"Cộng từ {vietnamese.format_number(count)} {queries.part_name(value.metric)}, theo phiên bản lúc đó",
            details=[("Đã thay đổi từ đó đến nay", f"{vietnamese.format_number(changed['count'])} nơi")],
        )
    )  # fmt: skip
    verdict = (
        "Khớp: tổng các phiên bản lúc đó bằng số đã lưu."
        if is_same
        else "Không dựng lại được: các phần đã thay đổi quá xa so với lúc tính, hoặc phạm vi cộng đã khác."
    )
    return FormerVersion(change, text, is_same, verdict, root)


# --- recheck ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """Whether a stored figure is what its inputs give today; text says what was found."""

    is_same: bool
    text: str


def recheck(value: Value) -> Check:
    """Compute the figure anew from what it rests on, and compare."""
    metric = value.metric
    if value.fact is not None:
        fact = value.fact
        said = (fact.number, fact.low, fact.high)
        if fact.superseded_at is not None:
            return Check(False, "Số liệu gốc đã được thay; số này đang chờ tính lại.")
        return _compare(said == (value.number, value.low, value.high), "", "số liệu gốc")
    if value.parts_present == 0:
        return Check(True, "Không còn số liệu để tính: «chưa có số liệu».")
    if value.formula is not None:
        return _recheck_formula(value, value.formula)
    if _is_whole(value):
        summed = _Sum.of(value)
        if metric.parts_how != Metric.PartsHow.SUM:
            return Check(True, f"Gộp theo cách «{metric.get_parts_how_display()}»; xem các phần bên dưới.")
        totals = summed.totals()
        return _compare(totals["top"] == value.number, _number(totals["top"], metric), "tổng các phần")
    return _recheck_measure(value)


def _recheck_formula(value: Value, version: FormulaVersion) -> Check:
    metric = value.metric
    if _is_whole(value):
        totals = _Sum.of(value).totals()
        top, bottom = totals["top"], totals["bottom"] if version.denominator else 1
        if (top, bottom) != (value.numerator, value.denominator if version.denominator else 1):
            # Parts with a denominator of 0 have no figure of their own, yet belong to the sums: ask the inputs.
            again, top, bottom = computing.compute_sums_again(value, version)
        else:
            again = _ratio(version, metric, top, bottom)
        is_same = (again, top) == (value.number, value.numerator)
        return _compare(is_same, _number(again, metric), "tổng các phần và công thức")
    period = queries.period_of(value)
    given: dict[formula.Reference, columns.Column] = {}
    metrics = {row.key: row for row in Metric.objects.filter(key__in={ref.key for ref in list_references(version)})}
    for reference in list_references(version):
        place, scenario = _place(reference, period)
        number = (
            Value.objects.filter(
                metric=metrics[reference.key], subject_id=value.subject_id, period_kind=place.kind,
                period_start=place.start_date, scenario=scenario,
            )
            .values_list("number", flat=True)
            .first()
        )  # fmt: skip
        given[reference] = columns.Column(
            np.array([number or 0], np.int64), np.array([number is not None]), metrics[reference.key].decimals
        )
    numerator = columns.evaluate(formula.parse(version.numerator), given, row_count=1)
    denominator = (
        columns.evaluate(formula.parse(version.denominator), given, row_count=1)
        if version.denominator
        else columns.constant(1, 1)
    )
    result = columns.ratio(numerator, denominator, version.factor, metric.decimals)
    found = int(result.values[0]) if result.present[0] else None
    return _compare(found == value.number, _number(found, metric), "công thức và các số liệu đầu vào")


def _recheck_measure(value: Value) -> Check:
    metric, period = value.metric, queries.period_of(value)
    total: int | None = None
    if metric.source == Metric.Source.PROVIDED:
        given = providers.provide(metric.key, period)
        where = np.flatnonzero(given.subject_ids == value.subject_id)
        total = int(given.numbers[where[0]]) if len(where) else None
        if total is None and providers.takes_entries(metric.key) and (entered := _own_fact(value)) is not None:
            total = entered.number
    else:
        own = _own_fact(value)
        if own is not None:
            total = own.number
        elif facts := _finer_facts(value):
            numbers = [fact.number or 0 for fact in facts]
            total = sum(numbers) if metric.time_how == Metric.TimeHow.SUM else numbers[-1]
    for part in _tree_parts(value):
        total = (total or 0) + (part.number or 0)
    return _compare(total == value.number, _number(total, metric), "số liệu gốc")


def _number(number: int | None, metric: Metric) -> str:
    return figure_text(number, None, False, None, False, metric.decimals, units.label(metric.unit), "")


def _compare(is_same: bool, found: str, source: str) -> Check:
    if is_same:
        return Check(True, f"Khớp: tính lại từ {source} cho cùng kết quả.")
    waiting = f" Tính lại lúc {_when(timezone.now())} cho {found}." if found else ""
    return Check(False, f"Không khớp với {source}.{waiting} Số liệu có thể đang chờ tính lại; thử lại sau ít phút.")
