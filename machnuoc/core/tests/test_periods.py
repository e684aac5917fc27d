"""The laws of periods: half-open, contiguous, tiled by their parts, cut at midnight in Viet Nam."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import periods
from machnuoc.core.periods import BadPeriod, Period

kinds = st.sampled_from(periods.KINDS)
days = st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 12, 31))
inner_days = st.dates(min_value=date(1902, 1, 1), max_value=date(2198, 12, 31))
any_period = st.builds(Period.containing, days, kinds)
inner_period = st.builds(Period.containing, inner_days, kinds)
moments = st.datetimes(
    min_value=datetime(1902, 1, 1),  # noqa: DTZ001 the zone comes below
    max_value=datetime(2198, 12, 31),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, periods.LOCAL_ZONE, ZoneInfo("America/New_York")]),
)

SPLITS = [(whole, part) for whole, parts in periods._PARTS.items() for part in (whole, *parts)]


@pytest.mark.parametrize(
    ("key", "kind", "start_date", "end_date", "label_vi"),
    [
        ("2026", "Y", date(2026, 1, 1), date(2027, 1, 1), "Năm 2026"),
        ("2026-H1", "H", date(2026, 1, 1), date(2026, 7, 1), "6 tháng đầu năm 2026"),
        ("2026-H2", "H", date(2026, 7, 1), date(2027, 1, 1), "6 tháng cuối năm 2026"),
        ("2026-Q1", "Q", date(2026, 1, 1), date(2026, 4, 1), "Quý I/2026"),
        ("2026-Q3", "Q", date(2026, 7, 1), date(2026, 10, 1), "Quý III/2026"),
        ("2026-Q4", "Q", date(2026, 10, 1), date(2027, 1, 1), "Quý IV/2026"),
        ("2026-02", "M", date(2026, 2, 1), date(2026, 3, 1), "Tháng 02/2026"),
        ("2024-02", "M", date(2024, 2, 1), date(2024, 3, 1), "Tháng 02/2024"),
        ("2026-12", "M", date(2026, 12, 1), date(2027, 1, 1), "Tháng 12/2026"),
        ("2026-W07", "W", date(2026, 2, 9), date(2026, 2, 16), "Tuần 07/2026"),
        ("2026-W01", "W", date(2025, 12, 29), date(2026, 1, 5), "Tuần 01/2026"),
        ("2026-W53", "W", date(2026, 12, 28), date(2027, 1, 4), "Tuần 53/2026"),
        ("2026-02-10", "D", date(2026, 2, 10), date(2026, 2, 11), "Ngày 10/02/2026"),
    ],
)
def test_a_key_names_a_period(key, kind, start_date, end_date, label_vi):
    period = Period.parse(key)

    assert period == Period(kind, start_date)
    assert period.end_date == end_date
    assert period.label_vi == label_vi
    assert period.key == str(period) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "20261",
        "2026-",
        "2026-H0",
        "2026-H3",
        "2026-Q0",
        "2026-Q5",
        "2026-q3",
        "2026-00",
        "2026-13",
        "2026-2",
        "2026-W00",
        "2025-W53",
        "2026-W54",
        "2026-W7",
        "2026-02-29",
        "2026-02-00",
        "2026-02-10 ",
        "2026-02-10\n",
        "2026-Q3-01",
        "1899",
        "2201",
        "0000",
        "0000-W01",
        "9999-W52",
        "2201-W02",
        "２０２６",
        "02/2026",
        "x" * 5000,
    ],
)
def test_bad_text_is_refused_in_vietnamese(text):
    with pytest.raises(BadPeriod, match=r"không phải một kỳ|không có trong lịch|nằm ngoài khoảng") as refusal:
        Period.parse(text)

    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("kind", "start_date"),
    [("Y", date(2026, 2, 1)), ("H", date(2026, 4, 1)), ("Q", date(2026, 2, 1)), ("M", date(2026, 2, 2))],
)
def test_a_period_starts_on_its_first_day_alone(kind, start_date):
    with pytest.raises(BadPeriod, match="nào bắt đầu từ ngày"):
        Period(kind, start_date)


def test_a_week_starts_on_monday():
    with pytest.raises(BadPeriod, match="10/02/2026"):
        Period("W", date(2026, 2, 10))


def test_an_unknown_kind_is_refused():
    with pytest.raises(BadPeriod, match="Không có loại kỳ “X”"):
        Period("X", date(2026, 1, 1))
    with pytest.raises(BadPeriod, match="Không có loại kỳ “X”"):
        Period.containing(date(2026, 1, 1), "X")


def test_a_period_starts_on_a_day_and_not_at_a_moment():
    with pytest.raises(TypeError):
        Period("D", datetime(2026, 1, 1, tzinfo=UTC))


@given(any_period)
def test_a_key_reads_back(period):
    assert Period.parse(period.key) == period


@given(any_period)
def test_equal_periods_are_one_key_of_a_dictionary(period):
    assert {period: 1}[Period.parse(period.key)] == 1


@given(days, kinds)
def test_a_day_lies_in_exactly_one_period_of_a_kind(day, kind):
    period = Period.containing(day, kind)

    assert period.contains(day)
    assert period.start_date <= day < period.end_date
    assert Period.containing(period.start_date, kind) == period


@given(inner_period)
def test_periods_follow_each_other_without_gap_or_overlap(period):
    assert period.next.start_date == period.end_date
    assert period.next.start_at == period.end_at
    assert period.next.previous == period
    assert period.previous < period < period.next
    assert not period.contains(period.end_date)
    assert not period.contains(period.end_at)
    assert period.contains(period.start_at)
    assert period.contains(period.end_date - timedelta(days=1))


@given(
    st.builds(Period.containing, st.dates(date(1950, 1, 1), date(2150, 12, 31)), kinds),
    st.integers(-24, 24),
    st.integers(-24, 24),
)
def test_shifts_add_up(period, first, second):
    assert period.shift(first).shift(second) == period.shift(first + second)


@pytest.mark.parametrize(("whole_kind", "part_kind"), SPLITS)
@given(day=days)
def test_parts_tile_the_whole(whole_kind, part_kind, day):
    whole = Period.containing(day, whole_kind)

    parts = whole.split(part_kind)

    assert parts[0].start_date == whole.start_date
    assert parts[-1].end_date == whole.end_date
    assert all(part.kind == part_kind for part in parts)
    assert all(left.end_date == right.start_date for left, right in pairwise(parts))
    assert sum(part.contains(day) for part in parts) == 1


@pytest.mark.parametrize(("whole_kind", "part_kind", "count"), [("Y", "H", 2), ("Y", "Q", 4), ("Y", "M", 12)])
def test_a_year_has_two_halves_four_quarters_twelve_months(whole_kind, part_kind, count):
    assert len(Period(whole_kind, date(2026, 1, 1)).split(part_kind)) == count


@pytest.mark.parametrize(
    ("key", "kind"), [("2026-02", "W"), ("2026", "W"), ("2026-W07", "M"), ("2026-02", "Q"), ("2026-02-10", "W")]
)
def test_a_period_is_split_only_where_nothing_is_left_over(key, kind):
    with pytest.raises(BadPeriod, match="không chia được"):
        Period.parse(key).split(kind)


@given(any_period)
def test_enclosing_periods_hold_the_whole_period_and_split_back_into_it(period):
    for larger in periods.list_enclosing(period):
        assert larger.start_date <= period.start_date
        assert period.end_date <= larger.end_date
        assert period in larger.split(period.kind)


def test_a_month_lies_in_its_quarter_half_and_year_and_a_week_in_nothing():
    assert [p.key for p in periods.list_enclosing(Period.parse("2026-08"))] == ["2026-Q3", "2026-H2", "2026"]
    assert periods.list_enclosing(Period.parse("2026-W07")) == []


@given(moments, kinds)
def test_a_moment_belongs_to_the_period_between_whose_midnights_it_lies(moment, kind):
    period = Period.containing(moment, kind)
    instant = moment.astimezone(UTC)

    assert period.contains(moment)
    assert period.start_at.astimezone(UTC) <= instant < period.end_at.astimezone(UTC)


def test_time_is_cut_at_midnight_in_viet_nam():
    last_moment = datetime(2026, 1, 31, 16, 59, 59, tzinfo=UTC)
    first_moment = last_moment + timedelta(seconds=1)

    assert Period.containing(last_moment, "M").key == "2026-01"
    assert Period.containing(first_moment, "M").key == "2026-02"
    assert Period.parse("2026-02").start_at == first_moment
    assert periods.local_date(first_moment) == date(2026, 2, 1)


def test_a_period_is_over_when_the_next_one_begins():
    january = Period.parse("2026-01")

    assert not january.is_over(datetime(2026, 1, 31, 16, 59, 59, tzinfo=UTC))
    assert january.is_over(datetime(2026, 1, 31, 17, 0, tzinfo=UTC))


def test_a_moment_without_time_zone_is_refused():
    moment = datetime(2026, 1, 31, 12, 0)  # noqa: DTZ001 the point of the test

    for question in (
        lambda: Period.containing(moment, "M"),
        lambda: Period.parse("2026-01").contains(moment),
        lambda: Period.parse("2026-01").is_over(moment),
        lambda: periods.local_date(moment),
    ):
        with pytest.raises(ValueError, match="time zone"):
            question()


@pytest.mark.parametrize("kind", periods.KINDS)
def test_time_ends_with_the_years_that_the_platform_knows(kind):
    first = Period.containing(date(1900, 1, 1), kind)
    last = Period.containing(date(2200, 12, 31), kind)

    assert Period.parse(last.key) == last
    for step in (lambda: first.previous, lambda: last.next, lambda: first.shift(-(10**9)), lambda: last.shift(10**12)):
        with pytest.raises(BadPeriod, match="nằm ngoài khoảng"):
            step()
    with pytest.raises(BadPeriod, match="nằm ngoài khoảng"):
        Period.containing(date(1899, 12, 31), kind)
    with pytest.raises(BadPeriod, match="nằm ngoài khoảng"):
        Period.containing(date(2201, 1, 1), kind)
