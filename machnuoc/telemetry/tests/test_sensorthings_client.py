"""The service as a client library sees it that others wrote: FROST's, over HTTP, from a server that runs."""

from datetime import UTC, datetime

import frost_sta_client as frost
import pytest
import requests
from django.utils import timezone
from frost_sta_client.model.ext.data_array_document import DataArrayDocument
from frost_sta_client.model.ext.data_array_value import DataArrayValue
from geojson import Point

from machnuoc.core import tokens
from machnuoc.places.models import Grant, Subject
from machnuoc.telemetry import payloads, store
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.quantities import QUANTITIES
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
        service.delete(service.things().find(channel.device.work_id))
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


def test_a_manager_makes_a_place_measures_there_and_lets_it_go(live_server, channel):
    work = channel.device.work
    person = make_person("quan-ly")
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=work.subject, valid_from="2020-01-01")
    raw = tokens.create_token(person=person, name="sta", now=timezone.now(), can_write=True)[1]
    service = frost.SensorThingsService(f"{live_server.url}/sta/v1.1", auth_handler=frost.AuthHandler("quan-ly", raw))
    tap = frost.FeatureOfInterest(
        name="Vòi trường học", description="Cuối tuyến 2", encoding_type="application/vnd.geo+json",
        feature=Point((108.8, 15.1)), properties={"thing": work.pk},
    )  # fmt: skip

    service.create(tap)

    stream = service.datastreams().find(channel.pk)
    stream.properties["featureOfInterest"] = tap.id
    service.update(stream)
    reading = frost.Observation(result=7.5, phenomenon_time="2026-11-01T07:00:00Z", datastream=stream)
    reading.feature_of_interest = frost.FeatureOfInterest(id=tap.id)
    service.create(reading)
    found = service.observations().query().filter("FeatureOfInterest/name eq 'Vòi trường học' and result lt 10")
    (reading,) = found.expand("FeatureOfInterest").list().entities
    assert (reading.result, reading.feature_of_interest.id) == (7.5, tap.id)
    assert reading.feature_of_interest.feature["coordinates"] == [108.8, 15.1]
    shown = service.features_of_interest().find(tap.id)
    shown.description = "Sau đồng hồ"
    service.update(shown)
    assert service.features_of_interest().find(tap.id).description == "Sau đồng hồ"
    with pytest.raises(requests.exceptions.HTTPError) as refused:
        service.delete(shown)
    assert refused.value.response.status_code == 409
    stream.properties["featureOfInterest"] = work.pk
    service.update(stream)
    service.delete(shown)
    assert [each.id for each in service.features_of_interest().query().list()] == [work.pk]


@pytest.mark.usefixtures("province")
def test_a_planner_makes_a_work_says_where_it_stands_and_measures_there(live_server):
    country = Subject.objects.get(kind=Subject.Kind.COUNTRY)
    person = make_person("ke-hoach")
    Grant.objects.create(person=person, role=Grant.Role.ADMIN, scope=country, valid_from="2020-01-01")
    centre = Subject.objects.get(key="org.tt")
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=centre, valid_from="2020-01-01")
    raw = tokens.create_token(person=person, name="sta", now=timezone.now(), can_write=True)[1]
    service = frost.SensorThingsService(f"{live_server.url}/sta/v1.1", auth_handler=frost.AuthHandler("ke-hoach", raw))
    about = {"kind": "STATION", "sector": "RURAL", "operator": "org.tt", "territory": "vn.tinh-thu.xa-2"}

    thing = frost.Thing(name="Trạm Suối Đá", description="Xây năm 2019", properties=about)
    service.create(thing)
    location = frost.Location(
        name="Cổng trạm", description="", encoding_type="application/geo+json",
        location=Point((108.8, 15.1)), things=[frost.Thing(id=thing.id)],
    )  # fmt: skip
    service.create(location)
    nitrate = frost.ObservedProperty(
        name="Nitrat", definition="http://www.wikidata.org/entity/Q182168", description="Ion nitrat",
        properties={"key": "nitrate", "unit": "mg/L", "low": 0, "high": 500},
    )  # fmt: skip
    service.create(nitrate)
    stream = frost.Datastream(
        name="Nitrat nước nguồn", description="", observation_type=MEASUREMENT,
        unit_of_measurement=frost.UnitOfMeasurement("mg/L", "mg/L", "urn:machnuoc:unit:mg/L"),
        thing=frost.Thing(id=thing.id), observed_property=frost.ObservedProperty(id=nitrate.id),
        sensor=frost.Sensor(name="Máy đo nitrat", description="", encoding_type="text/plain", metadata="Hãng thử"),
    )  # fmt: skip
    service.create(stream)

    found = service.things().query().filter("properties/operator eq 'org.tt'").expand("Locations,Datastreams").list()
    (made,) = found.entities
    assert (made.id, made.name, made.properties["territory"]) == (thing.id, "Trạm Suối Đá", "vn.tinh-thu.xa-2")
    assert tuple(made.locations.entities[0].location["coordinates"]) == (108.8, 15.1)
    assert [each.id for each in made.datastreams.entities] == [stream.id]
    assert service.observed_properties().find("nitrate").definition == "http://www.wikidata.org/entity/Q182168"
    QUANTITIES.forget()
    made = service.things().find(thing.id)
    made.properties = {"status": "STOPPED"}
    service.update(made)
    assert service.things().find(thing.id).properties["statusName"] == "Dừng cấp nước"
