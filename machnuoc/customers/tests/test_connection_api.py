"""Connections as programs read them."""

import pytest

from machnuoc.customers.models import DataAccess

pytestmark = pytest.mark.django_db


def test_a_program_of_who_serves_reads_names_and_leaves_a_look(centre, browser_of):
    codes = [centre.connection(f"Nguyễn Văn {n}", code=f"BC-{n}", phone=f"090512345{n}").code for n in range(3)]
    browser = browser_of(centre.station)

    first = browser.get("/api/v1/connections?limit=2").json()
    rest = browser.get(f"/api/v1/connections?limit=2&cursor={first['next_cursor']}").json()

    assert [row["code"] for row in first["items"] + rest["items"]] == codes
    assert rest["next_cursor"] is None
    assert first["items"][0]["name"] == "Nguyễn Văn 0" and not first["items"][0]["is_masked"]
    assert list(DataAccess.objects.order_by("id").values_list("what", "count", "purpose")) == [
        ("LIST", 2, "API"), ("LIST", 1, "API"),
    ]  # fmt: skip


def test_a_program_of_who_views_gets_masked_data(centre, browser_of):
    one = centre.connection("Nguyễn Văn An", phone="0905123456", contract_number="1/HĐ")
    centre.connection(work=centre.other_work)

    listed = browser_of(centre.agency).get("/api/v1/connections").json()["items"]
    shown = browser_of(centre.agency).get(f"/api/v1/connections/{one.code}").json()

    assert [row["code"] for row in listed] == [one.code]
    for row in (listed[0], shown):
        assert (row["name"], row["phone"], row["address"], row["is_masked"]) == (
            "Nguyễn V. A.", "0905 ••• 456", "•••", True,
        )  # fmt: skip
    assert shown["contracts"][0]["number"] == "1/HĐ" and shown["latitude"] is None
    assert not DataAccess.objects.exists()


def test_another_operators_connection_is_not_there(centre, browser_of):
    foreign = centre.connection(work=centre.other_work)

    assert browser_of(centre.clerk).get(f"/api/v1/connections/{foreign.code}").status_code == 404
    assert browser_of(centre.clerk).get("/api/v1/connections?status=KHAC").status_code == 422
