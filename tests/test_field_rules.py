"""The rule that warns at the door, in JavaScript, against the rule of the server: the same answer on many cases."""

import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from machnuoc.core import folding
from machnuoc.customers import field_queries, plausibility

pytestmark = [pytest.mark.browser]

SCRIPT = Path(__file__).parent.parent / "machnuoc/customers/static/customers/field/rules.js"
DAY_0 = date(2026, 1, 20)


@pytest.fixture
def page(browser):
    made = browser.new_page()
    made.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    yield made
    made.close()


def a_meter(rng: random.Random) -> dict:
    digits = rng.choice([3, 4, 5, 5, 5, 6, 9])
    capacity_l = 10**digits * 1000
    near = rng.choice([0, capacity_l * 9 // 10, capacity_l - 1])
    before_l = min(max(near + rng.randint(-60_000, 60_000), 0), capacity_l - 1) if rng.random() < 0.6 else (
        rng.randrange(capacity_l)
    )  # fmt: skip
    mean = None if rng.random() < 0.2 else [rng.choice([0, 900, 30_000, rng.randrange(900_000)]), rng.randint(5, 120)]
    return {"digits": digits, "before_l": before_l, "before_date": DAY_0.isoformat(), "mean": mean}


def an_index(rng: random.Random, meter: dict) -> int:
    capacity_l = 10 ** meter["digits"] * 1000
    step = rng.choice([0, 1, -1, rng.randint(-80_000, 80_000), rng.randint(0, 2_000_000), rng.randrange(capacity_l)])
    return (meter["before_l"] + step) % capacity_l


def series(meter: dict, households: int) -> plausibility.Series:
    mean = (meter["mean"][0], meter["mean"][1]) if meter["mean"] else None
    return plausibility.Series(
        meter["before_l"], date.fromisoformat(meter["before_date"]), 10 ** meter["digits"] * 1000, mean, households
    )


def test_the_page_judges_twenty_thousand_readings_as_the_server_does(page):
    rng = random.Random(20261122)
    cases = []
    for _ in range(20_000):
        meter = a_meter(rng)
        on = DAY_0 + timedelta(days=rng.choice([0, 1, 14, 15, 30, 31, rng.randrange(400)]))
        cases.append(
            {
                "meter": meter,
                "households": rng.choice([0, 1, 1, 4]),
                "index": an_index(rng, meter),
                "on": on.isoformat(),
            }
        )

    told = page.evaluate(
        "([rules, cases]) => cases.map((one) => fieldRules.judge(rules, one.meter, one.households, one.index, one.on))",
        [field_queries.rules(), cases],
    )

    seen: dict[str, int] = {}
    for case, answer in zip(cases, told, strict=True):
        ours = plausibility.judge(
            series(case["meter"], case["households"]), case["index"], date.fromisoformat(case["on"])
        )
        assert (answer["used"], tuple(answer["flags"])) == (ours.volume_l, ours.flags), case
        assert (answer["rolled"], answer["confidence"]) == (ours.rolled_l, ours.confidence), case
        for flag in ours.flags or ("none",):
            seen[flag] = seen.get(flag, 0) + 1
    assert {"REVERSED", "ROLLOVER", "SUDDEN", "BACKWARDS", "ZERO", "none"} <= {key for key, n in seen.items() if n > 20}


def test_the_page_suspects_the_same_neighbours(page):
    rng = random.Random(7)
    cases = []
    for _ in range(4_000):
        pair = [{"meter": a_meter(rng), "households": 1} for _ in range(2)]
        own, other = (an_index(rng, one["meter"]) for one in pair)
        if rng.random() < 0.5:
            own, other = other, own
        cases.append([pair[0], own, pair[1], other, (DAY_0 + timedelta(days=30)).isoformat()])

    told = page.evaluate(
        "([rules, cases]) => cases.map((one) => fieldRules.areSwapped(rules, ...one))", [field_queries.rules(), cases]
    )

    for (one, own, two, other, on), answer in zip(cases, told, strict=True):
        expected = plausibility.are_swapped(
            series(one["meter"], 1), own, series(two["meter"], 1), other, date.fromisoformat(on)
        )
        assert answer == expected, (one, own, two, other)
    assert 50 < sum(told) < len(told)


def test_the_page_reads_numbers_as_people_write_them(page):
    cases = [
        ("1288", True, 1_288_000), ("1.288", True, 1_288_000), (" 1 288 ", True, 1_288_000), ("", True, None),
        ("0", True, 0), ("00012", True, 12_000), ("1288,5", False, 1_288_500), ("1.288,075", False, 1_288_075),
        ("5,", False, 5_000),
    ]  # fmt: skip
    wrong = [
        ("1288,5", True),
        ("12a", True),
        ("-5", True),
        ("1.28", True),
        ("1,2345", False),
        ("1,2,3", False),
        ("٣", True),
    ]

    for text, is_whole, litres in cases:
        assert page.evaluate("([text, whole]) => fieldRules.litres(text, whole)", [text, is_whole]) == litres, text
    for text, is_whole in wrong:
        assert page.evaluate("([text, whole]) => Number.isNaN(fieldRules.litres(text, whole))", [text, is_whole]), text


def test_the_page_searches_as_the_server_folds(page):
    for text in ("Nguyễn Thị Đào", "Hoà Bình", "ĐẮK LẮK", "Trường Mầm non số 1", "Ấp Ụ"):
        folded = page.evaluate("(text) => fieldRules.fold(text)", text)
        assert folded == folding.fold(text).replace("  ", " "), text


def test_the_day_of_a_reading_is_that_of_viet_nam_wherever_the_phone_thinks_it_is(page):
    assert page.evaluate("fieldRules.localDay(Date.parse('2026-08-20T16:59:59Z'))") == "2026-08-20"
    assert page.evaluate("fieldRules.localDay(Date.parse('2026-08-20T17:00:00Z'))") == "2026-08-21"
