"""What this room tells of a customer to the pages of connections: what is owed, and a copy of the bills."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.billing import reference
from machnuoc.billing.models import Bill, BillingRun, RunSkip
from machnuoc.billing.tests.fixtures_money import issue
from machnuoc.billing.tests.world import JULY, NOW
from machnuoc.core import files
from machnuoc.customers import (
    connection_panels,
    connection_sheets,
    privacy,
    request_categories,
    request_queries,
    request_spam,
)
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, Connection, ConnectionImport, Request
from machnuoc.indicators.sheets import SheetError
from machnuoc.places.models import Subject

pytestmark = pytest.mark.django_db


def test_a_customer_with_an_open_bill_is_not_erased_and_gets_it_in_their_copy(world):
    one = world.connection()
    Bill.objects.create(
        series=world.series, operator=world.operator, connection=one, customer=one.customer, period_start_date=JULY,
        group="SH", tariff=world.tariff, net_vnd=60_000, vat_vnd=3_000, fee_vnd=6_000, total_vnd=69_000,
        from_date=JULY, to_date=NOW.date(), volume_l=10_000, issued_at=NOW, due_date=NOW.date(), number=1,
    )  # fmt: skip
    type(one).objects.filter(pk=one.pk).update(status="CLOSED", closed_date=NOW.date())

    assert connection_panels.owed_vnd([one.customer_id]) == 69_000
    with pytest.raises(CustomersError, match="còn nợ"):
        privacy.erase(one.customer, reason="đơn", by=None, now=NOW)
    assert privacy.copy_of(one.customer)["Hóa đơn"][0]["Tổng tiền (đồng)"] == 69_000


def test_a_sheet_of_connections_stays_once_a_billing_run_looked_at_one_of_them(world):
    one, two = world.connection(), world.connection()
    stored = files.store(b"a;b\n", name="dau-noi.csv", by=world.clerk, kinds=frozenset({"csv"}))
    batch = ConnectionImport.objects.create(
        kind="CONNECTIONS", file=stored, file_name="dau-noi.csv", uploaded_by=world.clerk, uploaded_at=NOW,
        applied_at=NOW,
    )  # fmt: skip
    Connection.objects.update(imported_in=batch)
    run = BillingRun.objects.create(
        operator=world.operator, scope=world.operator.subject, period_start_date=JULY, created_at=NOW
    )
    RunSkip.objects.create(run=run, connection=two, reason=RunSkip.Reason.NO_READING)

    with pytest.raises(SheetError, match=f"đấu nối {two.code} đã có hóa đơn"):
        connection_sheets.undo(batch, by=world.clerk, now=NOW)
    assert Connection.objects.filter(pk=one.pk).exists()


def ways_to_name(bill: Bill) -> list[str]:
    """Return what people copy from a bill."""
    number = f"{bill.number:08d}"
    return [bill.name, bill.name.lower(), f"K26TAA-{bill.number}", number, str(bill.number), reference.make(bill.pk)]


def test_a_bill_is_named_by_its_number_as_printed_or_by_the_reference_of_its_transfer(world):
    home, other = world.connection(), world.connection()
    bill, foreign = issue(world, home, 100_000), issue(world, other, 100_000)

    for said in ways_to_name(bill):
        assert request_queries.connection_of(said, home.customer.phone) == home, said
    for said in (*ways_to_name(foreign), "1K26TAA 99999999", "MN0001234523", "%", "²", "", "9" * 40):
        assert request_queries.connection_of(said, home.customer.phone) is None, said
    for said in ways_to_name(bill):
        assert request_queries.connection_of(said, "") is None


def test_a_number_that_two_bills_of_one_phone_carry_names_neither(world):
    home, other = world.connection(), world.connection()
    type(home.customer).objects.filter(pk=other.customer_id).update(phone=home.customer.phone)
    bill = issue(world, home, 100_000)
    series = type(bill.series).objects.create(operator=world.operator, code="K26TBB", is_active=False)
    same = issue(replace(world, series=series), other, 100_000)

    assert same.number == bill.number
    assert request_queries.connection_of(str(bill.number), home.customer.phone) is None
    assert request_queries.connection_of(bill.name, home.customer.phone) == home


def test_a_bill_of_the_time_before_a_transfer_names_nobody_of_today(world):
    home, heir = world.connection(), world.connection().customer
    bill = issue(world, home, 100_000)
    before = home.customer.phone
    Connection.objects.filter(pk=home.pk).update(customer=heir)

    assert request_queries.connection_of(bill.name, before) is None
    assert request_queries.connection_of(bill.name, heir.phone) is None


def test_who_complains_with_the_number_of_a_bill_learns_nothing_of_whose_it_is(world):
    request_categories.load_categories()
    Subject.objects.filter(pk=world.work.pk).update(latitude=15.1, longitude=108.8)
    home = world.connection()
    bill = issue(world, home, 100_000)
    dispute = Category.objects.filter(is_bill_dispute=True, is_public=True).first()

    def complain(account: str, phone: str) -> str:
        said = {
            "category": dispute.pk, "text": "Hóa đơn tháng này sai.", "latitude": "15.1", "longitude": "108.8",
            "account": account, "phone": phone, "website": "",
            "stamp": request_spam.make_stamp(timezone.now() - timedelta(seconds=30)),
        }  # fmt: skip
        page = Client(REMOTE_ADDR=f"10.0.0.{Request.objects.count() + 1}").post(
            "/cong-khai/phan-anh/", said, follow=True
        )
        assert page.status_code == 200
        made = Request.objects.latest("pk")
        changing = rf'<input type="?hidden[^>]*>|CSRFToken[^}}]*|nonce=\S+|\d\d:\d\d|{made.code}|{made.token}|{account}'
        return re.sub(changing, "", page.content.decode())

    tied, wrong_phone, no_such = (
        complain(bill.name, home.customer.phone), complain(bill.name, "0905999999"),
        complain("1K26TAA 00009999", home.customer.phone),
    )  # fmt: skip

    assert tied == wrong_phone == no_such
    assert home.customer.name not in tied and home.code not in tied
    assert list(Request.objects.order_by("pk").values_list("connection", flat=True)) == [home.pk, None, None]
