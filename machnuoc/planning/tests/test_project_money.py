"""Money in and out without losing a đồng; rate, curve, expectation and debts of a project; condition of a work."""

import csv
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.planning import disbursement, handover, money
from machnuoc.planning.disbursement import Capital, Payment

BILLION = 10**9
amounts = st.integers(-(10**16), 10**16)
days_of_2026 = st.dates(date(2026, 1, 1), date(2026, 12, 31))
payments = st.lists(st.builds(Payment, days_of_2026, st.integers(1, 10**12), st.booleans()), max_size=30)


@given(amounts, st.sampled_from([None, *money.UNITS]))
def test_what_is_written_is_read_back_to_the_same_dong(amount_vnd, unit):
    assert money.parse_amount(money.format_amount(amount_vnd, unit)) == amount_vnd


@given(st.integers(0, 10**15), st.sampled_from(money.UNITS))
def test_a_bare_number_is_in_the_unit_of_its_column(amount_vnd, unit):
    printed, _ = money.split_unit(money.format_amount(amount_vnd, unit))

    assert money.parse_amount(printed, unit) == amount_vnd


@pytest.mark.parametrize(
    ("printed", "unit", "dong"),
    [
        ("42,43", "tỷ đồng", 42_430_000_000),
        ("0.169", "tỷ đồng", 169_000_000),  # seed 001 VI, row 7: a decimal point
        ("14,5", "tỷ đồng", 14_500_000_000),
        ("1.489.867", "triệu đồng", 1_489_867_000_000),  # seed 004 V
        ("1.358.317 triệu đồng", "đồng", 1_358_317_000_000),
        ("1,5 Tỷ", "đồng", 1_500_000_000),
        ("75.000.000", "đồng", 75_000_000),
        ("75000000đ", "đồng", 75_000_000),
        ("", "đồng", None),
    ],
)
def test_amounts_are_read_as_printed(printed, unit, dong):
    assert money.parse_amount(printed, unit) == dong


@pytest.mark.parametrize("text", ["mười tỷ", "12 %", "0,0000000001 tỷ", "1,5 đồng", "1.2.3"])
def test_what_is_no_sum_is_refused_with_an_example_of_how_to_write_it(text):
    with pytest.raises(money.BadAmount, match="Viết như 42,43 tỷ"):
        money.parse_amount(text)


def test_the_eight_projects_of_cao_bang_add_up_to_what_their_column_adds_up_to():
    path = resources.files("machnuoc.demo").joinpath("data/cao_bang/projects.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))

    total = sum(money.parse_amount(row["total_printed"], "tỷ đồng") or 0 for row in rows)

    assert len(rows) == 8
    assert total == 108_159_000_000
    assert money.format_amount(total) == "108,159\xa0tỷ\xa0đồng"
    assert [int(row["total_vnd"]) for row in rows] == [
        money.parse_amount(row["total_printed"], "tỷ đồng") for row in rows
    ]


# --- rate, debts, carried capital


def test_a_rate_is_exact_and_of_nothing_planned_there_is_none():
    assert disbursement.rate_pct(1, 3) == Fraction(100, 3)
    assert disbursement.rate_pct(5, 0) is None


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**12)), min_size=1, max_size=8))
def test_the_rate_of_several_lies_between_the_lowest_and_the_highest(pairs):
    rates = [disbursement.rate_pct(paid, planned) for paid, planned in pairs]
    whole = disbursement.rate_pct(sum(paid for paid, _ in pairs), sum(planned for _, planned in pairs))

    assert min(rates) <= whole <= max(rates)


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_debt_is_what_is_accepted_beyond_what_is_paid(accepted, paid):
    assert disbursement.debt_vnd(accepted, paid) == max(accepted - paid, 0)


def test_carried_capital_lives_as_long_as_the_document_says_else_to_the_end_of_its_new_year():
    stated = Capital(2026, 0, BILLION, date(2026, 6, 30))
    unstated = Capital(2026, 0, BILLION)

    assert disbursement.last_lawful_day(stated) == date(2026, 6, 30)
    assert disbursement.last_lawful_day(unstated) == date(2026, 12, 31)


def test_carried_capital_that_nobody_spent_in_time_is_lost_the_day_after():
    capital = Capital(2026, 0, BILLION, date(2026, 6, 30))
    paid = [Payment(date(2026, 3, 1), 400_000_000, True), Payment(date(2026, 3, 2), 900_000_000)]

    on_the_last_day = disbursement.carry_over(capital, paid, date(2026, 6, 30))
    after = disbursement.carry_over(capital, paid, date(2026, 7, 1))

    assert on_the_last_day and on_the_last_day.left_vnd == 600_000_000
    assert on_the_last_day.is_urgent and not on_the_last_day.is_lost
    assert after and after.is_lost and not after.is_urgent


def test_where_nothing_was_carried_over_there_is_nothing_to_lose():
    assert disbursement.carry_over(Capital(2026, BILLION), [], date(2026, 6, 1)) is None


# --- the curve and the end of the year


@given(payments, days_of_2026)
def test_the_curve_never_falls_while_nothing_is_reversed_and_ends_in_what_was_paid(paid, today):
    points = disbursement.curve(Capital(2026, BILLION), paid, today)
    known = [point.paid_vnd for point in points if point.paid_vnd is not None]

    assert known == sorted(known)
    assert known[-1] == disbursement.sum_paid(paid, year=2026, until=today)
    assert len(known) == today.month


def test_the_planned_curve_ends_in_the_sum_of_its_months():
    capital = Capital(2026, 12 * BILLION, months={3: 4 * BILLION, 9: 8 * BILLION})

    points = disbursement.curve(capital, [], date(2026, 5, 5))

    assert [point.planned_vnd for point in points[1:4]] == [0, 4 * BILLION, 4 * BILLION]
    assert points[-1].planned_vnd == 12 * BILLION


def test_a_year_that_nobody_divided_has_no_planned_curve_and_is_judged_only_when_it_is_over():
    capital = Capital(2026, BILLION)

    assert {point.planned_vnd for point in disbursement.curve(capital, [], date(2026, 5, 5))} == {None}
    assert disbursement.due_by_now_vnd(capital, date(2026, 12, 31)) is None
    assert disbursement.due_by_now_vnd(capital, date(2027, 1, 1)) == BILLION


def test_a_month_is_due_the_day_after_it_ends():
    capital = Capital(2026, BILLION, months={1: 300, 2: 700})

    assert disbursement.due_by_now_vnd(capital, date(2026, 1, 31)) == 0
    assert disbursement.due_by_now_vnd(capital, date(2026, 2, 1)) == 300


def test_the_pace_of_the_last_three_whole_months_carries_to_the_end_of_the_year():
    paid = [Payment(date(2026, month, 10), 300_000_000) for month in (6, 7, 8)]

    found = disbursement.forecast_year_end(Capital(2026, 10 * BILLION), paid, date(2026, 9, 30))

    # September counts as a whole month on its last day: (300 + 300 + 0) / 3 = 200 million a month, three months left.
    assert found and found.pace_vnd_month == 200_000_000
    assert found.expected_vnd == 900_000_000 + 600_000_000
    assert (found.basis, found.months_left) == ("recent", 3)


@given(payments, days_of_2026, st.integers(0, 10**13))
def test_what_is_expected_lies_between_what_is_paid_and_what_may_be_paid(paid, today, planned):
    found = disbursement.forecast_year_end(Capital(2026, planned), paid, today)

    assert found is not None
    assert found.paid_vnd <= found.expected_vnd <= max(planned, found.paid_vnd)
    if today == date(2026, 12, 31):
        assert found.expected_vnd == found.paid_vnd


@given(payments, st.data())
def test_a_reversal_leaves_things_as_if_nothing_had_been_paid(paid, data):
    if not paid:
        return
    wrong = data.draw(st.sampled_from(paid))
    capital, today = Capital(2026, 10**13), date(2026, 12, 31)
    without = [payment for payment in paid if payment is not wrong]
    reversed_ = [*paid, Payment(wrong.on_date, -wrong.amount_vnd, wrong.from_carry_over)]

    assert disbursement.curve(capital, reversed_, today) == disbursement.curve(capital, without, today)


def test_another_year_has_no_expectation():
    assert disbursement.forecast_year_end(Capital(2025, BILLION), [], date(2026, 1, 1)) is None


# --- the condition of what is handed over


items = st.lists(st.builds(handover.Item, st.none() | st.integers(1, 5), st.integers(1, 9)), max_size=20)


@given(items)
def test_the_condition_of_the_whole_lies_between_its_worst_and_best_part(listed):
    found = handover.score(listed)
    rated = [item.condition for item in listed if item.condition is not None]

    assert (found.rated, found.total) == (len(rated), len(listed))
    if rated:
        assert found.mean is not None and min(rated) <= found.mean <= max(rated)
        assert found.pct is not None and 0 <= found.pct <= 100
    else:
        assert found.mean is None and found.pct is None


def test_the_scale_begins_at_nothing_and_ends_at_hundred():
    assert handover.score([handover.Item(1)]).pct == 0
    assert handover.score([handover.Item(5)]).pct == 100
    assert handover.score([handover.Item(3, 2), handover.Item(4, 1)]).mean == Decimal("3.33")


def test_a_handover_goes_forward_one_step_at_a_time_and_back_until_the_work_has_changed_hands():
    walked, step = [], handover.STEPS[0]
    while step:
        walked.append(step)
        step = handover.next_step(step)

    assert tuple(walked) == handover.STEPS
    assert handover.may_go_back("DECIDED", "REQUESTED") and handover.may_go_back("STOPPED", "PAPERS")
    assert not handover.may_go_back("PAPERS", "DECIDED")
    assert not any(handover.may_go_back("EFFECTIVE", step) for step in handover.STEPS)
    assert handover.may_stop("REQUESTED") and not handover.may_stop("EFFECTIVE") and not handover.may_stop("STOPPED")


@given(days_of_2026, st.integers(1, 400))
def test_the_days_left_count_down_to_the_last_lawful_day(today, ahead):
    last = today + timedelta(days=ahead)
    capital = Capital(today.year, 0, BILLION, last)

    found = disbursement.carry_over(capital, [], today)

    assert found and found.days_left == ahead
