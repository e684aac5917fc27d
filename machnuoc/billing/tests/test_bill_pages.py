"""Pages of runs, bills and the ledger: what they show, to whom, and what they do."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing import bill_pdf, bill_queries, corrections, ledger, runs
from machnuoc.billing.corrections import Facts
from machnuoc.billing.models import Bill, BillingRun
from machnuoc.billing.tests.test_runs import bill_all, prepare
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW, make_operator, make_person, make_work, make_world
from machnuoc.core import jobs
from machnuoc.customers.models import Connection, DataAccess, Route


def sign_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text_of(answer) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()


@pytest.fixture
def bill(world) -> Bill:
    home = world.connection({JUNE: 100, JULY: 125})
    world.connection({JUNE: 100})
    bill_all(world)
    return Bill.objects.get(connection=home)


def test_who_approves_a_run_reads_what_its_adjustments_of_estimates_come_to(world):
    home = world.connection({JUNE: 100})
    world.read(home, JULY, 110, kind="ESTIMATED", source="RULE")
    bill_all(world)
    world.read(home, AUGUST, 162)
    run = prepare(world, AUGUST)

    shown = text_of(sign_in(world.leader).get(reverse("billing:run_detail", args=[run.pk])))

    assert "điều chỉnh 1 kỳ đã tạm tính" in shown
    assert "và 1 điều chỉnh, 203.550" in shown


def test_a_month_is_billed_on_the_screens_from_opening_to_issue(world):
    world.connection({JUNE: 100, JULY: 125})
    clerk, leader = sign_in(world.clerk), sign_in(world.leader)

    answer = clerk.post(reverse("billing:run_open"), {"period": "2026-07-01", "scope": world.operator.pk})
    run = BillingRun.objects.get()
    assert answer.url == reverse("billing:run_detail", args=[run.pk])
    shown = text_of(clerk.get(answer.url))
    assert "207.000" in shown
    assert "người lập đợt không tự duyệt" in shown
    seen = {"hash": run.previewed["hash"]}
    clerk.post(reverse("billing:run_approve", args=[run.pk]), seen)
    run.refresh_from_db()
    assert run.state == BillingRun.State.PREVIEW  # the clerk may not
    leader.post(reverse("billing:run_approve", args=[run.pk]), seen)
    clerk.post(reverse("billing:run_start", args=[run.pk]))
    again = clerk.post(reverse("billing:run_start", args=[run.pk]), follow=True)
    assert "đang được phát hành rồi" in text_of(again)
    job = jobs.run_next(run.created_at.__class__.now(run.created_at.tzinfo))

    run.refresh_from_db()
    assert job is not None
    assert "1 hóa đơn" in job.message
    assert run.state == BillingRun.State.DONE
    assert "Đã phát hành" in text_of(clerk.get(reverse("billing:run_detail", args=[run.pk])))


def test_the_page_of_a_bill_says_why_it_is_what_it_is(world, bill):
    shown = text_of(sign_in(world.station).get(reverse("billing:bill_detail", args=[bill.pk])))

    for words in ("Vì sao số tiền này", "Bậc 3", "9.000", "45.000", "207.000", "Nguyễn Văn Thử 1", "Biểu giá gia-thu"):
        assert words in shown
    assert DataAccess.objects.filter(person=world.station, customer=bill.customer).exists()


def test_whoever_only_views_sees_the_customer_masked(world, bill):
    agency = make_person("so-nganh", "AGENCY", world.operator.subject)
    client = sign_in(agency)

    for address in (reverse("billing:bill_detail", args=[bill.pk]), reverse("billing:bill_list")):
        shown = text_of(client.get(address))
        assert "Nguyễn V. T. 1" in shown
        assert "Nguyễn Văn Thử" not in shown
    exported = text_of(client.get(reverse("billing:bill_list") + "?export=csv"))
    assert "Nguyễn Văn Thử" not in exported
    assert bill.connection.code in exported


def test_a_bill_of_somebody_elses_work_is_not_there(world, bill):
    other = make_operator("org.khac", "Đơn vị khác")
    make_work(other, "work.khac")
    stranger = sign_in(make_person("khac", "LEADER", other.subject))

    assert stranger.get(reverse("billing:bill_detail", args=[bill.pk])).status_code == 404
    assert stranger.get(reverse("billing:run_detail", args=[bill.run_id])).status_code == 404
    listed = text_of(stranger.get(reverse("billing:bill_list") + f"?run={bill.run_id}"))
    assert bill.connection.code not in listed and f"Đợt #{bill.run_id}" not in listed
    assert stranger.post(reverse("billing:bill_correct", args=[bill.pk])).status_code == 404


@pytest.mark.parametrize("asked", ["q=DN000001", "q=thu+1", "q=K26TAA-1", "q=1", "period=2026-07", "group=SH"])
def test_a_bill_is_found_by_code_name_and_number(world, bill, asked):
    assert bill.connection.code in text_of(sign_in(world.cashier).get(reverse("billing:bill_list") + f"?{asked}"))


@pytest.mark.parametrize("asked", ["q=khong-co", "q=K26TAA-99", "period=2026-06", "period=xyz", "state=REPLACED"])
def test_filters_leave_out_what_does_not_match(world, bill, asked):
    assert "Không có hóa đơn nào khớp" in text_of(
        sign_in(world.cashier).get(reverse("billing:bill_list") + f"?{asked}")
    )


def test_a_correction_is_asked_for_and_approved_on_the_screens(world, bill):
    clerk, leader = sign_in(world.clerk), sign_in(world.leader)
    address = reverse("billing:bill_correct", args=[bill.pk])
    said = {
        "way": "ADJUST", "volume_m3": "20", "group": "SH", "households": "1", "persons": "0", "reason": "Đọc nhầm",
    }  # fmt: skip

    tried = clerk.post(address, {**said, "reason": ""})  # what it would become is shown without a reason
    assert tried.status_code == 200
    assert clerk.post(address, {**said, "reason": "", "send": "1"}).status_code == 422
    assert "không lớn hơn 10.000.000." in text_of(clerk.post(address, {**said, "volume_m3": "10.000.001"}))
    assert "-51.750" in text_of(tried).replace("−", "-")
    clerk.post(address, {**said, "send": "1"})
    wish = bill.wishes.get()
    assert clerk.post(address, {**said, "send": "1"}).status_code == 409
    clerk.post(reverse("billing:correction_approve", args=[wish.pk]))
    assert not bill.corrections.exists()
    leader.post(reverse("billing:correction_approve", args=[wish.pk]))

    assert bill.corrections.get().total_vnd == -51_750
    assert "Điều chỉnh giảm" in text_of(clerk.get(reverse("billing:bill_detail", args=[bill.pk])))


def test_a_correction_is_refused_with_a_reason(world, bill):
    wish = corrections.ask(bill, way="REPLACE", facts=Facts(20_000, "SH", 1, 0), reason="Sai", by=world.clerk, now=NOW)
    leader = sign_in(world.leader)

    leader.post(reverse("billing:correction_refuse", args=[wish.pk]), {"note": ""})
    wish.refresh_from_db()
    assert wish.state == "REQUESTED"
    leader.post(reverse("billing:correction_refuse", args=[wish.pk]), {"note": "Ảnh đồng hồ đúng"})

    assert "Ảnh đồng hồ đúng" in text_of(leader.get(reverse("billing:bill_detail", args=[bill.pk])))


def test_who_was_left_out_is_listed_with_the_reason(world, bill):
    client = sign_in(world.clerk)
    address = reverse("billing:run_skips", args=[bill.run_id])

    assert "Chưa có chỉ số của kỳ" in text_of(client.get(address))
    assert "DN000002" in text_of(client.get(address + "?export=csv"))


def test_the_ledger_shows_balances_journal_and_the_check(world, bill):
    client = sign_in(world.clerk)

    shown = text_of(client.get(reverse("billing:ledger") + "?month=2026-08"))
    assert "207.000" in shown
    assert "180.000" in shown
    journal = text_of(client.get(reverse("billing:ledger_journal") + f"?q={bill.connection.code}&account=511"))
    assert f"#{bill.pk}" in journal
    assert "Sổ cái cân" in text_of(client.post(reverse("billing:ledger_verify"), follow=True))
    assert "131" in text_of(client.get(reverse("billing:ledger") + "?month=2026-08&export=csv"))
    assert sign_in(world.cashier).get(reverse("billing:ledger")).status_code == 403


def test_the_check_of_the_ledger_tells_nothing_of_another_operator(world, bill):
    stranger = sign_in(make_world("khac").clerk)
    ledger.post([ledger.Move(world.operator.pk, NOW, "131", "511", 1, bill.connection_id, "BILL", bill.pk)])

    assert f"Hóa đơn #{bill.pk} là 207000 đồng nhưng" in text_of(
        sign_in(world.clerk).post(reverse("billing:ledger_verify"), follow=True)
    )
    told = text_of(stranger.post(reverse("billing:ledger_verify"), follow=True))
    assert "Sổ cái cân: 0 bút toán khớp với 0 hóa đơn" in told and "Hóa đơn #" not in told


def test_how_an_operator_bills_is_kept_and_a_new_series_begins_at_one(world, bill):
    client = sign_in(world.clerk)
    address = reverse("billing:profile_edit", args=[world.operator.subject.key])
    said = {
        "legal_name": "Trung tâm", "tax_code": "4300000001", "address": "Quảng Ngãi", "phone": "", "bank_bin": "970436",
        "bank_account": "0123", "bank_account_name": "TRUNG TAM", "due_days": "20", "series_form": "1",
        "series_code": "K27TAA", "version": "1",
    }  # fmt: skip

    assert client.post(address, {**said, "tax_code": "12"}).status_code == 422
    assert client.post(address, said).status_code == 302
    assert client.post(address, said).status_code == 422  # somebody else's version

    series = world.operator.invoice_series.get(is_active=True)
    assert (series.code, series.next_number) == ("K27TAA", 1)


def test_pages_ask_the_database_seldom(world, bill, django_assert_max_num_queries):
    client = sign_in(world.clerk)
    client.get(reverse("billing:bill_list"))
    for address in (
        reverse("billing:run_list"), reverse("billing:bill_list"), reverse("billing:ledger"),
        reverse("billing:ledger_journal"), reverse("billing:run_skips", args=[bill.run_id]),
    ):  # fmt: skip
        with django_assert_max_num_queries(17):
            assert client.get(address).status_code == 200


def test_a_run_can_be_cancelled_only_before_it_issues(world):
    world.connection({JUNE: 100, JULY: 125})
    run = runs.open_run(scope=world.operator.subject, period_start=JULY, now=NOW, by=world.clerk)
    client = sign_in(world.clerk)

    client.post(reverse("billing:run_cancel", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == BillingRun.State.CANCELLED
    done = bill_all(world)
    client.post(reverse("billing:run_cancel", args=[done.pk]))
    done.refresh_from_db()
    assert done.state == BillingRun.State.DONE


def test_who_reads_meters_sees_no_bills_though_the_connection_is_on_their_route(world, bill):
    reader = make_person("doc.so", "READER", world.work.subject)
    route = Route.objects.create(work=world.work, code="T9", name="Tuyến 9", reader=reader)
    Connection.objects.filter(pk=bill.connection_id).update(route=route)
    client = sign_in(reader)

    assert client.get(reverse("billing:bill_list")).status_code == 403
    assert client.get(reverse("billing:bill_detail", args=[bill.pk])).status_code == 404
    assert client.get(reverse("billing:bill_pdf", args=[bill.pk])).status_code == 404
    assert bill_queries.find_bill(reader, bill.pk) is None
    assert bill_queries.find_bill(world.station, bill.pk) == bill


def test_months_are_chosen_from_a_list_in_vietnamese_whatever_the_address_says(world):
    client = sign_in(world.clerk)

    for address, name in (("/hoa-don/", "period"), ("/lap-hoa-don/", "period"), ("/so-cai/nhat-ky/", "month")):
        page = client.get(address, {name: "2019-07"}).content.decode()
        assert re.search(r'<option value="2019-07" selected>Tháng 07/2019</option>', page), address
        assert 'type="month"' not in page
        for odd in ("13", "2026-99", "x" * 300, "0001-01"):
            assert client.get(address, {name: odd}).status_code == 200
    assert "Tháng 07/2019" in client.get("/so-cai/", {"month": "2019-07"}).content.decode()


def correct(world, bill, way, volume_m3) -> Bill:
    facts = Facts(volume_m3 * 1000, "SH", 1, 0)
    wish = corrections.ask(bill, way=way, facts=facts, reason="Đọc nhầm", by=world.clerk, now=NOW)
    return corrections.approve(wish, by=world.leader, now=NOW)


def test_a_replacement_tells_the_meter_from_what_it_charges(world, bill):
    first = correct(world, bill, "REPLACE", 20)
    second = correct(world, first, "REPLACE", 18)
    client = sign_in(world.clerk)

    shown = text_of(client.get(reverse("billing:bill_detail", args=[second.pk])))

    assert "Theo đồng hồ</small><strong>25 m³" in shown and "Đã dùng" not in shown
    assert "tính <strong>18 m³</strong>, khác số trên đồng hồ. Lý do: Đọc nhầm" in shown
    assert "Đã dùng</small><strong>25 m³" in text_of(client.get(reverse("billing:bill_detail", args=[bill.pk])))
    (page,) = bill_pdf.gather([second.pk], served=None)
    assert [(row["meter"], row["volume"]) for row in page["readings"]] == [
        ("S00000001", "25"), ("Tính tiền theo lý do thay thế", "18"),
    ]  # fmt: skip


def test_a_difference_is_not_compared_with_whole_months(world, bill):
    made = correct(world, bill, "ADJUST", 28)

    page = bill_queries.get_bill_page(made, world.clerk)
    (printed,) = bill_pdf.gather([made.pk], served=None)

    assert page.change_pct is None
    assert [(row["label"], row["volume"]) for row in printed["past"]] == [("07/2026", "28")]


def test_the_page_of_a_run_is_loaded_anew_when_the_work_is_over(world):
    world.connection({JUNE: 100, JULY: 125})
    run = prepare(world, JULY)
    clerk, address = sign_in(world.clerk), reverse("billing:run_detail", args=[run.pk])
    runs.approve(run, by=world.leader, now=NOW)
    runs.start(run, by=world.clerk, now=NOW)

    assert "HX-Refresh" not in clerk.get(address, headers={"HX-Request": "true"})
    runs.issue(run.pk, now=NOW)
    jobs.run_next(timezone.now())

    assert clerk.get(address, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "HX-Refresh" not in clerk.get(address)


def test_who_is_left_out_of_a_run_is_one_click_away_and_simulated_ones_are_told(world):
    missing = world.connection({JUNE: 100})
    world.connection({JUNE: 100, JULY: 300}, is_simulated=True)
    run = prepare(world, JULY)
    clerk = sign_in(world.clerk)

    skips = text_of(clerk.get(reverse("billing:run_skips", args=[run.pk])))
    assert f'<a href="{reverse("customers:connection_detail", args=[missing.code])}">' in skips
    assert reverse("customers:review_list") in skips
    for address in (reverse("billing:run_detail", args=[run.pk]), reverse("billing:run_list")):
        assert "mô phỏng" in text_of(clerk.get(address))


def test_the_history_of_a_bill_names_the_month_as_people_write_it(world, bill):
    shown = text_of(sign_in(world.clerk).get(reverse("billing:bill_detail", args=[bill.pk])))

    assert "lập đợt hóa đơn kỳ 07/2026" in shown
    assert f'<a href="{reverse("billing:run_detail", args=[bill.run_id])}">' in shown
