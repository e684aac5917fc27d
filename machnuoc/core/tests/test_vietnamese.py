"""Numbers, money and dates as the plans print them, and as people type them wrongly."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import vietnamese

decimals = st.decimals(min_value=-(10**15), max_value=10**15, allow_nan=False, allow_infinity=False, places=6)
days = st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 12, 31))

# Seed 001 (Cao Bằng), section VI: the investment column of the projects, in tỷ đồng, as printed.
PRINTED_INVESTMENTS = ["42,43", "11,36", "14,5", "0,2", "18,8", "2,5", "0.169", "18,2"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.600", "1600"),
        ("63,6", "63.6"),
        ("63,60%", "63.6"),
        ("63,6 %", "63.6"),
        ("1.288,5", "1288.5"),
        ("34.657", "34657"),
        ("1.489.867", "1489867"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("+5,2%", "5.2"),
        ("0.169", "0.169"),
        ("-0.169", "-0.169"),
        ("10.6%", "10.6"),
        ("14.5", "14.5"),
        ("1234.567", "1234.567"),
        ("1,288", "1.288"),
        ("0,169", "0.169"),
        ("05", "5"),
        ("\u00a01.600\u00a0", "1600"),
        ("\ufeff600", "600"),
        ("0", "0"),
        ("-0", "0"),
        (1600, "1600"),
        (1288.0, "1288"),
        (0.169, "0.169"),
        (-0.0, "0"),
        (Decimal("6.32"), "6.32"),
    ],
)
def test_a_number_is_read_in_vietnamese_style(text, value):
    assert vietnamese.parse_number(text) == Decimal(value)


@pytest.mark.parametrize("text", [None, "", "  ", "\u00a0", "-", "–", "—", "−", "…", "...", " - "])
def test_what_the_plans_print_for_no_figure_is_missing_and_not_zero(text):
    assert vietnamese.parse_number(text) is None
    assert vietnamese.parse_money_vnd(text, "tỷ đồng") is None
    assert vietnamese.parse_date(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "abc",
        "12a",
        "1e5",
        "1E5",
        "１２",
        "١٢",
        "²",
        "1 600",
        "- 5",
        "--5",
        "–5",
        "5-",
        "5%%",
        "%",
        ".5",
        ",5",
        "5.",
        "5,",
        "1..5",
        "1.5.2",
        "1.48.867",
        "1.4890.867",
        "0.169.000",
        "01.600",
        "05.123",
        "63,6,5",
        "1,28,500.5",
        "14/02/2026",
        "=1+2",
        "#N/A",
        "NaN",
        "Infinity",
        "1_000",
        "0x10",
        "1" * 41,
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        True,
        False,
        10**60,
        1e300,
        datetime(2026, 2, 14),  # noqa: DTZ001 as spreadsheets give it
        b"5",
    ],
)
@pytest.mark.parametrize("integer", [True, False])
@pytest.mark.parametrize("dot_is_decimal", [True, False])
def test_what_is_no_number_is_refused(text, integer, dot_is_decimal):
    with pytest.raises(vietnamese.NotANumber):
        vietnamese.parse_number(text, integer=integer, dot_is_decimal=dot_is_decimal)


def test_english_grouping_is_refused_with_the_vietnamese_spelling():
    with pytest.raises(vietnamese.NotANumber) as refusal:
        vietnamese.parse_number("1,288.5")

    assert str(refusal.value) == "“1,288.5” không phải số theo kiểu Việt Nam; viết 1.288,5"
    assert refusal.value.text == "1,288.5"


def test_a_fraction_in_english_style_is_no_whole_number():
    with pytest.raises(vietnamese.NotANumber) as refusal:
        vietnamese.parse_number("1,288.5", integer=True)

    assert str(refusal.value) == "“1,288.5” không phải số nguyên"


def test_a_whole_number_in_english_style_is_refused_with_the_vietnamese_spelling():
    with pytest.raises(vietnamese.NotANumber, match=r"viết 1\.288\.500$"):
        vietnamese.parse_number("1,288,500", integer=True)


@pytest.mark.parametrize("text", ["1,288.00", "-1,288.00"])
def test_the_advised_spelling_holds_among_decimal_points_too(text):
    refusal = vietnamese.parse_column([text, "0.169"])[0]
    advised = str(refusal).split()[-1]

    assert vietnamese.parse_column([advised, "0.169"])[0] == Decimal(text.replace(",", ""))


@pytest.mark.parametrize("text", ["63,6", "0,169", "0.169", "14.5", "10.6%", 63.6, Decimal("0.5")])
def test_a_fraction_is_refused_where_a_whole_number_is_wanted(text):
    with pytest.raises(vietnamese.NotANumber, match=r"không phải số nguyên$"):
        vietnamese.parse_number(text, integer=True)


@pytest.mark.parametrize(("text", "value"), [("1.600", 1600), ("63,0", 63), ("14.0", 14), (1288.0, 1288), ("05", 5)])
def test_a_whole_number_may_be_written_with_empty_decimals(text, value):
    assert vietnamese.parse_number(text, integer=True) == value


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("1,288", {"integer": True}),
        ("1,288", {"dot_is_decimal": True}),
        ("1.288", {"integer": True, "dot_is_decimal": True}),
    ],
)
def test_a_thousandfold_doubt_is_asked_about(text, options):
    with pytest.raises(vietnamese.AmbiguousNumber) as doubt:
        vietnamese.parse_number(text, **options)

    assert doubt.value.text == text
    assert doubt.value.candidates == (Decimal(1288), Decimal("1.288"))
    assert "1288 (số nguyên) hoặc 1,288 (số thập phân)" in str(doubt.value)


def test_a_doubt_about_one_thousand_names_one_and_one_thousand():
    with pytest.raises(vietnamese.AmbiguousNumber) as doubt:
        vietnamese.parse_number("1,000", dot_is_decimal=True)

    assert "Viết 1000 nếu là số nguyên, 1.0000 nếu là số thập phân." in str(doubt.value)


def test_a_dot_before_three_digits_groups_unless_the_source_prints_decimal_points():
    assert vietnamese.parse_number("1.288") == 1288
    assert vietnamese.parse_number("1.288", dot_is_decimal=True) == Decimal("1.288")


@given(decimals)
def test_a_formatted_number_reads_back(value):
    assert vietnamese.parse_number(vietnamese.format_number(value)) == value


@given(st.integers(-(10**29), 10**29))
def test_a_formatted_whole_number_reads_back(value):
    assert vietnamese.parse_number(vietnamese.format_number(value), integer=True) == value


@given(st.floats(-1e15, 1e15).filter(lambda value: value == 0 or abs(value) > 1e-15))
def test_a_formatted_float_reads_back(value):
    assert float(vietnamese.parse_number(vietnamese.format_number(value))) == value


@given(st.text(alphabet="0123456789.,-−+% \u00a0ađ…", max_size=45) | st.text())
def test_any_text_is_a_number_or_missing_or_refused_and_never_changes_by_a_factor_unasked(text):
    try:
        value = vietnamese.parse_number(text)
    except vietnamese.NotANumber as refusal:
        assert str(refusal)
    else:
        if value is not None:
            assert vietnamese.parse_number(vietnamese.format_number(value)) == value


@given(st.lists(st.text(alphabet="0123456789.,", min_size=1, max_size=9)), st.booleans())
def test_a_column_gives_each_cell_one_of_its_readings_or_says_why_not(texts, integer):
    results = vietnamese.parse_column(texts, integer=integer)

    assert len(results) == len(texts)
    for text, result in zip(texts, results, strict=True):
        if isinstance(result, Decimal):
            assert result in (_read_as(text, ".", ","), _read_as(text, ",", "."))


def _read_as(text, group, mark):
    plain = text.replace(group, "").replace(mark, ".")
    return Decimal(plain) if plain.count(".") <= 1 and plain.strip(".") else None


def test_the_investments_of_cao_bang_are_read_as_meant():
    assert vietnamese.detect_dot_decimal(PRINTED_INVESTMENTS) is None
    assert vietnamese.parse_column(PRINTED_INVESTMENTS) == [
        Decimal(value) for value in ("42.43", "11.36", "14.5", "0.2", "18.8", "2.5", "0.169", "18.2")
    ]


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        (["0.169", "1.288"], True),
        (["14.5"], True),
        (["1,288.5"], True),
        (["1.489.867", "1.288"], False),
        (["42,43"], False),
        (["1.288,5"], False),
        (["42,43", "0.169"], None),
        (["1.288", "1,288", "600", "", None, 14.5, "abc"], None),
        ([], None),
    ],
)
def test_a_column_shows_how_it_prints_decimals_if_one_style_alone_can_read_it(texts, answer):
    assert vietnamese.detect_dot_decimal(texts) is answer


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["1.288", "600"], "1288"),
        (["1.288", "42,43"], "1288"),
        (["1.288", "0.169"], "1.288"),
        (["1,288", "600"], "1.288"),
        (["1,288", "42,43"], "1.288"),
        (["1,288", "42,43", "0.169"], "1.288"),
    ],
)
def test_a_cell_that_two_styles_read_goes_by_its_column(texts, value):
    assert vietnamese.parse_column(texts)[0] == Decimal(value)


@pytest.mark.parametrize(
    "texts",
    [
        ["1.288", "42,43", "0.169"],
        ["1,288", "0.169"],
        ["1,288", "0.169", "1.489.867"],
        ["1,288", "42,43", "1,488.5"],
    ],
)
def test_a_cell_is_asked_about_where_its_column_shows_both_styles(texts):
    doubt = vietnamese.parse_column(texts)[0]

    assert isinstance(doubt, vietnamese.AmbiguousNumber)
    assert doubt.candidates == (Decimal(1288), Decimal("1.288"))


def test_a_decimal_point_casts_doubt_on_the_grouping_dots_of_a_column_of_whole_numbers():
    results = vietnamese.parse_column(["1.600", "14.5"], integer=True)

    assert isinstance(results[0], vietnamese.AmbiguousNumber)
    assert str(results[1]) == "“14.5” không phải số nguyên"


@pytest.mark.parametrize("others", [["42,43", "0.169"], ["0.169"], ["0.169", "1.489.867"], ["42,43", "1,488.5"]])
@pytest.mark.parametrize("cell", ["1.288", "1,288", "1,000"])
def test_a_cell_written_anew_as_advised_is_no_longer_ambiguous(cell, others):
    doubt = vietnamese.parse_column([cell, *others])[0]
    if not isinstance(doubt, vietnamese.AmbiguousNumber):
        return
    advised = str(doubt).split(" nếu là số thập phân.")[0].split()[-1]

    again = vietnamese.parse_column([advised, *others])

    assert again[0] == doubt.candidates[1]
    assert vietnamese.parse_column([f"{doubt.candidates[0]}", *others])[0] == doubt.candidates[0]


def test_errors_of_a_column_stand_at_their_cells():
    results = vietnamese.parse_column(["600", "1,288.5", "–", "abc", "25"], integer=True)

    assert results[0] == 600
    assert str(results[1]) == "“1,288.5” không phải số nguyên"
    assert results[2] is None
    assert isinstance(results[3], vietnamese.NotANumber)
    assert results[4] == 25


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1600, None, "1.600"),
        (Decimal("63.6"), None, "63,6"),
        (Decimal("63.60"), None, "63,6"),
        (Decimal("63.6"), 2, "63,60"),
        (Decimal("6.315"), 2, "6,32"),
        (Decimal("-0.5"), 0, "-1"),
        (Decimal("-0.4"), 0, "0"),
        (Decimal("1E+3"), None, "1.000"),
        (999999.5, 0, "1.000.000"),
        (0.1, None, "0,1"),
        (1e-7, None, "0,0000001"),
        (-1489867, None, "-1.489.867"),
        (None, 2, "–"),
    ],
)
def test_a_number_is_written_in_vietnamese_style(value, places, text):
    assert vietnamese.format_number(value, places) == text


def test_a_figure_that_is_no_number_is_not_written():
    with pytest.raises(ValueError, match="cannot format"):
        vietnamese.format_number(float("nan"))


@given(decimals, st.integers(0, 8))
def test_rounding_moves_a_value_by_half_a_unit_at_most_and_halves_go_away_from_zero(value, places):
    rounded = vietnamese.round_half_up(value, places)
    half = Decimal(5).scaleb(-places - 1)

    assert abs(rounded - value) <= half
    assert vietnamese.round_half_up(-value, places) == -rounded
    if abs(rounded - value) == half:
        assert abs(rounded) > abs(value)


def test_rounding_keeps_digits_beyond_the_usual_precision():
    assert vietnamese.round_half_up(Decimal("9" * 40 + ".95"), 1) == Decimal(10**40)


def test_percent_and_money_keep_their_sign_on_the_line():
    assert vietnamese.format_percent(63.6) == "63,6\u00a0%"
    assert vietnamese.format_percent(Decimal("6.3171"), 2) == "6,32\u00a0%"
    assert vietnamese.format_percent(None) == "–"
    assert vietnamese.format_money_vnd(75_000) == "75.000\u00a0đ"
    assert vietnamese.format_money_vnd(None) == "–"
    assert vietnamese.format_money_in(108_159_000_000, "tỷ đồng") == "108,159\u00a0tỷ\u00a0đồng"
    assert vietnamese.format_money_in(None, "tỷ đồng") == "–"


@pytest.mark.parametrize("amount", [75_000.0, True, "75000", Decimal(75_000)])
def test_no_float_meets_money(amount):
    with pytest.raises(TypeError):
        vietnamese.format_money_vnd(amount)


@pytest.mark.parametrize(
    ("text", "unit", "amount_vnd"),
    [
        ("108,159", "tỷ đồng", 108_159_000_000),
        ("108,159 tỷ đồng", "tỷ đồng", 108_159_000_000),
        ("0.169", "tỷ đồng", 169_000_000),
        (0.169, "tỷ đồng", 169_000_000),
        ("1.500", "triệu đồng", 1_500_000_000),
        ("7,5", "nghìn đồng", 7_500),
        ("75.000", "đồng", 75_000),
        ("75.000 đ", "đồng", 75_000),
        ("-75.000 VNĐ", "đồng", -75_000),
        (75000.0, "đồng", 75_000),
        ("0", "đồng", 0),
    ],
)
def test_money_is_read_to_the_last_dong(text, unit, amount_vnd):
    assert vietnamese.parse_money_vnd(text, unit) == amount_vnd


@pytest.mark.parametrize(("text", "unit"), [("0,0001", "nghìn đồng"), ("1,0000000005", "tỷ đồng"), (75000.5, "đồng")])
def test_money_that_is_no_whole_dong_is_refused(text, unit):
    with pytest.raises(vietnamese.NotWholeDong, match="không ra số đồng chẵn"):
        vietnamese.parse_money_vnd(text, unit)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("75,5", "đồng"),
        ("75,000", "đồng"),
        ("10%", "tỷ đồng"),
        ("75.000 đồng", "tỷ đồng"),
        ("1,2 tỷ", "đồng"),
        ("75.000" + " " * 153 + "đ rồi", "đồng"),
    ],
)
def test_money_in_another_shape_is_refused(text, unit):
    with pytest.raises(vietnamese.NotANumber):
        vietnamese.parse_money_vnd(text, unit)


@given(st.integers(-(10**16), 10**16), st.sampled_from(["đồng", "nghìn đồng", "triệu đồng", "tỷ đồng"]), st.booleans())
def test_money_in_any_unit_reads_back(amount_vnd, unit, with_unit):
    text = vietnamese.format_money_in(amount_vnd, unit)
    if not with_unit:
        text = text.removesuffix(unit.replace(" ", "\u00a0"))

    assert vietnamese.parse_money_vnd(text, unit) == amount_vnd


def test_days_and_moments_are_written_in_local_time():
    late_evening = datetime(2026, 2, 13, 17, 5, tzinfo=UTC)

    assert vietnamese.format_date(date(2026, 2, 14)) == "14/02/2026"
    assert vietnamese.format_date(late_evening) == "14/02/2026"
    assert vietnamese.format_datetime(late_evening) == "14/02/2026 00:05"
    assert vietnamese.format_datetime(datetime(2026, 2, 14, 0, 5, tzinfo=UTC)) == "14/02/2026 07:05"
    assert vietnamese.format_date(None) == vietnamese.format_datetime(None) == "–"


def test_a_moment_without_time_zone_is_not_written():
    with pytest.raises(ValueError, match="time zone"):
        vietnamese.format_datetime(datetime(2026, 2, 14))  # noqa: DTZ001 the point of the test


@pytest.mark.parametrize(
    "text",
    [
        "14/02/2026",
        "14-2-2026",
        "14.02.2026",
        " 14/2/2026 ",
        "2026-02-14",
        date(2026, 2, 14),
        datetime(2026, 2, 14),  # noqa: DTZ001 as spreadsheets give it
        datetime(2026, 2, 13, 17, 5, tzinfo=UTC),
        datetime(2026, 2, 14, 23, 0, tzinfo=timezone(timedelta(hours=7))),
    ],
)
def test_a_day_is_read(text):
    assert vietnamese.parse_date(text) == date(2026, 2, 14)
    assert type(vietnamese.parse_date(text)) is date


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("02/14/2026", "tháng không thể là 14; viết ngày trước, tháng sau: 14/02/2026"),
        ("2026-14-02", "tháng không thể là 14"),
        ("13/25/2026", "tháng không thể là 25"),
        ("10/00/2026", "tháng không thể là 0"),
        ("31/02/2026", "tháng 02/2026 có 28 ngày"),
        ("29/02/2026", "tháng 02/2026 có 28 ngày"),
        ("00/02/2026", "tháng 02/2026 có 28 ngày"),
        ("14/02/26", "viết năm đủ bốn chữ số"),
        ("14/02/1026", "năm phải trong khoảng từ 1900 đến 2200"),
        ("31/02/0000", "năm phải trong khoảng"),
        ("14/02-2026", "viết như 14/02/2026"),
        ("１４/02/2026", "viết như 14/02/2026"),
        ("hôm nay", "viết như 14/02/2026"),
        (46067, "định dạng ô thành ngày"),
        (46067.5, "định dạng ô thành ngày"),
        (True, "không phải ngày"),
        ("9" * 5000, "không phải ngày"),
        (date(1026, 2, 14), "năm phải trong khoảng"),
    ],
)
def test_what_is_no_day_is_refused_with_the_reason(text, reason):
    with pytest.raises(vietnamese.NotADate, match=reason):
        vietnamese.parse_date(text)


@given(days)
def test_a_written_day_reads_back(day):
    assert vietnamese.parse_date(vietnamese.format_date(day)) == day
    assert vietnamese.parse_date(day.isoformat()) == day
