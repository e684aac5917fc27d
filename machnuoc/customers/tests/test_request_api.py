"""The API of requests, and what they add to pages of others."""

import json

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.core.models import Person
from machnuoc.customers import request_operations, request_panels
from machnuoc.customers.models import DataAccess, Request
from machnuoc.customers.tests.fixtures_requests import World, make_world


@pytest.fixture
def desk(db: None) -> World:
    return make_world()


def client_of(person: Person) -> Client:
    token = tokens.create_token(person=person, name="thử", now=timezone.now(), can_write=True)[1]
    return Client(headers={"Authorization": f"Bearer {token}"})


def post(client: Client, path: str, body: dict, **headers: str):
    return client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers)


def test_a_program_takes_down_reads_and_answers(desk):
    connection = desk.connection()
    client = client_of(desk.station)
    said = {"category": "mat-nuoc", "text": "Mất nước.", "connection_code": connection.code, "phone": "0905 000 111"}

    first = post(client, "complaints", said, **{"Idempotency-Key": "k1"})
    again = post(client, "complaints", said, **{"Idempotency-Key": "k1"})

    assert first.status_code == 201 and first.json() == again.json()
    assert Request.objects.count() == 1
    code, version = first.json()["code"], first.json()["version"]
    answered = post(client, f"complaints/{code}/answer", {"text": "Đã sửa xong.", "version": version})
    assert answered.status_code == 200 and answered.json()["state"] == "ANSWERED"
    assert post(client, f"complaints/{code}/answer", {"text": "Lần hai.", "version": version}).status_code == 409


def test_senders_are_masked_for_who_does_not_serve(desk):
    desk.receive(now=timezone.now())

    (inside,) = client_of(desk.station).get("/api/v1/complaints").json()["items"]
    (outside,) = client_of(desk.agency).get("/api/v1/complaints?state=open").json()["items"]

    assert (inside["name"], inside["text"]) == ("Lê Văn Thử", "Mất nước từ sáng sớm.")
    assert (outside["name"], outside["phone"], outside["text"]) == ("Lê V. T.", "0905 ••• 888", None)
    assert client_of(desk.stranger).get("/api/v1/complaints").json()["items"] == []
    assert DataAccess.objects.count() == 1


def test_what_is_out_of_scope_is_not_written(desk):
    made = desk.receive(now=timezone.now())
    foreign = desk.connection(desk.far_work)
    client = client_of(desk.station)

    bad = [
        post(client, "complaints", {"category": "mat-nuoc", "text": "Mất nước.", "connection_code": foreign.code}),
        post(client, "complaints", {"category": "mat-nuoc", "text": "Mất nước.", "work_key": "work.tay"}),
        post(client, "complaints", {"category": "x", "text": "Mất nước."}),
        post(client_of(desk.agency), "complaints", {"category": "mat-nuoc", "text": "Mất nước."}),
        post(client_of(desk.agency), f"complaints/{made.code}/answer", {"text": "Đã xong.", "version": 1}),
        post(client_of(desk.stranger), f"complaints/{made.code}/answer", {"text": "Đã xong.", "version": 1}),
    ]

    assert [one.status_code for one in bad] == [404, 403, 422, 403, 403, 404]
    assert Request.objects.count() == 1


def test_statistics_are_told_of_the_own_scope(desk):
    desk.receive(now=timezone.now())
    period = f"{timezone.localdate():%Y-%m}"

    assert client_of(desk.agency).get(f"/api/v1/complaints/statistics?period={period}").json()["received"] == 1
    assert client_of(desk.stranger).get(f"/api/v1/complaints/statistics?period={period}").json()["received"] == 0
    assert client_of(desk.agency).get("/api/v1/complaints/statistics?period=soon").status_code == 422


def test_panels_show_what_waits_to_who_may_see_it(desk):
    connection = desk.connection()
    desk.receive("khieu-nai-hoa-don", now=timezone.now(), connection=connection, phone=connection.customer.phone)
    desk.receive(now=timezone.now(), latitude=15.2, longitude=108.7)

    (overview,) = request_panels.later_overview(desk.station, "now")
    assert overview.context["counts"].open == 2
    assert request_panels.later_overview(desk.far_station, "now") == []
    assert request_panels.later_overview(desk.agency, "now") == []
    assert len(request_panels.later_for_subject(desk.agency, desk.work.subject)) == 1
    assert request_panels.later_for_subject(desk.stranger, desk.work.subject) == []
    (layer,) = request_panels.map_layers(desk.agency, None)
    assert len(layer.points) == 2
    (of_connection,) = request_panels.later_for_connection(desk.station, connection)
    assert of_connection.context["in_dispute"] is True
    ((title, rows),) = request_panels.customer_data(connection.customer)
    assert len(rows) == 1 and title


def test_what_is_shown_on_other_pages_is_drawn(desk):
    connection = desk.connection()
    made = desk.receive("khieu-nai-hoa-don", now=timezone.now(), connection=connection)
    request_operations.note(made, text="Ghi chú", by=desk.station, now=timezone.now())

    for panel in (*request_panels.later_overview(desk.station, "now"),
                  *request_panels.later_for_connection(desk.station, connection)):  # fmt: skip
        assert made.code in render_to_string(panel.template, panel.context)
