"""Simulated customers: the plan's numbers a station, nothing that reaches anybody, books that balance."""

from datetime import UTC, datetime

import pytest

from machnuoc.billing import ledger
from machnuoc.billing.models import Bill, BillingProfile, Payment, RunSkip
from machnuoc.core.models import AuditEntry
from machnuoc.customers.models import Connection, Customer, Reading
from machnuoc.demo import customers
from machnuoc.demo.tests.database import LOADED_AT

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def test_the_numbers_of_a_station_are_the_plans():
    stations = customers._list_stations(datetime(2026, 11, 22, tzinfo=UTC), 0)

    assert sum(station.before for station in stations) == 25_330
    assert 0 < sum(count for station in stations for _, count in station.joined) < 1_600


def test_whatever_is_there_says_that_it_is_simulated():
    assert Connection.objects.exists()
    for model in (Customer, Connection, Reading, Bill, Payment, BillingProfile):
        assert not model.objects.filter(is_simulated=False).exists()


def test_nobody_can_be_reached_by_a_simulated_customer():
    assert not Customer.objects.exclude(phone__startswith="0000").exists()
    assert not Customer.objects.exclude(email="").exists()
    assert BillingProfile.objects.get().bank_account.strip("0") == ""


def test_months_that_are_over_are_billed_and_most_of_it_paid():
    billed = set(Bill.objects.values_list("period_start_date", flat=True))

    assert billed == set(customers._billed_months(LOADED_AT))
    assert 0 < Payment.objects.count() < Bill.objects.count()
    assert set(RunSkip.objects.values_list("reason", flat=True)) <= {"NO_START", "NO_READING"}


def test_the_books_balance():
    assert ledger.verify().problems == []


def test_a_second_call_changes_nothing():
    before = AuditEntry.objects.count(), Bill.objects.count(), Reading.objects.count(), Payment.objects.count()

    assert customers.load_customers(LOADED_AT, most=3) == 0

    assert before == (
        AuditEntry.objects.count(), Bill.objects.count(), Reading.objects.count(), Payment.objects.count(),
    )  # fmt: skip
