import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from machnuoc.telemetry.sensorthings import filters, options
from machnuoc.telemetry.sensorthings.filters import Comparison, Interval, Literal, Many, Named
from machnuoc.telemetry.sensorthings.model import KINDS

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
THING = {
    ("result",): 7.5,
    ("count",): 3,
    ("name",): "Clo dư đầu ra",
    ("phenomenonTime",): datetime(2026, 11, 21, 18, 30, 15, 250_000, tzinfo=UTC),
    ("span",): Interval(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)),
    ("Datastreams", "name"): Many(["Áp lực", "Lưu lượng"]),
    ("properties", "isSimulated"): True,
    ("nothing",): None,
}


def holds(text: str) -> bool:
    return filters.holds(filters.parse(text), THING.get, NOW)


@pytest.mark.parametrize(
    "text",
    [
        # operators of the standard's table 21
        "result eq 7.5", "result ne 7", "result gt 7", "result ge 7.5", "result lt 8", "result le 7.5",
        "result gt 7 and result lt 8", "result lt 7 or result gt 7", "not result lt 7", "not (result lt 7)",
        "result add 2.5 eq 10", "result sub 2.5 eq 5", "result mul 2 eq 15", "result div 2 eq 3.75", "count mod 2 eq 1",
        "(result sub 5) gt 2", "1 add 2 mul 3 eq 7", "-3 lt count", "8 gt result", "count eq 3.0", "result in (1, 7.5)",
        # functions of texts
        "contains(name, 'dư')", "substringof('Clo', name)", "endswith(name, 'ra')", "startswith(name, 'Clo')",
        "length(name) eq 13", "indexof(name, 'dư') eq 4", "substring(name, 4) eq 'dư đầu ra'",
        "substring(name, 0, 3) eq 'Clo'", "tolower(name) eq 'clo dư đầu ra'", "toupper(name) eq 'CLO DƯ ĐẦU RA'",
        "trim('  a ') eq 'a'", "concat(concat(name, ', '), 'trạm') eq 'Clo dư đầu ra, trạm'", "'it''s' eq 'it''s'",
        # functions of times: on the clocks here
        "year(phenomenonTime) eq 2026", "month(phenomenonTime) eq 11", "day(phenomenonTime) eq 22",
        "hour(phenomenonTime) eq 1", "minute(phenomenonTime) eq 30", "second(phenomenonTime) eq 15",
        "fractionalseconds(phenomenonTime) eq 0.25", "date(phenomenonTime) eq 2026-11-22",
        "time(phenomenonTime) gt 01:30", "totaloffsetminutes(phenomenonTime) eq 420", "now() gt phenomenonTime",
        "phenomenonTime gt mindatetime() and phenomenonTime lt maxdatetime()",
        "phenomenonTime ge now() sub duration'PT8H'", "phenomenonTime eq 2026-11-22T01:30:15.250+07:00",
        "phenomenonTime lt 2026-11-22T00:00:00Z", "phenomenonTime ge 2026-11-22",
        "span lt 2026-11-03T00:00:00Z", "span gt 2026-10-31T00:00:00Z",
        "round(result) eq 8", "floor(result) eq 7", "ceiling(result) eq 8",
        # what is missing, of another kind, or many
        "nothing eq null", "result ne null", "not (nothing gt 1)", "unknown eq null", "not (name gt 5)", "name ne 5",
        "not (result div 0 eq 1)", "not contains(result, 'a')", "Datastreams/name eq 'Lưu lượng'",
        "startswith(Datastreams/name, 'Áp')", "properties/isSimulated eq true", "properties/isSimulated",
    ],
)  # fmt: skip
def test_a_filter_of_the_standard_holds(text):
    assert holds(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "chưa hết câu"), ("result gt", "chưa hết câu"), ("result gt 3)", "không hiểu"),
        ("(result gt 3", "chưa hết"), ("result = 3", "ký tự thứ 8"), ("nope(result)", "không có hàm «nope»"),
        ("length(name, 1) eq 1", "nhận 1 đối số"), ("name eq 'a", "không hiểu"),
        ("t eq 2026-13-01T00:00:00Z", "Không có thời điểm"), ("t eq 2026-02-30", "ngày"),
        ("t eq 25:00", "giờ"), ("1 eq 1e999", "quá lớn"), ("t gt duration'P'", "khoảng thời gian"),
        ("(" * 50 + "a" + ")" * 50, "40 tầng"), ("not " * 50 + "a", "40 tầng"), ("a" * 4_001, "4000"),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_said(text, said):
    with pytest.raises(filters.FilterError, match=said):
        filters.parse(text)


def test_and_binds_closer_than_or_and_rows_stay_flat():
    assert filters.parse("a or b and c or d") == filters.Some(
        (Named(("a",)), filters.Every((Named(("b",)), Named(("c",)))), Named(("d",)))
    )
    assert filters.parse("a sub 1 sub 2 eq 3") == Comparison(
        "eq", filters.Row(Named(("a",)), (("sub", Literal(1)), ("sub", Literal(2)))), Literal(3)
    )


def words(text: str) -> list[str]:
    return text.split(" ")


_PIECES = st.sampled_from(words(
    "result phenomenonTime Datastream/name properties/x.y @iot.id id 'a' 'it''s' '' 3 -4.5e2 1e308 true null eq ne gt "
    "ge lt le in and or not add sub mul div mod ( ) , / contains( length( substring( year( now() date( round( "
    "2026-01-01T00:00:00Z 2026-01-01 0001-01-01T00:00:00+14:00 9999-12-31T23:59:59-14:00 07:00 duration'PT1H' "
    "duration'P999999D' ' \\ % \0 \u202e ắ"
))  # fmt: skip
_FILTERS = st.one_of(
    st.text(max_size=200), st.lists(_PIECES, max_size=60).map(" ".join), st.lists(_PIECES).map("".join)
)


@settings(max_examples=500, deadline=1000)
@given(_FILTERS)
@example("maxdatetime() add duration'P1D' gt result")
@example("result mul 1e308 mul 1e308 eq round(1e308 mul 1e308)")
@example("substring(name, 1e308) eq 'a'")
@example("9" * 17 + " mul 9" * 600 + " eq result")
@example("concat(" * 39 + "name" + ",name)" * 39 + " eq 'a'")
@example("Datastreams/name eq Datastreams/name" + " or Datastreams/name ne Datastreams/name" * 90)
def test_whatever_the_text_is_it_is_a_filter_or_a_filter_error(text):
    try:
        expression = filters.parse(text)
    except filters.FilterError as error:
        assert str(error)
        return
    assert filters.holds(expression, THING.get, NOW) in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4_000, "a and " * 660 + "a", "not " * 999, "1 add " * 660 + "1 eq 1", "'" * 4_000, "a/" * 1_990 + "a",
        "a eq 'x' or " * 330 + "a", "9" * 4_000, "contains(" * 400, "''" * 2_000, "1 " * 2_000, "duration'" * 400,
        "2026-01-01T00:00:00." + "9" * 3_900,
    ],
)  # fmt: skip
def test_no_filter_takes_long_to_read(text):
    filters.parse("a")  # the grammar itself is read once a process
    began = time.perf_counter()

    try:
        filters.parse(text)
    except filters.FilterError:
        took = time.perf_counter() - began
    else:
        took = time.perf_counter() - began

    assert took < 1


_NAMES = st.sampled_from(words(
    "$filter $expand $select $orderby $top $skip $count $resultFormat $skiptoken $search $format x"
))  # fmt: skip
_VALUES = st.one_of(
    st.text(max_size=60),
    _FILTERS,
    st.lists(
        st.sampled_from(
            words(
                "Datastreams Observations Thing Locations Sensor / , ; ( ) $top=1 $expand= $select=name $orderby= desc "
                "name id phenomenonTime -1 0 5 999999999999 ' $filter="
            )
        ),
        max_size=30,
    ).map("".join),
)


@settings(max_examples=500, deadline=1000)
@given(st.sampled_from(sorted(KINDS)), st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
@example("Things", [("$expand", "Datastreams($expand=" * 400)])
@example("Things", [("$expand", "Datastreams/Thing/" * 400)])
@example("Things", [("$expand", ",".join(["Datastreams"] * 200))])
def test_whatever_the_options_are_they_are_options_or_a_query_error(name, pairs):
    query = "&".join(f"{key}={value}" for key, value in pairs)
    try:
        found = options.read_options(query, KINDS[name])
    except options.QueryError as error:
        assert str(error)
    else:
        assert found.page <= options.PAGE_MAX


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=100) | st.lists(st.sampled_from(words("Things ( ) 1 ' '' / $ref :"))).map("".join))
def test_whatever_the_address_is_it_is_steps_or_nowhere(path):
    try:
        steps = options.read_path(path)
    except options.NotThere:
        return
    assert json.dumps([step.name for step in steps])
