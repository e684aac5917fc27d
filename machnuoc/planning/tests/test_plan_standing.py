"""Where a target stands, and the sentence that says why."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from machnuoc.planning import standing
from machnuoc.planning.comparison import Interval, Promise, is_met
from machnuoc.planning.standing import Outlook, Question, Verdict, judge

D = Decimal
YEAR_END = date(2026, 12, 31)


def _households(*reached: int, **changed: object) -> Question:
    ends = [date(2026, month + 1, 1) - timedelta(days=1) for month in range(1, len(reached) + 1)]
    said: dict[str, object] = {
        "promise": Promise("GE", D(1600)), "unit": "hộ", "starts_on": date(2026, 1, 1), "due_on": YEAR_END,
        "is_counted": True, "history": [(end, D(amount)) for end, amount in zip(ends, reached, strict=True)],
    }  # fmt: skip
    return Question(**{**said, **changed})  # type: ignore[arg-type]


def test_the_reason_says_what_is_left_how_fast_it_goes_and_where_it_ends():
    question = _households(50, 120, 220, 374, 450, 500, 557)

    told = judge(question, date(2026, 8, 10), standing.by_pace(question))

    assert told.status == "AT_RISK"
    assert told.reason == (
        "Còn 1.043/1.600 hộ, 5 tháng; tốc độ 3 tháng gần nhất 61 hộ/tháng; dự kiến 31/12/2026 đạt 862 hộ."
    )


def test_a_growing_count_that_reached_its_goal_is_met_before_its_day():
    assert judge(_households(800, 1600), date(2026, 3, 1)).status == "MET"


def test_after_the_day_a_figure_of_the_last_period_decides():
    ended = _households(*range(100, 1300, 100)[:11])
    full = [*ended.history, (YEAR_END, D(1500))]

    assert judge(_households(history=full), date(2027, 1, 20)).status == "MISSED"
    assert judge(_households(history=[*full[:-1], (YEAR_END, D(1600))]), date(2027, 1, 20)).status == "MET"
    assert judge(ended, date(2027, 1, 20)).status == "EXPIRED"


def test_a_target_to_2020_without_any_figure_is_expired():
    question = Question(Promise("LT", D(24)), unit="%", due_on=date(2020, 12, 31))

    told = judge(question, date(2026, 11, 22))

    assert told.status == "EXPIRED"
    assert "Đã hết kỳ ngày 31/12/2020" in told.reason


def test_a_figure_from_before_the_plan_is_named_and_does_not_count():
    question = Question(
        Promise("GE", D("63.6"), decimals=1), unit="%", starts_on=date(2026, 1, 1), due_on=YEAR_END,
        history=[(date(2025, 12, 31), D(62))], before="năm 2025: 62,0 %",
    )  # fmt: skip

    told = judge(question, date(2026, 6, 1))

    assert told.status == "NO_DATA"
    assert told.reason == "Chưa có số liệu trong kỳ; gần nhất: năm 2025: 62,0 %."


def test_a_level_is_judged_by_its_outlook_and_says_the_interval():
    question = Question(
        Promise("ABOUT", D(15), direction="LOWER"), unit="%", starts_on=date(2026, 1, 1), due_on=YEAR_END,
        history=[(date(2026, 10, 31), D("16.8"))],
    )  # fmt: skip

    told = judge(question, date(2026, 11, 5), Outlook(D("16.1"), D("15.5"), D("16.8"), "drift"))

    assert told.status == "AT_RISK"
    assert told.reason == (
        "Đến 31/10/2026: 16,8 %, phải đạt khoảng 15 %; dự kiến 31/12/2026 đạt 16,1 % (khả năng 80 %: 15,5 đến 16,8)."
    )


def test_without_a_forecast_the_path_decides():
    path = [(date(2026, 6, 30), D(40)), (date(2026, 9, 30), D(70))]
    slow = _households(promise=Promise("GE", D(100)), path=path, history=[(date(2026, 9, 30), D(60))])
    fast = _households(promise=Promise("GE", D(100)), path=path, history=[(date(2026, 9, 30), D(75))])

    assert judge(slow, date(2026, 10, 5)).status == "AT_RISK"
    assert judge(fast, date(2026, 10, 5)).status == "ON_TRACK"


def test_a_figure_known_by_its_bounds_is_not_taken_for_a_number():
    promise = Promise("ABOUT", D(15), direction="LOWER")
    over = Question(promise, unit="%", due_on=YEAR_END, bounds=Interval(low=D(15), low_open=True), bounds_text="> 15 %")
    under = Question(promise, unit="%", due_on=YEAR_END, bounds=Interval(high=D(12)), bounds_text="≤ 12 %")

    assert judge(over, date(2026, 6, 1)).status == "NO_DATA"
    assert judge(under, date(2026, 6, 1)).status == "ON_TRACK"


def test_a_judged_target_waits_for_its_judge():
    question = Question(Promise("JUDGED"), due_on=YEAR_END, is_judged=True)
    said = Question(Promise("JUDGED"), due_on=YEAR_END, is_judged=True, verdict=Verdict(date(2026, 7, 1), True, "Tốt."))

    assert judge(question, date(2026, 6, 1)).status == "NO_DATA"
    assert judge(question, date(2027, 6, 1)).status == "EXPIRED"
    assert judge(said, date(2026, 7, 2)).status == "MET"


def test_what_cannot_be_compared_says_so():
    told = judge(_households(10, obstacle="Chỉ tiêu đổi đơn vị."), date(2026, 6, 1))

    assert (told.status, told.reason) == ("NO_DATA", "Chỉ tiêu đổi đơn vị.")


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.integers(1, 3000),
    st.dates(date(2026, 1, 2), date(2028, 1, 1)),
)  # fmt: skip
def test_every_count_gets_a_status_that_its_figures_bear_out(amounts, goal, today):
    rising = sorted(amounts)
    ends = [date(2026 + (month // 12), month % 12 + 1, 1) - timedelta(days=1) for month in range(1, len(rising) + 1)]
    question = _households(
        promise=Promise("GE", D(goal)), history=[(end, D(n)) for end, n in zip(ends, rising, strict=True)]
    )

    told = judge(question, today, standing.by_pace(question))

    assert told.reason.endswith(".")
    if told.status == "MET":
        assert is_met(question.promise, told.reached)
    if told.status in {"MISSED", "EXPIRED"}:
        assert today > YEAR_END
    if told.status in {"ON_TRACK", "AT_RISK"}:
        assert today <= YEAR_END


@given(st.integers(0, 364), st.integers(-500, 500), st.integers(-500, 500))
def test_the_path_never_leaves_the_span_between_its_ends(days, low, high):
    path = [(date(2026, 1, 1), D(low)), (YEAR_END, D(high))]

    asked = standing.expected_at(date(2026, 1, 1) + timedelta(days=days), path)

    assert asked is not None
    assert min(low, high) <= asked <= max(low, high)
