"""Freezing what a report says: its figures down to the leaf facts, formulas, bands and files, under one hash.

`build` writes the content, `replay.replay` computes it anew from the content alone, `compare_with_today` says what has
changed since and why. The form of the content is told in docs/algorithms/snapshots.md.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from machnuoc.core import files, units, vietnamese
from machnuoc.core.figures import NO_FIGURE, figure_text
from machnuoc.core.periods import Period
from machnuoc.indicators import computing, formula, lineage, providers
from machnuoc.indicators import queries as indicator_queries
from machnuoc.indicators.models import (
    Band,
    BandScheme,
    Fact,
    FormulaVersion,
    Metric,
    Scenario,
    Value,
    ValueChange,
)
from machnuoc.places import containment
from machnuoc.places.models import ParentLink, Subject
from machnuoc.reports import kinds, layout, replay, rules
from machnuoc.reports.errors import ReportsError
from machnuoc.reports.kinds import Figure
from machnuoc.reports.models import Report, Snapshot

FORM = 1  # of the content; a program that reads an older one must still know it
_CHUNK = 500
_FACT_WITH = ("passage__document", "submission", "import_file", "stated_band")

Content = dict[str, Any]


class NotReplayable(ReportsError):
    """The frozen leaves do not give the report's figures: something is waiting to be computed again."""


# --- building ---------------------------------------------------------------------------------------------------


def build(
    report: Report,
    *,
    figures: Sequence[Figure],
    document: layout.OfficialDocument,
    sections: Sequence[Mapping[str, str]],
    written: Mapping[str, bytes],
    template_hash: str,
    now: datetime,
) -> Content:
    """Return the content of a snapshot, and make sure that it replays to the same figures.

    figures: as gathered now. written: the files made of the document, by suffix («docx»). Raises NotReplayable.
    """
    freezer = _Freezer()
    node_of = freezer.freeze([figure.value for figure in figures if figure.value is not None])
    content: Content = {
        "form": FORM,
        "taken_at": now.isoformat(),
        "report": {
            "id": report.pk, "kind": report.kind, "title": report.title,
            "organisation": {"key": report.organisation.subject.key, "name": report.organisation.subject.name},
            "subject": {"key": report.subject.key, "name": report.subject.name},
            "period": Period(report.period_kind, report.period_start).key,  # type: ignore[arg-type]
            "plan": report.plan.key if report.plan else None, "corrects": report.corrects_id,
        },
        "document": layout.as_data(document),
        "sections": [dict(section) for section in sections],
        "figures": [
            {
                "key": figure.key, "label": figure.label, "display": figure.display, "raw": figure.raw,
                "source": figure.source, "counted": [list(pair) for pair in figure.counted],
                "node": node_of[figure.value.pk] if figure.value is not None else None,
                "version": figure.value.version if figure.value is not None else None,
            }
            for figure in figures
        ],
        **freezer.as_data(),
        "files": [
            {"name": suffix, "sha256": hash_bytes(data)} for suffix, data in written.items()
        ],
        "template": template_hash,
    }  # fmt: skip
    content = json.loads(canonical(content))  # what is checked is what will be read back
    found = replay.replay(content)
    if not found.is_same:
        first = found.differences[0]
        raise NotReplayable(
            f"Chưa đóng băng được số liệu của «{report.title}»: {len(found.differences)} số liệu đang chờ tính lại "
            f"(ví dụ {first.key}: đang hiện {first.frozen}, tính lại được {first.computed}). "
            "Bấm «Làm mới số liệu», đọc lại rồi trình lại."
        )
    return content


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the one way to write the content as JSON, so that its hash means something."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def hash_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hash_of(content: Mapping[str, Any]) -> str:
    return hash_bytes(canonical(content))


def read(snapshot: Snapshot) -> Content:
    """Return the content. Raises ReportsError if the kept bytes are not those that were hashed, LostFile if gone."""
    with files.open_file(snapshot.content) as stream:
        raw = stream.read()
    if hash_bytes(raw) != snapshot.content_hash:
        raise ReportsError(
            f"Bản đóng băng #{snapshot.pk} không còn đúng mã băm đã ghi: tệp đã bị sửa. Khôi phục từ bản sao lưu."
        )
    content: Content = json.loads(raw)
    return content


class _Freezer:
    """Walks from figures down to facts, slice by slice: one query for values, one for facts, however many there are."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self._metrics: dict[int, Metric] = {}
        self._formulas: dict[str, FormulaVersion] = {}
        self._schemes: set[int] = set()
        self._frames: dict[tuple[str, Any], computing.Frame] = {}
        self._subject_keys: dict[int, str] = {}
        self._waiting: dict[tuple[int, Period, str], set[int]] = defaultdict(set)
        self._asked: set[tuple[int, Period, str, int]] = set()

    def freeze(self, values: Iterable[Value]) -> dict[int, str]:
        """Freeze the values with all they rest on, and return the key of the node of each value."""
        named: dict[int, tuple[Metric, Period, str, int]] = {}
        for value in values:
            place = (value.metric, indicator_queries.period_of(value), value.scenario, value.subject_id)
            named[value.pk] = place
            self._ask(place[0], place[1], place[2], [value.subject_id])
        while self._waiting:
            (metric_id, period, scenario), subject_ids = self._waiting.popitem()
            self._freeze_slice(self._metrics[metric_id], period, scenario, sorted(subject_ids))
        return {pk: self._key(*place) for pk, place in named.items()}

    def as_data(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "metrics": {
                metric.key: {
                    "name": metric.name, "short_name": metric.short_name, "unit": metric.unit,
                    "unit_label": units.label(metric.unit), "decimals": metric.decimals, "time_how": metric.time_how,
                    "parts_how": metric.parts_how, "source": metric.source,
                }
                for metric in self._metrics.values()
            },
            "formulas": {
                key: {
                    "metric": version.metric.key, "version": version.version, "numerator": version.numerator,
                    "denominator": version.denominator, "factor": version.factor,
                }
                for key, version in self._formulas.items()
            },
            "bands": _band_data(self._schemes),
            "subjects": {
                subject.key: subject.name for subject in Subject.objects.filter(pk__in=self._subject_keys)
            },
        }  # fmt: skip

    # --- what is still to be read

    def _ask(self, metric: Metric, period: Period, scenario: str, subject_ids: Iterable[int]) -> None:
        self._metrics[metric.pk] = metric
        for subject_id in subject_ids:
            place = (metric.pk, period, scenario, subject_id)
            if place not in self._asked:
                self._asked.add(place)
                self._waiting[metric.pk, period, scenario].add(subject_id)

    def _key(self, metric: Metric, period: Period, scenario: str, subject_id: int) -> str:
        if subject_id not in self._subject_keys:
            self._subject_keys[subject_id] = Subject.objects.values_list("key", flat=True).get(pk=subject_id)
        return f"{metric.key}|{self._subject_keys[subject_id]}|{period.key}|{scenario}"

    def _name_subjects(self, subject_ids: Iterable[int]) -> None:
        missing = [subject_id for subject_id in subject_ids if subject_id not in self._subject_keys]
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            self._subject_keys |= dict(Subject.objects.filter(pk__in=chunk).values_list("pk", "key"))

    def _frame(self, metric: Metric, period: Period) -> computing.Frame:
        place = (metric.subject_kind, computing.last_day(period))
        if place not in self._frames:
            self._frames[place] = computing.load_frame(*place)
        return self._frames[place]

    # --- one slice

    def _freeze_slice(self, metric: Metric, period: Period, scenario: str, subject_ids: list[int]) -> None:
        self._name_subjects(subject_ids)
        for start in range(0, len(subject_ids), _CHUNK):
            chunk = subject_ids[start : start + _CHUNK]
            values = list(
                Value.objects.filter(
                    metric=metric, period_kind=period.kind, period_start=period.start_date, scenario=scenario,
                    subject_id__in=chunk,
                ).select_related("band", "formula__metric", *[f"fact__{name}" for name in _FACT_WITH])
            )  # fmt: skip
            base: list[Value] = []
            for value in values:
                node = _node(value, metric)
                self.nodes[self._key(metric, period, scenario, value.subject_id)] = node
                if value.band is not None:
                    self._schemes.add(value.band.scheme_id)
                    node["band"] = [value.band.scheme_id, value.band.code]
                if value.fact is not None:
                    node |= {"how": "fact", "fact": _fact_data(value.fact)}
                elif value.parts_present == 0:
                    node["how"] = "missing"
                elif value.formula is not None:
                    self._freeze_formula(node, value, value.formula, metric, period, scenario)
                elif (parts := self._parts(value, metric, period)) is not None:
                    node["how"] = "sum"
                    self._link(node, parts, metric, period, scenario)
                else:
                    base.append(value)
            self._freeze_base(base, metric, period, scenario)

    def _parts(self, value: Value, metric: Metric, period: Period) -> list[int] | None:
        """Return the subjects that a larger subject's figure sums; None for a subject of the metric's own kind."""
        frame = self._frame(metric, period)
        group = int(np.searchsorted(frame.group_ids, value.subject_id))
        if group >= len(frame.group_ids) or frame.group_ids[group] != value.subject_id:
            return None
        row = int(np.searchsorted(frame.subject_ids, value.subject_id))
        is_own_kind = row < len(frame.subject_ids) and frame.subject_ids[row] == value.subject_id
        if is_own_kind and value.parts_total <= 1:
            return None
        found: list[int] = frame.subject_ids[frame.pair_row[frame.pair_group == group]].tolist()
        return found

    def _link(self, node: dict[str, Any], parts: list[int], metric: Metric, period: Period, scenario: str) -> None:
        self._name_subjects(parts)
        self._ask(metric, period, scenario, parts)
        node["parts"] = sorted(self._key(metric, period, scenario, part) for part in parts)

    def _freeze_formula(
        self, node: dict[str, Any], value: Value, version: FormulaVersion, metric: Metric, period: Period, scenario: str
    ) -> None:
        name = f"{metric.key}#{version.version}"
        self._formulas[name] = version
        references = lineage.list_references(version)
        metrics = {row.key: row for row in Metric.objects.filter(key__in={ref.key for ref in references})}
        parts = self._parts(value, metric, period)
        subjects = [value.subject_id] if parts is None else sorted(parts)
        self._name_subjects(subjects)
        rows: list[dict[str, str]] = [{} for _ in subjects]
        for reference in references:
            its_period, its_scenario = _place(reference, period)
            self._ask(metrics[reference.key], its_period, its_scenario, subjects)
            for row, subject_id in zip(rows, subjects, strict=True):
                row[replay.reference_text(reference)] = self._key(
                    metrics[reference.key], its_period, its_scenario, subject_id
                )
        node |= {"how": "formula", "formula": name}
        if parts is None:
            node["inputs"] = rows[0]
        else:
            node |= {"how": "ratio_sum", "rows": rows}

    def _freeze_base(self, values: list[Value], metric: Metric, period: Period, scenario: str) -> None:
        """Freeze measures of single subjects: records of a room, own facts, finer facts, and sub-works."""
        if not values:
            return
        ids = [value.subject_id for value in values]
        facts = Fact.objects.filter(
            metric=metric, subject_id__in=ids, scenario=scenario, superseded_at__isnull=True, number__isnull=False
        ).select_related(*_FACT_WITH)
        own = {fact.subject_id: fact for fact in facts.filter(period_kind=period.kind, period_start=period.start_date)}
        finer: dict[int, list[Fact]] = defaultdict(list)
        if kind := finer_kind(metric, period):
            inside = facts.filter(
                period_kind=kind, period_start__gte=period.start_date, period_start__lt=period.end_date
            )
            for fact in inside.order_by("period_start"):
                finer[fact.subject_id].append(fact)
        records: dict[int, int] = {}
        if metric.source == Metric.Source.PROVIDED:
            given = providers.provide(metric.key, period)
            records = dict(zip(given.subject_ids.tolist(), given.numbers.tolist(), strict=True))
        children: dict[int, list[int]] = defaultdict(list)
        if metric.subject_kind == Subject.Kind.WORK and metric.parts_how != Metric.PartsHow.NONE:
            links = ParentLink.objects.filter(
                containment.valid_on(computing.last_day(period)), parent_id__in=ids, reason=ParentLink.Reason.PART_OF
            )
            for parent, child in links.values_list("parent_id", "child_id"):
                children[parent].append(child)
        for value in values:
            node = self.nodes[self._key(metric, period, scenario, value.subject_id)]
            node |= {"how": "measure", "own": None, "finer": [], "record": None, "parts": []}
            if children[value.subject_id]:
                self._link(node, children[value.subject_id], metric, period, scenario)
            if value.subject_id in records:
                node["record"] = {
                    "number": records[value.subject_id],
                    "sources": [source.text for source in providers.explain(metric.key, value.subject_id, period)],
                }
            elif metric.source == Metric.Source.PROVIDED and not providers.takes_entries(metric.key):
                continue
            elif value.subject_id in own:
                node["own"] = _fact_data(own[value.subject_id])
            else:
                node["finer"] = [
                    {
                        "period": Period(fact.period_kind, fact.period_start).key,  # type: ignore[arg-type]
                        "fact": _fact_data(fact),
                    }
                    for fact in finer[value.subject_id]
                ]


def _node(value: Value, metric: Metric) -> dict[str, Any]:
    return {
        "metric": metric.key, "how": "", "number": value.number, "low": value.low, "low_open": value.low_open,
        "high": value.high, "high_open": value.high_open, "band": None, "state": value.state,
        "version": value.version, "parts_present": value.parts_present, "parts_total": value.parts_total,
        "computed_at": value.computed_at.isoformat(),
    }  # fmt: skip


def _fact_data(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.pk, "number": fact.number, "low": fact.low, "high": fact.high,
        "stated_band": fact.stated_band.code if fact.stated_band else None, "state": fact.state,
        "qualifier": fact.qualifier, "submission": fact.submission_id,
        "document": fact.passage.document.key if fact.passage else None,
        "section": fact.passage.section if fact.passage else "",
        "file": fact.import_file.sha256 if fact.import_file else None, "cell": fact.import_cell,
        "recorded_at": fact.recorded_at.isoformat(),
    }  # fmt: skip


def _band_data(scheme_ids: Iterable[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for scheme in BandScheme.objects.filter(pk__in=list(scheme_ids)).prefetch_related("bands"):
        rows: list[Band] = list(scheme.bands.all())
        found[str(scheme.pk)] = {
            "name": scheme.name,
            "labels": {row.code: row.label for row in rows},
            "levels": [
                {
                    "code": row.code, "label": row.label, "severity": row.severity,
                    "lower": None if row.lower is None else str(row.lower), "lower_inclusive": row.lower_inclusive,
                    "upper": None if row.upper is None else str(row.upper), "upper_inclusive": row.upper_inclusive,
                }
                for row in rows
            ],
        }  # fmt: skip
    return found


def _place(reference: formula.Reference, period: Period) -> tuple[Period, str]:
    """Return the period and scenario that a formula reads an input in."""
    if reference.baseline is not None:
        period = Period.parse(reference.baseline)
    elif reference.shift:
        period = period.shift(reference.shift)
    return period, Scenario.PLAN if reference.scenario == "PLAN" else Scenario.ACTUAL


_FINE_TO_COARSE = "MQHY"


def finer_kind(metric: Metric, period: Period) -> str:
    """Return the kind of period whose facts give a coarser one (months a year); empty where there is none."""
    if metric.time_how not in {Metric.TimeHow.SUM, Metric.TimeHow.LAST} or period.kind not in _FINE_TO_COARSE:
        return ""
    rank = _FINE_TO_COARSE.index(period.kind)
    return next((kind for kind in metric.period_kinds if kind in _FINE_TO_COARSE[:rank]), "")


# --- comparing with today ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A figure that says something else today. sentence: what and why; reasons: one a fact, formula or band."""

    key: str
    label: str
    before: str
    after: str
    sentence: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What a snapshot and today agree on. changes: empty when all figures are as they were sent."""

    unchanged: int
    changes: tuple[Change, ...]

    @property
    def is_same(self) -> bool:
        return not self.changes


def compare_with_today(snapshot: Snapshot, *, today: date) -> Comparison:
    """Return which figures of a snapshot are others today, each with the facts, formulas or bands that made it so.

    Also what was missing and has come since, and what was counted in books (tasks, money, assessments).
    """
    return compare(read(snapshot), gather_today(snapshot.report, today))


def gather_today(report: Report, today: date) -> Sequence[Figure]:
    """Return the figures that the report would have if it were prepared today."""
    period = Period(report.period_kind, report.period_start)  # type: ignore[arg-type]
    context = kinds.Context(report.organisation, report.subject, period, report.plan, today)
    return kinds.get_kind(report.kind).gather(context).figures


def compare(content: Content, gathered: Sequence[Figure] | None = None) -> Comparison:
    """Return what `compare_with_today` does, for content that was read already.

    gathered: the figures that the report would have today; without them only figures of the system are compared.
    """
    fresh = {figure.key: figure for figure in gathered or ()}
    then = content["nodes"]
    wanted = {figure["node"] for figure in content["figures"] if figure["node"] is not None}
    values = _values_of(wanted)
    come = {key: node for key, figure in fresh.items() if (node := _node_key(figure.value)) is not None}
    freezer = _Freezer()
    freezer.freeze([*values.values(), *(figure.value for figure in fresh.values() if figure.value is not None)])
    now_data = freezer.as_data()
    now = now_data["nodes"]
    raws: dict[str, str] = {}
    changes: list[Change] = []
    unchanged = 0
    reasons_of: dict[str, tuple[str, ...]] = {}
    names = content.get("subjects", {}) | now_data["subjects"]
    metrics = content["metrics"] | now_data["metrics"]
    titles = _titles(content)

    def late(node: str) -> tuple[str, ...]:
        return tuple(_late_reasons(node, now, content, names, metrics))

    for figure in content["figures"]:
        key, name = figure["node"], figure["key"]
        if key is None:
            continue
        if name in come and come[name] != key:  # another period's figure has taken its place
            raws[name], reasons = fresh[name].raw, late(come[name])
            reasons_of[name] = reasons
            changes.append(_change(figure, titles, figure["display"], fresh[name].display, reasons))
            continue
        before, after = then[key], now.get(key)
        raws[name] = _raw(after, metrics)
        if after is not None and all(before[part] == after[part] for part in ("number", "low", "high", "band")):
            unchanged += 1
            continue
        reasons = tuple(_reasons(key, then, now, content, now_data, names, metrics))
        if not reasons and key in values:
            reasons = tuple(_told(values[key], before["version"]))
        reasons_of[name] = reasons
        shown = "không còn số liệu" if after is None else _words(after, metrics, now_data["bands"])
        changes.append(_change(figure, titles, _words(before, metrics, content["bands"]), shown, reasons))
    for figure in content["figures"]:
        name = figure["key"]
        if figure["node"] is not None or rules.is_rule(figure["source"]) or gathered is None:
            continue
        one = fresh.get(name)
        if one is not None and one.display == figure["display"]:
            unchanged += 1
            continue
        if one is None:
            changes.append(_change(figure, titles, figure["display"], "không còn", ()))
            continue
        raws[name] = one.raw
        reasons = late(come[name]) if name in come else _books(one.source)
        reasons_of[name] = reasons
        changes.append(_change(figure, titles, figure["display"], one.display, reasons))
    for figure in content["figures"]:
        name = figure["key"]
        if figure["node"] is not None or not rules.is_rule(figure["source"]):
            continue
        one = fresh.get(name)
        found = one.raw if one is not None else _derived(figure, content, raws)
        if found is None or found == figure["raw"]:
            unchanged += 1
            continue
        because = tuple(
            dict.fromkeys(
                reason
                for key, reasons in reasons_of.items()
                if any(_is_named(key, word) for word in figure["source"].split())
                for reason in reasons
            )
        )
        raws[name], reasons_of[name] = found, because
        number = vietnamese.format_number(Decimal(found)) if found else NO_FIGURE
        changes.append(_change(figure, titles, figure["display"], one.display if one is not None else number, because))
    known = {figure["key"] for figure in content["figures"]}
    changes += [
        _change({"key": key, "label": one.label}, titles, "chưa có trong báo cáo", one.display, _books(one.source))
        for key, one in fresh.items()
        if key not in known and one.display != NO_FIGURE
    ]
    return Comparison(unchanged, tuple(change for change in changes if _is_printed(change.key, titles)))


def _node_key(value: Value | None) -> str | None:
    if value is None:
        return None
    period = Period(value.period_kind, value.period_start)  # type: ignore[arg-type]
    return f"{value.metric.key}|{value.subject.key}|{period.key}|{value.scenario}"


def _late_reasons(
    key: str, now: Mapping[str, Any], content: Content, names: Mapping[str, str], metrics: Mapping[str, Any]
) -> Iterable[str]:
    """Give the leaves below a figure of today that were written down after the snapshot was taken."""
    taken_at = datetime.fromisoformat(content["taken_at"])
    for place, leaf in sorted(_leaves(_below(key, now)).items()):
        if "recorded_at" in leaf and datetime.fromisoformat(leaf["recorded_at"]) > taken_at:
            yield _leaf_sentence(place, None, leaf, names, metrics, taken_at)


def _books(source: str) -> tuple[str, ...]:
    return (f"sổ nguồn đã được cập nhật ({source})",) if source and not rules.is_rule(source) else ()


def _is_printed(key: str, titles: Mapping[tuple[str, str], str]) -> bool:
    """Return whether a figure stands on the page; those that only others follow from have no column."""
    table, _, rest = key.partition("/")
    column = rest.rpartition("/")[2]
    return not column or (table, column) in titles or all(table != known for known, _ in titles)


def _titles(content: Content) -> dict[tuple[str, str], str]:
    """Return the titles of columns by table and column, as far as the kind still has them."""
    try:
        kind = kinds.get_kind(content.get("report", {}).get("kind", ""))
    except ReportsError:
        return {}
    return {(spec.key, column.key): column.title for spec in kind.tables for column in spec.columns}


def _is_named(key: str, word: str) -> bool:
    head, star, tail = word.partition("*")
    return key == word if not star else key.startswith(head) and key.endswith(tail)


def _change(
    figure: Mapping[str, Any], titles: Mapping[tuple[str, str], str], before: str, after: str, reasons: tuple[str, ...]
) -> Change:
    why = f" đã thay đổi vì {'; '.join(reasons[:3])}" if reasons else " đã thay đổi"
    more = f" và {len(reasons) - 3} thay đổi khác" if len(reasons) > 3 else ""
    table, _, rest = figure["key"].partition("/")
    title = titles.get((table, rest.rpartition("/")[2]), "")
    label = f"{figure['label']} ({title[:1].lower()}{title[1:]})" if title else figure["label"]
    return Change(figure["key"], label, before, after, f"{label}: {before} → {after},{why}{more}.", reasons)


def _derived(figure: Mapping[str, Any], content: Content, today: Mapping[str, str]) -> str | None:
    """Return what a figure that follows from others would be today; None where it is not known."""
    raws = {row["key"]: row["raw"] for row in content["figures"]} | dict(today)
    decimals = len(figure["raw"].partition(".")[2])
    found = rules.evaluate(figure["source"], raws, own_key=figure["key"], decimals=decimals)
    return "" if found is None else f"{found:.{decimals}f}"


def _raw(node: Mapping[str, Any] | None, metrics: Mapping[str, Any]) -> str:
    if node is None or node["number"] is None:
        return ""
    return str(Decimal(node["number"]).scaleb(-metrics[node["metric"]]["decimals"]))


def _values_of(keys: Iterable[str]) -> dict[str, Value]:
    """Return today's values by node key."""
    slices: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for key in keys:
        metric, subject, period_key, scenario = key.split("|")
        slices[metric, period_key, scenario].append(subject)
    found: dict[str, Value] = {}
    for (metric, period_key, scenario), subjects in slices.items():
        period = Period.parse(period_key)
        for start in range(0, len(subjects), _CHUNK):
            rows = Value.objects.filter(
                metric__key=metric, period_kind=period.kind, period_start=period.start_date, scenario=scenario,
                subject__key__in=subjects[start : start + _CHUNK],
            ).select_related("metric", "subject")  # fmt: skip
            found |= {f"{metric}|{row.subject.key}|{period_key}|{scenario}": row for row in rows}
    return found


def _words(node: Mapping[str, Any], metrics: Mapping[str, Any], bands_data: Mapping[str, Any]) -> str:
    metric = metrics[node["metric"]]
    band = node["band"]
    label = bands_data[str(band[0])]["labels"][band[1]] if band else ""
    text = figure_text(
        node["number"], node["low"], node["low_open"], node["high"], node["high_open"], metric["decimals"],
        metric["unit_label"], label,
    )  # fmt: skip
    return f"{text} ({label})" if label and text != label else text


def _below(key: str, nodes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return all nodes that a node rests on, itself included."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting = [key]
    while waiting:
        name = waiting.pop()
        node = nodes.get(name)
        if node is None or name in found:
            continue
        found[name] = node
        waiting += node.get("parts", [])
        waiting += node.get("inputs", {}).values()
        for row in node.get("rows", ()):
            waiting += row.values()
    return found


def _leaves(nodes: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the facts and records that nodes rest on, by node and the key of the finer period."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for key, node in nodes.items():
        if node["how"] == "fact":
            found[key, ""] = node["fact"]
        elif node["how"] == "measure":
            if node["own"] is not None:
                found[key, ""] = node["own"]
            if node["record"] is not None:
                found[key, ""] = node["record"]
            for row in node["finer"]:
                found[key, row["period"]] = row["fact"]
    return found


def _reasons(
    key: str,
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    content: Content,
    now_data: Mapping[str, Any],
    names: Mapping[str, str],
    metrics: Mapping[str, Any],
) -> Iterable[str]:
    """Give in words each leaf, formula and band below a node that is not what it was."""
    before_nodes, after_nodes = _below(key, then), _below(key, now)
    before, after = _leaves(before_nodes), _leaves(after_nodes)
    taken_at = datetime.fromisoformat(content["taken_at"])
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old is not None and new is not None and old.get("id") == new.get("id") and old["number"] == new["number"]:
            continue
        yield _leaf_sentence(place, old, new, names, metrics, taken_at)
    used_then = {node["formula"] for node in before_nodes.values() if "formula" in node}
    used_now = {node["formula"] for node in after_nodes.values() if "formula" in node}
    for name in sorted(used_now - used_then):
        metric, _, version = name.partition("#")
        yield f"công thức của «{metrics[metric]['name']}» đã đổi sang phiên bản {version}"
    if then[key]["band"] != now.get(key, {}).get("band") and then[key]["number"] == now.get(key, {}).get("number"):
        yield "bộ mức (thang xếp loại) đã đổi"
    if now.get(key) and then[key]["parts_total"] != now[key]["parts_total"]:
        yield f"số nơi được cộng đã đổi từ {then[key]['parts_total']} thành {now[key]['parts_total']}"


def _leaf_sentence(
    place: tuple[str, str],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    names: Mapping[str, str],
    metrics: Mapping[str, Any],
    taken_at: datetime,
) -> str:
    metric_key, subject, period, _ = place[0].split("|")
    metric, when = metrics[metric_key], Period.parse(place[1] or period)
    what = f"{metric['short_name']} của {names.get(subject, subject)}, {when.label_inside_vi}"

    def shown(leaf: Mapping[str, Any] | None) -> str:
        if leaf is None or leaf["number"] is None:
            return NO_FIGURE
        return vietnamese.format_number(Decimal(leaf["number"]).scaleb(-metric["decimals"]))

    if new is None:
        return f"số liệu đã bị rút ({what}: {shown(old)})"
    if "recorded_at" not in new:
        return f"hồ sơ đã thay đổi ({what}: {shown(old)} → {shown(new)})"
    recorded_at = datetime.fromisoformat(new["recorded_at"])
    day = vietnamese.format_date(recorded_at)
    if old is None:
        late = "số liệu đến muộn" if recorded_at > taken_at else "số liệu được ghi"
        return f"{late} ngày {day} ({what}: {shown(new)})"
    return f"số liệu được sửa ngày {day} ({what}: {shown(old)} → {shown(new)})"


def _told(value: Value, since_version: int) -> Iterable[str]:
    """Give what the history of a value says of its changes since a version."""
    rows = ValueChange.objects.filter(value=value, version__gte=since_version).order_by("version")
    for row in rows:
        yield f"{row.reason} (ngày {vietnamese.format_date(row.replaced_at)})"
