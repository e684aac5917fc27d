import io
import zipfile
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.billing import bill_pdf, einvoice_operations, einvoice_queries, einvoice_xml, print_batches
from machnuoc.billing.models import Bill, EInvoice, EInvoiceDay, PrintBatch
from machnuoc.billing.tests.einvoice_stand_in import KEY, running
from machnuoc.billing.tests.fixtures_documents import make_bill
from machnuoc.billing.tests.test_bill_pdf import pages_of, text_of
from machnuoc.billing.tests.world import JULY, JUNE, NOW, make_person, make_world
from machnuoc.core import files, jobs
from machnuoc.core.models import Notice
from machnuoc.customers.models import DataAccess, Route
from machnuoc.places.models import Grant

pytestmark = pytest.mark.django_db


@pytest.fixture
def bill(world) -> Bill:
    made = make_bill(world, world.connection({JUNE: 100, JULY: 112}))
    einvoice_operations.sign_bills([made.pk], NOW)
    return made


def client_of(person) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def run_all_jobs() -> None:
    while jobs.run_next(timezone.now() + timedelta(minutes=1)):
        continue


def test_the_list_shows_state_and_trial_signature_without_names(world, bill):
    answer = client_of(world.clerk).get("/hoa-don-dien-tu/")

    assert answer.status_code == 200
    said = answer.content.decode()
    for part in ("1K26TAA 00000001", "DN000001", "86.250", "Đã ký", "chữ ký thử nghiệm", "Chưa nối nhà cung cấp"):
        assert part in said, part
    assert "Nguyễn Văn Thử" not in said


def test_filters_stand_in_the_address_and_odd_ones_do_no_harm(world, bill):
    client = client_of(world.clerk)

    assert "00000001" in client.get("/hoa-don-dien-tu/?state=SIGNED&number=1").content.decode()
    assert "Không có hóa đơn nào khớp" in client.get("/hoa-don-dien-tu/?state=REFUSED").content.decode()
    assert "Không có hóa đơn nào khớp" in client.get("/hoa-don-dien-tu/?number=99").content.decode()
    assert "Không có hóa đơn nào khớp" in client.get("/hoa-don-dien-tu/?state=FAILED").content.decode()
    for odd in ("state=X", "month=2026-99", "number=1e9", "operator=9999999999999999999999", "before=²", "after=-1"):
        assert client.get(f"/hoa-don-dien-tu/?{odd}").status_code == 200, odd


def test_pages_go_on_from_the_last_invoice_seen(world, monkeypatch):
    monkeypatch.setattr(einvoice_queries, "PAGE_SIZE", 2)
    bills = [make_bill(world, world.connection({JUNE: 100, JULY: 112})) for _ in range(5)]
    einvoice_operations.sign_waiting(NOW)
    rows = einvoice_queries.select(world.clerk, einvoice_queries.Filters())

    first = einvoice_queries.list_page(rows, None, None)
    second = einvoice_queries.list_page(rows, first.older, None)
    last = einvoice_queries.list_page(rows, second.older, None)
    back = einvoice_queries.list_page(rows, None, second.newer)

    order = [one.pk for one in reversed(bills)]
    assert [one.bill_id for page in (first, second, last) for one in page.rows] == order
    assert (first.newer, last.older) == (None, None)
    assert [one.bill_id for one in back.rows] == order[:2]


def test_counts_stop_before_they_take_long(world, monkeypatch):
    for _ in range(4):
        make_bill(world, world.connection({JUNE: 100, JULY: 112}))
    einvoice_operations.sign_waiting(NOW)
    monkeypatch.setattr(einvoice_queries, "COUNTED_MOST", 3)

    assert "hơn 3" in client_of(world.clerk).get("/hoa-don-dien-tu/").content.decode()


def test_the_number_of_questions_does_not_grow_with_the_rows(world, django_assert_max_num_queries):
    for _ in range(12):
        make_bill(world, world.connection({JUNE: 100, JULY: 112}))
    einvoice_operations.sign_waiting(NOW)
    client = client_of(world.clerk)

    for page in ("/hoa-don-dien-tu/", "/hoa-don-dien-tu/doi-chieu/", "/hoa-don-dien-tu/thiet-lap/"):
        with django_assert_max_num_queries(15):
            assert client.get(page).status_code == 200


def test_one_invoice_is_checked_when_it_is_looked_at(world, bill):
    one = EInvoice.objects.get()
    client = client_of(world.clerk)

    said = client.get(f"/hoa-don-dien-tu/{one.pk}/").content.decode()
    assert "Chữ ký thử nghiệm còn nguyên vẹn" in said
    assert "86.250" in said

    path = files.path_of(one.xml)
    good = path.read_bytes()
    try:
        path.write_bytes(good.replace(b"<TgTTTBSo>86250", b"<TgTTTBSo>16250"))
        assert "Chữ ký số không đúng" in client.get(f"/hoa-don-dien-tu/{one.pk}/").content.decode()
    finally:
        path.write_bytes(good)


def test_the_file_of_another_bill_in_its_place_is_noticed(world, bill):
    other = make_bill(world, world.connection({JUNE: 100, JULY: 112}), volumes_l=(9_000,))
    einvoice_operations.sign_bills([other.pk], NOW)
    one, two = EInvoice.objects.order_by("pk")
    EInvoice.objects.filter(pk=one.pk).update(xml=two.xml)

    said = client_of(world.clerk).get(f"/hoa-don-dien-tu/{one.pk}/").content.decode()

    assert "Tệp đã ký khác hóa đơn đang lưu ở: ký hiệu, số, tổng tiền" in said


def test_taking_a_file_is_logged(world, bill):
    one = EInvoice.objects.get()

    answer = client_of(world.clerk).get(f"/hoa-don-dien-tu/{one.pk}/xml/")

    assert einvoice_xml.read(b"".join(answer.streaming_content)).number == 1
    assert "attachment" in answer["Content-Disposition"]
    assert DataAccess.objects.get().customer == bill.customer


def test_a_batch_of_files_comes_as_one_archive_and_is_logged_once(world):
    for _ in range(3):
        make_bill(world, world.connection({JUNE: 100, JULY: 112}))
    einvoice_operations.sign_waiting(NOW)

    answer = client_of(world.clerk).get("/hoa-don-dien-tu/tai-xml/")

    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        assert sorted(packed.namelist()) == [f"1K26TAA-{number:08d}.xml" for number in (1, 2, 3)]
        assert einvoice_xml.read(packed.read("1K26TAA-00000002.xml")).number == 2
    assert [row.count for row in DataAccess.objects.all()] == [3]


@pytest.mark.parametrize("format_name", ["xlsx", "csv"])
def test_the_list_goes_out_as_a_sheet(world, bill, format_name):
    answer = client_of(world.clerk).get(f"/hoa-don-dien-tu/?export={format_name}")

    assert answer.status_code == 200
    assert b"".join(answer.streaming_content)


def test_who_does_not_bill_stays_outside_and_others_do_not_see_it(world, bill):
    one = EInvoice.objects.get()
    elsewhere = make_world("khac")

    for person, codes in ((world.cashier, {403}), (elsewhere.clerk, {404})):
        client = client_of(person)
        for path in (f"/hoa-don-dien-tu/{one.pk}/",):
            assert client.get(path).status_code in codes
        assert client.post(f"/hoa-don-dien-tu/{one.pk}/gui-lai/").status_code in codes
    assert client_of(world.cashier).get("/hoa-don-dien-tu/").status_code == 403
    assert client_of(elsewhere.clerk).get(f"/hoa-don-dien-tu/{one.pk}/xml/").status_code == 404
    assert client_of(elsewhere.clerk).get(f"/hoa-don/{bill.pk}/pdf/").status_code == 404
    assert "00000001" not in client_of(elsewhere.clerk).get("/hoa-don-dien-tu/").content.decode()
    assert Client().get("/hoa-don-dien-tu/").status_code == 302


def test_a_refused_invoice_is_sent_again_from_its_page(world, bill, settings):
    one = EInvoice.objects.get()
    client = client_of(world.clerk)
    told = client.post(f"/hoa-don-dien-tu/{one.pk}/gui-lai/", follow=True).content.decode()
    assert "Chưa nối nhà cung cấp" in told
    with running() as stand_in:
        settings.EINVOICE_URL, settings.EINVOICE_KEY = stand_in.url, KEY
        stand_in.refuse[einvoice_operations.key_of(bill)] = "Sai mã số thuế"
        einvoice_operations.send_due(NOW)
        stand_in.refuse.clear()
        stand_in.invoices.clear()
        page = client.get(f"/hoa-don-dien-tu/{one.pk}/").content.decode()
        assert "Sai mã số thuế" in page
        assert "Gửi lại" in page

        client.post(f"/hoa-don-dien-tu/{one.pk}/gui-lai/", {"next": "https://evil.example/"})
        run_all_jobs()

    assert EInvoice.objects.get().state == "ACCEPTED"


def test_a_day_is_compared_on_request_and_shown(world, bill, settings):
    client = client_of(world.clerk)
    with running() as stand_in:
        settings.EINVOICE_URL, settings.EINVOICE_KEY = stand_in.url, KEY
        client.post("/hoa-don-dien-tu/doi-chieu/chay/", {"operator": world.operator.pk, "day": "2026-08-01"})
        run_all_jobs()
        said = client.get("/hoa-don-dien-tu/doi-chieu/?differing=1").content.decode()
        assert client.post(
            "/hoa-don-dien-tu/doi-chieu/chay/", {"operator": world.operator.pk, "day": "không"}, follow=True
        ).status_code == 200  # fmt: skip
        assert client.post("/hoa-don-dien-tu/doi-chieu/chay/", {"operator": 10**15, "day": ""}).status_code == 302

    assert EInvoiceDay.objects.get().missing == ["1K26TAA 00000001"]
    assert "Thiếu ở nhà cung cấp: 1" in said


def test_the_setup_says_what_was_not_checked_against_its_document(world):
    said = client_of(world.clerk).get("/hoa-don-dien-tu/thiet-lap/").content.decode()

    assert "chưa đối chiếu văn bản" in said
    assert "chữ ký thử nghiệm" in said
    assert "4300000001" in said


# --- printing ---------------------------------------------------------------------------------------------------------


def test_a_bill_is_printed_for_who_serves_with_names_and_for_who_views_without(world, bill):
    answer = client_of(world.cashier).get(f"/hoa-don/{bill.pk}/pdf/")
    assert answer["Content-Type"] == "application/pdf"
    assert "Nguyễn Văn Thử 1" in text_of(answer.content)
    assert DataAccess.objects.count() == 1

    viewer = make_person("xem", Grant.Role.AGENCY, world.operator.subject)
    assert "Nguyễn V. T. 1." in text_of(client_of(viewer).get(f"/hoa-don/{bill.pk}/pdf/?paper=a4").content)
    assert DataAccess.objects.count() == 1
    assert client_of(world.cashier).get(f"/hoa-don/{bill.pk}/pdf/?paper=b7").status_code == 302


def test_bills_of_a_month_are_printed_in_the_background_by_route(world, monkeypatch):
    monkeypatch.setattr(bill_pdf, "MOST_BILLS", 3)
    route = Route.objects.create(code="T1", name="Tuyến 1", work=world.work)
    for place in (3, 1, 2, 5, 4):
        connection = world.connection({JUNE: 100, JULY: 112}, route=route, route_order=place, code=f"C{place}")
        make_bill(world, connection)
    client = client_of(world.cashier)

    answer = client.post("/in-hoa-don/", {"month": JULY.isoformat(), "route": route.pk, "paper": "a5"}, follow=True)
    assert "Đang in 5 hóa đơn thành 2 tệp" in answer.content.decode()
    run_all_jobs()

    second, first = PrintBatch.objects.order_by("-pk")
    codes = dict(Bill.objects.values_list("pk", "connection__code"))
    assert [codes[pk] for pk in first.bill_ids + second.bill_ids] == ["C1", "C2", "C3", "C4", "C5"]
    got = client.get(f"/in-hoa-don/{first.pk}/tep/")
    content = b"".join(got.streaming_content)
    assert pages_of(content) == 3
    assert DataAccess.objects.get().count == 5
    assert Notice.objects.filter(person=world.cashier, kind="billing.printed").count() == 2
    assert "1/2" in client.get("/in-hoa-don/").content.decode()
    assert client_of(world.clerk).get(f"/in-hoa-don/{first.pk}/tep/").status_code == 404


def test_printing_nothing_is_told_on_the_form(world):
    client = client_of(world.cashier)

    answer = client.post("/in-hoa-don/", {"month": JULY.isoformat(), "paper": "a5"})
    assert answer.status_code == 422
    assert "Không có hóa đơn nào để in" in answer.content.decode()
    assert client.post("/in-hoa-don/", {"month": "x", "work": "9" * 30, "paper": "b"}).status_code == 422


def test_printed_files_do_not_stay(world, bill):
    (batch,) = print_batches.order(
        print_batches.select(world.cashier, month=JULY), title="Kỳ 07/2026", paper="a5", by=world.cashier, now=NOW
    )
    path = print_batches.make(batch)
    assert path.stat().st_mode & 0o077 == 0
    assert print_batches.make(batch) == path  # a job that runs twice prints once

    assert print_batches.prune(NOW + timedelta(days=6)) == 0
    assert print_batches.prune(NOW + timedelta(days=8)) == 1

    assert not path.exists()
    assert "đã xóa" in client_of(world.cashier).get("/in-hoa-don/").content.decode()
    assert client_of(world.cashier).get(f"/in-hoa-don/{batch.pk}/tep/").status_code == 404


def test_a_replaced_bill_is_not_handed_out(world, bill):
    Bill.objects.filter(pk=bill.pk).update(state=Bill.State.REPLACED)

    with pytest.raises(print_batches.NothingToPrint):
        print_batches.order(
            print_batches.select(world.cashier, month=JULY), title="x", paper="a5", by=world.cashier, now=NOW
        )


def test_who_serves_nobody_prints_nothing(world, bill):
    viewer = make_person("xem", Grant.Role.AGENCY, world.operator.subject)

    assert not print_batches.select(viewer, month=JULY).exists()
    assert client_of(viewer).get("/in-hoa-don/").status_code == 403
