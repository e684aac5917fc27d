"""Sensors and Datastreams made, described and deleted through SensorThings: by whom, and what is refused."""

import json

import pytest
from django.test import Client

from machnuoc.core.models import AuditEntry, Person
from machnuoc.places.models import Grant
from machnuoc.telemetry.models import AlarmRule, Channel, Device
from machnuoc.telemetry.sensorthings.world import MEASUREMENT
from machnuoc.telemetry.tests.readings import put
from machnuoc.telemetry.tests.sta_world import ROOT, T0, ask, body_for, make_token, names, readings, send
from machnuoc.telemetry.tests.world import make_work

pytestmark = pytest.mark.usefixtures("clean_store")


@pytest.fixture
def work(stations):
    return stations["p"].device.work


@pytest.fixture
def manager(work):
    return make_token(work, Grant.Role.DEPARTMENT, name="quan-ly")


def sensor(work, **more):
    return {
        "name": "Bộ ghi cổng trạm", "description": "Treo trong tủ điện", "encodingType": "text/plain",
        "metadata": "Hãng thử 200", "properties": {"thing": work.pk}, **more,
    }  # fmt: skip


def datastream(work, **more):
    return {
        "name": "Áp lực cuối mạng", "description": "Sau đồng hồ tổng", "observationType": MEASUREMENT,
        "unitOfMeasurement": {"name": "mH₂O", "symbol": "mH₂O", "definition": "urn:machnuoc:unit:mH2O"},
        "Thing": {"@iot.id": work.pk}, "ObservedProperty": {"@iot.id": "pressure"},
        "Sensor": {"@iot.id": work.devices.first().pk}, **more,
    }  # fmt: skip


def test_a_manager_enters_a_sensor_and_it_can_be_given_a_secret_afterwards(work, manager):
    response = send("Sensors", sensor(work), manager)

    assert response.status_code == 201, response.content.decode()
    device = Device.objects.get(name="Bộ ghi cổng trạm")
    assert response["Location"].endswith(f"/Sensors({device.pk})")
    assert (device.code, device.work, device.protocol, device.make, device.note) == (
        "bo-ghi-cong-tram", work, "HTTP", "Hãng thử 200", "Treo trong tủ điện",
    )  # fmt: skip
    assert not device.credentials.exists()
    assert response.json()["description"] == "Treo trong tủ điện"
    entry = AuditEntry.objects.get(action="telemetry.device.saved", target_id=str(device.pk))
    assert entry.actor.username == "quan-ly"


def test_a_work_without_devices_gets_its_first_one_by_its_key(db, manager):
    other = make_work("tram-moi", "Trạm mới")
    person = Person.objects.get(username="quan-ly")
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=other.subject, valid_from="2020-01-01")

    made = send("Sensors", sensor(other, properties={"thing": "tram-moi", "code": "tm-1", "kind": "METER"}), manager)

    assert made.status_code == 201, made.content.decode()
    assert "Trạm mới" in names(ask("Things", manager))


def test_a_datastream_is_made_with_the_rules_of_its_quantity_and_takes_readings(work, manager, device_token):
    response = send("Datastreams", datastream(work, properties={"key": "p2", "point": "CRITICAL"}), manager)

    assert response.status_code == 201, response.content.decode()
    channel = Channel.objects.get(key="p2")
    assert (channel.quantity, channel.point, channel.description) == ("pressure", "CRITICAL", "Sau đồng hồ tổng")
    assert AlarmRule.objects.filter(channel=channel).exists()
    assert send("Observations", body_for(channel, 12.5), device_token).status_code == 201
    assert (channel.pk, 12.5) in {(row[0], row[2]) for row in readings()}


@pytest.mark.parametrize(
    "address",
    ["Things({thing})/Datastreams", "Sensors({sensor})/Datastreams", "ObservedProperties('flow')/Datastreams"],
)
def test_the_address_says_a_link_too(work, manager, address):
    device = work.devices.first()
    body = datastream(work, ObservedProperty={"@iot.id": "flow"}, unitOfMeasurement={"symbol": "m³/giờ"})
    for name, part in (("Thing", "Things("), ("Sensor", "Sensors("), ("ObservedProperty", "ObservedProperties(")):
        if address.startswith(part):
            del body[name]

    response = send(address.format(thing=work.pk, sensor=device.pk), body, manager)

    assert response.status_code == 201, response.content.decode()
    assert Channel.objects.get(name="Áp lực cuối mạng").quantity == "flow"


def test_a_datastream_brings_its_sensor_and_a_sensor_its_datastreams(work, manager):
    inside = sensor(work, name="Đầu đo mới")
    del inside["properties"]
    response = send("Datastreams", datastream(work, Sensor=inside), manager)
    assert response.status_code == 201, response.content.decode()
    assert Channel.objects.get(device__code="dau-do-moi").name == "Áp lực cuối mạng"

    streams = [datastream(work, name=name) for name in ("Một", "Hai")]
    for each in streams:
        del each["Sensor"], each["Thing"]
    assert send("Sensors", sensor(work, Datastreams=streams), manager).status_code == 201
    assert set(Channel.objects.filter(device__code="bo-ghi-cong-tram").values_list("key", flat=True)) == {"mot", "hai"}


def test_what_fails_inside_leaves_nothing_behind(work, manager):
    streams = [{"name": "Một", "ObservedProperty": {"@iot.id": "khong-co"}}]

    assert send("Sensors", sensor(work, Datastreams=streams), manager).status_code == 400

    assert not Device.objects.filter(code="bo-ghi-cong-tram").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"), ({"name": 5}, "name"), ({"name": "x" * 121}, "name"),
        ({"description": "x" * 301}, "description"), ({"encodingType": "application/pdf"}, "encodingType"),
        ({"properties": {}}, "properties.thing"), ({"properties": {"thing": True}}, "properties.thing"),
        ({"properties": {"thing": "a\x00"}}, "properties.thing"),
        ({"properties": []}, "properties.thing"), ({"properties": [1]}, "JSON"), ({"colour": "red"}, "colour"),
        ({"properties": {"thing": 1, "password": "x"}}, "mật khẩu"), ({"Datastreams": {}}, "danh sách"),
        ({"Datastreams": [5]}, "JSON"),
    ],
)  # fmt: skip
def test_a_sensor_that_cannot_be_kept_is_said(work, manager, change, said):
    body = sensor(work, **change)
    if "password" in body["properties"]:
        body["properties"] = {**body["properties"], "thing": work.pk}

    response = send("Sensors", body, manager)

    assert response.status_code == 400
    assert said in response.json()["message"]
    assert not Device.objects.filter(code="bo-ghi-cong-tram").exists()


@pytest.mark.parametrize("key", ["kind", "protocol", "code", "unknown", "brokerPassword", "token"])
def test_properties_that_a_sensor_cannot_have_are_said(work, manager, key):
    response = send("Sensors", sensor(work, properties={"thing": work.pk, key: "Sai!"}), manager)

    assert response.status_code == 400
    if key in ("brokerPassword", "token"):
        assert "/giam-sat/thiet-bi/" in response.json()["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"ObservedProperty": {"@iot.id": "mưa"}}, {"ObservedProperty": None}, {"ObservedProperty": {"name": "Mưa"}},
        {"unitOfMeasurement": {"symbol": "bar"}}, {"unitOfMeasurement": 5}, {"Sensor": None},
        {"Sensor": {"@iot.id": "x"}},
        {"Thing": {"@iot.id": 0}}, {"Thing": {"name": "Trạm khác"}}, {"Observations": [{"result": 1}]},
        {"observationType": "khác"}, {"properties": {"key": "p"}}, {"properties": {"key": "có dấu"}},
        {"properties": {"low": "x"}}, {"properties": {"low": 5, "high": 1}}, {"properties": {"point": "TRỜI"}},
        {"properties": {"role": "SUPPLIED"}}, {"properties": {"role": "Sai"}}, {"properties": {"isPublic": 1}},
        {"properties": {"expectedInterval_s": 0}}, {"properties": {"expectedInterval_s": 1.5}},
        {"properties": {"sentUnit": "kg"}}, {"properties": {"minimum": True}}, {"properties": {"low": 1e400}},
    ],
)  # fmt: skip
def test_a_datastream_that_cannot_be_kept_is_said(work, manager, change):
    body = json.dumps(datastream(work, **change)).replace("Infinity", "1e400").encode()
    before = Channel.objects.count()

    response = send("Datastreams", body, manager)

    assert response.status_code == 400, response.content.decode()
    assert response.json()["message"]
    assert Channel.objects.count() == before


def test_a_sensor_of_another_work_is_not_taken_for_this_one(stations, work, manager):
    person = Person.objects.get(username="quan-ly")
    other = stations["p2"].device.work
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=other.subject, valid_from="2020-01-01")

    response = send("Datastreams", datastream(work, Sensor={"@iot.id": stations["p2"].device_id}), manager)

    assert response.status_code == 400
    assert "không thuộc công trình" in response.json()["message"]


def test_only_who_manages_the_work_makes_and_deletes(stations, work, manager, token, device_token):
    reader = make_token(work, Grant.Role.DEPARTMENT, can_write=False, name="chi-doc")
    elsewhere = make_token(stations["p2"].device.work, Grant.Role.DEPARTMENT, name="noi-khac")
    free = send("Datastreams", datastream(work), manager).json()["@iot.id"]
    before = (Device.objects.count(), Channel.objects.count())

    for raw, status in [(None, 401), ("sai", 401), (device_token, 403), (reader, 403), (token, 403), (elsewhere, 403)]:
        assert send("Sensors", sensor(work), raw).status_code == status
        assert send("Datastreams", datastream(work, properties={"key": "moi"}), raw).status_code == status
        deleted = send(f"Datastreams({free})", "", raw, "delete").status_code
        assert deleted in (status, 404)
        assert send(f"Things({work.pk})", {"description": "x"}, raw, "patch").status_code in (status, 404)

    assert (Device.objects.count(), Channel.objects.count()) == before
    assert send("Sensors", sensor(work, properties={"thing": 999_999}), manager).status_code == 403


def test_descriptions_are_changed_and_emptied_again(work, manager, stations):
    channel, device = stations["cl"], stations["cl"].device

    for address, generated in [
        (f"Datastreams({channel.pk})", "Clo dư tự do, tại trạm, thiết bị bc-1"),
        (f"Sensors({device.pk})", "Bộ ghi dữ liệu, Hãng thử"), (f"Things({work.pk})", "Trạm cấp nước Trạm Bình Chánh"),
    ]:  # fmt: skip
        assert ask(address, manager)["description"] == generated
        changed = send(address, {"description": "Sau bể lọc"}, manager, "patch")
        assert (changed.status_code, changed.json()["description"]) == (200, "Sau bể lọc")
        whole = ask(address, manager)
        assert send(address, whole, manager, "put").status_code == 200
        assert send(address, {"description": ""}, manager, "patch").json()["description"] == generated
    named = send(f"Sensors({device.pk})", {"metadata": "Hãng khác"}, manager, "patch")
    assert named.json()["metadata"] == "Hãng khác"


def test_what_is_said_of_a_device_inside_is_not_told_to_strangers(work, manager, stations):
    send(f"Things({work.pk})", {"description": "Chìa khóa để ở nhà ông Ba"}, manager, "patch")
    send(f"Sensors({stations['p'].device_id})", {"description": "Tủ không khóa"}, manager, "patch")

    assert "ông Ba" not in ask("Things")["value"][0]["description"]
    assert ask("Sensors")["value"][0]["description"] != "Tủ không khóa"


def test_what_was_entered_by_mistake_is_deleted_and_what_has_measured_is_not(work, manager, stations, device_token):
    made = send("Sensors", sensor(work), manager).json()["@iot.id"]
    stream = datastream(work, Sensor={"@iot.id": made})
    channel = send("Datastreams", stream, manager).json()["@iot.id"]
    put([(stations["cl"].pk, T0, 0.5)])
    send("Observations", body_for(stations["p"]), device_token)

    kept = send(f"Datastreams({stations['cl'].pk})", "", manager, "delete")
    assert kept.status_code == 409 and "Đang dùng" in kept.json()["message"]
    kept = send(f"Sensors({stations['p'].device_id})", "", manager, "delete")
    assert kept.status_code == 409 and "Ghi tháo" in kept.json()["message"]
    assert send(f"Datastreams({channel})", "", manager, "delete").status_code == 200
    assert send("Datastreams", stream, manager).status_code == 201
    assert send(f"Sensors({made})", "", manager, "delete").status_code == 200
    assert not Device.objects.filter(pk=made).exists() and not Channel.objects.filter(device_id=made).exists()
    assert send(f"Sensors({made})", "", manager, "delete").status_code == 404
    assert AuditEntry.objects.filter(action="telemetry.device.deleted").count() == 1


def test_a_group_makes_a_sensor_and_its_datastream_or_neither(work, manager):
    def ask_for(quantity):
        stream = datastream(work, Sensor={"@iot.id": "$s"}, ObservedProperty={"@iot.id": quantity})
        del stream["unitOfMeasurement"]
        return {
            "requests": [
                {"id": "s", "atomicityGroup": "g", "method": "post", "url": "Sensors", "body": sensor(work)},
                {"id": "d", "atomicityGroup": "g", "method": "post", "url": f"Things({work.pk})/Datastreams",
                 "body": {key: value for key, value in stream.items() if key != "Thing"}},
            ]
        }  # fmt: skip

    headers = {"Authorization": f"Bearer {manager}"}

    def statuses(body):
        response = Client().post(ROOT + "$batch", json.dumps(body), content_type="application/json", headers=headers)
        return [(each["id"], each["status"]) for each in response.json()["responses"]]

    assert statuses(ask_for("mua")) == [("d", 400)]
    assert not Device.objects.filter(code="bo-ghi-cong-tram").exists()
    assert statuses(ask_for("flow")) == [("s", 201), ("d", 201)]
    assert Channel.objects.get(device__code="bo-ghi-cong-tram").quantity == "flow"
