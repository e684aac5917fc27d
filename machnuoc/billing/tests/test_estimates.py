"""Estimated months that were read by now: proposed with their difference, ticked, adjusted in the background, once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing import corrections, estimates, ledger
from machnuoc.billing.models import Bill, Correction
from machnuoc.billing.tests.test_runs import bill_all
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW, make_world
from machnuoc.core import jobs
from machnuoc.core.models import Job

pytestmark = pytest.mark.django_db
ASKED = "?month=2026-08"


@pytest.fixture
def homes(world):
    """Three homes: July estimated at 10 m3 and billed so, August read: a m3 a day."""
    found = [world.connection({JUNE: 100}) for _ in range(3)]
    for home in found:
        world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    for home in found:
        world.read(home, AUGUST, 162)
    return found


def proposals(world):
    return estimates.list_proposals(AUGUST, [world.work.pk])


def order_of(rows):
    return [(one.bill.pk, one.due.total_vnd) for one in rows]


def work_off():
    while jobs.run_next(timezone.now() + timedelta(minutes=1)):
        pass
    return Job.objects.filter(task=estimates.TASK).order_by("-pk").first()


def signed_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_an_estimated_month_is_proposed_with_what_it_was_billed_and_what_flowed_at_its_own_price(world, homes):
    found = proposals(world)

    assert [one.bill.connection_id for one in found] == [home.pk for home in homes]
    assert {(one.was_l, one.due.volume_l, one.due.difference_l) for one in found} == {(10_000, 31_000, 21_000)}
    # 10 m3 at 7,500, 10 at 9,000, 1 at 12,000; VAT 5 %, fee 10 %
    assert {one.due.total_vnd for one in found} == {177_000 * 115 // 100}
    assert not Bill.objects.exclude(kind="NORMAL").exists()
    assert not Correction.objects.exists()


def test_what_a_clerk_ticks_waits_for_who_approves_and_is_then_a_bill_of_its_own_with_the_reason(world, homes):
    ordered = order_of(proposals(world))[:2]

    asked = estimates.adjust(AUGUST, ordered, by=world.clerk, now=NOW)
    assert (asked.made, asked.waiting, asked.left) == (0, 2, 0)
    assert [one.wish is not None for one in proposals(world)] == [True, True, False]
    done = estimates.adjust(AUGUST, ordered, by=world.leader, now=NOW)

    assert (done.made, done.waiting, done.left) == (2, 0, 0)
    made = Bill.objects.filter(kind="ADJUSTMENT_UP")
    assert [(one.volume_l, one.total_vnd, one.reason) for one in made] == [
        (21_000, 203_550, corrections.TRUE_UP_REASON)
    ] * 2
    assert [one.bill.connection_id for one in proposals(world)] == [homes[2].pk]
    assert ledger.verify().problems == []
    assert corrections.list_gaps(world.series) == []


def test_an_order_taken_up_after_a_kill_or_given_twice_adjusts_nothing_twice(world, homes, monkeypatch):
    ordered = order_of(proposals(world))

    def killed(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimates.adjust(AUGUST, ordered, by=world.leader, now=NOW, progress=killed)
    made_before = Bill.objects.filter(kind="ADJUSTMENT_UP").count()
    estimates.adjust(AUGUST, ordered, by=world.leader, now=NOW)
    again = estimates.adjust(AUGUST, ordered, by=world.leader, now=NOW)

    assert made_before == 2
    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 3
    assert (again.made, again.waiting, again.left) == (0, 0, 0)
    assert ledger.verify().problems == []


def test_what_came_to_another_difference_meanwhile_is_left_alone_and_told(world, homes):
    ordered = [(pk, total_vnd + 1) for pk, total_vnd in order_of(proposals(world))[:1]]

    found = estimates.adjust(AUGUST, ordered, by=world.leader, now=NOW)

    assert (found.made, found.left) == (0, 1)
    assert "vừa thay đổi" in found.why_left


def test_a_bill_that_waits_for_another_correction_is_left_alone_and_told(world, homes):
    (first, *_) = proposals(world)
    facts = corrections.Facts(12_000, "SH", 1, 0)
    corrections.ask(first.bill, way="ADJUST", facts=facts, reason="Khách báo", by=world.clerk, now=NOW)

    found = estimates.adjust(AUGUST, order_of([first]), by=world.leader, now=NOW)

    assert (found.made, found.left) == (0, 1)
    assert "đề nghị sửa khác" in found.why_left


def test_the_run_of_the_month_does_not_adjust_again_what_was_adjusted_before_it(world, homes):
    estimates.adjust(AUGUST, order_of(proposals(world))[:2], by=world.leader, now=NOW)

    run = bill_all(world, AUGUST)

    assert run.previewed["true_ups"] == 1
    assert sum(Bill.objects.values_list("volume_l", flat=True)) == 3 * 62_000
    assert proposals(world) == []
    assert ledger.verify().problems == []


def test_less_than_was_estimated_is_given_back_and_set_against_what_is_owed(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 140, kind="ESTIMATED", source="RULE")
    bill_all(world)
    world.read(home, AUGUST, 162)

    (one,) = proposals(world)
    estimates.adjust(AUGUST, order_of([one]), by=world.leader, now=NOW)

    assert one.due.difference_l == -9_000
    lowered = Bill.objects.get(kind="ADJUSTMENT_DOWN")
    assert lowered.total_vnd == one.due.total_vnd < 0
    assert ledger.owed_by_bill(lowered) == 0
    assert ledger.verify().problems == []


def test_the_page_shows_the_proposals_and_orders_those_that_are_ticked(world, homes):
    client = signed_in(world.leader)
    address = reverse("billing:estimate_list") + ASKED

    page = client.get(address).content.decode()
    assert page.count('name="bill"') == 3
    assert "203.550" in page
    assert "610.650" in page  # of all
    (first, *_) = proposals(world)
    done = client.post(address, {"bill": f"{first.bill.pk}:{first.due.total_vnd}"})
    assert done.status_code == 302
    assert "Đang điều chỉnh ở chế độ nền" in client.get(address).content.decode()
    job = work_off()

    assert job.message == "Đã lập 1 hóa đơn điều chỉnh kỳ tạm tính."
    assert (job.progress_done, job.progress_total) == (1, 1)
    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 1
    assert client.get(address).content.decode().count('name="bill"') == 2
    client.post(address, {"all": "1"})
    work_off()
    assert "Không có kỳ tạm tính nào lệch" in client.get(address).content.decode()
    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 3


@pytest.mark.parametrize("said", [[], ["x"], ["1:"], ["999999:5"], [":"], ["1:--5"], ["²:1"]])
def test_what_was_not_proposed_is_not_adjusted(world, homes, said):
    client = signed_in(world.leader)

    answer = client.post(reverse("billing:estimate_list") + ASKED, {"bill": said})

    assert answer.status_code == 302
    assert not Job.objects.filter(task=estimates.TASK).exists()


def test_the_list_is_for_who_bills_and_shows_their_own_works_alone(world, homes):
    other = make_world("khac")
    address = reverse("billing:estimate_list") + ASKED

    assert signed_in(world.cashier).get(address).status_code == 403
    assert signed_in(world.station).get(address).status_code == 403
    assert 'name="bill"' not in signed_in(other.clerk).get(address).content.decode()
    assert 'name="bill"' not in signed_in(other.clerk).get(f"{address}&work={world.work.pk}").content.decode()
    first = proposals(world)[0]
    signed_in(other.leader).post(address, {"bill": f"{first.bill.pk}:{first.due.total_vnd}"})
    assert not Job.objects.filter(task=estimates.TASK).exists()
    listed = b"".join(signed_in(world.clerk).get(f"{address}&export=csv").streaming_content).decode()
    assert listed.count("07/2026") >= 3


def test_the_list_asks_the_database_as_often_for_many_as_for_few(world, homes):
    client = signed_in(world.clerk)
    address = reverse("billing:estimate_list") + ASKED
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for _ in range(8):
        more = world.connection({JUNE: 100})
        world.read(more, JULY, 110, kind="ESTIMATED", source="RULE")
        world.read(more, AUGUST, 162)
    bill_all(world)

    with CaptureQueriesContext(connection) as many:
        assert client.get(address).content.decode().count('name="bill"') == 11

    assert len(many) == len(few) <= 22
