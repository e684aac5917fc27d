from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core.periods import Period
from machnuoc.planning import duty_rules
from machnuoc.planning.duty_rules import BadRule, State, Terms

DAYS = st.dates(date(2019, 1, 1), date(2034, 12, 31))
MONTHLY = st.builds(
    lambda day, months: f"FREQ=MONTHLY;BYMONTHDAY={day}" + (f";BYMONTH={','.join(map(str, months))}" * bool(months)),
    st.sampled_from([*range(1, 29), -1, -2, -28]),
    st.lists(st.integers(1, 12), max_size=5, unique=True),
)  # fmt: skip
TERMS = st.builds(
    Terms,
    MONTHLY,
    edge=st.sampled_from(["INCLUSIVE", "EXCLUSIVE", "WITHIN"]),
    shift=st.sampled_from(["NONE", "BEFORE", "AFTER"]),
    grace_days=st.integers(0, 10),
    opens_days_before=st.integers(0, 60),
)


def last_days(rule: str, today: date, count: int = 3, **terms) -> list[date]:
    return [due.last_day for due in duty_rules.next_due(Terms(rule, **terms), today, count)]


# Edges as printed


def test_at_the_latest_on_day_14_includes_the_14th():
    today = date(2026, 11, 14)

    assert last_days("FREQ=MONTHLY;BYMONTHDAY=14", today, 2) == [date(2026, 11, 14), date(2026, 12, 14)]
    assert last_days("FREQ=MONTHLY;BYMONTHDAY=14", today + timedelta(days=1), 1) == [date(2026, 12, 14)]


def test_before_15_november_leaves_the_14th_as_last_lawful_day():
    rule = "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15"

    assert last_days(rule, date(2026, 11, 14), 2, edge="EXCLUSIVE") == [date(2026, 11, 14), date(2027, 11, 14)]
    assert last_days(rule, date(2026, 11, 15), 1, edge="EXCLUSIVE") == [date(2027, 11, 14)]


def test_within_november_and_december_lasts_to_the_end_of_each():
    rule = "FREQ=MONTHLY;BYMONTH=11,12"

    assert last_days(rule, date(2026, 11, 22), edge="WITHIN") == [
        date(2026, 11, 30), date(2026, 12, 31), date(2027, 11, 30),
    ]  # fmt: skip


def test_within_february_knows_leap_years():
    assert last_days("FREQ=YEARLY;BYMONTH=2", date(2027, 1, 1), 2, edge="WITHIN") == [
        date(2027, 2, 28), date(2028, 2, 29),
    ]  # fmt: skip


def test_what_is_due_once_comes_once():
    terms = Terms("FREQ=YEARLY;COUNT=1", edge="EXCLUSIVE", starts_on=date(2026, 11, 15))

    assert [due.last_day for due in duty_rules.next_due(terms, date(2026, 1, 1))] == [date(2026, 11, 14)]
    assert duty_rules.next_due(terms, date(2026, 11, 15)) == []


def test_a_rule_holds_from_its_first_to_its_last_day_both_included():
    rule = "FREQ=MONTHLY;BYMONTHDAY=14"

    dates = last_days(rule, date(2025, 1, 1), 20, starts_on=date(2026, 2, 14), ends_on=date(2026, 4, 14))

    assert dates == [date(2026, 2, 14), date(2026, 3, 14), date(2026, 4, 14)]


# Days without work


def test_a_saturday_stays_where_nothing_is_said():
    assert last_days("FREQ=MONTHLY;BYMONTHDAY=14", date(2026, 11, 1), 1) == [date(2026, 11, 14)]


@pytest.mark.parametrize(("how", "expected"), [("BEFORE", date(2026, 11, 13)), ("AFTER", date(2026, 11, 16))])
def test_a_saturday_is_moved_as_the_duty_says(how, expected):
    assert last_days("FREQ=MONTHLY;BYMONTHDAY=14", date(2026, 11, 1), 1, shift=how) == [expected]


@pytest.mark.parametrize(("how", "expected"), [("BEFORE", date(2026, 2, 13)), ("AFTER", date(2026, 2, 23))])
def test_the_lunar_new_year_is_left_out(how, expected):
    """17/02/2026 is the first day of the lunar year; people are off from Monday 16 to Friday 20."""
    assert last_days("FREQ=MONTHLY;BYMONTHDAY=17", date(2026, 2, 13), 1, shift=how)[0] == expected


def test_the_edge_comes_before_the_shift():
    """«Trước ngày 15/11/2026» leaves Saturday 14; the working day before it is Friday 13."""
    due = duty_rules.next_due(
        Terms("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15", edge="EXCLUSIVE", shift="BEFORE"), date(2026, 11, 1)
    )[0]

    assert (due.rule_date, due.edge_date, due.last_day) == (date(2026, 11, 15), date(2026, 11, 14), date(2026, 11, 13))


# Periods


@pytest.mark.parametrize(
    ("rule", "covers", "kind", "expected"),
    [
        ("FREQ=MONTHLY;BYMONTHDAY=14", "PREVIOUS", "M", "2026-10"),
        ("FREQ=MONTHLY;BYMONTHDAY=14", "SAME", "M", "2026-11"),
        ("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15", "SAME", "Y", "2026"),
        ("FREQ=MONTHLY;BYMONTH=11;BYMONTHDAY=14", "PREVIOUS", "Q", "2026-Q3"),
        ("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15", "SAME", "H", "2026-H2"),
    ],
)
def test_a_report_is_about_its_period(rule, covers, kind, expected):
    due = duty_rules.next_due(Terms(rule, covers=covers, period_kind=kind), date(2026, 11, 1))[0]

    assert due.period == Period.parse(expected)


def test_before_the_first_of_january_is_about_the_year_that_ends():
    due = duty_rules.next_due(
        Terms("FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1", edge="EXCLUSIVE", covers="SAME", period_kind="Y"), date(2026, 6, 1)
    )[0]

    assert (due.last_day, due.period) == (date(2026, 12, 31), Period.parse("2026"))


# Properties


@given(TERMS, DAYS, st.integers(0, 900), st.integers(0, 900))
def test_spans_that_meet_give_each_date_once(terms, start, first, second):
    middle, end = start + timedelta(days=first), start + timedelta(days=first + second)

    whole = duty_rules.between(terms, start, end)

    assert whole == duty_rules.between(terms, start, middle) + duty_rules.between(terms, middle, end)
    assert len({due.rule_date for due in whole}) == len(whole)


@given(st.sampled_from([*range(1, 29), -1, -5]), st.integers(2019, 2034), st.integers(1, 5))
def test_a_monthly_rule_gives_twelve_dates_a_year_leap_or_not(day, year, years):
    dates = duty_rules.between(Terms(f"FREQ=MONTHLY;BYMONTHDAY={day}"), date(year, 1, 1), date(year + years, 1, 1))

    assert len(dates) == 12 * years
    assert len({(due.rule_date.year, due.rule_date.month) for due in dates}) == 12 * years


@given(TERMS, DAYS)
def test_dates_follow_one_another_and_the_last_day_opens_before_grace(terms, today):
    dates = duty_rules.next_due(terms, today)

    assert dates
    assert [due.last_day for due in dates] == sorted(due.last_day for due in dates)
    for due in dates:
        assert today <= due.last_day <= due.grace_until
        assert due.opens_on <= due.last_day
        if terms.shift != "NONE":
            assert duty_rules.is_working_day(due.last_day)
        if terms.edge == "EXCLUSIVE":
            assert due.edge_date == due.rule_date - timedelta(days=1)


@given(TERMS, DAYS)
def test_what_is_next_today_is_what_the_rule_gives(terms, today):
    coming = duty_rules.next_due(terms, today, count=5)
    if not coming:
        return
    span = duty_rules.between(terms, today - timedelta(days=70), coming[-1].rule_date + timedelta(days=1))

    assert [due for due in span if due.last_day >= today][: len(coming)] == coming


@given(st.text(alphabet="FREQ=MONTHLY;BYDA-14,0123 U", max_size=60))
def test_no_text_breaks_the_reader(text):
    try:
        duty_rules.words(Terms(text))
    except BadRule as refused:
        assert str(refused).endswith(".")


# Rules that are refused


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (Terms("FREQ=MONTHLY;BYMONTHDAY=31"), "kỳ đó sẽ bị mất"),
        (Terms("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"), "kỳ đó sẽ bị mất"),
        (Terms("FREQ=MONTHLY"), "chưa nói ngày nào"),
        (Terms("FREQ=YEARLY;BYMONTHDAY=15"), "chưa nói tháng nào"),
        (Terms("FREQ=HOURLY"), "cần FREQ"),
        (Terms("BYMONTHDAY=14"), "cần FREQ"),
        (Terms("FREQ=MONTHLY;BYWEEKNO=3"), "chưa hỗ trợ BYWEEKNO"),
        (Terms("FREQ=MONTHLY;BYMONTHDAY=0"), "từ -31 đến 31"),
        (Terms("FREQ=MONTHLY;BYMONTH=13;BYMONTHDAY=1"), "từ 1 đến 12"),
        (Terms("FREQ=MONTHLY;BYDAY=XX"), "không hiểu thứ"),
        (Terms("FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=1"), "áp dụng từ"),
        (Terms("FREQ=MONTHLY;BYMONTHDAY=1,20", edge="WITHIN"), "một lần mỗi tháng"),
        (Terms("FREQ=DAILY", edge="WITHIN"), "một lần mỗi tháng"),
        (Terms("FREQ=MONTHLY;BYMONTHDAY=1", covers="SAME"), "loại kỳ báo cáo"),
        (Terms("FREQ=MONTHLY;BYMONTHDAY=1", starts_on=date(2026, 2, 1), ends_on=date(2026, 1, 1)),
         "trước ngày bắt đầu"),
    ],
)  # fmt: skip
def test_a_rule_that_gives_no_certain_day_is_refused_with_the_reason(terms, reason):
    with pytest.raises(BadRule, match=reason):
        duty_rules.next_due(terms, date(2026, 11, 22))


# Words


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (Terms("FREQ=MONTHLY;BYMONTHDAY=14"), "chậm nhất ngày 14 hằng tháng"),
        (Terms("FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=14"), "chậm nhất ngày 14 tháng cuối quý"),
        (Terms("FREQ=MONTHLY;BYMONTH=12,9,6,3;BYMONTHDAY=28", edge="EXCLUSIVE"), "trước ngày 28 tháng cuối quý"),
        (Terms("FREQ=MONTHLY;BYMONTH=3,5,7,8", edge="WITHIN"), "trong các tháng 3, 5, 7, 8 hằng năm"),
        (Terms("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15", edge="EXCLUSIVE"), "trước ngày 15/11 hằng năm"),
        (Terms("FREQ=YEARLY;COUNT=1", edge="EXCLUSIVE", starts_on=date(2026, 11, 15)),
         "trước ngày 15/11/2026, một lần"),
        (Terms("FREQ=MONTHLY;BYMONTH=6,12", edge="WITHIN"), "trong tháng 6 và tháng 12 (6 tháng và năm)"),
        (Terms("FREQ=MONTHLY", edge="WITHIN"), "trong mỗi tháng"),
        (Terms("FREQ=MONTHLY;BYMONTHDAY=-1"), "chậm nhất ngày cuối hằng tháng"),
        (Terms("FREQ=MONTHLY;BYDAY=-1FR"), "chậm nhất thứ Sáu cuối cùng hằng tháng"),
        (Terms("FREQ=WEEKLY;BYDAY=MO"), "chậm nhất thứ Hai hằng tuần"),
        (Terms("FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=5", starts_on=date(2026, 1, 1)),
         "chậm nhất ngày 5 hằng tháng, 2 tháng một lần tính từ 01/2026"),
    ],
)  # fmt: skip
def test_a_rule_is_said_in_words(terms, said):
    assert duty_rules.words(terms) == said


def test_the_edge_and_the_shift_are_explained():
    terms = Terms("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15", edge="EXCLUSIVE", shift="BEFORE", grace_days=2)

    said = duty_rules.explain(terms, duty_rules.next_due(terms, date(2026, 11, 1))[0])

    assert said == (
        "«Trước ngày 15/11/2026» không tính ngày đó: ngày cuối còn đúng hạn là 14/11/2026. 14/11/2026 là ngày nghỉ "
        "(thứ Bảy) nên dời về trước, đến thứ Sáu, 13/11/2026. Châm chước 2 ngày, đến hết 15/11/2026."
    )


# Standing


LAST, OPENS = date(2026, 11, 14), date(2026, 10, 31)


@pytest.mark.parametrize(
    ("today", "sent", "grace", "state", "text"),
    [
        (date(2026, 10, 30), None, 0, State.NOT_OPEN, "Chưa mở, còn 15 ngày"),
        (date(2026, 10, 31), None, 0, State.UPCOMING, "Còn 14 ngày"),
        (date(2026, 11, 13), None, 0, State.UPCOMING, "Còn 1 ngày (ngày mai)"),
        (date(2026, 11, 14), None, 0, State.DUE, "Đến hạn hôm nay"),
        (date(2026, 11, 15), None, 0, State.OVERDUE, "Quá hạn 1 ngày"),
        (date(2026, 11, 15), None, 2, State.DUE, "Đến hạn, châm chước đến 16/11"),
        (date(2026, 11, 22), date(2026, 11, 12), 0, State.ON_TIME, "Đã gửi đúng hạn, sớm 2 ngày"),
        (date(2026, 11, 22), date(2026, 11, 14), 0, State.ON_TIME, "Đã gửi đúng hạn"),
        (date(2026, 11, 22), date(2026, 11, 17), 0, State.LATE, "Gửi trễ 3 ngày"),
    ],
)
def test_an_instance_stands_where_its_dates_say(today, sent, grace, state, text):
    standing = duty_rules.judge(
        opens_on=OPENS, last_day=LAST, grace_until=LAST + timedelta(days=grace), submitted_on=sent, is_waived=False,
        today=today,
    )  # fmt: skip

    assert (standing.state, standing.text) == (state, text)


def test_a_waived_instance_is_neither_late_nor_missed():
    standing = duty_rules.judge(
        opens_on=OPENS, last_day=LAST, grace_until=LAST, submitted_on=None, is_waived=True, today=date(2027, 1, 1)
    )

    assert standing.state == State.WAIVED


def test_each_reminder_has_its_days():
    stages = [
        duty_rules.stage_of(opens_on=OPENS, last_day=LAST, grace_until=LAST, today=LAST + timedelta(days=offset))
        for offset in (-15, -14, -8, -7, -4, -3, -2, -1, 0, 1, 6, 7, 60)
    ]

    assert stages == ["", "OPENED", "OPENED", "D7", "D7", "D3", "D3", "D1", "DUE", "LATE1", "LATE1", "LATE7", "LATE7"]


def test_punctuality_counts_what_was_owed_and_takes_the_median():
    def sent(day):
        return duty_rules.judge(
            opens_on=OPENS, last_day=LAST, grace_until=LAST, submitted_on=day, is_waived=False, today=date(2026, 11, 22)
        )

    found = duty_rules.summarise(
        [sent(date(2026, 11, 12)), sent(date(2026, 11, 14)), sent(date(2026, 11, 20)), sent(None)]
    )

    assert (found.on_time, found.late, found.missed, found.past) == (2, 1, 1, 4)
    assert (found.on_time_pct, found.median_days_early) == (50, 0)
    assert duty_rules.summarise([]).on_time_pct is None


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("Ngày 20 hằng tháng", "FREQ=MONTHLY;BYMONTHDAY=20"),
        ("trước ngày 28 tháng cuối quý", "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=28"),
        ("trước ngày 15/11 hàng năm", "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15"),
        ("cuối tháng", "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("tuần nào cũng gửi", "tuần nào cũng gửi"),
    ],
)
def test_a_rule_said_in_words_is_read_and_what_is_not_understood_stays_for_the_message(said: str, rule: str) -> None:
    assert duty_rules.from_words(said) == rule
