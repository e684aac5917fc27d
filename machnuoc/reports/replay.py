"""Computing the figures of a report anew from its snapshot alone: frozen facts, formulas and bands, nothing else.

A snapshot holds nodes, one a figure of the system, keyed «metric|subject|period|scenario». A node says how its number
came about («how») and names the nodes or facts it rests on; numbers are whole last decimals, as stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from machnuoc.core.figures import figure_text
from machnuoc.core.periods import Period
from machnuoc.indicators import aggregation, bands, columns, formula
from machnuoc.reports import rules

Node = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """A figure or node whose recomputed number is not the frozen one."""

    key: str
    frozen: str
    computed: str


@dataclass(frozen=True)
class Replayed:
    """What a replay gave. figures: exact number by figure key, empty where none. differences: empty when all agree."""

    figures: dict[str, str]
    nodes: int
    differences: tuple[Difference, ...] = field(default=())

    @property
    def is_same(self) -> bool:
        return not self.differences


def replay(content: Mapping[str, Any]) -> Replayed:
    """Compute every figure of a snapshot from its frozen leaves, and compare with what was frozen.

    Raises KeyError, formula.FormulaError or rules.BadRule where the snapshot itself is damaged.
    """
    nodes: dict[str, Node] = content["nodes"]
    machine = _Machine(content)
    differences: list[Difference] = []
    for key, node in nodes.items():
        computed = machine.number(key)
        if computed != node["number"]:
            differences.append(Difference(key, str(node["number"]), str(computed)))
        band = machine.band(node)
        if band != node["band"]:
            differences.append(Difference(key, str(node["band"]), str(band)))
    raws: dict[str, str] = {}
    derived: list[dict[str, Any]] = []
    for figure in content["figures"]:
        if rules.is_rule(figure["source"]):
            derived.append(figure)
            raws[figure["key"]] = figure["raw"]
            continue
        raw, shown = _figure(figure, nodes, machine)
        raws[figure["key"]] = raw
        if raw != figure["raw"]:
            differences.append(Difference(figure["key"], figure["raw"], raw))
        elif not figure["display"].startswith(shown):
            differences.append(Difference(figure["key"], figure["display"], shown))
    for figure in derived:
        raws[figure["key"]] = ""
    for figure in derived:  # in their order: a later rule may build on an earlier one
        decimals = _decimals(figure["raw"])
        found = rules.evaluate(figure["source"], raws, own_key=figure["key"], decimals=decimals)
        raws[figure["key"]] = "" if found is None else _like(found, decimals)
        if raws[figure["key"]] != figure["raw"]:
            differences.append(Difference(figure["key"], figure["raw"], raws[figure["key"]]))
    return Replayed(raws, len(nodes), tuple(differences))


def _figure(figure: Mapping[str, Any], nodes: Mapping[str, Node], machine: "_Machine") -> tuple[str, str]:
    """Return the exact number and the words, without unit, of a figure that stands on a node or on things counted."""
    if figure["node"] is None:
        if not figure["counted"]:
            return figure["raw"], ""  # stated by hand or missing: nothing stands behind it
        amounts = sum((Decimal(amount) for _, amount in figure["counted"]), Decimal(0))
        return _like(amounts, _decimals(figure["raw"])), ""
    node = nodes[figure["node"]]
    metric = machine.metrics[node["metric"]]
    number = machine.number(figure["node"])
    band = node["band"]
    label = machine.bands[str(band[0])]["labels"][band[1]] if band else ""
    has_edges = number is not None or node["low"] is not None or node["high"] is not None
    shown = figure_text(
        number, node["low"], node["low_open"], node["high"], node["high_open"], metric["decimals"],
        "", "" if has_edges else label,
    )  # fmt: skip
    return ("" if number is None else str(Decimal(number).scaleb(-metric["decimals"]))), shown


class _Machine:
    """Computes nodes once each, from what they rest on."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.nodes: dict[str, Node] = content["nodes"]
        self.metrics: dict[str, dict[str, Any]] = content["metrics"]
        self.formulas: dict[str, dict[str, Any]] = content["formulas"]
        self.bands: dict[str, dict[str, Any]] = content["bands"]
        self._known: dict[str, int | None] = {}

    def number(self, key: str) -> int | None:
        if key not in self._known:
            self._known[key] = self._compute(self.nodes[key])
        return self._known[key]

    def _of(self, key: str | None) -> int | None:
        return self.number(key) if key is not None and key in self.nodes else None

    def _compute(self, node: Node) -> int | None:
        match node["how"]:
            case "fact":
                number: int | None = node["fact"]["number"]
                return number
            case "missing":
                return None
            case "sum":
                return _gather([self._of(part) for part in node["parts"]], self.metrics[node["metric"]]["parts_how"])
            case "measure":
                return self._measure(node)
            case "formula":
                top, bottom = self._columns(node, [node["inputs"]])
                return _divide(top, bottom, self.formulas[node["formula"]], self.metrics[node["metric"]])
            case "ratio_sum":
                return self._ratio_sum(node)
        raise KeyError(f"a node that is {node['how']}")

    def _measure(self, node: Node) -> int | None:
        own: int | None = None
        if node["record"] is not None:
            own = node["record"]["number"]
        elif node["own"] is not None:
            own = node["own"]["number"]
        elif node["finer"]:
            own = _over_time(node["finer"], self.metrics[node["metric"]]["time_how"])
        parts = [self._of(part) for part in node["parts"]]
        return _gather([own, *parts], self.metrics[node["metric"]]["parts_how"]) if parts else own

    def _columns(self, node: Node, rows: list[dict[str, str | None]]) -> tuple[columns.Column, columns.Column]:
        """Return numerator and denominator for rows of inputs, each a node by the text of its reference."""
        version = self.formulas[node["formula"]]
        numerator = formula.parse(version["numerator"])
        denominator = formula.parse(version["denominator"]) if version["denominator"] else None
        references = set(formula.references(numerator))
        if denominator is not None:
            references |= formula.references(denominator)
        given: dict[formula.Reference, columns.Column] = {}
        for reference in references:
            numbers = [self._of(row.get(reference_text(reference))) for row in rows]
            given[reference] = columns.Column(
                np.array([number or 0 for number in numbers], np.int64),
                np.array([number is not None for number in numbers], np.bool_),
                self.metrics[reference.key]["decimals"],
            )
        top = columns.evaluate(numerator, given, row_count=len(rows))
        if denominator is None:
            return top, columns.constant(1, len(rows))
        return top, columns.evaluate(denominator, given, row_count=len(rows))

    def _ratio_sum(self, node: Node) -> int | None:
        version, metric = self.formulas[node["formula"]], self.metrics[node["metric"]]
        top, bottom = self._columns(node, node["rows"])
        group = np.zeros(len(node["rows"]), np.int64)
        if not version["denominator"]:
            how = {"COUNT": "count", "MIN": "min", "MAX": "max"}.get(metric["parts_how"], "sum")
            grouped = aggregation.aggregate(top, group, 1, how)  # type: ignore[arg-type]
            return _divide(grouped.column, columns.constant(1, 1), version, metric)
        sums = aggregation.sum_over_sum(top, bottom, group, 1)
        return _divide(sums.num, sums.den, version, metric)

    def band(self, node: Node) -> list[Any] | None:
        """Return [scheme, code] of the band that the node's number lies in. A class stated as such is a leaf itself."""
        kept: list[Any] | None = node["band"]
        if kept is None or (node["how"] == "fact" and node["fact"]["stated_band"]):
            return kept
        levels = [pure_band(row) for row in self.bands[str(kept[0])]["levels"]]
        decimals = self.metrics[node["metric"]]["decimals"]
        if node["number"] is not None:
            found = bands.classify(Decimal(node["number"]).scaleb(-decimals), levels)
        else:
            found = bands.classify_range(
                _unscale(node["low"], decimals), node["low_open"], _unscale(node["high"], decimals), node["high_open"],
                levels,
            )  # fmt: skip
        return None if found is None else [kept[0], found.code]


def reference_text(reference: formula.Reference) -> str:
    """Return what names a formula's input in a snapshot."""
    return formula.to_text(formula.Measure(reference))


def pure_band(row: Mapping[str, Any]) -> bands.Band:
    """Return a band from its frozen row."""
    lower, upper = row["lower"], row["upper"]
    return bands.Band(
        row["code"], row["label"], None if lower is None else Decimal(lower), row["lower_inclusive"],
        None if upper is None else Decimal(upper), row["upper_inclusive"], row["severity"],
    )  # fmt: skip


def _unscale(number: int | None, decimals: int) -> Decimal | None:
    return None if number is None else Decimal(number).scaleb(-decimals)


def _gather(numbers: list[int | None], parts_how: str) -> int | None:
    found = [number for number in numbers if number is not None]
    if not found:
        return None
    return {"COUNT": len(found), "MIN": min(found), "MAX": max(found)}.get(parts_how, sum(found))


def _over_time(finer: list[Mapping[str, Any]], time_how: str) -> int | None:
    ordered = sorted(finer, key=lambda row: Period.parse(row["period"]).start_date)
    numbers = [int(row["fact"]["number"]) for row in ordered]
    if not numbers:
        return None
    return numbers[-1] if time_how == "LAST" else sum(numbers)


def _divide(
    top: columns.Column, bottom: columns.Column, version: Mapping[str, Any], metric: Mapping[str, Any]
) -> int | None:
    result = columns.ratio(top, bottom, version["factor"], metric["decimals"])
    return int(result.values[0]) if result.present[0] else None


def _decimals(raw: str) -> int:
    return len(raw.partition(".")[2])


def _like(number: Decimal, decimals: int) -> str:
    """Return the number written with so many decimals, if it has no more."""
    exact = number.normalize()
    exponent = exact.as_tuple().exponent
    own = max(0, -exponent) if isinstance(exponent, int) else 0
    return f"{number:.{max(own, decimals)}f}"
