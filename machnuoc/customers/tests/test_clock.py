"""The clock of requests: figures by hand, and what always holds."""

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.customers import clock
from machnuoc.customers.clock import OFFICE_HOURS, ZONE, BadHours, Hours, due_at, parse_hours, working_time

HOLIDAYS = frozenset({date(2026, 9, 2), date(2026, 9, 1)})  # Quốc khánh, with the day before
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(ZONE))  # noqa: DTZ001
amounts = st.integers(1, 60)
units = st.sampled_from(["HOURS", "WORKING_HOURS", "DAYS", "WORKING_DAYS"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.mark.parametrize(
    ("start", "unit", "amount", "due"),
    [
        ("2026-08-31T22:15", "HOURS", 12, "2026-09-01T10:15"),  # on end, also at night and on holidays
        ("2026-07-06T08:00", "WORKING_HOURS", 4, "2026-07-06T14:00"),  # Monday, over the lunch break
        ("2026-07-03T16:00", "WORKING_HOURS", 2, "2026-07-06T08:30"),  # Friday afternoon to Monday morning
        ("2026-07-04T09:00", "WORKING_HOURS", 1, "2026-07-06T08:30"),  # Saturday counts from Monday
        ("2026-08-31T16:30", "WORKING_HOURS", 1, "2026-09-03T08:00"),  # over the holidays
        ("2026-07-06T08:00", "DAYS", 5, "2026-07-14T00:00"),  # the fifth day is Saturday 11/7: end of Monday 13/7
        ("2026-07-06T23:59", "DAYS", 3, "2026-07-10T00:00"),  # the day of receipt does not count
        ("2026-08-31T08:00", "DAYS", 1, "2026-09-04T00:00"),  # 1/9 and 2/9 are holidays: end of 3/9
        ("2026-07-06T08:00", "WORKING_DAYS", 15, "2026-07-28T00:00"),  # three weeks later, the end of Monday 27/7
        ("2026-08-31T08:00", "WORKING_DAYS", 1, "2026-09-04T00:00"),
    ],
)
def test_a_clock_ends_when_a_calendar_on_the_wall_says_so(start, unit, amount, due):
    assert due_at(at(start), unit, amount, holidays=HOLIDAYS) == at(due)


def test_an_operator_that_works_on_saturdays_has_its_own_clock():
    hours = parse_hours("123456", "08:00-12:00")

    assert due_at(at("2026-07-03T11:00"), "WORKING_HOURS", 2, hours=hours) == at("2026-07-04T09:00")


@given(moments, units, amounts)
def test_the_moment_comes_after_the_start(start, unit, amount):
    assert due_at(start, unit, amount, holidays=HOLIDAYS) > start


@given(moments, moments, units, amounts)
def test_who_came_earlier_is_not_due_later(one, other, unit, amount):
    first, second = sorted([one, other])

    assert due_at(first, unit, amount, holidays=HOLIDAYS) <= due_at(second, unit, amount, holidays=HOLIDAYS)


@given(moments, units, amounts)
def test_more_time_is_never_due_earlier(start, unit, amount):
    assert due_at(start, unit, amount, holidays=HOLIDAYS) <= due_at(start, unit, amount + 1, holidays=HOLIDAYS)


@given(moments, amounts)
def test_working_hours_until_the_moment_are_those_that_were_allowed(start, amount):
    due = due_at(start, "WORKING_HOURS", amount, holidays=HOLIDAYS)

    assert working_time(start, due, holidays=HOLIDAYS) == timedelta(hours=amount)


@given(moments, amounts, amounts)
def test_working_hours_follow_one_another(start, first, second):
    halfway = due_at(start, "WORKING_HOURS", first, holidays=HOLIDAYS)

    whole = due_at(start, "WORKING_HOURS", first + second, holidays=HOLIDAYS)
    assert due_at(halfway, "WORKING_HOURS", second, holidays=HOLIDAYS) == whole


@given(moments, st.sampled_from(["DAYS", "WORKING_DAYS"]), amounts)
def test_days_end_at_midnight_after_a_working_day(start, unit, amount):
    due = due_at(start, unit, amount, holidays=HOLIDAYS)

    assert due.time() == time.min
    assert clock.is_working_day(due.date() - timedelta(days=1), OFFICE_HOURS, HOLIDAYS)


@given(moments, st.timedeltas(timedelta(minutes=1), timedelta(days=30)), moments)
def test_a_clock_shows_what_is_left_or_how_late_it_is(start, span, now):
    due = start + span

    assert clock.left_text(due, now).startswith("còn " if now <= due else "quá hạn ")
    assert (clock.used_pct(start, due, now) >= 100) == (now >= due)


@pytest.mark.parametrize(
    ("weekdays", "spans"),
    [("", "07:00-11:00"), ("8", "07:00-11:00"), ("12345", ""), ("12345", "11:00-07:00"), ("1", "7h-11h"),
     ("12345", "07:00-11:00,10:00-12:00"), ("12345", "25:00-26:00"), ("12345", "07:00-11:60")],
)  # fmt: skip
def test_hours_that_cannot_be_are_refused(weekdays, spans):
    with pytest.raises(BadHours):
        parse_hours(weekdays, spans)


def test_a_clock_without_working_days_ends_in_a_sentence_instead_of_running_on():
    class EveryDay:
        def __contains__(self, day: object) -> bool:
            return True

    for unit in ("WORKING_HOURS", "DAYS", "WORKING_DAYS"):
        with pytest.raises(BadHours, match="mười năm"):
            due_at(at("2026-07-06T08:00"), unit, 1, holidays=EveryDay())


def test_an_amount_below_one_is_refused():
    with pytest.raises(ValueError, match="a clock of 0"):
        due_at(at("2026-07-06T08:00"), "HOURS", 0)
    with pytest.raises(BadHours):
        Hours(frozenset(), OFFICE_HOURS.spans)
