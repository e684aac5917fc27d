"""Billing runs: what is previewed is what is issued, once for each connection, whatever happens in between."""

from datetime import date, datetime, timedelta

import pytest
from django.db import connection, transaction

from machnuoc.billing import corrections, ledger, payments, run_jobs, run_queries, runs
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, BillingRun, BillLine, Posting, RunSkip, Tariff
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW, World, make_tariff, make_work
from machnuoc.core.models import Job, Notice
from machnuoc.customers import reading_queries
from machnuoc.customers.models import Application, Fitting, NormPersons, UseShare

LATER = NOW + timedelta(hours=1)
MAY, SEPTEMBER = date(2026, 5, 1), date(2026, 9, 1)


def prepare(world: World, month: date = JULY) -> BillingRun:
    run = runs.open_run(scope=world.operator.subject, period_start=month, now=NOW, by=world.clerk)
    return runs.preview(run, now=NOW, by=world.clerk)


def begin(world: World, month: date = JULY) -> BillingRun:
    run = runs.approve(prepare(world, month), by=world.leader, now=NOW)
    return runs.start(run, by=world.clerk, now=NOW)


def bill_all(world: World, month: date = JULY, now: datetime = NOW) -> BillingRun:
    run = begin(world, month)
    runs.issue(run.pk, now=now)
    run.refresh_from_db()
    assert run.state == BillingRun.State.DONE
    return run


def test_a_run_gives_each_connection_its_numbered_bill_and_the_ledger_balances(world):
    home = world.connection({JUNE: 100, JULY: 125})
    shop = world.connection({JUNE: 0, JULY: 10}, group="KDDV")

    run = bill_all(world)

    bill = Bill.objects.get(connection=home)
    # 10 m3 at 6,000, 10 at 7,500, 5 at 9,000; VAT 5 %, fee 10 %
    assert (bill.volume_l, bill.net_vnd, bill.vat_vnd, bill.fee_vnd) == (25_000, 180_000, 9_000, 18_000)
    assert [(line.block, line.volume_l, line.amount_vnd) for line in bill.lines.order_by("order")] == [
        (1, 10_000, 60_000), (2, 10_000, 75_000), (3, 5_000, 45_000),
    ]  # fmt: skip
    assert (bill.from_date, bill.to_date) == (date(2026, 6, 30), date(2026, 7, 31))
    assert bill.due_date == date(2026, 8, 16)
    assert Bill.objects.get(connection=shop).net_vnd == 150_000
    assert sorted(Bill.objects.values_list("number", flat=True)) == [1, 2]
    assert (run.bills, run.total_vnd) == (2, run.previewed["total"])
    assert ledger.verify().problems == []
    assert ledger.balance_of(home.pk).receivable_vnd == 207_000


def test_a_preview_stores_totals_and_no_bill(world):
    world.connection({JUNE: 100, JULY: 125})
    world.connection({JUNE: 100})

    run = prepare(world)

    assert (run.previewed["bills"], run.previewed["total"]) == (1, 207_000)
    assert run.previewed["by_group"] == {"SH": [1, 25_000, 207_000]}
    assert run.previewed["skips"] == {"NO_READING": 1}
    assert not Bill.objects.exists()
    assert not Posting.objects.exists()


def test_a_month_is_compared_by_those_who_have_a_bill_in_both(world):
    world.connection({JUNE: 100, JULY: 120, AUGUST: 130})
    bill_all(world)
    world.connection({JULY: 0, AUGUST: 90})  # new: must not hide that the other used half as much

    run = prepare(world, AUGUST)
    page = run_queries.get_run_page(run, world.clerk)

    assert (run.previewed["bills"], page.both_bills) == (2, 1)
    assert (page.last_volume_m3, page.same_volume_m3, page.volume_change_pct) == (20, 10, -50)


def test_a_bill_over_years_is_looked_at_before_it_is_approved(world):
    taken_over = world.connection({JULY: 640})  # its meter has hung since 1 January 2025
    Fitting.objects.filter(connection=taken_over).update(installed_index_l=0)
    world.connection({JUNE: 100, JULY: 110})

    run = prepare(world)

    (odd,) = run_queries.get_run_page(run, world.clerk).outliers
    assert (odd.connection, odd.words, odd.since) == (taken_over, "Tính hơn ba tháng", date(2025, 1, 1))


def test_every_reason_to_leave_a_connection_out_says_what_to_do():
    assert set(run_queries.SKIP_ADVICE) == set(RunSkip.Reason)


def test_whoever_prepared_a_run_does_not_approve_it_while_somebody_else_could(world):
    world.connection({JUNE: 100, JULY: 125})
    run = runs.open_run(scope=world.operator.subject, period_start=JULY, now=NOW, by=world.leader)
    run = runs.preview(run, now=NOW)

    assert runs.may_approve(world.leader, run) == ""  # alone
    assert "quyền duyệt" in runs.may_approve(world.clerk, run)
    from machnuoc.billing.tests.world import make_person

    make_person("pho.duyet", "LEADER", world.operator.subject)
    with pytest.raises(BillingError, match="không tự duyệt"):
        runs.approve(run, by=world.leader, now=NOW)


def test_a_run_started_twice_is_told_the_second_time(world):
    world.connection({JUNE: 100, JULY: 125})
    run = begin(world)

    with pytest.raises(BillingError, match="đang được phát hành rồi"):
        runs.start(run, by=world.clerk, now=NOW)
    with pytest.raises(BillingError, match=f"đang có đợt #{run.pk}"):
        runs.open_run(scope=world.work.subject, period_start=JULY, now=NOW, by=world.clerk)


def test_issuing_twice_makes_no_bill_twice(world):
    world.connection({JUNE: 100, JULY: 125})
    run = begin(world)

    runs.issue(run.pk, now=NOW)
    with pytest.raises(runs.RunStopped):
        runs.issue(run.pk, now=NOW)

    assert Bill.objects.count() == 1
    again = prepare(world)
    assert again.previewed["bills"] == 0


def test_a_reading_changed_after_the_approval_is_found_and_asked_anew(world):
    home = world.connection({JUNE: 100, JULY: 125})
    run = begin(world)
    home.readings.filter(period_start_date=JULY).update(index_l=126_000)

    done = runs.issue(run.pk, now=NOW)

    run.refresh_from_db()
    assert not done.is_done
    assert run.state == BillingRun.State.PREVIEW
    assert run.previewed["changed"]["before"]["volume_l"] == 25_000
    assert run.previewed["volume_l"] == 26_000
    assert not Bill.objects.exists()
    assert Notice.objects.filter(person=world.leader, text__contains="đã thay đổi sau khi duyệt").exists()
    runs.start(runs.approve(run, by=world.leader, now=NOW), by=world.clerk, now=NOW)
    assert runs.issue(run.pk, now=NOW).is_done


def test_a_stopped_run_goes_on_where_it_was(world, monkeypatch):
    monkeypatch.setitem(runs.CHUNK, "sqlite", 2)
    monkeypatch.setitem(runs.CHUNK, "postgresql", 2)
    for _ in range(5):
        world.connection({JUNE: 0, JULY: 7})
    run = begin(world)

    def stop_after_the_first(done: int, total: int) -> None:
        runs.stop(run, by=world.clerk, now=NOW)

    with pytest.raises(runs.RunStopped):
        runs.issue(run.pk, now=NOW, progress=stop_after_the_first)
    run.refresh_from_db()
    assert (run.state, run.bills) == (BillingRun.State.STOPPED, 2)

    runs.start(run, by=world.clerk, now=NOW)
    runs.issue(run.pk, now=NOW)

    run.refresh_from_db()
    assert (run.state, run.bills) == (BillingRun.State.DONE, 5)
    assert sorted(Bill.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5]
    assert ledger.verify().problems == []


def test_a_skipped_connection_is_seen_with_its_reason_until_it_is_billed(world):
    world.connection({JUNE: 100, JULY: 125})
    late = world.connection({JUNE: 100})
    doubtful = world.connection({JUNE: 100})
    world.read(doubtful, JULY, 900, state="SUSPECT")
    backwards = world.connection({JUNE: 100, JULY: 40})

    run = bill_all(world)

    assert {skip.connection: skip.reason for skip in run.skips.all()} == {
        late: "NO_READING", doubtful: "SUSPECT", backwards: "NEGATIVE",
    }  # fmt: skip
    world.read(late, JULY, 110)
    follow_up = bill_all(world)
    assert follow_up.bills == 1
    assert runs.count_waiting(run) == {"SUSPECT": 1, "NEGATIVE": 1}


def test_water_that_the_next_month_was_billed_with_is_not_billed_again_when_its_reading_comes_late(world):
    home = world.connection({JUNE: 100, AUGUST: 130})
    kept = world.connection({JUNE: 0, JULY: 7, AUGUST: 9})
    bill_all(world, AUGUST)
    assert Bill.objects.get(connection=home).volume_l == 30_000
    world.read(home, JULY, 115)

    run = bill_all(world, JULY)

    assert [bill.connection for bill in run.issued.all()] == [kept]
    assert run.skips.get(connection=home).reason == "COVERED"


def test_a_month_with_a_new_tariff_is_priced_by_days(world):
    home = world.connection({JUNE: 100, JULY: 131})
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=date(2026, 7, 16))
    make_tariff(world.operator.subject, "gia-moi", date(2026, 7, 16), raise_pct=50)

    bill_all(world)

    bill = Bill.objects.get(connection=home)
    days = {line.tariff.key: line.days for line in bill.lines.all()}
    assert days == {"gia-thu": 16, "gia-moi": 15}
    assert sum(line.volume_l for line in bill.lines.all()) == 31_000
    assert bill.tariff.key == "gia-moi"


def test_shares_of_use_and_the_norm_of_the_time_are_followed(world):
    shared = world.connection({JUNE: 100, JULY: 110}, group="KDDV")
    for group, share_pct in (("SH", 60), ("KDDV", 40)):
        UseShare.objects.create(connection=shared, group=group, share_pct=share_pct, valid_from=date(2026, 1, 1))
    world.tariff.prices.filter(group="SH").update(structure="BLOCK_PER_PERSON")
    NormPersons.objects.create(connection=shared, persons=4, valid_from=date(2026, 1, 1), valid_to=date(2026, 7, 16))
    NormPersons.objects.create(connection=shared, persons=6, valid_from=date(2026, 7, 16))
    nobody = world.connection({JUNE: 100, JULY: 110})

    run = bill_all(world)

    bill = Bill.objects.get(connection=shared)
    assert {(line.group, line.days) for line in bill.lines.all()} == {
        ("SH", 16),
        ("SH", 15),
        ("KDDV", 16),
        ("KDDV", 15),
    }
    assert bill.persons == 6
    assert run.skips.get(connection=nobody).reason == "NO_PERSONS"


def test_estimated_bills_are_marked_and_trued_up_at_the_price_of_their_month(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    first = Bill.objects.get(connection=home)
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=AUGUST)
    make_tariff(world.operator.subject, "gia-moi", AUGUST, raise_pct=100)
    world.read(home, AUGUST, 162)  # 62 days, 62 m3: a m3 a day

    run = bill_all(world, AUGUST)

    adjustment = Bill.objects.get(connection=home, kind=Bill.Kind.ADJUSTMENT_UP)
    assert first.is_estimated
    assert (adjustment.corrects, adjustment.run, adjustment.period_start_date) == (first, run, JULY)
    assert adjustment.volume_l == 21_000  # 31 of July, 10 were billed
    assert {line.tariff for line in adjustment.lines.all()} == {world.tariff}
    assert corrections.money_of(first).net_vnd == 60_000 + 75_000 + 90_000 + 12_000
    assert Bill.objects.get(connection=home, period_start_date=AUGUST).volume_l == 31_000
    assert ledger.verify().problems == []
    assert corrections.list_gaps(world.series) == []


def test_an_estimated_bill_that_was_adjusted_by_hand_is_trued_up_to_what_was_used_and_no_more(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    first = Bill.objects.select_related("connection", "series").get(connection=home)
    wish = corrections.ask(
        first, way="ADJUST", facts=corrections.Facts(20_000, "SH", 1, 0), reason="Khách báo số", by=world.clerk, now=NOW
    )
    corrections.approve(wish, by=world.leader, now=NOW)
    world.read(home, AUGUST, 162)

    bill_all(world, AUGUST)

    assert corrections.facts_of(first).volume_l == 31_000
    assert sum(Bill.objects.filter(connection=home).values_list("volume_l", flat=True)) == 62_000
    assert ledger.verify().problems == []


def test_an_estimated_bill_that_was_replaced_by_hand_is_trued_up_to_what_was_used_too(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    first = Bill.objects.select_related("connection", "series").get(connection=home)
    facts = corrections.Facts(20_000, "SH", 1, 0)
    wish = corrections.ask(first, way="REPLACE", facts=facts, reason="Khách báo số", by=world.clerk, now=NOW)
    corrections.approve(wish, by=world.leader, now=NOW)
    world.read(home, AUGUST, 162)

    bill_all(world, AUGUST)

    live = Bill.objects.filter(connection=home, state="ISSUED")
    assert sum(live.values_list("volume_l", flat=True)) == 62_000
    assert ledger.verify().problems == []


def test_true_ups_are_made_a_few_at_a_time_and_once_though_the_worker_was_killed_before_the_bills(world, monkeypatch):
    monkeypatch.setitem(runs.TRUE_UPS, connection.vendor, 2)
    homes = [world.connection({JUNE: 100}) for _ in range(5)]
    for home in homes:
        world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    for home in homes:
        world.read(home, AUGUST, 162)
    run = begin(world, AUGUST)
    ids = [home.pk for home in homes]
    dues = corrections.list_due(reading_queries.usages(AUGUST, ids).true_ups, ids, run=run)
    with transaction.atomic():
        corrections.true_up(dues[:3], run=run, now=NOW)  # so far came a worker that was killed
    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 3

    assert runs.issue(run.pk, now=NOW).is_done

    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 5
    assert sum(Bill.objects.values_list("volume_l", flat=True)) == 5 * 62_000
    assert corrections.list_gaps(world.series) == []
    assert ledger.verify().problems == []


def test_the_money_of_adjusted_estimates_is_previewed_and_approved_with_the_run(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    world.read(home, AUGUST, 162)

    run = prepare(world, AUGUST)

    # 31 m3 of July instead of 10: 10 at 7,500, 10 at 9,000 and 1 at 12,000 more
    assert run.previewed["true_up"] == {
        "count": 1, "volume_l": 21_000, "up": 203_550, "down": 0, "net": 177_000, "vat": 8_850, "fee": 17_700,
        "total": 203_550,
    }  # fmt: skip
    runs.start(runs.approve(run, by=world.leader, now=NOW), by=world.clerk, now=NOW)
    runs.issue(run.pk, now=NOW)
    assert Bill.objects.get(kind="ADJUSTMENT_UP").total_vnd == 203_550


def test_an_estimated_bill_corrected_after_the_approval_is_found_and_asked_anew(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    july = Bill.objects.select_related("connection", "series").get(connection=home)
    world.read(home, AUGUST, 162)
    run = begin(world, AUGUST)
    facts = corrections.Facts(20_000, "SH", 1, 0)
    wish = corrections.ask(july, way="ADJUST", facts=facts, reason="Khách báo số", by=world.clerk, now=NOW)
    corrections.approve(wish, by=world.leader, now=NOW)

    done = runs.issue(run.pk, now=NOW)

    run.refresh_from_db()
    assert not done.is_done
    assert run.state == BillingRun.State.PREVIEW
    assert run.previewed["changed"]["before"]["true_up"] == 203_550
    assert run.previewed["true_up"]["volume_l"] == 11_000
    assert not Bill.objects.filter(run=run).exists()


def test_a_price_of_an_estimated_month_changed_after_the_approval_is_found_and_asked_anew(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=AUGUST)
    make_tariff(world.operator.subject, "gia-moi", AUGUST)
    world.read(home, AUGUST, 162)
    run = begin(world, AUGUST)
    world.tariff.prices.filter(group="SH").update(price_vnd=7_000)

    assert not runs.issue(run.pk, now=NOW).is_done
    assert not Bill.objects.filter(run=run).exists()


def test_a_run_whose_adjustments_were_made_before_it_was_stopped_shows_only_what_is_left_and_is_not_cancelled(world):
    homes = [world.connection({JUNE: 100}) for _ in range(3)]
    for home in homes:
        world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    for home in homes:
        world.read(home, AUGUST, 162)
    run = begin(world, AUGUST)
    ids = [home.pk for home in homes]
    dues = corrections.list_due(reading_queries.usages(AUGUST, ids).true_ups, ids, run=run)
    with transaction.atomic():
        corrections.true_up(dues[:2], run=run, now=NOW)  # then the worker was killed
    run = runs.stop(run, by=world.clerk, now=NOW)

    with pytest.raises(BillingError, match="đã phát hành 2 hóa đơn"):
        runs.cancel(run, by=world.clerk, now=NOW)
    run = runs.preview(run, now=NOW)

    assert (run.previewed["true_up"]["count"], run.previewed["true_up"]["total"]) == (1, 203_550)
    runs.start(runs.approve(run, by=world.leader, now=NOW), by=world.clerk, now=NOW)
    assert runs.issue(run.pk, now=NOW).is_done
    assert Bill.objects.filter(kind="ADJUSTMENT_UP").count() == 3


def _double_the_price_from_august(world: World) -> None:
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=AUGUST)
    make_tariff(world.operator.subject, "gia-moi", AUGUST, raise_pct=100)


def _assert_july_came_to_what_was_used_at_its_own_price(world: World, home) -> None:
    july = Bill.objects.get(connection=home, period_start_date=JULY, kind="NORMAL")
    assert sum(Bill.objects.filter(connection=home).values_list("volume_l", flat=True)) == 62_000
    assert corrections.facts_of(july).volume_l == 31_000
    assert corrections.money_of(july).net_vnd == 60_000 + 75_000 + 90_000 + 12_000
    assert ledger.verify().problems == []
    assert corrections.list_gaps(world.series) == []


def test_an_estimated_month_that_is_billed_after_the_next_one_is_trued_up_by_the_run_that_follows(world):
    home = world.connection({JUNE: 100})
    _double_the_price_from_august(world)
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    world.read(home, AUGUST, 162)
    bill_all(world, AUGUST)
    bill_all(world, JULY)
    world.read(home, SEPTEMBER, 192)

    run = bill_all(world, SEPTEMBER)

    adjustment = Bill.objects.get(kind="ADJUSTMENT_UP")
    assert (adjustment.run, adjustment.period_start_date, adjustment.volume_l) == (run, JULY, 21_000)
    assert run.previewed["true_up"]["total"] == adjustment.total_vnd
    assert Bill.objects.get(connection=home, period_start_date=SEPTEMBER).volume_l == 30_000
    assert sum(Bill.objects.values_list("volume_l", flat=True)) == 62_000 + 30_000
    assert corrections.money_of(adjustment.corrects).net_vnd == 60_000 + 75_000 + 90_000 + 12_000
    assert ledger.verify().problems == []
    again = prepare(world, SEPTEMBER)
    assert again.previewed["true_ups"] == 0


@pytest.mark.parametrize("is_august_billed_first", [False, True])
def test_an_estimated_month_that_was_read_after_all_when_it_had_been_billed_comes_to_what_was_read(
    world, is_august_billed_first
):
    home = world.connection({JUNE: 100})
    _double_the_price_from_august(world)
    guess = world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    if is_august_billed_first:
        world.read(home, AUGUST, 162)
        bill_all(world, AUGUST)  # which trued July up by days already
    guess.state = "REFUSED"
    guess.save()
    world.read(home, JULY, 131)
    if not is_august_billed_first:
        world.read(home, AUGUST, 162)
        bill_all(world, AUGUST)

    run = prepare(world, AUGUST)

    assert run.previewed["true_ups"] == 0
    _assert_july_came_to_what_was_used_at_its_own_price(world, home)


def test_two_estimated_months_billed_late_share_what_is_left_by_days(world):
    home = world.connection({MAY: 100})
    world.read(home, JUNE, 105, kind="ESTIMATED", source="RULE")
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    world.read(home, AUGUST, 192)  # 92 days, 92 m3
    bill_all(world, AUGUST)
    bill_all(world, JUNE)
    bill_all(world, JULY)

    bill_all(world, AUGUST)  # nobody is left to bill; what was left behind is

    volumes = {
        bill.period_start_date: corrections.facts_of(bill).volume_l for bill in Bill.objects.filter(kind="NORMAL")
    }
    assert volumes == {JUNE: 30_000, JULY: 31_000, AUGUST: 31_000}
    assert ledger.verify().problems == []


def test_a_month_estimated_too_high_that_is_billed_late_is_given_back_and_no_more(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 150, kind="ESTIMATED", source="RULE")
    world.read(home, AUGUST, 162)
    bill_all(world, AUGUST)
    bill_all(world, JULY)

    bill_all(world, AUGUST)

    assert Bill.objects.get(kind="ADJUSTMENT_DOWN").volume_l == -19_000
    assert sum(Bill.objects.filter(connection=home).values_list("volume_l", flat=True)) == 62_000


def test_one_run_bills_one_operator(world):
    from machnuoc.billing.tests.world import make_operator
    from machnuoc.places.models import Containment

    other = make_work(make_operator("org.khac", "Đơn vị khác"), "work.khac")
    Containment.objects.create(ancestor=world.operator.subject, descendant=other.subject)
    world.connection({JUNE: 0, JULY: 1})
    world.connection({JUNE: 0, JULY: 1}, work=other)

    with pytest.raises(BillingError, match="nhiều đơn vị cấp nước"):
        runs.open_run(scope=world.operator.subject, period_start=JULY, now=NOW, by=world.clerk)


def test_lines_of_every_bill_add_up_to_its_net(world):
    for number in range(40):
        world.connection({JUNE: 0, JULY: number * 3}, group=["SH", "SH_NGHEO", "HCSN", "SX", "KDDV"][number % 5])

    bill_all(world)

    for bill in Bill.objects.prefetch_related("lines"):
        assert sum(line.amount_vnd for line in bill.lines.all()) == bill.net_vnd
        assert sum(line.volume_l for line in bill.lines.all()) == bill.volume_l
        assert [line.order for line in bill.lines.order_by("order")] == list(range(1, bill.lines.count() + 1))
    assert BillLine.objects.count() > 40


def test_the_first_bill_ends_the_way_of_an_application(world):
    home = world.connection({JUNE: 100, JULY: 125})
    wanted = Application.objects.create(
        code="DX1", work=world.work, stage="INSTALLED", name="Người Xin", address="Thôn 1", connection=home,
        created_at=NOW,
    )  # fmt: skip

    bill_all(world)

    wanted.refresh_from_db()
    assert wanted.stage == "BILLED"


def test_what_was_paid_ahead_is_set_against_bills_though_the_worker_was_killed_after_the_last(world):
    home = world.connection({JUNE: 100, JULY: 125})
    payments.record_payment(
        connection=home, amount_vnd=300_000, method="BANK", received_at=NOW, now=NOW, by=world.clerk
    )
    run = bill_all(world)  # and nothing after it
    assert ledger.balance_of(home.pk).receivable_vnd == 207_000

    run_jobs.issue_run(Job.objects.get(pk=run.job_id), run_id=run.pk)

    assert ledger.balance_of(home.pk) == ledger.Balance(0, 93_000)
