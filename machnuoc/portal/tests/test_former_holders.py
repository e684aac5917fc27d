"""A connection that passed to another: each holder sees and pays the bills of their own time, and nothing else."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing import ledger
from machnuoc.billing.models import Bill, GatewayOrder
from machnuoc.billing.tests.fixtures_money import GATEWAYS, issue, pay
from machnuoc.billing.tests.test_callbacks import call, code_of
from machnuoc.billing.tests.test_gateways import vnpay_callback
from machnuoc.billing.tests.world import AUGUST, JUNE
from machnuoc.customers.models import Customer
from machnuoc.portal import account_operations, codes, links
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.tests.test_money import give_away, page_of, photo_of

pytestmark = pytest.mark.django_db
OLD, NEW = "0905000001", "0905999999"


@pytest.fixture
def old_bill(world, house) -> Bill:
    return issue(
        world, house, 215_250, due=timezone.localdate() - timedelta(days=9), from_reading=house.readings.first()
    )


@pytest.fixture
def new_bill(world, house, old_bill) -> Bill:
    """The bill of who holds the connection since today."""
    give_away(house)
    house.refresh_from_db()
    return issue(world, house, 77_000, month=JUNE)


def test_a_former_holder_sees_the_bills_of_their_time_and_may_pay_them(old_bill, new_bill, house, customer_browser):
    old = customer_browser(OLD)

    home = page_of(old, "home")
    assert "215.250" in home
    assert reverse("portal:pay", args=[house.pk]) in home
    assert "Chưa có đấu nối nào" not in home
    assert "đã chuyển tên" in page_of(old, "bills")
    assert "215.250" in page_of(old, "bill_detail", old_bill.pk)
    assert old.get(reverse("portal:bill_pdf", args=[old_bill.pk])).content.startswith(b"%PDF-")
    paying = page_of(old, "pay", house.pk)
    assert "215.250" in paying
    assert reverse("portal:connection", args=[house.pk]) not in paying


def test_a_former_holder_sees_nothing_of_the_new_one(old_bill, new_bill, house, customer_browser):
    receipt = pay(house, 7_000)
    photo = house.readings.last()
    photo_of(photo)
    old = customer_browser(OLD)

    for page in [page_of(old, name) for name in ("home", "bills", "payments", "account")] + [
        page_of(old, "pay", house.pk), page_of(old, "bill_detail", old_bill.pk),
    ]:  # fmt: skip
        assert "77.000" not in page
        assert "70.000" not in page
        assert "Lê Thị Mua" not in page
        assert NEW not in page
    for name, args in (
        ("connection", [house.pk]), ("bill_detail", [new_bill.pk]), ("bill_pdf", [new_bill.pk]),
        ("bill_xml", [new_bill.pk]), ("receipt", [receipt.pk]), ("reading_photo", [house.pk, photo.pk]),
    ):  # fmt: skip
        assert old.get(reverse(f"portal:{name}", args=args)).status_code == 404, name


def test_the_new_holder_sees_their_own_bills_and_nothing_of_the_former_one(
    old_bill, new_bill, house, customer_browser
):  # fmt: skip
    receipt = pay(house, 5_000, customer=old_bill.customer)
    photo = house.readings.first()
    photo_of(photo)
    new = customer_browser(NEW)

    for page in [page_of(new, name) for name in ("home", "bills", "payments", "account")] + [
        page_of(new, "pay", house.pk), page_of(new, "connection", house.pk),
    ]:  # fmt: skip
        assert "215.250" not in page
        assert "210.250" not in page
        assert old_bill.customer.name not in page
    assert "77.000" in page_of(new, "home")
    for name, args in (
        ("bill_detail", [old_bill.pk]), ("bill_pdf", [old_bill.pk]), ("receipt", [receipt.pk]),
        ("reading_photo", [house.pk, photo.pk]),
    ):  # fmt: skip
        assert new.get(reverse(f"portal:{name}", args=args)).status_code == 404, name


def test_the_photo_behind_a_former_holders_own_bill_is_theirs_to_see(old_bill, new_bill, house, customer_browser):
    photo_of(old_bill.from_reading)

    answer = customer_browser(OLD).get(reverse("portal:reading_photo", args=[house.pk, old_bill.from_reading_id]))

    assert answer.status_code == 200


def test_what_a_former_holder_pays_at_a_gateway_pays_their_own_bill_and_is_listed_as_theirs(
    old_bill, new_bill, house, customer_browser, settings
):
    for name, account in GATEWAYS.items():
        setattr(settings, name, account)
    old = customer_browser(OLD)

    old.post(reverse("portal:pay", args=[house.pk]), {"gateway": "vnpay"})
    order = GatewayOrder.objects.get()
    assert code_of(call("vnpay", vnpay_callback(order.reference, amount_vnd=order.amount_vnd))) == "00"

    paid = order.payment
    assert (order.amount_vnd, paid.customer_id) == (215_250, old_bill.customer_id)
    assert (ledger.owed_by_bill(old_bill), ledger.owed_by_bill(new_bill)) == (0, 77_000)
    assert reverse("portal:receipt", args=[paid.pk]) in page_of(old, "payments")
    assert reverse("portal:receipt", args=[paid.pk]) not in page_of(customer_browser(NEW), "payments")
    assert "215.250" not in page_of(old, "home")
    assert "215.250" in page_of(old, "bills")  # paid, and still theirs


def test_who_gave_away_the_only_connection_still_gets_a_code_while_bills_are_theirs(old_bill, new_bill):
    now = timezone.now()
    asked = codes.ask(OLD, caller="x", now=now).row

    assert codes.send(asked.pk, now) != "Không có gì để gửi."


def test_a_stranger_and_the_neighbour_find_neither(old_bill, new_bill, house, neighbour, customer_browser):
    other = customer_browser(neighbour)

    for bill in (old_bill, new_bill):
        assert other.get(reverse("portal:bill_detail", args=[bill.pk])).status_code == 404
    assert other.get(reverse("portal:pay", args=[house.pk])).status_code == 404
    assert other.post(reverse("portal:pay", args=[house.pk]), {"gateway": "vnpay"}).status_code == 404


def test_an_erased_customer_one_whose_link_staff_ended_and_a_tenant_keep_nothing(world, old_bill, house):
    tenant = account_operations.link(house, "0911222333", reason="Người thuê nhà", by=world.clerk, now=timezone.now())
    account = PortalAccount.objects.create(address=OLD, created_at=timezone.now())
    links.refresh(account, timezone.now())
    give_away(house)
    assert links.list_former_bill_ids(OLD) == [old_bill.pk]
    assert links.list_former_bill_ids(tenant.account.address) == []

    own = account.links.get()
    own.ended_by, own.ended_at = world.clerk, timezone.now()
    own.save()
    assert links.list_former_bill_ids(OLD) == []

    own.delete()
    Customer.objects.filter(pk=old_bill.customer_id).update(erased_at=timezone.now())
    assert links.list_former_bill_ids(OLD) == []


def test_a_phone_that_stands_for_more_than_one_person_opens_no_former_bills(old_bill, house, monkeypatch, world):
    give_away(house)
    monkeypatch.setattr(links, "MOST", 2)
    for _ in range(2):
        other = world.connection({})
        Customer.objects.filter(pk=other.customer_id).update(phone=OLD)

    assert links.list_former_bill_ids(OLD) == []


def test_who_gives_away_one_house_and_keeps_another_sees_both(world, old_bill, house, customer_browser):
    kept = world.connection({})
    Customer.objects.filter(pk=kept.customer_id).update(phone=OLD)
    issue(world, kept, 31_000, month=AUGUST)
    give_away(house)

    home = page_of(customer_browser(OLD), "home")

    assert "215.250" in home
    assert "31.000" in home
    assert kept.code in home


@pytest.mark.parametrize("name", ["home", "bills", "payments", "pay", "bill_detail"])
def test_pages_of_a_former_holder_ask_at_most_fifteen_times(
    old_bill, new_bill, house, customer_browser, name, django_assert_max_num_queries
):
    browser = customer_browser(OLD)
    args = {"pay": [house.pk], "bill_detail": [old_bill.pk]}.get(name, [])

    with django_assert_max_num_queries(15):
        assert browser.get(reverse(f"portal:{name}", args=args)).status_code == 200


def test_a_replacement_tells_the_customer_the_meter_from_what_it_charges(world, house, customer_browser):
    first = issue(world, house, 215_250, volume_l=18_000, state="REPLACED")
    second = issue(
        world, house, 207_000, volume_l=15_000, kind="REPLACEMENT", corrects=first, reason="Rò trước đồng hồ"
    )

    shown = page_of(customer_browser(house), "bill_detail", second.pk)

    assert "Theo đồng hồ" in shown and "18 m³" in shown
    assert "Hóa đơn thay thế tính</dt><dd>15 m³" in shown
    assert "Lý do: Rò trước đồng hồ" in shown
