"""After a run is issued, customers who agreed are told once: how much, until when, where to look."""

import pytest
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing.models import Bill
from machnuoc.billing.run_jobs import apply_advances
from machnuoc.billing.tests.fixtures_money import pay
from machnuoc.billing.tests.test_runs import begin, bill_all
from machnuoc.billing.tests.world import JULY, JUNE, NOW
from machnuoc.core import jobs
from machnuoc.core.models import AuditEntry, Job, Sending
from machnuoc.customers.models import Connection, Consent, Customer
from machnuoc.portal import bill_notices, panels
from machnuoc.portal.models import PortalLink, SignInCode
from machnuoc.portal.tests.conftest import make_account

pytestmark = pytest.mark.django_db


@pytest.fixture
def agreed(world) -> Connection:
    """A house with a bill of July to come, whose customer agreed to messages."""
    home = world.connection({JUNE: 100, JULY: 125})
    Consent.objects.create(customer=home.customer, purpose="NOTICES", given_at=NOW, how="hợp đồng")
    return home


@pytest.fixture
def sms(settings):
    settings.SMS_URL = "https://sms.vi-du.vn"
    settings.SITE_URL = "https://nuoc.vi-du.vn"


def test_who_agreed_is_told_how_much_until_when_and_where(world, agreed, sms):
    world.connection({JUNE: 1, JULY: 9})
    run = bill_all(world)

    told = bill_notices.tell(run.pk, NOW)

    row, bill = Sending.objects.get(), Bill.objects.get(connection=agreed)
    assert (told.sent, told.unconfigured, told.silent) == (1, 0, 1)
    assert (row.channel, row.address, row.state) == ("SMS", "84905000001", "QUEUED")
    assert "207.000 đồng" in row.text
    assert f"{bill.due_date:%d/%m/%Y}" in row.text
    assert row.text.endswith(f"https://nuoc.vi-du.vn/kh/hoa-don/{bill.pk}/")
    assert agreed.customer.name not in row.text


def test_telling_again_tells_nobody_twice(world, agreed, sms):
    run = bill_all(world)

    first, second = bill_notices.tell(run.pk, NOW), bill_notices.tell(run.pk, NOW)

    assert (first.sent, second.sent) == (1, 0)
    assert Sending.objects.count() == 1


def test_a_kill_between_two_parts_loses_and_doubles_nothing(world, agreed, sms, monkeypatch):
    monkeypatch.setattr(bill_notices, "AT_ONCE", 1)
    for _ in range(3):
        other = world.connection({JUNE: 1, JULY: 9})
        Consent.objects.create(customer=other.customer, purpose="NOTICES", given_at=NOW, how="hợp đồng")
    run = bill_all(world)

    def killed(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bill_notices.tell(run.pk, NOW, progress=killed)
    assert Sending.objects.count() == 2
    bill_notices.tell(run.pk, NOW)

    assert Sending.objects.count() == 4


def test_where_no_channel_is_set_up_the_message_says_so(world, agreed):
    told = bill_notices.tell(bill_all(world).pk, NOW)

    assert (told.sent, told.unconfigured) == (1, 1)
    assert "MACHNUOC_SMS_URL" in Sending.objects.get().error


def test_an_e_mail_goes_where_only_e_mail_is_set_up(world, agreed, settings):
    settings.EMAIL_HOST = "localhost"
    Customer.objects.filter(pk=agreed.customer_id).update(email="an@vi-du.vn")

    bill_notices.tell(bill_all(world).pk, NOW)

    row = Sending.objects.get()
    assert (row.channel, row.address) == ("EMAIL", "an@vi-du.vn")
    assert row.url == reverse("portal:bill_detail", args=[Bill.objects.get().pk])


def _withdraw(home):
    Consent.objects.update(withdrawn_at=NOW)


def _simulate(home):
    Customer.objects.update(is_simulated=True)


def _no_address(home):
    Customer.objects.update(phone="", email="")


@pytest.mark.parametrize("change", [_withdraw, _simulate, _no_address])
def test_who_withdrew_is_simulated_or_gave_no_address_is_not_written_to(world, agreed, sms, change):
    change(agreed)

    assert bill_notices.tell(bill_all(world).pk, NOW).silent == 1
    assert Sending.objects.count() == 0


def test_a_run_that_is_still_being_issued_tells_nobody(world, agreed, sms):
    run = begin(world)

    assert bill_notices.tell(run.pk, NOW).sent == 0


def test_the_job_of_a_run_has_its_customers_told(world, agreed, sms):
    begin(world)

    while jobs.run_next(timezone.now()):
        pass

    assert Sending.objects.filter(key__startswith="portal-bill:").count() == 1
    assert "Đã xếp 1 tin hóa đơn" in Job.objects.get(task=bill_notices.TASK).message
    assert AuditEntry.objects.filter(action="portal.bills.told").count() == 1


def test_what_was_paid_ahead_is_said(world, agreed, sms):
    pay(agreed, 500_000)
    run = bill_all(world)
    apply_advances(run)

    bill_notices.tell(run.pk, NOW)

    assert "đã trừ từ tiền trả trước" in Sending.objects.get().text


def test_erasure_takes_addresses_out_of_messages_accounts_and_codes(world, agreed, sms):
    bill_notices.tell(bill_all(world).pk, NOW)
    account = make_account(agreed.customer.phone)
    SignInCode.objects.create(address=account.address, made_at=NOW, expires_at=NOW)

    panels.erase_customer(agreed.customer)

    account.refresh_from_db()
    assert Sending.objects.get().address == "(đã xóa)"
    assert (account.address, account.is_active) == (f"da-xoa-{account.pk}", False)
    assert SignInCode.objects.count() == 0
    assert PortalLink.objects.count() == 1


def test_erasing_one_customer_leaves_an_account_that_opens_anothers_connection(world, agreed, house):
    Customer.objects.filter(pk=house.customer_id).update(phone=agreed.customer.phone)
    account = make_account(agreed.customer.phone)

    panels.erase_customer(agreed.customer)

    account.refresh_from_db()
    assert account.is_active
