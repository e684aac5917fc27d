"""What the staff do about the portal: link and unlink with a reason, each by their right and scope."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing.tests.world import make_person, make_world
from machnuoc.core.models import AuditEntry
from machnuoc.customers.models import Customer
from machnuoc.places.models import Grant
from machnuoc.portal import account_operations, queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount, PortalLink
from machnuoc.portal.tests.conftest import make_account

pytestmark = pytest.mark.django_db
TENANT = "thue@vi-du.vn"


def browser_of(person) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def link(browser: Client, house, **data: str):
    said = {"address": TENANT, "reason": "Chủ nhà đề nghị, đã xem hợp đồng thuê", **data}
    return browser.post(reverse("portal:staff_link", args=[house.code]), said)


def test_staff_let_a_tenant_see_a_connection_and_take_it_back(world, house):
    browser = browser_of(world.clerk)

    link(browser, house)
    account = PortalAccount.objects.get(address=TENANT)
    assert [one.pk for one in queries.list_connections(account)] == [house.pk]
    row = PortalLink.objects.get()
    browser.post(reverse("portal:staff_unlink", args=[house.code, row.pk]), {"reason": "Hết hạn thuê"})

    row.refresh_from_db()
    assert list(queries.list_connections(account)) == []
    assert (row.ended_by, row.end_reason) == (world.clerk, "Hết hạn thuê")
    assert set(AuditEntry.objects.filter(action__startswith="portal.link.").values_list("action", flat=True)) == {
        "portal.link.made", "portal.link.ended",
    }  # fmt: skip
    assert TENANT not in str(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_the_page_of_the_connection_shows_who_sees_it_and_why(world, house):
    browser = browser_of(world.clerk)
    link(browser, house)

    page = browser.get(reverse("customers:connection_later", args=[house.code])).content.decode()

    assert TENANT in page
    assert "đã xem hợp đồng thuê" in page


def test_who_only_views_sees_no_account_of_the_portal(world, house):
    browser = browser_of(make_person("so.xem", Grant.Role.AGENCY, world.operator.subject))
    make_account(house.customer.phone)

    page = browser.get(reverse("customers:connection_later", args=[house.code])).content.decode()

    assert "Cổng khách hàng" not in page
    assert link(browser, house).status_code == 403


def test_staff_of_another_operator_reach_no_link(world, house):
    elsewhere = make_world("khac")

    assert link(browser_of(elsewhere.clerk), house).status_code == 404
    assert PortalLink.objects.count() == 0


@pytest.mark.parametrize("data", [{"address": "abc"}, {"reason": " "}, {"address": ""}])
def test_a_link_needs_an_address_and_a_reason(world, house, data):
    link(browser_of(world.clerk), house, **data)

    assert PortalLink.objects.count() == 0
    assert PortalAccount.objects.count() == 0


def test_a_link_is_made_once_and_ended_once(world, house):
    now = timezone.now()
    made = account_operations.link(house, TENANT, reason="Người thuê", by=world.clerk, now=now)

    with pytest.raises(PortalError, match="đã xem được"):
        account_operations.link(house, TENANT, reason="Người thuê", by=world.clerk, now=now)
    account_operations.unlink(house, made.pk, reason="Hết thuê", by=world.clerk, now=now)
    with pytest.raises(PortalError, match="đã được gỡ"):
        account_operations.unlink(house, made.pk, reason="Hết thuê", by=world.clerk, now=now)


def test_a_link_of_one_connection_is_not_ended_under_another(world, house, neighbour):
    made = account_operations.link(house, TENANT, reason="Người thuê", by=world.clerk, now=timezone.now())

    with pytest.raises(PortalError):
        account_operations.unlink(neighbour, made.pk, reason="Nhầm nhà", by=world.clerk, now=timezone.now())

    made.refresh_from_db()
    assert made.ended_at is None


def test_who_was_taken_off_by_staff_may_be_linked_again_by_staff(world, house):
    account = make_account(house.customer.phone)
    now = timezone.now()
    account_operations.unlink(house, PortalLink.objects.get().pk, reason="Đề nghị của chủ", by=world.clerk, now=now)

    account_operations.link(house, account.address, reason="Chủ đề nghị lại", by=world.clerk, now=now)

    assert [one.pk for one in queries.list_connections(account)] == [house.pk]


def test_nothing_is_linked_to_a_customer_whose_data_were_erased(world, house):
    Customer.objects.filter(pk=house.customer_id).update(erased_at=timezone.now())
    house.customer.refresh_from_db()

    with pytest.raises(PortalError, match="xóa dữ liệu"):
        account_operations.link(house, TENANT, reason="Người thuê", by=world.clerk, now=timezone.now())
