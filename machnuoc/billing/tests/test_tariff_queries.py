"""Which prices and fees apply where and when."""

from datetime import date
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from machnuoc.billing import tariff_queries
from machnuoc.billing.models import FeeRule, Tariff
from machnuoc.billing.tests.world import make_tariff, make_work
from machnuoc.places.models import Containment, Subject

pytestmark = pytest.mark.django_db
JULY, MIDDLE, AUGUST = date(2026, 7, 1), date(2026, 7, 16), date(2026, 8, 1)


def told(book, work) -> list[tuple[date, date, int, int]]:
    return [
        (span.from_date, span.to_date, span.tariff_id, span.fee_basis_points["SH"])
        for span in book.spans(work.pk, JULY, AUGUST)
    ]


def test_the_tariff_of_the_operator_applies_to_its_works(world):
    book = tariff_queries.price_book([world.work.pk], JULY, AUGUST)

    assert told(book, world.work) == [(JULY, AUGUST, world.tariff.pk, 1_000)]
    assert book.prices[world.tariff.pk].groups["SH"].blocks[0].price_vnd == 6_000
    assert book.prices[world.tariff.pk].groups["KDDV"].structure == "FLAT"


def test_the_closer_scope_wins_from_its_day_on(world):
    other = make_work(world.operator, "work.khac", "Trạm khác")
    own = make_tariff(world.work.subject, "gia-rieng", MIDDLE)

    book = tariff_queries.price_book([world.work.pk, other.pk], JULY, AUGUST)

    assert told(book, world.work) == [
        (JULY, MIDDLE, world.tariff.pk, 1_000), (MIDDLE, AUGUST, own.pk, 1_000)
    ]  # fmt: skip
    assert told(book, other) == [(JULY, AUGUST, world.tariff.pk, 1_000)]


def test_a_province_is_further_away_than_the_operator_and_drafts_and_withdrawn_ones_do_not_count(world):
    province = Subject.objects.create(key="vn.thu", kind=Subject.Kind.UNIT, name="Tỉnh thử")
    for inside in (province, world.operator.subject, world.work.subject):
        Containment.objects.create(ancestor=province, descendant=inside)
    make_tariff(province, "gia-tinh", date(2026, 1, 1))
    make_tariff(world.work.subject, "gia-soan", JULY, state=Tariff.State.DRAFT)
    make_tariff(world.work.subject, "gia-huy", JULY, state=Tariff.State.WITHDRAWN)

    book = tariff_queries.price_book([world.work.pk], JULY, AUGUST)

    assert told(book, world.work) == [(JULY, AUGUST, world.tariff.pk, 1_000)]


def test_days_without_a_tariff_are_told(world):
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=MIDDLE)

    book = tariff_queries.price_book([world.work.pk], JULY, AUGUST)

    assert told(book, world.work) == [(JULY, MIDDLE, world.tariff.pk, 1_000), (MIDDLE, AUGUST, 0, 1_000)]


def test_the_environment_fee_is_switched_by_place_and_group(world):
    FeeRule.objects.create(
        scope=world.work.subject, basis_points=0, valid_from=MIDDLE, document="Vùng nông thôn chưa có hệ thống"
    )
    FeeRule.objects.create(
        scope=world.work.subject, group="KDDV", basis_points=1_500, valid_from=MIDDLE, document="NQ thử"
    )

    spans = tariff_queries.price_book([world.work.pk], JULY, AUGUST).spans(world.work.pk, JULY, AUGUST)

    assert [span.fee_basis_points["SH"] for span in spans] == [1_000, 0]
    assert [span.fee_basis_points["KDDV"] for span in spans] == [1_000, 1_500]


def test_spans_are_cut_to_the_days_asked_for(world):
    make_tariff(world.work.subject, "gia-rieng", MIDDLE)
    book = tariff_queries.price_book([world.work.pk], JULY, AUGUST)

    first = book.spans(world.work.pk, date(2026, 7, 5), date(2026, 7, 10))
    both = book.spans(world.work.pk, date(2026, 7, 15), date(2026, 7, 17))

    assert [(span.from_date.day, span.to_date.day) for span in first] == [(5, 10)]
    assert [(span.from_date.day, span.to_date.day) for span in both] == [(15, 16), (16, 17)]
    with pytest.raises(ValueError, match="lies outside"):
        book.spans(world.work.pk, JULY, date(2026, 8, 2))


def test_a_book_of_many_months_says_of_each_what_a_book_of_it_alone_says(world):
    own = make_tariff(world.work.subject, "gia-rieng", MIDDLE)
    make_tariff(world.work.subject, "gia-sau", date(2026, 9, 10))
    Tariff.objects.filter(pk=own.pk).update(valid_to=date(2026, 9, 10))
    FeeRule.objects.create(scope=world.work.subject, basis_points=0, valid_from=date(2026, 8, 20), document="NQ thử")
    months = [date(2026, month, 1) for month in range(6, 12)]
    whole = tariff_queries.price_book([world.work.pk], months[0], months[-1])

    for start, end in pairwise(months):
        alone = tariff_queries.price_book([world.work.pk], start, end)
        assert whole.spans(world.work.pk, start, end) == alone.spans(world.work.pk, start, end)


def test_a_book_of_many_works_takes_as_few_queries_as_of_one(world):
    works = [make_work(world.operator, f"work.{number}").pk for number in range(12)]

    def count(work_ids: list[int]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            tariff_queries.price_book(work_ids, JULY, AUGUST)
        return len(queries)

    assert count(works) == count(works[:1]) <= 5


def test_frames_are_read_from_the_data_file_once():
    assert tariff_queries.load_frames() == 3
    assert tariff_queries.load_frames() == 0
    rural = tariff_queries.get_frame("RURAL", JULY)

    assert (rural.low_vnd, rural.high_vnd) == (2_000, 11_000)
    assert tariff_queries.get_frame("RURAL", date(2021, 1, 1)) is None


def test_the_examples_begin_drafts_without_a_gap():
    for example in tariff_queries.list_examples():
        problems = tariff_queries.tariff_checks.find_problems(
            example.rows, group_names=dict.fromkeys(tariff_queries.GROUP_NAMES, "Nhóm"),
            vat_basis_points=500, includes_vat=bool(example.includes_vat),
        )  # fmt: skip
        assert [one.text for one in problems if one.is_fatal] == [], example.key
