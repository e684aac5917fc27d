"""The service as a client library sees it that others wrote: FROST's, over HTTP, from a server that runs."""

from datetime import UTC, datetime

import frost_sta_client as frost
import pytest
import requests
from django.utils import timezone
from frost_sta_client.model.ext.data_array_document import DataArrayDocument
from frost_sta_client.model.ext.data_array_value import DataArrayValue

from machnuoc.core import tokens
from machnuoc.places.models import Grant
from machnuoc.telemetry import payloads, store
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.sensorthings.world import MEASUREMENT
from machnuoc.telemetry.tests.readings import put
from machnuoc.telemetry.tests.world import make_channel, make_device, make_person, make_work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_store"), pytest.mark.slow]

T0 = payloads.to_ms(datetime(2026, 10, 1, tzinfo=UTC))


@pytest.fixture
def channel(db):
    work = make_work("binh-chanh", "Trạm Bình Chánh")
    work.subject.latitude, work.subject.longitude = 15.3, 108.75
    work.subject.save()
    device = make_device(work, "bc-1")
    made = make_channel(device, "p", "pressure", name="Áp lực đầu ra")
    make_channel(device, "cl", "chlorine", name="Clo dư")
    Credential.objects.create(
        device=device, broker_hash="", token_sha256=tokens.hash_token("mat-khau"), made_at=timezone.now()
    )
    put((made.pk, T0 + n * 60_000, 20 + n) for n in range(250))
    return made


@pytest.fixture
def service(live_server, channel):
    handler = frost.AuthHandler("bc-1", "mat-khau")  # Basic: the device and its secret
    return frost.SensorThingsService(f"{live_server.url}/sta/v1.1", auth_handler=handler)


def test_things_are_listed_and_their_links_followed(service, channel):
    things = service.things().query().expand("Locations,Datastreams($expand=Sensor,ObservedProperty)").list()

    (thing,) = things.entities
    assert (thing.id, thing.name, thing.properties["key"]) == (
        channel.device.work_id, "Trạm Bình Chánh", "binh-chanh",
    )  # fmt: skip
    assert thing.locations.entities[0].location["coordinates"] == [108.75, 15.3]
    assert [each.name for each in thing.datastreams.entities] == ["Áp lực đầu ra", "Clo dư"]
    assert thing.datastreams.entities[0].observed_property.name == "Áp lực"
    assert [each.name for each in service.things().find(thing.id).get_datastreams().query().list()] == [
        "Áp lực đầu ra", "Clo dư",
    ]  # fmt: skip
    assert service.features_of_interest().find(thing.id).name == "Trạm Bình Chánh"
    assert service.sensors().find(channel.device_id).properties["code"] == "bc-1"


def test_datastreams_are_filtered(service, channel):
    found = service.datastreams().query().filter("ObservedProperty/properties/key eq 'pressure'").count().list()

    assert (found.count, [each.id for each in found]) == (1, [channel.pk])
    stream = service.datastreams().find(channel.pk)
    assert stream.unit_of_measurement.definition == "urn:machnuoc:unit:mH2O"
    assert stream.phenomenon_time.startswith("2026-10-01T00:00:00")


def test_observations_are_read_page_by_page(service, channel):
    stream = service.datastreams().find(channel.pk)

    found = stream.get_observations().query().filter("result ge 25").orderby("phenomenonTime", "desc").top(40).list()

    assert [each.result for each in found] == [float(value) for value in range(269, 24, -1)]
    one = service.observations().find(f"{channel.pk}:{T0}")
    assert (one.result, one.phenomenon_time) == (20, "2026-10-01T00:00:00.000Z")


def test_an_observation_is_created_and_found_again(service, channel):
    stream = service.datastreams().find(channel.pk)
    made = frost.Observation(result=33.5, phenomenon_time="2026-11-01T07:00:00+07:00", datastream=stream)

    service.create(made)

    at = payloads.to_ms(datetime(2026, 11, 1, tzinfo=UTC))
    assert made.id == f"{channel.pk}:{at}"
    assert service.observations().find(made.id).result == 33.5
    assert store.query("SELECT received, stored FROM telemetry_ledger") == [(1, 1)]


def test_many_observations_are_created_at_once(service, channel):
    values = DataArrayValue()
    values.components = {values.Property.PHENOMENON_TIME, values.Property.RESULT}
    values.datastream = service.datastreams().find(channel.pk)
    for hour in range(3):
        values.add_observation(frost.Observation(result=hour, phenomenon_time=f"2026-11-02T0{hour}:00:00Z"))
    document = DataArrayDocument()
    document.add_data_array_value(values)

    made = service.observations().create(document)

    assert len(made) == 3
    found = values.datastream.get_observations().query().filter("phenomenonTime ge 2026-11-02T00:00:00Z").list()
    assert [each.result for each in found] == [0, 1, 2]


def test_what_is_refused_is_told_to_the_client(service, live_server, channel):
    with pytest.raises(requests.exceptions.HTTPError) as refused:
        service.create(frost.Thing(name="Trạm khác", description="khai báo ở trang công trình"))
    assert refused.value.response.status_code == 405
    assert "/cong-trinh/" in refused.value.response.json()["message"]

    stranger = frost.SensorThingsService(f"{live_server.url}/sta/v1.1")
    assert stranger.things().query().list().entities == []


def test_a_manager_makes_changes_and_deletes_a_sensor_and_its_datastream(live_server, channel):
    work = channel.device.work
    person = make_person("quan-ly")
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=work.subject, valid_from="2020-01-01")
    raw = tokens.create_token(person=person, name="sta", now=timezone.now(), can_write=True)[1]
    service = frost.SensorThingsService(f"{live_server.url}/sta/v1.1", auth_handler=frost.AuthHandler("quan-ly", raw))
    thing = service.things().find(work.pk)
    sensor = frost.Sensor(
        name="Đầu đo lưu lượng", description="Sau bể lọc", encoding_type="text/plain", metadata="Hãng thử",
        properties={"thing": thing.id},
    )  # fmt: skip

    service.create(sensor)
    stream = frost.Datastream(
        name="Lưu lượng sau lọc", description="Một phút một số", observation_type=MEASUREMENT,
        unit_of_measurement=frost.UnitOfMeasurement("m³/giờ", "m³/giờ", "urn:machnuoc:unit:m3/h"),
        thing=frost.Thing(id=thing.id), sensor=frost.Sensor(id=sensor.id),
        observed_property=frost.ObservedProperty(id="flow"),
    )  # fmt: skip
    service.create(stream)

    found = service.datastreams().find(stream.id)
    assert (found.name, found.description) == ("Lưu lượng sau lọc", "Một phút một số")
    found.description = "Năm phút một số"
    service.update(found)
    assert service.datastreams().find(stream.id).description == "Năm phút một số"
    service.create(frost.Observation(result=1.5, phenomenon_time="2026-11-01T07:00:00Z", datastream=found))
    with pytest.raises(requests.exceptions.HTTPError) as refused:
        service.delete(found)
    assert refused.value.response.status_code == 409
    spare = frost.Sensor(name="Nhập nhầm", description="", encoding_type="text/plain", metadata="",
                         properties={"thing": thing.id})  # fmt: skip
    service.create(spare)
    service.delete(spare)
    assert [each.name for each in service.sensors().query().list()] == ["Bộ ghi bc-1", "Đầu đo lưu lượng"]
