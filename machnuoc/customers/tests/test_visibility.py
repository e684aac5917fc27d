"""Who sees which connections, and whose personal data in full."""

from dataclasses import replace

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from machnuoc.customers import connection_operations, connection_queries, visibility
from machnuoc.customers.models import DataAccess, Route
from machnuoc.customers.tests.world import NOW

pytestmark = pytest.mark.django_db


def test_a_station_sees_the_connections_of_its_own_works_alone(centre):
    own = centre.connection()
    foreign = centre.connection(work=centre.nghia_phu)

    assert list(visibility.list_connections(centre.station)) == [own]
    assert visibility.may(centre.station, "serve", own)
    with pytest.raises(PermissionDenied, match=foreign.code):
        visibility.require_connection(centre.station, "serve", foreign)


def test_an_agency_views_all_of_the_operator_and_serves_none(centre):
    one = centre.connection()
    centre.connection(work=centre.nghia_phu)

    assert visibility.list_connections(centre.agency, "view").count() == 2
    assert not visibility.list_connections(centre.agency, "serve").exists()
    assert visibility.served_among(centre.agency, [one]) == frozenset()


def test_a_reader_reaches_the_connections_of_their_own_routes_alone(centre):
    route = Route.objects.create(code="BC-01", name="Tuyến 1", work=centre.binh_chanh, reader=centre.reader)
    own = centre.connection(route=route)
    foreign = centre.connection()

    assert list(visibility.list_connections(centre.reader, "read_meters")) == [own]
    assert connection_queries.get_connection(centre.reader, own.code) == own
    assert not visibility.list_connections(centre.reader, "serve").exists()
    assert visibility.may(centre.reader, "read_meters", own)
    assert not visibility.may(centre.reader, "read_meters", foreign)


def test_a_route_that_names_a_reader_of_another_operator_opens_nothing(centre):
    route = Route.objects.create(code="K-01", name="Tuyến khác", work=centre.other_work, reader=centre.reader)
    foreign = centre.connection(work=centre.other_work, route=route)

    for action in ("view", "read_meters"):
        assert not visibility.list_connections(centre.reader, action).exists()
        assert not visibility.may(centre.reader, action, foreign)


def test_nobody_sees_the_connections_of_another_operator(centre, browser_of):
    foreign = centre.connection(work=centre.other_work)

    for person in (centre.clerk, centre.station, centre.agency, centre.cashier, centre.reader):
        assert browser_of(person).get(f"/khach-hang/{foreign.code}/").status_code == 404


def test_an_agency_reads_a_masked_page_and_leaves_no_look(centre, browser_of):
    one = centre.connection("Nguyễn Văn An", phone="0905 123 456")

    page = browser_of(centre.agency).get(f"/khach-hang/{one.code}/").content.decode()
    listed = browser_of(centre.agency).get("/khach-hang/").content.decode()

    for text in (page, listed):
        assert "Nguyễn V. A." in text and "0905 ••• 456" in text
        assert "Văn An" not in text and "Thôn Bình Yên" not in text and "0905 123" not in text
    assert not DataAccess.objects.exists()


def test_every_unmasked_page_list_and_file_leaves_a_look(centre, browser_of):
    one = centre.connection()
    centre.connection()
    browser = browser_of(centre.cashier)

    assert "Nguyễn Văn An" in browser.get(f"/khach-hang/{one.code}/").content.decode()
    browser.get("/khach-hang/")
    exported = browser.get("/khach-hang/?export=csv")
    assert "Nguyễn Văn An" in b"".join(exported.streaming_content).decode()

    assert list(DataAccess.objects.order_by("id").values_list("what", "count", "customer_id")) == [
        ("PAGE", 1, one.customer_id), ("LIST", 2, None), ("EXPORT", 2, None),
    ]  # fmt: skip


def test_a_masked_file_holds_no_personal_data(centre, browser_of):
    centre.connection("Nguyễn Văn An", phone="0905123456")

    text = b"".join(browser_of(centre.agency).get("/khach-hang/?export=csv").streaming_content).decode()

    assert "Nguyễn V. A." in text and "Văn An" not in text and "123456" not in text


def test_who_takes_money_does_not_set_what_the_price_of_water_rests_on(centre):
    home = centre.connection()
    facts = connection_operations.ConnectionFacts(address=home.address, group="KDDV")
    acts = {
        "group": lambda by: connection_operations.edit_connection(home, facts, version=None, by=by, now=NOW),
        "norm": lambda by: connection_operations.set_norm(home, persons=9, valid_from=NOW.date(), by=by, now=NOW),
        "shares": lambda by: connection_operations.set_shares(
            home, {"SH": 50, "KDDV": 50}, valid_from=NOW.date(), by=by, now=NOW
        ),
        "poverty": lambda by: connection_operations.set_poverty(
            home.customer, year=2026, kind="POOR", decision="1/QĐ", by=by
        ),
    }
    for name, act in acts.items():
        with pytest.raises(PermissionDenied):
            act(centre.cashier)
        assert act(centre.station) is not None, name
    home.refresh_from_db()
    same = replace(facts, group=home.group, address="Thôn khác")
    assert connection_operations.edit_connection(home, same, version=None, by=centre.cashier, now=NOW)


def test_the_pages_of_norms_and_shares_are_closed_to_who_takes_money(centre, client):
    home = centre.connection()
    for person, status in ((centre.cashier, 403), (centre.station, 200)):
        client.force_login(person)
        for name in ("norm", "shares", "poverty"):
            assert client.get(reverse(f"customers:connection_{name}", args=[home.code])).status_code == status
    client.force_login(centre.cashier)
    shown = client.get(reverse("customers:connection_detail", args=[home.code])).content.decode()
    assert reverse("customers:connection_norm", args=[home.code]) not in shown
