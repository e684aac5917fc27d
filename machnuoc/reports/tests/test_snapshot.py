"""Freezing and replaying any figure of the system: facts, bounds, sums, ratios, bands, works with sub-works."""

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.periods import Period
from machnuoc.indicators import bands
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.places.models import Subject
from machnuoc.reports import layout, replay, rules, snapshot
from machnuoc.reports.kinds import figure_of
from machnuoc.reports.layout import (
    Annex,
    Cell,
    Column,
    Header,
    Heading,
    OfficialDocument,
    Paragraph,
    Row,
    Signature,
    Table,
)
from machnuoc.reports.tests.conftest import NOW


def freeze(values: list[Value]) -> snapshot.Content:
    freezer = snapshot._Freezer()
    node_of = freezer.freeze(values)
    return {
        **freezer.as_data(),
        "taken_at": NOW.isoformat(),
        "figures": [
            {
                "key": str(value.pk), "label": "x", "display": found.display, "raw": found.raw, "source": "",
                "counted": [], "node": node_of[value.pk], "version": value.version,
            }
            for value in values
            for found in [figure_of(str(value.pk), "x", value)]
        ],
    }  # fmt: skip


@pytest.mark.usefixtures("demo_data", "db")
class TestAnyFigure:
    def test_every_figure_of_the_plans_replays_from_its_leaves_alone(self):
        values = list(Value.objects.select_related("metric", "subject", "band", "fact").order_by("pk"))

        content = freeze(values)

        replayed = replay.replay(content)
        assert replayed.differences == ()
        assert len(content["nodes"]) >= len(values) > 500
        ways = Counter(node["how"] for node in content["nodes"].values())
        assert set(ways) >= {"fact", "sum", "measure", "formula", "ratio_sum"}
        assert any(node["band"] for node in content["nodes"].values())
        assert any(node["number"] is None and node["low"] is not None for node in content["nodes"].values())

    def test_freezing_takes_a_number_of_queries_that_does_not_grow_with_the_stations(
        self, django_assert_max_num_queries
    ):
        total = Value.objects.select_related("metric", "subject").get(
            metric__key="works.utilisation_households_pct", subject__key="org.qn.trung-tam", period_kind="Y",
            period_start=date(2025, 1, 1), scenario="A",
        )  # fmt: skip

        with django_assert_max_num_queries(60):
            content = freeze([total])

        assert len(content["nodes"]) >= 60

    def test_a_new_formula_is_named_as_the_reason(self):
        metric = Metric.objects.get(key="works.utilisation_households_pct")
        value = Value.objects.select_related("metric", "subject", "band").get(
            metric=metric,
            subject__key="work.qn.binh-minh",
            period_kind="Y",
            period_start=date(2025, 1, 1),
            scenario="A",
        )
        content = freeze([value])

        indicators.put_formula(
            metric, numerator="works.households_connected + works.households_connected",
            denominator="works.households_design", factor=100, from_date=date(2025, 1, 1), now=NOW,
        )  # fmt: skip
        indicators.recompute_dirty(NOW)

        (change,) = snapshot.compare(content).changes
        assert "công thức của" in change.sentence
        assert "phiên bản 2" in change.sentence
        assert replay.replay(content).is_same

    def test_new_bands_are_named_as_the_reason(self):
        value = (
            Value.objects.filter(band__isnull=False, number__isnull=False, fact__stated_band=None)
            .select_related("metric", "subject", "band__scheme__scope")
            .first()
        )
        content = freeze([value])

        indicators.put_band_scheme(
            value.metric, name="Mức mới", scope=value.band.scheme.scope, valid_from=date(2024, 1, 1),
            levels=[bands.Band("all", "Mọi mức", None, True, None, True, "info")],
        )  # fmt: skip
        indicators.recompute_dirty(NOW)

        comparison = snapshot.compare(content)
        assert any("bộ mức" in change.sentence for change in comparison.changes)
        assert replay.replay(content).is_same

    def test_a_figure_that_was_withdrawn_is_told_as_such(self):
        metric = Metric.objects.get(key="works.households_connected")
        subject = Subject.objects.get(key="work.qn.binh-minh")
        period = Period.parse("2026-09")
        fact = indicators.state_fact(
            metric=metric, subject=subject, period=period, number=Decimal(90), state=State.APPROVED, now=NOW
        )
        indicators.recompute_dirty(NOW)
        value = Value.objects.select_related("metric", "subject").get(
            metric=metric, subject=subject, period_kind="M", period_start=period.start_date
        )
        content = freeze([value])

        indicators.withdraw_fact(fact, reason="nhập nhầm trạm", by=None, now=NOW)
        indicators.recompute_dirty(NOW)

        (change,) = snapshot.compare(content).changes
        assert "số liệu đã bị rút" in change.sentence
        assert change.after == NO_FIGURE


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)
blocks = st.one_of(
    st.builds(Heading, st.sampled_from([1, 2, 3]), text),
    st.builds(Paragraph, text, st.booleans()),
    st.builds(
        lambda title, numbers: Table(
            "t", title, (Column("a"), Column("b", 2.5, "right", True)),
            tuple(Row((Cell(title), Cell(str(number), number, "good"))) for number in numbers),
        ),
        text, st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3), max_size=4),
    ),
)  # fmt: skip


@given(
    st.lists(blocks, max_size=4),
    st.lists(text, max_size=3),
    st.one_of(st.none(), st.dates(date(1990, 1, 1), date(2100, 1, 1))),
)
def test_a_document_survives_the_way_into_a_snapshot_and_back(body, names, day):
    document = OfficialDocument(
        Header("A", "B", "BC-B", "BÁO CÁO", "c", "d", "05/BC-B" if day else "", day), tuple(body),
        Signature(tuple(names), "x"), tuple(names), tuple(names), tuple(names), (Annex("P", tuple(body), True),),
        {"k": "v"}, True,
    )  # fmt: skip

    import json

    assert layout.from_data(json.loads(snapshot.canonical(layout.as_data(document)))) == document


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=12))
def test_headings_of_one_level_count_up_until_a_higher_one_begins(levels):
    numbered = layout.number_headings((level, "x") for level in [1, *levels])

    last = {1: 0, 2: 0, 3: 0}
    for level, heading in zip([1, *levels], numbered, strict=True):
        last[level] += 1
        for below in range(level + 1, 4):
            last[below] = 0
        if level == 2:
            assert heading == f"{last[2]}. x"


@given(st.dictionaries(st.sampled_from(["t/1/x", "t/2/x", "t/3/x"]), st.integers(-(10**9), 10**9)))
def test_a_total_is_the_sum_of_the_rows_that_are_there(rows):
    raws = {key: str(number) for key, number in rows.items()} | {"t/4/x": "", "t/total/x": "7"}

    found = rules.evaluate(rules.total("t", "x"), raws, own_key="t/total/x")

    assert found == (sum(rows.values()) if rows else None)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_lies_within_half_a_digit_of_the_exact_quotient(part, whole):
    found = rules.evaluate(rules.share_pct("a", "b"), {"a": str(part), "b": str(whole)}, decimals=1)

    assert abs(found - Decimal(100) * part / whole) <= Decimal("0.05")
