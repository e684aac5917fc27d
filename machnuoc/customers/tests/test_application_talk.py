"""Quotes with items, days promised, questions and answers of an application."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.customers import application_operations, application_queries, application_talk
from machnuoc.customers.application_queries import ApplicationFilters
from machnuoc.customers.connection_operations import ChangedMeanwhile, RecordError
from machnuoc.customers.tests.test_applications import begin
from machnuoc.customers.tests.world import NOW, TODAY, make_person
from machnuoc.places.models import Grant

pytestmark = pytest.mark.django_db


def test_an_item_costs_quantity_times_price_rounded_half_up():
    assert application_talk.QuoteLine("Ống", Decimal("0.5"), "m", 3).amount_vnd == 2
    assert application_talk.parse_lines("Ống; 12.5; m; 18.000 đ")[0].amount_vnd == 225_000  # never 125 m
    assert [one.amount_vnd for one in application_talk.parse_lines("a; 1; ; 5\n\nb; 2,25; m; 1.000")] == [5, 2250]


@pytest.mark.parametrize(
    "line",
    ["Ống", "Ống; 1; m", "; 1; m; 5", "Ống; 0; m; 5", "Ống; -1; m; 5", "Ống; NaN; m; 5", "Ống; 1e9; m; 5",
     "Ống; 1,2345; m; 5", "Ống; 1; m; 5,5", "Ống; 1; m; -5", "Ống; 1; m; ٣", f"{'x' * 161}; 1; m; 5",
     "Ống; 1; m; 9999999999999"],
)  # fmt: skip
def test_a_line_of_a_quote_that_cannot_be_read_is_named(line):
    with pytest.raises(RecordError, match="Dòng 2"):
        application_talk.parse_lines(f"Công; 1; lần; 1\n{line}")


def test_an_amount_that_differs_from_its_items_is_refused(centre):
    lines = application_talk.parse_lines("Ống; 2; m; 100")
    with pytest.raises(RecordError, match="200"):
        application_operations.advance(begin(centre), at=NOW, by=centre.clerk, now=NOW, quote_vnd=300, items=lines)


def test_a_quote_takes_its_amount_from_its_items(centre):
    one = begin(centre)
    made = application_operations.advance(
        one, at=NOW, by=centre.clerk, now=NOW, items=application_talk.parse_lines("Ống; 2; m; 100")
    )

    assert made.quote_vnd == 200 and one.quote_items.get().amount_vnd == 200


def test_a_step_empties_the_day_that_was_promised_for_it(centre):
    one = begin(centre)
    said = {"by": centre.clerk, "now": NOW}
    made = application_operations.promise(one, survey_date=TODAY, due_date=TODAY, version=one.version, **said)

    after = application_operations.advance(made, at=NOW, quote_vnd=1, **said)

    assert (after.survey_date, after.due_date) == (TODAY, None)


@pytest.mark.parametrize("days", [-30, 800])
def test_a_day_that_cannot_be_promised_is_refused(centre, days):
    with pytest.raises(RecordError, match="ngày hẹn"):
        application_operations.promise(
            begin(centre), survey_date=TODAY + timedelta(days=days), due_date=None, version=None, by=centre.clerk,
            now=NOW,
        )  # fmt: skip


def test_who_promises_on_an_old_page_is_told(centre):
    one = begin(centre)
    with pytest.raises(ChangedMeanwhile):
        application_operations.promise(
            one, survey_date=TODAY, due_date=None, version=one.version + 1, by=centre.clerk, now=NOW
        )


def test_applications_whose_question_waits_are_found_until_it_is_answered(centre):
    one = begin(centre)
    wanted = ApplicationFilters(stage="ASKED")
    assert not application_queries.select(centre.clerk, wanted)
    application_operations.ask(one, text="Bao giờ?", now=NOW)
    assert [found.pk for found in application_queries.select(centre.clerk, wanted)] == [one.pk]

    application_operations.answer(one, text="Mai.", by=centre.clerk, now=NOW)

    assert not application_queries.select(centre.clerk, wanted)


def test_who_does_not_serve_the_work_answers_nobody(centre):
    one = begin(centre)
    stranger = make_person("nguoi.la", Grant.Role.STATION, centre.nghia_phu.subject)
    with pytest.raises(PermissionDenied):
        application_operations.answer(one, text="Mai.", by=stranger, now=NOW)


def test_pages_promise_and_answer(centre, browser_of):
    one = begin(centre)
    browser = browser_of(centre.clerk)
    assert browser.post(f"/khach-hang/de-nghi/{one.code}/hen/", {"due_date": TODAY.isoformat()}).status_code == 302
    assert browser.post(f"/khach-hang/de-nghi/{one.code}/tra-loi/", {"text": "Mai đến."}).status_code == 302
    assert browser.post(f"/khach-hang/de-nghi/{one.code}/tra-loi/", {"text": "x"}).status_code == 422
    page = browser.get(f"/khach-hang/de-nghi/{one.code}/").content.decode()

    assert "Mai đến." in page and f"{TODAY:%d/%m/%Y}" in page
