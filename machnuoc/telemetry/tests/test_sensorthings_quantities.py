"""ObservedProperties made, changed and deleted through SensorThings: by whom, and what is refused."""

import json

import pytest
from django.test import Client

from machnuoc.places.models import Containment, Grant, Subject
from machnuoc.telemetry.models import Channel, OwnQuantity
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.tests.sta_world import ROOT, ask, body_for, make_token, names, readings, send

pytestmark = pytest.mark.usefixtures("clean_store")


def nitrate(**more):
    about = {"key": "nitrate", "unit": "mg/L", "low": 0, "high": 500, "decimals": 1, "acceptedUnits": ["ug/L"]}
    return {
        "name": "Nitrat", "definition": "http://www.wikidata.org/entity/Q182168", "description": "Ion nitrat",
        "properties": {**about, **more.pop("about", {})}, **more,
    }  # fmt: skip


class _Country:
    """A country in place of a work, for make_token."""

    def __init__(self):
        self.subject = Subject.objects.filter(kind=Subject.Kind.COUNTRY).first()


@pytest.fixture
def admin(province, stations):
    """The token of who administers the country, in which both stations lie."""
    for each in (stations["p"], stations["p2"]):
        Containment.objects.create(ancestor=_Country().subject, descendant_id=each.device.work_id)
    yield make_token(_Country(), Grant.Role.ADMIN, name="quan-tri")
    QUANTITIES.forget()


def stream(work, **more):
    sensor = {"name": "Máy đo nitrat", "description": "", "encodingType": "text/plain", "metadata": "Hãng"}
    return {
        "name": "Nitrat nước nguồn", "description": "", "Thing": {"@iot.id": work.pk}, "Sensor": sensor,
        "ObservedProperty": {"@iot.id": "nitrate"}, **more,
    }  # fmt: skip


def test_an_observed_property_is_made_measured_with_and_read_back(admin, stations, token):
    response = send("ObservedProperties", nitrate(), admin)

    assert response.status_code == 201, response.content.decode()
    assert response["Location"].endswith("/ObservedProperties('nitrate')")
    assert response.json()["properties"] == {**nitrate()["properties"], "kind": "INSTANT", "low": 0.0, "high": 500.0}
    assert "Nitrat" in names(ask("ObservedProperties", admin))
    work = stations["p"].device.work
    made = send("Datastreams", stream(work, properties={"sentUnit": "ug/L", "isPublic": True}), admin)
    assert made.status_code == 201, made.content.decode()
    channel = Channel.objects.get(quantity="nitrate")
    assert send("Observations", body_for(channel, 12.5), token).status_code == 201
    assert (channel.pk, 12.5) in {(row[0], row[2]) for row in readings()}
    assert ask(f"Datastreams({channel.pk})/ObservedProperty")["name"] == "Nitrat"  # published: anybody's to see
    assert (
        ask("Observations", admin, filter="Datastream/ObservedProperty/id eq 'nitrate'")["value"][0]["result"] == 12.5
    )
    assert names(ask("ObservedProperties('nitrate')/Datastreams", admin)) == ["Nitrat nước nguồn"]


@pytest.mark.parametrize(
    "said",
    [
        {"@iot.id": "nitrate"}, {"definition": "http://www.wikidata.org/entity/Q182168"},
        {"definition": "urn:machnuoc:quantity:nitrate"}, {"name": "Nitrat"},
    ],
)  # fmt: skip
def test_a_datastream_names_it_by_id_definition_or_name(admin, stations, said):
    send("ObservedProperties", nitrate(), admin)

    made = send("Datastreams", stream(stations["p"].device.work, ObservedProperty=said), admin)

    assert made.status_code == 201, made.content.decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name"), ({"name": ["x"]}, "name"), ({"name": "Áp lực"}, "pressure"),
        ({"name": "x" * 81}, "name"),
        ({"definition": "không phải"}, "URI"), ({"definition": 5}, "definition"), ({"description": {}}, "description"),
        ({"about": {"unit": "furlong"}}, "furlong"), ({"about": {"unit": None}}, "unit"),
        ({"about": {"unit": 5}}, "unit"),
        ({"about": {"low": "0"}}, "low"), ({"about": {"low": True}}, "low"), ({"about": {"high": 10**400}}, "high"),
        ({"about": {"low": 600}}, "Khoảng"), ({"about": {"decimals": 1.5}}, "decimals"),
        ({"about": {"decimals": 10**30}}, "decimals"), ({"about": {"decimals": 99}}, "lẻ"),
        ({"about": {"kind": "SOME"}}, "INSTANT"), ({"about": {"kind": ["INSTANT"]}}, "kind"),
        ({"about": {"acceptedUnits": "ug/L"}}, "acceptedUnits"),
        ({"about": {"acceptedUnits": [["ug/L"]]}}, "acceptedUnits"),
        ({"about": {"acceptedUnits": ["m"]}}, "đổi"), ({"about": {"key": "flow"}}, "đã có"),
        ({"about": {"key": 5}}, "key"),
        ({"about": {"key": "a b"}}, "Khóa"), ({"about": {"is_own": True}}, "is_own"),
        ({"about": {"password": "x"}}, "mật khẩu"),
        ({"Datastreams": []}, "Datastreams"), ({"pk": 1}, "pk"), ({"properties": {"unit": "mg/L"}}, "low"),
        ({"properties": None}, "unit"), ({"properties": "x"}, "JSON"),
    ],
)  # fmt: skip
def test_an_observed_property_that_cannot_be_kept_is_said(admin, change, said):
    response = send("ObservedProperties", nitrate(**change), admin)

    assert response.status_code == 400, response.content.decode()
    assert said in response.json()["message"]
    assert not OwnQuantity.objects.exists()


def test_the_key_is_made_of_the_name(admin):
    body = nitrate(definition="")
    del body["properties"]["key"]

    assert (
        send("ObservedProperties", {**body, "name": "Amoni tính theo N"}, admin).json()["@iot.id"] == "amoni_tinh_theo"
    )
    assert send("ObservedProperties", {**body, "name": "水"}, admin).status_code == 400


def test_it_is_changed_until_a_channel_has_it_and_built_in_ones_never(admin, stations):
    send("ObservedProperties", nitrate(), admin)
    address = "ObservedProperties('nitrate')"

    whole = ask(address, admin)
    assert send(address, whole, admin, "put").status_code == 200
    changed = send(address, {"name": "Nitrat (NO₃⁻)", "properties": {"high": 250}}, admin, "patch").json()
    assert (changed["name"], changed["properties"]["high"], changed["properties"]["low"]) == ("Nitrat (NO₃⁻)", 250, 0)
    assert changed["definition"] == whole["definition"]
    for body in ({}, {"properties": {"key": "khac"}}, {"properties": {"high": "x"}}, {"name": ""}, {"symbol": "x"},
                 {"Datastreams": []}, {"properties": {"high": -1}}):  # fmt: skip
        assert send(address, body, admin, "patch").status_code == 400, body
    send("Datastreams", stream(stations["p"].device.work), admin)
    assert send(address, {"properties": {"unit": "mgN/L", "acceptedUnits": []}}, admin, "patch").status_code == 409
    kept = send(address, "", admin, "delete")
    assert (kept.status_code, "kênh đo" in kept.json()["message"]) == (409, True)
    for method, body in (("patch", {"name": "Khác"}), ("delete", "")):
        refused = send("ObservedProperties('flow')", body, admin, method)
        assert (refused.status_code, "có sẵn" in refused.json()["message"]) == (409, True)


def test_an_unused_one_is_deleted(admin):
    send("ObservedProperties", nitrate(), admin)

    assert send("ObservedProperties('nitrate')", "", admin, "delete").status_code == 200
    assert send("ObservedProperties('nitrate')", "", admin, "delete").status_code == 404
    assert "nitrate" not in QUANTITIES


def test_only_who_keeps_the_catalogue_writes_and_strangers_see_what_is_published(admin, stations, token, device_token):
    send("ObservedProperties", nitrate(), admin)
    work = stations["p"].device.work
    manager = make_token(work, Grant.Role.DEPARTMENT, name="quan-ly")
    local = make_token(work, Grant.Role.ADMIN, name="quan-tri-tram")
    reader = make_token(_Country(), Grant.Role.ADMIN, can_write=False, name="chi-doc")

    for raw, status in [(None, 401), ("sai", 401), (device_token, 403), (token, 403), (manager, 403), (local, 403),
                        (reader, 403)]:  # fmt: skip
        assert send("ObservedProperties", nitrate(name="Nitrit", about={"key": "nitrite"}), raw).status_code == status
        assert send("ObservedProperties('nitrate')", {"name": "x"}, raw, "patch").status_code in (status, 404)
        assert send("ObservedProperties('nitrate')", "", raw, "delete").status_code in (status, 404)
    assert list(OwnQuantity.objects.values_list("key", "name")) == [("nitrate", "Nitrat")]
    ask("ObservedProperties('nitrate')", status=404)
    ask("ObservedProperties('nitrate')", device_token, status=404)
    assert ask("ObservedProperties('nitrate')", manager)["name"] == "Nitrat"


@pytest.mark.parametrize(("unit", "statuses"), [("mg/L", [201, 201, 201]), ("furlong", [400])])
def test_a_group_makes_a_quantity_and_what_measures_it_or_nothing(admin, stations, unit, statuses):
    work = stations["p"].device.work
    below = {key: value for key, value in stream(work).items() if key != "ObservedProperty"}
    asked = [
        {"id": "q", "url": "ObservedProperties", "body": nitrate()},
        {"id": "d", "url": "Datastreams", "body": stream(work, ObservedProperty={"@iot.id": "$q"})},
        {"id": "e", "url": "$q/Datastreams",
         "body": {**below, "name": "Khác", "Sensor": {**below["Sensor"], "name": "Máy khác"},
                  "unitOfMeasurement": {"definition": f"urn:machnuoc:unit:{unit}"}}},
    ]  # fmt: skip
    body = {"requests": [{"atomicityGroup": "g", "method": "post", **each} for each in asked]}

    response = Client().post(
        ROOT + "$batch", json.dumps(body), content_type="application/json", headers={"Authorization": f"Bearer {admin}"}
    )

    assert [each["status"] for each in response.json()["responses"]] == statuses, response.content.decode()
    assert OwnQuantity.objects.count() == (1 if len(statuses) == 3 else 0)
    assert Channel.objects.filter(quantity="nitrate").count() == (2 if len(statuses) == 3 else 0)
    again = send("Datastreams", stream(work, name="Sau đó", Sensor={"@iot.id": stations["p"].device_id}), admin)
    assert again.status_code == (201 if len(statuses) == 3 else 400)  # what was taken back is not used afterwards
