"""Simulated work with the simulated customers: every state is there, marked, and the books balance."""

from datetime import timedelta

import pytest

from machnuoc.billing import ledger
from machnuoc.billing.models import Bill, Correction, DebtCase, DebtStep, Payment
from machnuoc.core.models import AuditEntry, Notice, Sending
from machnuoc.customers.models import Application, Connection, Customer, Meter, Reading, Request
from machnuoc.demo import customer_stories
from machnuoc.demo.tests.database import LOADED_AT

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def test_requests_applications_debts_and_corrections_stand_at_every_step():
    customer_stories.load_stories(LOADED_AT)

    states = set(Request.objects.values_list("state", flat=True))
    assert states == set(Request.State.values)
    answered = Request.objects.filter(answered_at__isnull=False, due_at__isnull=False)
    assert 0 < sum(one.answered_at > one.due_at for one in answered) < len(answered) / 2
    assert Request.objects.filter(rating__isnull=False).count() > 10
    assert Request.objects.filter(events__kind="REOPENED").exists()
    oldest = Request.objects.order_by("received_at").first()
    assert LOADED_AT - timedelta(days=91) < oldest.received_at < LOADED_AT - timedelta(days=80)

    stages = set(Application.objects.values_list("stage", flat=True))
    assert stages >= set(Application.Stage.values) - {Application.Stage.BILLED}
    assert {"SUSPECT", "CONFLICT"} <= set(Reading.objects.values_list("state", flat=True))
    assert set(Bill.objects.exclude(kind="NORMAL").values_list("kind", flat=True)) == {"ADJUSTMENT_DOWN", "REPLACEMENT"}
    assert Correction.objects.filter(state="REQUESTED").count() == 1
    assert DebtCase.objects.filter(state="CUT_OFF").count() == 1
    assert {"REMINDER", "NOTICE", "FINAL_NOTICE", "CUT_OFF"} <= set(DebtStep.objects.values_list("kind", flat=True))
    assert ledger.verify().problems == []


def test_whatever_the_stories_make_says_that_it_is_simulated_and_reaches_nobody():
    customer_stories.load_stories(LOADED_AT)

    for model in (Request, Application, Reading, Bill, Payment, Connection, Customer, Meter):
        assert not model.objects.filter(is_simulated=False).exists(), model
    assert not Sending.objects.exists()
    assert not Customer.objects.exclude(phone__startswith="0000").exclude(phone="").exists()
    done = Request.objects.filter(state="CLOSED").values_list("code", flat=True)
    assert not Notice.objects.filter(read_at__isnull=True, text__startswith=done[0]).exists()


def test_a_second_call_tells_nothing_twice():
    assert customer_stories.load_stories(LOADED_AT) > 60
    before = AuditEntry.objects.count()

    assert customer_stories.load_stories(LOADED_AT) == 0
    assert AuditEntry.objects.count() == before


def test_before_any_customer_is_there_nothing_is_told():
    Connection.objects.update(is_simulated=False)
    assert customer_stories.load_stories(LOADED_AT) == 0
