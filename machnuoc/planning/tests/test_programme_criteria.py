"""Laws of judging places by criteria: results, gaps, which threshold holds, roadmaps that add up."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from machnuoc.planning import criteria
from machnuoc.planning.criteria import Place, Requirement, Result

amounts = st.decimals(-1000, 1000, places=2)
comparators = st.sampled_from(["GE", "GT", "LE", "LT", "EQ"])
results = st.sampled_from(list(Result))


@given(amounts, comparators, amounts)
def test_what_is_met_lacks_nothing_and_a_gap_is_never_negative(measured, comparator, amount):
    gap = criteria.gap(measured, comparator, amount)

    assert gap >= 0
    if criteria.is_met(measured, comparator, amount):
        assert gap == 0


@given(amounts, amounts)
def test_at_least_and_below_never_both_hold_and_one_always_does(measured, amount):
    assert criteria.is_met(measured, "GE", amount) != criteria.is_met(measured, "LT", amount)
    assert criteria.is_met(measured, "LE", amount) != criteria.is_met(measured, "GT", amount)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 100))
def test_a_share_is_judged_before_it_is_rounded(numerator, denominator, amount):
    exact = criteria.ratio(Decimal(numerator), Decimal(denominator))

    met = criteria.judge(exact, Requirement(1, "GE", Decimal(amount)))

    assert (met == Result.MET) == (100 * numerator >= amount * denominator)
    assert abs(Fraction(criteria.kept(exact)) - exact) <= Fraction(1, 20_000)


def test_a_share_just_short_of_the_threshold_is_not_rounded_up_to_it():
    exact = criteria.ratio(Decimal(1_999_999), Decimal(10_000_000))

    assert criteria.kept(exact) == Decimal("20.0000")
    assert criteria.judge(exact, Requirement(1, "GE", Decimal(20))) == Result.NOT_MET


@given(st.lists(results), results | st.none())
def test_one_sub_indicator_that_is_not_met_fails_the_criterion_whatever_is_said_of_the_whole(parts, stated):
    whole = criteria.of_criterion(parts, stated)

    assert (whole == Result.NOT_MET) == (Result.NOT_MET in parts or (stated == Result.NOT_MET))


@given(st.lists(results))
def test_a_criterion_is_met_only_when_all_that_apply_are_met(parts):
    if criteria.of_criterion(parts) == Result.MET:
        assert set(parts) <= {Result.MET, Result.NOT_APPLICABLE}
        assert Result.MET in parts


requirements = st.builds(
    Requirement,
    id=st.integers(1, 10**6),
    comparator=comparators,
    amount=amounts,
    text=st.just(""),
    territory_id=st.none() | st.integers(1, 4),
    commune_group=st.none() | st.integers(1, 3),
    region=st.sampled_from(["", "DHNTB", "TN"]),
    valid_from=st.none() | st.dates(date(2015, 1, 1), date(2030, 1, 1)),
    valid_to=st.none(),
)
places = st.builds(
    Place,
    territory_ids=st.lists(st.integers(1, 4), unique=True).map(tuple),
    commune_group=st.none() | st.integers(1, 3),
    region=st.sampled_from(["", "DHNTB", "TN"]),
)


@given(st.lists(requirements, unique_by=lambda one: one.id), places, st.integers(2016, 2032), st.randoms())
def test_the_threshold_of_a_place_fits_it_and_does_not_depend_on_the_order_of_entry(rows, place, year, random):
    chosen = criteria.choose(rows, place, year)
    random.shuffle(rows)

    assert criteria.choose(rows, place, year) == chosen
    if chosen is not None:
        assert chosen.territory_id in {None, *place.territory_ids}
        assert chosen.commune_group in {None, place.commune_group}
        assert chosen.region in {"", place.region}
        assert chosen.valid_from is None or chosen.valid_from <= date(year, 12, 31)
        if chosen.territory_id is None:  # nothing nearer fitted
            assert criteria.choose([one for one in rows if one.territory_id is not None], place, year) is None


@given(requirements, places, st.integers(2016, 2032), st.integers(1, 4))
def test_what_a_nearer_territory_decided_goes_first(general, place, year, territory_id):
    local = Requirement(2_000_000, "GE", Decimal(1), territory_id=territory_id)

    chosen = criteria.choose([general, local], Place((territory_id, *place.territory_ids)), year)

    if general.territory_id != territory_id:
        assert chosen == local


def test_a_threshold_ends_on_its_last_day_and_the_next_begins_there():
    old = Requirement(1, "GE", Decimal(20), valid_to=date(2024, 1, 1))
    new = Requirement(2, "GE", Decimal(35), valid_from=date(2024, 1, 1))

    assert [criteria.choose([old, new], Place(), year) for year in (2023, 2024)] == [old, new]


@given(st.lists(st.integers(2014, 2025), max_size=80))
def test_the_years_of_a_roadmap_add_up_to_its_rows(years):
    rows = criteria.roadmap(years, {})

    assert sum(row.count for row in rows) == len(years)
    assert [row.year for row in rows] == sorted(set(years))
    if rows:
        assert rows[-1].cumulative == len(years)


@given(st.integers(1, 500), st.integers(1, 500))
def test_the_number_that_a_share_was_taken_of_is_among_those_found(count, more):
    base = count + more
    printed = f"{(Decimal(100 * count) / base).quantize(Decimal('0.1'), 'ROUND_HALF_UP')}%".replace(".", ",")

    found = criteria.implied_bases(count, printed)

    assert base in found or printed.startswith("0,0")


@given(st.integers(2000, 2099), st.integers(1, 12), st.none() | st.integers(1, 31))
def test_before_a_day_ends_one_day_earlier_than_at_the_latest_that_day(year, month, day):
    inclusive = criteria.last_lawful_day(year, month, day, is_exclusive=False)

    assert criteria.last_lawful_day(year, month, day, is_exclusive=True) == inclusive - timedelta(days=1)
    assert (inclusive.year, inclusive.month) == (year, month)
