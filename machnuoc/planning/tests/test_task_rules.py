"""What a task's state is made of, and when to remind."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.planning import task_rules
from machnuoc.planning.task_rules import Said

DUE = date(2026, 12, 30)
_SAID = st.builds(Said, st.sampled_from(task_rules.UNIT_STATES), st.none() | st.integers(0, 100))


@given(st.lists(_SAID, min_size=1, max_size=40))
def test_a_task_is_done_when_each_lead_has_said_so_and_not_before(leads):
    result = task_rules.roll_up(leads)

    assert (result.state == "DONE") == all(lead.state == "DONE" for lead in leads)
    assert result.share_pct is None or 0 <= result.share_pct <= 100
    assert (result.share_pct is None) == all(lead.share_pct is None and lead.state != "DONE" for lead in leads)


@given(st.lists(_SAID, max_size=10), st.sampled_from(["DONE", "CANCELLED", "PAUSED"]))
def test_what_a_manager_decided_stands_whatever_units_say(leads, decided):
    assert task_rules.roll_up(leads, decided).state == decided


@given(st.permutations([Said("DONE"), Said("DOING", 40), Said("NOT_STARTED"), Said("PAUSED", 10)]))
def test_the_order_of_the_leads_does_not_matter(leads):
    assert task_rules.roll_up(leads) == Said("DOING", 37)


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        ([], Said("NOT_STARTED")),
        ([Said("NOT_STARTED"), Said("DOING")], Said("DOING")),
        ([Said("NOT_STARTED"), Said("PAUSED")], Said("PAUSED")),
        ([Said("DONE"), Said("PAUSED")], Said("PAUSED", 50)),
        ([Said("DONE"), Said("NOT_STARTED")], Said("DOING", 50)),
    ],
)
def test_the_state_of_the_whole_follows_from_its_parts(leads, expected):
    assert task_rules.roll_up(leads) == expected


def test_the_due_day_itself_still_counts():
    assert not task_rules.is_overdue("DOING", DUE, DUE)
    assert task_rules.is_overdue("DOING", DUE, DUE + timedelta(days=1))
    assert not task_rules.is_overdue("DONE", DUE, DUE + timedelta(days=1))
    assert not task_rules.is_overdue("DOING", None, DUE)


@given(st.integers(-400, 400))
def test_a_reminder_day_by_day_never_goes_back(days):
    order = ["7", "3", "1", "0", *(f"late-{week}" for week in range(1, 70))]
    today = DUE + timedelta(days=days)

    first, second = (task_rules.reminder_stage(DUE, day) for day in (today, today + timedelta(days=1)))

    if first is not None and second is not None:
        assert order.index(first) <= order.index(second) <= order.index(first) + 1
    assert (first is None) == (days < -7)


@pytest.mark.parametrize(
    ("days", "stage"),
    [(-8, None), (-7, "7"), (-4, "7"), (-3, "3"), (-1, "1"), (0, "0"), (1, "late-1"), (7, "late-1"), (8, "late-2")],
)
def test_reminders_come_7_3_1_days_before_on_the_day_and_weekly_after(days, stage):
    assert task_rules.reminder_stage(DUE, DUE + timedelta(days=days)) == stage


_DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(st.lists(st.tuples(st.none() | _DAYS, _DAYS)))
def test_every_bar_lies_within_the_year_drawn(spans):
    for start, length, _ in task_rules.place_bars(spans, first=date(2026, 1, 1), last=date(2026, 12, 31)):
        assert 0 <= start <= 100
        assert 0 <= length <= 100
        assert start + length <= 100.01


def test_a_whole_year_fills_the_drawing_and_a_due_day_alone_is_a_point():
    spans = [(date(2026, 1, 1), date(2026, 12, 31)), (None, date(2026, 12, 31))]

    whole, point = task_rules.place_bars(spans, first=date(2026, 1, 1), last=date(2026, 12, 31))

    assert whole == (0, 100, False)
    assert point == (100, 0, True)
