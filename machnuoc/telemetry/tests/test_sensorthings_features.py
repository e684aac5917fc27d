"""FeaturesOfInterest: places of a work at which channels measure, made, changed, deleted and used."""

import json

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Person
from machnuoc.places.models import Grant
from machnuoc.telemetry import device_operations, measuring_places
from machnuoc.telemetry.models import Channel, MeasuringPlace
from machnuoc.telemetry.tests.sta_world import AT, ROOT, ask, body_for, make_token, names, readings, results, send
from machnuoc.telemetry.tests.world import make_person

pytestmark = pytest.mark.usefixtures("clean_store")

POINT = {"type": "Point", "coordinates": [108.8, 15.1]}


@pytest.fixture
def work(stations):
    return stations["p"].device.work


@pytest.fixture
def manager(work):
    return make_token(work, Grant.Role.DEPARTMENT, name="quan-ly")


@pytest.fixture
def place(work):
    return MeasuringPlace.objects.create(
        work=work, name="Vòi nhà ông Ba", description="Cuối tuyến", latitude=15.1, longitude=108.8
    )


def feature(work, **more):
    return {
        "name": "Vòi nhà ông Ba", "description": "Cuối tuyến", "encodingType": "application/vnd.geo+json",
        "feature": POINT, "properties": {"thing": work.pk}, **more,
    }  # fmt: skip


def path(place):
    return f"FeaturesOfInterest('p{place.pk}')"


def placed(channel, place):
    Channel.objects.filter(pk=channel.pk).update(feature=place)


def test_a_manager_makes_a_place_and_reads_it_again(work, manager):
    response = send("FeaturesOfInterest", feature(work), manager)

    assert response.status_code == 201, response.content.decode()
    made = MeasuringPlace.objects.get()
    assert (made.work, made.name, made.latitude, made.longitude) == (work, "Vòi nhà ông Ba", 15.1, 108.8)
    assert response["Location"].endswith(f"/{path(made)}")
    answer = ask(path(made), manager)
    assert answer == response.json()
    assert answer["feature"] == POINT
    assert answer["encodingType"] == "application/geo+json"
    assert (answer["description"], answer["properties"]) == ("Cuối tuyến", {"thing": work.pk, "isSimulated": False})
    entry = AuditEntry.objects.get(action="telemetry.place.saved")
    assert (entry.actor.username, entry.target_id) == ("quan-ly", str(made.pk))
    assert audit.sentence(entry).endswith("lưu nơi đo Vòi nhà ông Ba của Trạm Bình Chánh")


def test_the_thing_may_be_named_by_its_key_and_the_point_stand_in_a_geojson_feature(work, manager):
    inside = {"type": "Feature", "properties": {}, "geometry": POINT}

    response = send(
        "FeaturesOfInterest", feature(work, feature=inside, properties={"thing": "binh-chanh"}, encodingType=None),
        manager,
    )  # fmt: skip
    assert response.status_code == 400
    body = feature(work, feature=inside, properties={"thing": "binh-chanh"})
    del body["encodingType"]
    assert send("FeaturesOfInterest", body, manager).json()["feature"] == POINT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"), ({"name": None}, "name"), ({"name": "x" * 121}, "120"), ({"name": "a\x00b"}, "name"),
        ({"name": ["a"]}, "name"), ({"description": "x" * 301}, "300"), ({"description": "a\x00"}, "description"),
        ({"encodingType": "text/plain"}, "geo+json"), ({"feature": None}, "GeoJSON"), ({"feature": "POINT"}, "GeoJSON"),
        ({"feature": {"type": "Point", "coordinates": []}}, "GeoJSON"),
        ({"feature": {"type": "Point", "coordinates": ["a", 1]}}, "tọa độ"),
        ({"feature": {"type": "Point", "coordinates": [True, 1]}}, "tọa độ"),
        ({"feature": {"type": "Point", "coordinates": [15.1, 108.8]}}, "ngoài Việt Nam"),
        ({"feature": {"type": "Polygon", "coordinates": [[[1, 2]]]}}, "Polygon"),
        ({"feature": {"type": "Feature", "geometry": None}}, "GeoJSON"),
        ({"properties": {}}, "properties.thing"), ({"properties": None}, "properties.thing"),
        ({"properties": {"thing": [1]}}, "properties.thing"), ({"properties": {"thing": True}}, "properties.thing"),
        ({"properties": {"thing": "a\x00"}}, "properties.thing"),
        ({"properties": {"thing": 10**30}}, "properties.thing"),
        ({"properties": {"thing": 1, "password": "x"}}, "mật khẩu"),
        ({"properties": {"thing": 1, "o": 1}}, "properties.o"),
        ({"properties": [1]}, "JSON"), ({"Observations": [{}]}, "Observations"), ({"geometry": POINT}, "geometry"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_with_a_sentence(work, manager, change, said):
    response = send("FeaturesOfInterest", feature(work, **change), manager)

    assert response.status_code == 400, response.content.decode()
    assert said in response.json()["message"]
    assert not MeasuringPlace.objects.exists()


def test_a_work_has_one_place_of_a_name_and_two_works_each_have_one(work, stations, manager, place):
    person = Person.objects.get(username="quan-ly")
    other = stations["p2"].device.work
    Grant.objects.create(person=person, role=Grant.Role.DEPARTMENT, scope=other.subject, valid_from="2020-01-01")
    second = send("FeaturesOfInterest", feature(work, name="Khác"), manager).json()["@iot.id"]

    refused = send("FeaturesOfInterest", feature(work), manager)
    renamed = send(f"FeaturesOfInterest('{second}')", {"name": "Vòi nhà ông Ba"}, manager, "patch")

    for response in (refused, renamed):
        assert (response.status_code, "đã có nơi đo" in response.json()["message"]) == (400, True)
    assert send("FeaturesOfInterest", feature(other), manager).status_code == 201
    with pytest.raises(IntegrityError), transaction.atomic():
        MeasuringPlace.objects.create(work=work, name=place.name, latitude=15, longitude=108)


def test_only_who_manages_the_work_makes_changes_and_deletes(work, stations, place, device_token, token):
    elsewhere = make_token(stations["p2"].device.work, Grant.Role.DEPARTMENT, name="so-khac")
    reader = make_token(work, Grant.Role.DEPARTMENT, can_write=False, name="chi-doc")

    for raw, made, changed in (
        (None, 401, 401), (device_token, 403, 403), (reader, 403, 403), (token, 403, 403), (elsewhere, 403, 404),
    ):  # fmt: skip
        assert send("FeaturesOfInterest", feature(work, name="Mới"), raw).status_code == made
        assert send(path(place), {"name": "Mới"}, raw, "patch").status_code in {changed, 404}
        assert send(path(place), "", raw, "delete").status_code in {changed, 404}
        # of the work itself
        assert send(f"FeaturesOfInterest({work.pk})", {"feature": POINT}, raw, "patch").status_code in {changed, 403}
        assert send(f"FeaturesOfInterest({work.pk})", "", raw, "delete").status_code in {changed, 403}
        stream = f"Datastreams({stations['cl'].pk})"
        moved = send(stream, {"properties": {"featureOfInterest": f"p{place.pk}"}}, raw, "patch")
        assert moved.status_code in {401, 403, 404}

    unknown = send("FeaturesOfInterest", feature(work, properties={"thing": 999_999}), elsewhere)
    foreign = send("FeaturesOfInterest", feature(work), elsewhere)
    assert unknown.json() == foreign.json()
    assert list(MeasuringPlace.objects.values_list("name", flat=True)) == ["Vòi nhà ông Ba"]
    work.subject.refresh_from_db()
    assert work.subject.latitude == 15.3
    assert not Channel.objects.exclude(feature=None).exists()


def test_a_place_is_seen_by_its_people_and_with_a_published_channel_by_everybody(
    work, stations, place, token, device_token
):
    elsewhere = make_token(stations["p2"].device.work, Grant.Role.DEPARTMENT, name="so-khac")

    def seen(raw):
        return "Vòi nhà ông Ba" in names(ask("FeaturesOfInterest", raw))

    assert [seen(raw) for raw in (token, None, device_token, elsewhere)] == [True, False, False, False]
    assert ask(path(place), None, 404)["code"] == 404
    placed(stations["cl"], place)  # not published
    assert [seen(raw) for raw in (token, None, device_token, elsewhere)] == [True, False, True, False]
    placed(stations["p"], place)  # published
    assert [seen(raw) for raw in (token, None, device_token, elsewhere)] == [True, True, True, True]


def test_readings_belong_to_the_place_of_their_channel(work, measured, place, token):
    placed(measured["cl"], place)
    own = ask(f"FeaturesOfInterest({work.pk})/Observations", token, count="true", expand="Datastream")
    there = ask(f"{path(place)}/Observations", token, count="true", top=2)

    assert {each["Datastream"]["name"] for each in own["value"]} == {"Áp lực đầu ra"}
    assert (own["@iot.count"], there["@iot.count"]) == (10, 10)
    assert "FeaturesOfInterest('p" in there["@iot.nextLink"]
    assert len(ask(there["@iot.nextLink"], token)["value"]) == 2
    one = there["value"][0]
    assert ask(one["FeatureOfInterest@iot.navigationLink"], token)["name"] == "Vòi nhà ông Ba"
    assert ask(f"{path(place)}/feature", token) == {"feature": POINT}
    opened = ask("Observations", token, top=1, expand="FeatureOfInterest", filter="Datastream/name eq 'Clo dư'")
    assert opened["value"][0]["FeatureOfInterest"]["@iot.id"] == f"p{place.pk}"
    both = ask("FeaturesOfInterest", token, expand="Observations($top=1;$count=true)")
    assert [each["Observations@iot.count"] for each in both["value"]] == [10, 10, 10]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("FeatureOfInterest/name eq 'Vòi nhà ông Ba' and result lt 0.15", [0, 0.1]),
        ("FeatureOfInterest/id eq 'p{}' and result lt 0.15", [0, 0.1]),
        ("st_within(FeatureOfInterest/feature, geography'POLYGON((108.79 15.09, 108.81 15.09, 108.81 15.11, "
         "108.79 15.11, 108.79 15.09))') and result lt 0.05", [0]),
        ("geo.distance(FeatureOfInterest/feature, geography'POINT(108.8 15.1)') lt 100 and result lt 0.05", [0]),
    ],
)  # fmt: skip
def test_readings_are_chosen_by_their_place(measured, place, token, condition, found):
    placed(measured["cl"], place)

    assert results(ask("Observations", token, filter=condition.format(place.pk))) == pytest.approx(found)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"filter": "name eq 'Vòi nhà ông Ba'"}, ["Vòi nhà ông Ba"]),
        ({"filter": "id eq 'p{}'"}, ["Vòi nhà ông Ba"]),
        ({"filter": "st_within(feature, geography'POLYGON((108.7 15, 109 15, 109 15.2, 108.7 15.2, 108.7 15))')"},
         ["Vòi nhà ông Ba"]),
        ({"filter": "properties/thing eq {work}"}, ["Trạm Bình Chánh", "Vòi nhà ông Ba"]),
        ({"orderby": "name desc"}, ["Vòi nhà ông Ba", "Trạm Nghĩa Phú", "Trạm Bình Chánh"]),
        ({"orderby": "id desc"}, ["Vòi nhà ông Ba", "Trạm Nghĩa Phú", "Trạm Bình Chánh"]),
        ({"top": "1", "skip": "2"}, ["Vòi nhà ông Ba"]),
    ],
)  # fmt: skip
def test_places_are_listed_beside_works(stations, place, token, options, found):
    said = {name: text.format(place.pk, work=place.work_id) for name, text in options.items()}

    assert names(ask("FeaturesOfInterest", token, **said)) == found


@pytest.mark.parametrize("id_", ["'p0'", "'p05'", "'p99999999999'", "'p'", "'x'", "999999"])
def test_a_place_that_is_not_there_is_not_found(stations, place, manager, id_):
    assert ask(f"FeaturesOfInterest({id_})", manager, 404)["code"] == 404
    assert send(f"FeaturesOfInterest({id_})", {"name": "x"}, manager, "patch").status_code == 404
    assert send(f"FeaturesOfInterest({id_})", "", manager, "delete").status_code == 404


def test_a_place_is_renamed_described_and_moved_and_what_was_read_may_be_sent_back(work, manager, place):
    shown = ask(path(place), manager)

    same = send(path(place), shown, manager, "put")
    moved = {"name": "Vòi trường học", "feature": {"type": "Point", "coordinates": [108.9, 15.2]}}
    changed = send(path(place), {**shown, **moved}, manager, "patch")

    assert (same.status_code, same.json()) == (200, shown)
    assert changed.status_code == 200, changed.content.decode()
    place.refresh_from_db()
    assert (place.name, place.description, place.latitude, place.longitude) == (
        "Vòi trường học", "Cuối tuyến", 15.2, 108.9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "ít nhất một"), ({"properties": {"thing": 1}}, "ít nhất một"), ({"name": ""}, "name"),
        ({"name": "x", "properties": {"thing": -1}}, "properties"),
        ({"name": "x", "properties": {"o": 1}}, "properties.o"), ({"name": "a\x00"}, "name"),
        ({"name": "x", "properties": 5}, "properties"), ({"name": "x", "other": 1}, "other"),
        ({"feature": {"type": "LineString"}}, "LineString"),
        ({"feature": {"type": "Point", "coordinates": [0, 0]}}, "ngoài"),
        ({"feature": POINT, "encodingType": "application/pdf"}, "geo+json"), ([], "JSON"),
    ],
)  # fmt: skip
def test_a_place_keeps_its_work_and_everything_that_is_not_said_well(place, manager, body, said):
    response = send(path(place), body, manager, "patch")

    assert response.status_code == 400, response.content.decode()
    assert said in response.json()["message"]
    place.refresh_from_db()
    assert (place.name, place.latitude) == ("Vòi nhà ông Ba", 15.1)


def test_the_feature_of_a_work_is_where_the_work_stands(work, manager):
    own = f"FeaturesOfInterest({work.pk})"
    shown = ask(own, manager)

    assert send(own, shown, manager, "put").json() == shown
    assert send(own, {"feature": POINT}, manager, "patch").json()["feature"] == POINT
    assert ask(f"Locations({work.pk})", manager)["location"] == POINT
    renamed = send(own, {"name": "Khác", "feature": POINT}, manager, "patch")
    assert (renamed.status_code, "PATCH Things" in renamed.json()["message"]) == (400, True)
    assert send(own, {"name": "Khác"}, manager, "patch").status_code == 400
    kept = send(own, "", manager, "delete")
    assert (kept.status_code, f"DELETE Locations({work.pk})" in kept.json()["message"]) == (409, True)
    assert send(f"Locations({work.pk})", "", manager, "delete").status_code == 200
    assert send(own, ask(own, manager), manager, "put").status_code == 200  # without a place, as it is


def test_a_place_in_use_is_kept_and_one_that_is_free_deleted(stations, manager, place):
    stream = f"Datastreams({stations['cl'].pk})"
    placed(stations["cl"], place)
    placed(stations["p"], place)

    kept = send(path(place), "", manager, "delete")
    assert kept.status_code == 409
    assert "p của bc-1 và 1 kênh khác" in kept.json()["message"]
    with pytest.raises(ProtectedError):
        place.delete()
    placed(stations["p"], None)
    back = send(stream, {"properties": {"featureOfInterest": place.work_id}}, manager, "patch")
    assert back.status_code == 200, back.content.decode()
    assert send(path(place), "", manager, "delete").status_code == 200
    assert ask(path(place), manager, 404)["code"] == 404
    assert AuditEntry.objects.filter(action="telemetry.place.deleted").count() == 1


def test_a_datastream_is_made_at_a_place_and_moved(work, stations, manager, place):
    body = {
        "name": "Lưu lượng nhánh", "description": "", "ObservedProperty": {"@iot.id": "flow"},
        "Sensor": {"@iot.id": stations["cl"].device_id},
        "properties": {"key": "c2", "featureOfInterest": f"p{place.pk}"},
    }  # fmt: skip

    made = send("Datastreams", body, manager)

    assert made.status_code == 201, made.content.decode()
    assert made.json()["properties"]["featureOfInterest"] == f"p{place.pk}"
    assert Channel.objects.get(key="c2").feature == place
    stream = f"Datastreams({made.json()['@iot.id']})"
    shown = ask(stream, manager)
    assert send(stream, shown, manager, "put").status_code == 200
    moved = {**shown, "name": "Lưu lượng ở trạm", "properties": {**shown["properties"], "featureOfInterest": work.pk}}
    answer = send(stream, moved, manager, "patch").json()
    assert (answer["name"], answer["properties"]["featureOfInterest"]) == ("Lưu lượng ở trạm", work.pk)
    assert Channel.objects.get(key="c2").feature is None
    assert AuditEntry.objects.filter(action="telemetry.channel.placed").count() == 2


@pytest.mark.parametrize("wrong", [0, None, "p0", "x", "p1\x00", [1], {"@iot.id": 1}, 10**30, 1.5, "@foreign", "@work"])
def test_a_datastream_measures_at_places_of_its_own_work_alone(work, stations, manager, place, wrong):
    other = stations["p2"].device.work
    foreign = MeasuringPlace.objects.create(work=other, name="Nơi khác", latitude=15, longitude=108)
    wrong = {"@foreign": f"p{foreign.pk}", "@work": other.pk}.get(wrong, wrong) if isinstance(wrong, str) else wrong
    body = {
        "name": "Lưu lượng nhánh", "ObservedProperty": {"@iot.id": "flow"},
        "Sensor": {"@iot.id": stations["cl"].device_id}, "properties": {"featureOfInterest": wrong},
    }  # fmt: skip

    made = send("Datastreams", body, manager)
    moved = send(f"Datastreams({stations['cl'].pk})", {"properties": {"featureOfInterest": wrong}}, manager, "patch")

    for response in (made, moved):
        assert response.status_code == 400, response.content.decode()
        assert f"{work.pk}, 'p{place.pk}'" in response.json()["message"]
    assert Channel.objects.count() == 4
    assert not Channel.objects.exclude(feature=None).exists()


@pytest.mark.parametrize("about", [{"low": -1}, {"key": "x"}, {"isPublic": True}, {"unknown": 1}, {"password": "x"}, 5])
def test_nothing_else_of_a_datastream_is_changed_by_its_properties(stations, manager, about):
    response = send(f"Datastreams({stations['cl'].pk})", {"properties": about}, manager, "patch")

    assert response.status_code == 400, response.content.decode()
    assert "properties" in response.json()["message"] or "mật khẩu" in response.json()["message"]


def test_an_observation_may_name_the_place_of_its_channel_and_no_other(work, stations, device_token, manager, place):
    placed(stations["cl"], place)
    at_place, at_work = {"@iot.id": f"p{place.pk}"}, {"@iot.id": work.pk}

    for channel, right, wrong in ((stations["cl"], at_place, at_work), (stations["p"], at_work, at_place)):
        for raw in (device_token, manager):
            for said in (wrong, {"@iot.id": True}, {"@iot.id": [1]}):
                refused = send("Observations", body_for(channel, FeatureOfInterest=said), raw)
                assert refused.status_code == 400, refused.content.decode()
                assert "nơi đo" in refused.json()["message"]
        assert send("Observations", body_for(channel, 0.5, FeatureOfInterest=right), device_token).status_code == 201
    assert len(readings()) == 2


def test_arrays_with_another_place_are_refused_whole(stations, device_token, place):
    placed(stations["cl"], place)
    arrays = [{
        "Datastream": {"@iot.id": stations["cl"].pk},
        "components": ["phenomenonTime", "result", "FeatureOfInterest/id"],
        "dataArray": [[AT, 0.5, f"p{place.pk}"], ["2026-10-01T08:00:00+07:00", 0.4, place.work_id]],
    }]  # fmt: skip

    assert send("CreateObservations", arrays, device_token).status_code == 400
    assert readings() == []
    arrays[0]["dataArray"][1][2] = f"p{place.pk}"
    assert send("CreateObservations", arrays, device_token).status_code == 201
    assert len(readings()) == 2


@pytest.mark.parametrize("inside", [{"name": "Mới", "feature": POINT}, "p1", 5, [], {}])
def test_a_new_place_does_not_come_with_an_observation_and_the_way_is_told(stations, device_token, inside):
    response = send("Observations", body_for(stations["p"], FeatureOfInterest=inside), device_token)

    assert response.status_code == 400
    assert "POST FeaturesOfInterest" in response.json()["message"]
    assert (readings(), MeasuringPlace.objects.count()) == ([], 0)


def test_who_may_not_write_does_not_learn_the_place_of_a_channel(stations, place):
    placed(stations["cl"], place)
    elsewhere = make_token(stations["p2"].device.work, name="tram-khac")

    response = send("Observations", body_for(stations["cl"], FeatureOfInterest={"@iot.id": 1}), elsewhere)

    assert (response.status_code, f"p{place.pk}" in response.json()["message"]) == (403, False)


def test_a_batch_makes_a_place_and_a_channel_there_or_neither(work, stations, manager):
    stream = {
        "name": "Lưu lượng nhánh", "ObservedProperty": {"@iot.id": "flow"},
        "Sensor": {"@iot.id": stations["cl"].device_id}, "properties": {"key": "c2", "low": "x"},
    }  # fmt: skip
    requests = [
        {"id": "f", "atomicityGroup": "g", "method": "post", "url": "FeaturesOfInterest", "body": feature(work)},
        {"id": "d", "atomicityGroup": "g", "method": "post", "url": "Datastreams", "body": stream},
    ]  # fmt: skip

    send("$batch", {"requests": requests}, manager)
    assert not MeasuringPlace.objects.exists()
    requests.pop()
    send("$batch", {"requests": requests}, manager)
    assert MeasuringPlace.objects.get().name == "Vòi nhà ông Ba"


def test_the_root_says_that_places_are_written_here(client, db):
    answer = json.loads(client.get(ROOT).content)["serverSettings"]["urn:machnuoc:notThere"]

    assert not any("Không có POST, PATCH, DELETE cho FeaturesOfInterest" in line for line in answer)
    assert any("properties.featureOfInterest" in line for line in answer)


# --- operations, pages, API -------------------------------------------------------------------------------------------


def test_operations_ask_for_the_right_and_keep_channels_within_their_work(work, stations, place):
    nobody = make_person("nguoi-la")
    boss = make_person("quan-ly-hai")
    Grant.objects.create(person=boss, role=Grant.Role.DEPARTMENT, scope=work.subject, valid_from="2020-01-01")

    with pytest.raises(PermissionDenied):
        measuring_places.put_place(work, name="x", description="", position=(15, 108), by=nobody)
    with pytest.raises(PermissionDenied):
        measuring_places.delete_place(place, by=nobody)
    with pytest.raises(PermissionDenied):
        measuring_places.assign(stations["cl"], place, by=nobody)
    Grant.objects.create(
        person=boss, role=Grant.Role.DEPARTMENT, scope=stations["p2"].device.work.subject, valid_from="2020-01-01"
    )
    with pytest.raises(device_operations.DeviceError, match="nơi đo này không có"):
        measuring_places.assign(stations["p2"], place, by=boss)
    for _ in range(2):
        measuring_places.assign(stations["cl"], place, by=boss)
    assert AuditEntry.objects.filter(action="telemetry.channel.placed").count() == 1


def _form(channel):
    return {
        "key": channel.key, "name": channel.name, "quantity": channel.quantity, "sent_unit": channel.sent_unit,
        "point": channel.point, "role": "", "expected_interval_s": "300", "is_active": "on",
    }  # fmt: skip


def test_the_form_of_a_channel_offers_the_places_of_its_work(client, work, stations, manager, place):
    channel = stations["cl"]
    MeasuringPlace.objects.create(work=stations["p2"].device.work, name="Nơi khác", latitude=15, longitude=108)
    client.force_login(Person.objects.get(username="quan-ly"))
    url = reverse("telemetry:channel_edit", args=[channel.device.code, channel.pk])

    page = client.get(url).content.decode()
    assert "Vòi nhà ông Ba" in page
    assert "Nơi khác" not in page
    assert client.post(url, {**_form(channel), "feature": str(place.pk)}).status_code == 302
    channel.refresh_from_db()
    assert channel.feature == place
    foreign = MeasuringPlace.objects.get(name="Nơi khác")
    for wrong in (str(foreign.pk), "x", "9" * 40):
        assert client.post(url, {**_form(channel), "feature": wrong}).status_code == 422
    shown = client.get(reverse("telemetry:channel", args=[channel.pk])).content.decode()
    assert "Nơi đo" in shown
    assert "15,1" in shown
    assert client.post(url, _form(channel)).status_code == 302
    channel.refresh_from_db()
    assert channel.feature is None
    assert "Nơi đo" not in client.get(reverse("telemetry:channel", args=[channel.pk])).content.decode()


def test_the_form_without_places_does_not_ask_for_one(client, stations, manager):
    channel = stations["cl"]
    client.force_login(Person.objects.get(username="quan-ly"))
    url = reverse("telemetry:channel_edit", args=[channel.device.code, channel.pk])

    assert "Nơi đo" not in client.get(url).content.decode()
    assert client.post(url, _form(channel)).status_code == 302


def test_the_api_names_the_place_of_a_channel(stations, token, place):
    placed(stations["cl"], place)

    answer = Client().get("/api/v1/telemetry/channels", headers={"Authorization": f"Bearer {token}"}).json()

    assert {each["key"]: each["measuring_place"] for each in answer["items"] if each["device_code"] == "bc-1"} == {
        "p": "", "cl": "Vòi nhà ông Ba", "q": "",
    }  # fmt: skip
