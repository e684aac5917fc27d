"""The clock of the law before water is cut off. All dates are counted by hand from the calendar of 2026."""

import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing import cutoff_clock
from machnuoc.billing.cutoff_clock import Rule, earliest_cutoff_date, judge, rule_on

RULE = Rule(date(2007, 7, 11), 5, 10, 15, "Nghị định 117/2007/NĐ-CP, Điều 45", True)
# Tết Bính Ngọ: 16–20 February 2026; Reunification and Labour day: 30 April, 1 May; National day: 1–2 September.
DAYS_OFF = {date(2026, 2, day) for day in range(16, 21)} | {
    date(2026, 4, 30),
    date(2026, 5, 1),
    date(2026, 9, 1),
    date(2026, 9, 2),
}


def is_working_day(day):
    return day.weekday() < 5 and day not in DAYS_OFF


def earliest(notice, **about):
    about = {"is_household": True, "told_reason": False} | about
    return earliest_cutoff_date(notice, rule=RULE, is_working_day=is_working_day, **about)


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (date(2026, 6, 3), date(2026, 7, 9)),  # Wednesday: five weeks end on Wednesday 8 July
        (date(2026, 6, 6), date(2026, 7, 14)),  # Saturday: they end on Saturday 11 July, so on Monday 13
        (date(2026, 1, 14), date(2026, 2, 24)),  # they end on 18 February, in Tết: on Monday 23
        (date(2026, 3, 26), date(2026, 5, 5)),  # they end on 30 April: on Monday 4 May
    ],
)
def test_a_household_has_five_weeks(notice, expected):
    assert earliest(notice) == expected


def test_a_household_that_told_a_reason_has_ten_weeks():
    assert earliest(date(2026, 6, 3), told_reason=True) == date(2026, 8, 13)  # they end on Wednesday 12 August


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (date(2026, 6, 1), date(2026, 6, 23)),  # Monday: 2 June is the first day, 22 June the fifteenth
        (date(2026, 6, 6), date(2026, 6, 27)),  # Saturday: 8 June is the first, Friday 26 the fifteenth
        (date(2026, 2, 9), date(2026, 3, 10)),  # over Tết: 10–13 are four, 23 February – 6 March ten, 9 March fifteen
        (date(2026, 8, 24), date(2026, 9, 17)),  # over National day
    ],
)
def test_others_have_fifteen_working_days(notice, expected):
    assert earliest(notice, is_household=False) == expected
    assert earliest(notice, is_household=False, told_reason=True) == expected  # a reason counts for households alone


@given(st.dates(date(2024, 1, 1), date(2028, 1, 1)), st.booleans(), st.booleans())
def test_no_day_before_the_end_of_the_clock_lets_anybody_cut_off(notice, is_household, told_reason):
    end = earliest(notice, is_household=is_household, told_reason=told_reason)
    about = {
        "notice_date": notice, "final_notice_date": notice, "is_household": is_household, "told_reason": told_reason,
        "has_open_dispute": False, "owed_vnd": 1, "rule": RULE, "is_working_day": is_working_day,
    }  # fmt: skip

    day = notice
    while day < end:
        assert not judge(day, **about).may_cut_off
        day += timedelta(days=1)
    assert judge(end, **about).may_cut_off
    assert (end - notice).days > (70 if is_household and told_reason else 35 if is_household else 15)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"notice_date": None}, "Chưa gửi thông báo bằng văn bản"),
        ({"final_notice_date": None}, "lần cuối"),
        ({"final_notice_date": date(2026, 7, 9)}, "sớm nhất từ ngày mai"),
        ({"has_open_dispute": True}, "khiếu nại"),
        ({"owed_vnd": 0}, "không còn nợ"),
        ({"told_reason": True}, "13/08/2026"),
    ],
)
def test_each_condition_alone_holds_the_cut_off_back(change, why):
    about = {
        "notice_date": date(2026, 6, 3), "final_notice_date": date(2026, 7, 1), "is_household": True,
        "told_reason": False, "has_open_dispute": False, "owed_vnd": 1, "rule": RULE, "is_working_day": is_working_day,
    }  # fmt: skip

    assert judge(date(2026, 7, 9), **about).may_cut_off
    found = judge(date(2026, 7, 9), **about | change)
    assert not found.may_cut_off
    assert why in found.why_not


def test_the_rule_is_the_last_that_began():
    later = Rule(date(2027, 1, 1), 6, 12, 20, "mới", False)

    assert rule_on([later, RULE], date(2026, 12, 31)) == RULE
    assert rule_on([RULE, later], date(2027, 1, 1)) == later
    with pytest.raises(ValueError, match="no rule"):
        rule_on([RULE], date(2000, 1, 1))


def test_the_kept_rule_is_the_law_as_read():
    folder = Path(cutoff_clock.__file__).parent / "data"
    (kept,) = tomllib.loads((folder / "cutoff_rules.toml").read_text())["rules"]

    assert Rule(**kept) == RULE
