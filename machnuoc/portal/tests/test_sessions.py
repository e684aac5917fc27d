"""Who is signed in, and what is theirs."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.customers import connection_operations
from machnuoc.customers.connection_operations import CustomerFacts
from machnuoc.customers.models import Connection, Customer
from machnuoc.portal import links, queries, sessions
from machnuoc.portal.models import PortalAccount, PortalLink
from machnuoc.portal.tests.conftest import make_account, session_of

pytestmark = pytest.mark.django_db
HOME = "/kh/"


def test_a_stranger_is_sent_to_the_sign_in_page_and_back_to_where_they_were():
    response = Client().get("/kh/tai-khoan/?x=1")

    assert response.status_code == 302
    assert response.url == "/kh/dang-nhap/?next=%2Fkh%2Ftai-khoan%2F%3Fx%3D1"


@pytest.mark.parametrize("path", ["https://xau.vn/kh/", "//xau.vn/kh/", "/dang-nhap/", "/kh/\\\\xau", "", "kh/", "/kh"])
def test_the_way_back_never_leads_out_of_the_customers_pages(path):
    assert sessions.own_path(path) in {"", "/kh/\\\\xau"}
    assert sessions.own_path(path) == "" or path.startswith("/kh/")


def test_a_customer_sees_the_connection_of_their_phone_and_not_the_neighbours(house, neighbour, customer_browser):
    page = customer_browser(house).get(HOME).content.decode()

    assert house.code in page
    assert neighbour.code not in page


def test_a_session_of_the_staff_alone_opens_no_page_of_a_customer(world, house):
    browser = Client()
    browser.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")

    assert browser.get(HOME).url == "/kh/dang-nhap/"


def test_a_session_of_a_customer_opens_no_page_of_the_staff(house, customer_browser):
    response = customer_browser(house).get("/hoa-don/")

    assert response.status_code == 302
    assert response.url.startswith("/dang-nhap/")


@pytest.fixture
def both(world, house, customer_browser) -> Client:
    """A browser in which somebody of the staff and a customer are signed in."""
    browser = customer_browser(house)
    browser.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def test_staff_and_customer_are_signed_in_beside_each_other(both, house):
    assert house.code in both.get(HOME).content.decode()
    assert both.get("/khach-hang/").status_code == 200


def test_a_customer_who_signs_out_leaves_the_staff_signed_in(both):
    both.post(reverse("portal:sign_out"), {"everywhere": "1"})

    assert both.get(HOME).url == "/kh/dang-nhap/"
    assert both.get("/khach-hang/").status_code == 200


def test_staff_who_sign_out_leave_the_customer_signed_in(both, house):
    both.post("/dang-xuat/")

    assert both.get("/khach-hang/").url.startswith("/dang-nhap/")
    assert house.code in both.get(HOME).content.decode()


def test_on_the_customers_pages_nobody_of_the_staff_is_signed_in(world):
    browser = Client()
    browser.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")

    page = browser.get("/kh/dang-nhap/")

    assert page.wsgi_request.user.is_anonymous and browser.get("/khach-hang/").status_code == 200


def test_the_key_of_one_session_under_the_name_of_the_other_opens_nothing(both):
    staff, customer = both.cookies["machnuoc_session"].value, both.cookies["machnuoc_khach"].value
    swapped = Client()
    swapped.cookies["machnuoc_session"], swapped.cookies["machnuoc_khach"] = customer, staff

    assert swapped.get(HOME).url == "/kh/dang-nhap/"
    assert swapped.get("/khach-hang/").url.startswith("/dang-nhap/")


def test_a_forged_mix_of_both_sessions_opens_nothing_of_the_customer(world, house, both):
    session = both.session
    sessions.begin(session, PortalAccount.objects.get(), timezone.now())
    session.save()
    both.cookies["machnuoc_khach"] = both.cookies["machnuoc_session"].value

    assert both.get(HOME).url == "/kh/dang-nhap/"


def test_what_is_said_to_the_staff_is_not_told_to_the_customer(both, house, world):
    both.post(f"/cong-khach-hang/{house.code}/lien-ket/", {"address": "x", "reason": ""})

    assert "liên kết" not in both.get(HOME).content.decode().lower()


def test_the_cookie_of_a_customer_goes_to_their_pages_alone(house):
    browser = Client()
    browser.post("/kh/dang-nhap/", {"address": "0905000001"})

    cookie = browser.cookies["machnuoc_khach"]

    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/kh/", True, "Lax")
    assert "machnuoc_session" not in browser.cookies


def test_signing_out_takes_the_cookie_of_the_customer_away(both):
    answer = both.post(reverse("portal:sign_out"))

    # what is said on the way out stands in a new session, of nobody
    assert answer.cookies["machnuoc_khach"]["path"] == "/kh/"
    assert "machnuoc_session" not in answer.cookies


def test_signing_out_everywhere_ends_the_sessions_on_other_devices(house, customer_browser):
    phone, computer = customer_browser(house), customer_browser(house)

    phone.post(reverse("portal:sign_out"), {"everywhere": "1"})

    assert phone.get(HOME).status_code == 302
    assert computer.get(HOME).status_code == 302
    assert customer_browser(house).get(HOME).status_code == 200


def test_signing_out_ends_this_session_alone(house, customer_browser):
    phone, computer = customer_browser(house), customer_browser(house)

    phone.post(reverse("portal:sign_out"))

    assert phone.get(HOME).status_code == 302
    assert computer.get(HOME).status_code == 200


def test_a_session_lasts_thirty_days_from_the_last_visit(house, customer_browser):
    browser = customer_browser(house)
    session = session_of(browser)
    session["portal_seen"] = (timezone.now() - timedelta(days=20)).timestamp()
    session.save()

    browser.get(HOME)

    assert session_of(browser)["portal_seen"] > (timezone.now() - timedelta(minutes=1)).timestamp()
    assert session_of(browser).get_expiry_age() == 30 * 24 * 3600
    assert PortalAccount.objects.get().last_seen_at is not None


def test_an_account_that_was_closed_has_no_session(house, customer_browser):
    browser = customer_browser(house)
    PortalAccount.objects.update(is_active=False)

    assert browser.get(HOME).status_code == 302


def test_what_a_session_holds_of_another_kind_is_nobody(house, customer_browser):
    browser = customer_browser(house)
    session = session_of(browser)
    session[sessions.ACCOUNT] = "1"
    session.save()

    assert browser.get(HOME).status_code == 302


# --- links


def test_a_connection_that_went_to_another_is_gone_from_the_former_holders_pages_at_once(world, house):
    account = make_account(house.customer.phone)
    now = timezone.now()

    connection_operations.transfer(
        house, to=CustomerFacts("Lê Thị Mua", phone="0905999999"), number="HD-MOI", signed_date=now.date(),
        version=house.version, by=None, now=now,
    )  # fmt: skip

    assert list(queries.list_connections(account)) == []
    assert [one.pk for one in queries.list_connections(make_account("0905999999"))] == [house.pk]


def test_a_phone_that_the_customer_no_longer_names_opens_nothing(house):
    account = make_account(house.customer.phone)

    Customer.objects.filter(pk=house.customer_id).update(phone="0905777777")

    assert list(queries.list_connections(account)) == []


def test_refreshing_ends_links_that_hold_no_longer_and_makes_those_that_do(house):
    account = make_account(house.customer.phone)
    Customer.objects.filter(pk=house.customer_id).update(phone="0905777777")

    links.refresh(account, timezone.now())
    Customer.objects.filter(pk=house.customer_id).update(phone=account.address)
    links.refresh(account, timezone.now())
    links.refresh(account, timezone.now())

    rows = list(PortalLink.objects.order_by("pk"))
    assert [row.ended_at is None for row in rows] == [False, True]


def test_what_staff_unlinked_is_not_linked_again_by_the_address(world, house):
    account = make_account(house.customer.phone)
    now = timezone.now()
    PortalLink.objects.update(ended_at=now, ended_by=world.clerk)

    links.refresh(account, now)

    assert list(queries.list_connections(account)) == []


def test_what_staff_linked_stays_without_the_address_until_the_connection_changes_hands(world, house):
    account = make_account("nguoi-thue@vi-du.vn")
    now = timezone.now()
    PortalLink.objects.create(
        account=account, connection=house, customer=house.customer, linked_at=now, linked_by=world.clerk
    )

    links.refresh(account, now)

    assert [one.pk for one in queries.list_connections(account)] == [house.pk]
    connection_operations.transfer(
        house, to=CustomerFacts("Lê Thị Mua"), number="HD-MOI", signed_date=now.date(), version=house.version,
        by=None, now=now,
    )  # fmt: skip
    assert list(queries.list_connections(account)) == []


def test_a_customer_whose_data_were_erased_is_nobodys(house):
    account = make_account(house.customer.phone)

    Customer.objects.filter(pk=house.customer_id).update(erased_at=timezone.now())

    assert list(queries.list_connections(account)) == []


def test_a_phone_that_was_typed_for_more_than_a_hundred_customers_opens_none(world, monkeypatch):
    monkeypatch.setattr(links, "MOST", 2)
    for _ in range(3):
        world.connection({})
    Customer.objects.update(phone="0905123123")

    account = make_account("0905123123")

    assert Connection.objects.count() == 3
    assert list(queries.list_connections(account)) == []
