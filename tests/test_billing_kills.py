"""A billing run whose process is killed (SIGKILL) at any moment: each connection one bill, no gap, a sound ledger."""

import os
import random
import signal
import time

import pytest
from django.db import connections
from django.db.models import Count

from machnuoc.bench import filling, filling_customers
from machnuoc.billing import corrections, ledger, runs
from machnuoc.billing.models import Bill, BillingRun, BillLine, InvoiceSeries, Posting

CONNECTIONS = 2_000
ROUNDS = 12


def issue_and_kill_after(run: BillingRun, bills: int) -> bool:
    """Issue in a process of its own and kill it once so many bills are there; return whether it came to its end."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            runs.issue(run.pk, now=filling_customers.NOW)
            os._exit(0)
        except BaseException:
            os._exit(1)
    ended, status = 0, 0
    while not ended and Bill.objects.count() < bills:
        time.sleep(0.001)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
    return os.waitstatus_to_exitcode(status) == 0


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_anywhere_gives_each_connection_exactly_one_bill(monkeypatch):
    chance = random.Random(5)
    for vendor in runs.CHUNK:
        monkeypatch.setitem(runs.CHUNK, vendor, 50)
        monkeypatch.setitem(runs.GAP_S, vendor, 0.0)
    filling.make_places(10)
    provider = filling_customers.make_provider("chet", 3)
    filling_customers.add_connections(provider, CONNECTIONS)
    run = runs.open_run(
        scope=provider.operator.subject, period_start=filling_customers.MONTHS[1], now=filling_customers.NOW,
        by=provider.clerk,
    )  # fmt: skip
    runs.preview(run, now=filling_customers.NOW)
    run = runs.start(
        runs.approve(run, by=provider.leader, now=filling_customers.NOW), by=provider.clerk, now=filling_customers.NOW
    )
    seen = []

    for _ in range(ROUNDS):
        if issue_and_kill_after(run, Bill.objects.count() + chance.randint(1, CONNECTIONS // 6)):
            break
        run.refresh_from_db()
        seen.append(run.bills)
        assert Bill.objects.count() == run.bills == InvoiceSeries.objects.get().next_number - 1
        assert ledger.verify().problems == []
    run.refresh_from_db()
    if run.state == BillingRun.State.ISSUING:
        runs.issue(run.pk, now=filling_customers.NOW)
        run.refresh_from_db()

    assert run.state == BillingRun.State.DONE
    assert any(0 < bills < CONNECTIONS for bills in seen), seen  # it was killed in the middle
    assert Bill.objects.count() == CONNECTIONS == Bill.objects.values("connection").distinct().count()
    assert corrections.list_gaps(InvoiceSeries.objects.get()) == []
    assert run.total_vnd == run.previewed["total"] == sum(Bill.objects.values_list("total_vnd", flat=True))
    assert not BillLine.objects.values("bill", "order").annotate(n=Count("id")).filter(n__gt=1).exists()
    assert Posting.objects.values("source_id", "credit").annotate(n=Count("id")).filter(n__gt=1).count() == 0
    assert ledger.verify().problems == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_on_one_run_make_no_bill_twice(monkeypatch):
    for vendor in runs.CHUNK:
        monkeypatch.setitem(runs.CHUNK, vendor, 20)
    filling.make_places(10)
    provider = filling_customers.make_provider("hai", 1)
    filling_customers.add_connections(provider, 300)
    now = filling_customers.NOW
    run = runs.open_run(
        scope=provider.operator.subject, period_start=filling_customers.MONTHS[1], now=now, by=provider.clerk
    )
    runs.preview(run, now=now)
    run = runs.start(runs.approve(run, by=provider.leader, now=now), by=provider.clerk, now=now)
    connections.close_all()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                runs.issue(run.pk, now=now)
                os._exit(0)
            except runs.RunStopped:
                os._exit(3)
            except BaseException:
                os._exit(1)
        children.append(child)

    ends = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)

    assert ends in ([0, 0], [0, 3])  # the second is told, or came when all was done
    assert Bill.objects.count() == 300 == Bill.objects.values("connection").distinct().count()
    assert corrections.list_gaps(InvoiceSeries.objects.get()) == []
    assert ledger.verify().problems == []
