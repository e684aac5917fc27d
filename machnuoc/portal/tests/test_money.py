"""What customers see of money: owed, why, how to pay, what was paid; never anything of anybody else."""

import io
from datetime import timedelta

import pytest
import zxingcpp
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from machnuoc.billing import bill_pdf, ledger, qr_images, reference, vietqr
from machnuoc.billing.models import Bill, BillingProfile, Callback, GatewayOrder, Payment
from machnuoc.billing.tests.fixtures_money import GATEWAYS, issue, pay
from machnuoc.billing.tests.test_callbacks import call, code_of
from machnuoc.billing.tests.test_gateways import vnpay_callback
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE
from machnuoc.core import files
from machnuoc.core.models import StoredFile
from machnuoc.customers import connection_operations
from machnuoc.customers.connection_operations import CustomerFacts
from machnuoc.customers.models import Category, Contract, Reading
from machnuoc.portal import money_queries
from machnuoc.portal.models import PortalLink

pytestmark = pytest.mark.django_db


@pytest.fixture
def bill(world, house, neighbour) -> Bill:
    issue(world, neighbour, 99_000)
    return issue(world, house, 215_250, due=timezone.localdate() + timedelta(days=9))


@pytest.fixture
def browser(house, customer_browser) -> Client:
    return customer_browser(house)


def page_of(browser: Client, name: str, *arguments: int, **query: str) -> str:
    answer = browser.get(reverse(f"portal:{name}", args=arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def photo_of(reading: Reading) -> StoredFile:
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, "PNG")
    stored = files.store(made.getvalue(), name="anh.png", by=None, kinds=frozenset({"png"}))
    Reading.objects.filter(pk=reading.pk).update(photo=stored)
    return stored


def give_away(connection):
    """Transfer the house to somebody else today; the bills before stay the former customer's."""
    now = timezone.now()
    connection.refresh_from_db()
    connection_operations.transfer(
        connection, to=CustomerFacts("Lê Thị Mua", phone="0905999999"), number="HD-MOI", signed_date=now.date(),
        version=connection.version, by=None, now=now,
    )  # fmt: skip


# --- the first page


def test_the_first_page_says_what_is_owed_and_until_when(bill, browser):
    page = page_of(browser, "home")

    assert "215.250" in page
    assert f"{bill.due_date:%d/%m/%Y}" in page
    assert reverse("portal:pay", args=[bill.connection_id]) in page


def test_a_complaint_from_a_bill_names_it_and_one_from_a_bill_of_another_does_not(
    bill, house, neighbour, customer_browser
):
    dispute = Category.objects.filter(is_bill_dispute=True, is_public=True).get()
    link = f"{reverse('portal:request_add')}?hoa-don={bill.pk}"
    own = customer_browser(house)

    assert link in own.get(reverse("portal:bill_detail", args=[bill.pk])).content.decode()
    form = own.get(link).context["form"]
    assert (form["category"].initial, form["connection"].initial) == (dispute, house.pk)
    assert bill.name in form["text"].initial
    assert form["text"].initial != customer_browser(neighbour).get(link).context["form"]["text"].initial is None


def test_a_bill_past_its_day_is_named_so(world, house, browser):
    issue(world, house, 50_000, due=timezone.localdate() - timedelta(days=1))

    assert "Quá hạn" in page_of(browser, "home")


def test_a_bill_due_today_is_not_overdue(world, house, browser):
    issue(world, house, 50_000, due=timezone.localdate())

    assert "Quá hạn" not in page_of(browser, "home")


def test_who_owes_nothing_is_told_so(house, browser):
    assert "Không còn nợ" in page_of(browser, "home")


def test_use_is_compared_with_the_month_before_if_it_was_billed(world, house, browser):
    today = timezone.localdate().replace(day=1)
    last = (today - timedelta(days=1)).replace(day=1)
    before = (last - timedelta(days=1)).replace(day=1)
    issue(world, house, 60_000, month=before, volume_l=8_000)
    issue(world, house, 90_000, month=last, volume_l=13_000)

    page = page_of(browser, "home")

    assert "13 m³" in page
    assert "nhiều hơn tháng trước 5 m³" in page


def test_months_apart_are_not_compared(world, house, browser):
    issue(world, house, 60_000, month=JUNE, volume_l=8_000)
    issue(world, house, 90_000, month=AUGUST, volume_l=13_000)

    assert "hơn tháng trước" not in page_of(browser, "home")


def test_what_an_adjustment_gives_back_lowers_what_is_owed(world, bill, browser):
    issue(world, bill.connection, -15_250, corrects=bill)

    assert "200.000" in page_of(browser, "home")


def test_a_former_holders_debt_is_not_shown_to_the_new_one(bill, house, customer_browser):
    give_away(house)
    new = customer_browser("0905999999")

    assert "Không còn nợ" in page_of(new, "home")
    assert "215.250" not in page_of(new, "bills")
    assert new.get(reverse("portal:bill_detail", args=[bill.pk])).status_code == 404


# --- whose is whose


def paths_of(bill: Bill, payment: Payment) -> list[str]:
    one = [bill.connection_id]
    return [
        reverse("portal:connection", args=one),
        reverse("portal:pay", args=one),
        reverse("portal:bill_detail", args=[bill.pk]),
        reverse("portal:bill_pdf", args=[bill.pk]),
        reverse("portal:bill_xml", args=[bill.pk]),
        reverse("portal:receipt", args=[payment.pk]),
        reverse("portal:reading_photo", args=[bill.connection_id, bill.connection.readings.first().pk]),
    ]


def test_another_customers_numbers_do_not_exist(bill, house, neighbour, customer_browser):
    paid = pay(house, 1_000)
    photo_of(house.readings.first())
    other = customer_browser(neighbour)

    assert [other.get(path).status_code for path in paths_of(bill, paid)] == [404] * 7
    assert other.post(reverse("portal:pay", args=[house.pk]), {"gateway": "vnpay"}).status_code == 404


def test_a_stranger_and_the_staff_are_sent_to_sign_in(bill, house, world):
    paid = pay(house, 1_000)
    staff = Client()
    staff.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")
    lists = [reverse(f"portal:{name}") for name in ("home", "bills", "payments", "account")]

    for browser in (Client(), staff):
        for path in [*lists, *paths_of(bill, paid)]:
            assert browser.get(path).url.startswith("/kh/dang-nhap/")


@pytest.mark.parametrize("number", [0, 2**31, 2**63, 10**30])
def test_numbers_that_cannot_be_are_not_found(house, browser, number):
    for name in ("connection", "pay", "bill_detail", "bill_pdf", "bill_xml", "receipt"):
        assert browser.get(reverse(f"portal:{name}", args=[number])).status_code == 404


def test_a_photo_of_one_connection_is_not_found_under_another(house, neighbour, customer_browser):
    reading = neighbour.readings.first()
    photo_of(reading)

    answer = customer_browser(house).get(reverse("portal:reading_photo", args=[house.pk, reading.pk]))

    assert answer.status_code == 404


def test_a_photo_of_the_former_holders_time_is_not_the_new_ones(house, customer_browser):
    reading = house.readings.first()
    photo_of(reading)
    give_away(house)

    answer = customer_browser("0905999999").get(reverse("portal:reading_photo", args=[house.pk, reading.pk]))

    assert answer.status_code == 404


def test_the_photo_behind_a_bill_is_shown_with_it(world, house, browser):
    reading = house.readings.order_by("-pk").first()
    photo_of(reading)
    bill = issue(world, house, 50_000, to_reading=reading)

    page = page_of(browser, "bill_detail", bill.pk)
    address = reverse("portal:reading_photo", args=[house.pk, reading.pk])

    assert address in page
    assert browser.get(address).status_code == 200


# --- bills


def test_bills_are_listed_by_year_and_a_wrong_year_shows_the_newest(world, house, browser):
    old, new = issue(world, house, 40_000, month=JULY.replace(year=2025)), issue(world, house, 50_000)

    newest = page_of(browser, "bills")
    assert f"/kh/hoa-don/{new.pk}/" in newest and new.name in newest  # as the counter and the paper write it
    assert f"/kh/hoa-don/{old.pk}/" not in newest
    assert f"/kh/hoa-don/{old.pk}/" in page_of(browser, "bills", nam="2025")
    for wrong in ("1999", "abc", "²", "9" * 40, "-1"):
        assert f"/kh/hoa-don/{new.pk}/" in page_of(browser, "bills", nam=wrong)
    assert f"/kh/hoa-don/{new.pk}/" in page_of(browser, "bills", **{"dau-noi": "999999"})


def test_why_shows_the_lines_the_sums_and_what_was_paid(bill, house, browser):
    pay(house, 15_250)

    page = page_of(browser, "bill_detail", bill.pk)

    for words in ("Chỉ số đồng hồ", "Các bậc giá", "Thuế giá trị gia tăng", "215.250", "còn phải trả", "200.000"):
        assert words in page


def test_the_pdf_is_the_customers_own_with_their_name(bill, browser):
    answer = browser.get(reverse("portal:bill_pdf", args=[bill.pk]))

    assert answer["Content-Type"] == "application/pdf"
    assert answer["Cache-Control"].startswith("max-age=0")
    assert answer.content.startswith(b"%PDF-")


def test_the_pdf_of_a_new_holder_says_nothing_of_the_former_ones_debt_and_use(world, bill, house):
    give_away(house)
    house.refresh_from_db()
    own = issue(world, house, 33_000, month=JUNE)

    (page,) = bill_pdf.gather([own.pk], served=None)
    (former,) = bill_pdf.gather([bill.pk], served=None)

    assert page["notes"] == former["notes"] == []
    assert len(page["past"]) == len(former["past"]) == 1


def test_the_pdf_says_what_else_the_customer_owes(world, bill, house):
    issue(world, house, 33_000, month=JUNE)

    (page,) = bill_pdf.gather([bill.pk], served=None)

    assert "33.000" in page["notes"][0]


def test_an_invoice_that_is_not_signed_has_no_xml(bill, browser):
    assert browser.get(reverse("portal:bill_xml", args=[bill.pk])).status_code == 404
    assert "Hóa đơn điện tử (XML)" not in page_of(browser, "bill_detail", bill.pk)


# --- paying


def test_the_code_to_scan_holds_the_amount_and_the_reference_of_the_bill(bill, house, browser):
    pay(house, 15_250)
    page = page_of(browser, "pay", house.pk)
    profile = BillingProfile.objects.get()

    payload = qr_images.payload_of(bill, profile, 200_000)
    read = vietqr.decode(zxingcpp.read_barcodes(Image.open(io.BytesIO(qr_images.as_png(payload))))[0].text)

    assert qr_images.as_svg(payload, title="Mã VietQR trả hóa đơn này") in page
    assert (read.amount_vnd, read.purpose) == (200_000, reference.make(bill.pk))
    assert reference.make(bill.pk) in page
    assert "0123456789" in page


def test_each_of_several_bills_has_its_own_code_the_oldest_first(world, bill, house, browser):
    older = issue(world, house, 70_000, month=JUNE, due=bill.due_date - timedelta(days=30))

    first, second = page_of(browser, "pay", house.pk), page_of(browser, "pay", house.pk, **{"hoa-don": str(bill.pk)})

    assert reference.make(older.pk) in first
    assert reference.make(bill.pk) in second
    assert "285.250" in first


@pytest.mark.parametrize("wanted", ["0", "abc", "999999999999999999999", "²"])
def test_a_bill_that_is_not_open_gives_the_oldest(bill, house, browser, wanted):
    assert reference.make(bill.pk) in page_of(browser, "pay", house.pk, **{"hoa-don": wanted})


def test_a_simulated_bill_tells_not_to_pay_it(world, house, browser):
    issue(world, house, 50_000, is_simulated=True)

    assert "đừng chuyển tiền thật" in page_of(browser, "pay", house.pk)


def test_an_operator_without_a_bank_account_says_so(bill, house, browser):
    BillingProfile.objects.update(bank_account="")

    assert "chưa khai tài khoản" in page_of(browser, "pay", house.pk)


def test_without_gateways_the_page_says_so_and_makes_no_order(bill, house, browser):
    assert "chưa kết nối cổng thanh toán nào" in page_of(browser, "pay", house.pk)
    answer = browser.post(reverse("portal:pay", args=[house.pk]), {"gateway": "vnpay"})

    assert answer.status_code == 302
    assert GatewayOrder.objects.count() == 0


class TestGateway:
    @pytest.fixture(autouse=True)
    def _gateways(self, settings):
        for name, account in GATEWAYS.items():
            setattr(settings, name, account)

    def begin(self, browser, house, **data):
        answer = browser.post(reverse("portal:pay", args=[house.pk]), {"gateway": "vnpay", **data})
        return answer, GatewayOrder.objects.first()

    def test_an_order_is_for_all_open_bills_and_the_page_leads_to_the_gateway_by_a_link(self, bill, house, browser):
        answer, order = self.begin(browser, house)

        assert order.amount_vnd == 215_250
        assert [one.pk for one in order.bills.all()] == [bill.pk]
        assert 'href="https://sandbox.vnpayment.vn' in answer.content.decode()

    def test_a_forged_return_and_a_forged_callback_pay_nothing(self, bill, house, browser):
        _, order = self.begin(browser, house)
        forged = vnpay_callback(order.reference, amount_vnd=order.amount_vnd) | {"vnp_SecureHash": "0" * 128}

        browser.get(reverse("billing:gateway_return", args=["vnpay"]), forged)
        assert code_of(call("vnpay", forged)) == "97"

        assert Payment.objects.count() == 0
        assert "215.250" in page_of(browser, "home")
        assert "Đang chờ VNPAY xác nhận" in page_of(browser, "home")

    def test_the_true_callback_pays_before_or_after_the_customer_is_back(self, bill, house, browser):
        _, order = self.begin(browser, house)
        told = vnpay_callback(order.reference, amount_vnd=order.amount_vnd)

        back = browser.get(reverse("billing:gateway_return", args=["vnpay"]), told).content.decode()
        assert "Đang chờ xác nhận" in back
        assert code_of(call("vnpay", told)) == "00"
        again = browser.get(reverse("billing:gateway_return", args=["vnpay"]), told).content.decode()

        assert "Đã nhận được thanh toán" in again
        assert reverse("portal:home") in again
        assert "Không còn nợ" in page_of(browser, "home")
        assert ledger.owed_by_bill(bill) == 0
        assert Callback.objects.filter(verdict="ACCEPTED").count() == 1

    def test_a_former_holders_bill_is_not_in_the_new_ones_order(self, world, bill, house, customer_browser):
        give_away(house)
        house.refresh_from_db()
        own = issue(world, house, 33_000, month=JUNE)

        _, order = self.begin(customer_browser("0905999999"), house)

        assert [one.pk for one in order.bills.all()] == [own.pk]
        assert order.amount_vnd == 33_000

    @pytest.mark.parametrize("data", [{"gateway": ""}, {"gateway": "paypal"}, {"bill": "999999"}])
    def test_an_unknown_gateway_or_bill_makes_no_order(self, bill, house, browser, data):
        answer, order = self.begin(browser, house, **data)

        assert answer.status_code == 302
        assert order is None

    def test_who_owes_nothing_begins_nothing(self, house, browser):
        answer, order = self.begin(browser, house)

        assert answer.status_code == 302
        assert order is None


# --- what was paid


def test_payments_are_listed_with_their_receipt(bill, house, neighbour, browser):
    paid, other = pay(house, 100_000), pay(neighbour, 50_000)

    page = page_of(browser, "payments")

    assert reverse("portal:receipt", args=[paid.pk]) in page
    assert reverse("portal:receipt", args=[other.pk]) not in page
    assert browser.get(reverse("portal:receipt", args=[paid.pk])).content.startswith(b"%PDF-")


def test_a_receipt_names_who_paid_though_the_connection_is_anothers_now(house):
    paid, name = pay(house, 20_000), house.customer.name
    give_away(house)

    paid.refresh_from_db()

    assert bill_pdf._receipt(paid, unmasked=True)["customer"] == name


def test_what_was_paid_ahead_is_listed_and_a_former_holders_is_not(house, customer_browser, browser):
    ahead = pay(house, 20_000)
    assert reverse("portal:receipt", args=[ahead.pk]) in page_of(browser, "payments")

    give_away(house)

    new = customer_browser("0905999999")
    assert reverse("portal:receipt", args=[ahead.pk]) not in page_of(new, "payments")


# --- the connection


def test_a_connection_shows_twelve_months_its_meter_and_the_last_reading(world, house, browser):
    for back in range(1, 15):
        month = timezone.localdate().replace(day=1)
        for _ in range(back):
            month = (month - timedelta(days=1)).replace(day=1)
        issue(world, house, 10_000 * back, month=month, volume_l=1_000 * back)

    page = page_of(browser, "connection", house.pk)

    assert page.count("<rect") == 12
    assert "S00000001" in page
    assert "130 m³" in page


def test_a_connection_without_bills_meter_and_readings_has_a_page(world, customer_browser):
    bare = world.connection({})
    bare.fittings.all().delete()
    Contract.objects.all().delete()

    assert "chưa lắp" in page_of(customer_browser(bare), "connection", bare.pk)


def test_what_was_taken_back_in_a_month_draws_no_bar_below_zero(world, house, browser):
    bill = issue(world, house, 10_000, month=timezone.localdate().replace(day=1), volume_l=2_000)
    issue(world, house, -10_000, month=bill.period_start_date, corrects=bill, volume_l=-3_000)

    assert 'height="-' not in page_of(browser, "connection", house.pk)


@pytest.mark.parametrize("name", ["home", "bills", "payments", "account"])
def test_lists_ask_the_database_as_often_for_one_connection_as_for_ten(
    world, customer_browser, name, django_assert_max_num_queries
):
    first = world.connection({JULY: 10, AUGUST: 20})
    issue(world, first, 50_000)
    browser = customer_browser(first)
    account = PortalLink.objects.get().account
    with django_assert_max_num_queries(15):
        browser.get(reverse(f"portal:{name}"))
    for _ in range(9):
        other = world.connection({JULY: 10, AUGUST: 20})
        issue(world, other, 50_000)
        PortalLink.objects.create(
            account=account, connection=other, customer=other.customer, linked_at=timezone.now(), linked_by=world.clerk
        )

    with django_assert_max_num_queries(15):
        browser.get(reverse(f"portal:{name}"))
    assert len(money_queries.standings(account, [first], timezone.localdate())) == 1


@pytest.mark.parametrize("name", ["bill_detail", "connection", "pay"])
def test_pages_of_one_thing_ask_at_most_fifteen_times(bill, house, browser, name, django_assert_max_num_queries):
    pay(house, 1_000)

    with django_assert_max_num_queries(15):
        browser.get(reverse(f"portal:{name}", args=[bill.pk if name == "bill_detail" else house.pk]))
