"""The service by hand, example by example of OGC 18-088 (SensorThings API 1.1), and against odd questions."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.core.models import AuditEntry
from machnuoc.places.models import Grant
from machnuoc.telemetry import archive, payloads, receive, rollups, store
from machnuoc.telemetry.models import Calibration, Channel, Credential
from machnuoc.telemetry.sensorthings import observations, world
from machnuoc.telemetry.tests.readings import put
from machnuoc.telemetry.tests.sta_world import (
    AT,
    MINUTE,
    ROOT,
    T0,
    ask,
    body_for,
    ledger,
    make_token,
    names,
    readings,
    results,
    send,
)
from machnuoc.telemetry.tests.world import make_channel, make_device

pytestmark = pytest.mark.usefixtures("clean_store")

# --- the service and its resources ----------------------------------------------------------------------------------


def test_the_root_names_every_set_and_what_the_service_conforms_to(db):
    answer = ask("")

    assert {each["name"]: each["url"] for each in answer["value"]} == {
        name: f"http://testserver/sta/v1.1/{name}"
        for name in (
            "Things", "Locations", "HistoricalLocations", "Datastreams", "Sensors", "ObservedProperties",
            "Observations", "FeaturesOfInterest",
        )
    }  # fmt: skip
    assert "http://www.opengis.net/spec/iot_sensing/1.1/req/datamodel" in answer["serverSettings"]["conformance"]


def test_a_thing_has_its_properties_and_its_links(stations, token):
    work = stations["p"].device.work

    answer = ask(f"Things({work.pk})", token)

    address = f"http://testserver/sta/v1.1/Things({work.pk})"
    assert answer == {
        "@iot.id": work.pk, "@iot.selfLink": address, "name": "Trạm Bình Chánh",
        "description": "Trạm cấp nước Trạm Bình Chánh",
        "properties": {
            "key": "binh-chanh", "kind": "STATION", "kindName": "Trạm cấp nước", "status": "UNKNOWN",
            "statusName": "Chưa rõ", "sector": "RURAL", "isSimulated": False,
        },
        "Locations@iot.navigationLink": f"{address}/Locations",
        "HistoricalLocations@iot.navigationLink": f"{address}/HistoricalLocations",
        "Datastreams@iot.navigationLink": f"{address}/Datastreams",
    }  # fmt: skip


def test_every_entity_of_the_model_can_be_asked_for_and_every_link_followed(measured, token):
    counts = {}
    for each in ask("")["value"]:
        for entity in ask(each["url"], token)["value"]:
            assert ask(entity["@iot.selfLink"], token)["@iot.id"] == entity["@iot.id"]
            for key, link in entity.items():
                if key.endswith("@iot.navigationLink"):
                    answer = ask(link, token)
                    assert "@iot.id" in answer or "value" in answer
        counts[each["name"]] = ask(each["url"], token, count="true")["@iot.count"]

    assert counts == {
        "Things": 2, "Locations": 1, "HistoricalLocations": 1, "Datastreams": 4, "Sensors": 2, "ObservedProperties": 3,
        "Observations": 30, "FeaturesOfInterest": 2,
    }  # fmt: skip


def test_a_datastream_says_its_unit_and_from_when_to_when_it_measured(measured, token):
    answer = ask(f"Datastreams({measured['p'].pk})", token)

    assert answer["unitOfMeasurement"] == {
        "name": "m cột nước", "symbol": "m cột nước", "definition": "urn:machnuoc:unit:mH2O",
    }  # fmt: skip
    assert answer["phenomenonTime"] == "2026-10-01T00:00:00.000Z/2026-10-01T00:09:00.000Z"
    assert answer["properties"]["isPublic"] is True


def test_what_is_simulated_says_so_wherever_it_is_shown(measured, token):
    work = measured["p2"].device.work_id

    for path in (f"Things({work})", f"Datastreams({measured['p2'].pk})", f"FeaturesOfInterest({work})",
                 f"Sensors({measured['p2'].device_id})"):  # fmt: skip
        assert ask(path, token)["properties"]["simulation"] == "mô phỏng"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("Datastreams({p})/name", {"name": "Áp lực đầu ra"}),
        ("Datastreams({p})/unitOfMeasurement/definition", {"definition": "urn:machnuoc:unit:mH2O"}),
        ("Things({work})/properties/key", {"key": "binh-chanh"}),
        ("Datastreams({p})/Thing/name", {"name": "Trạm Bình Chánh"}),
        ("Observations('{p}:{t0}')/result", {"result": 20.0}),
        ("Observations('{p}:{t0}')/Datastream/Sensor/properties/code", {"code": "bc-1"}),
        ("Things({work})/Datastreams({p})/ObservedProperty/name", {"name": "Áp lực"}),
        (
            "Things({work})/Locations/$ref",
            {"value": [{"@iot.selfLink": "http://testserver/sta/v1.1/Locations({work})"}]},
        ),
        ("Datastreams({p})/Thing/$ref", {"@iot.selfLink": "http://testserver/sta/v1.1/Things({work})"}),
        ("Locations({work})/location", {"location": {"type": "Point", "coordinates": [108.75, 15.3]}}),
    ],
)
def test_a_path_leads_to_a_property_an_entity_or_addresses(measured, token, path, answer):
    known = {"p": measured["p"].pk, "work": measured["p"].device.work_id, "t0": T0}

    def fill(text):
        for key, value in known.items():
            text = text.replace("{" + key + "}", str(value))
        return text

    assert ask(fill(path), token) == json.loads(fill(json.dumps(answer)))


def test_a_bare_value_is_text(measured, token):
    headers = {"Authorization": f"Bearer {token}"}

    name = Client().get(f"{ROOT}Datastreams({measured['p'].pk})/name/$value", headers=headers)
    result = Client().get(f"{ROOT}Observations('{measured['p'].pk}:{T0}')/result/$value", headers=headers)

    assert (name.content.decode(), name["Content-Type"]) == ("Áp lực đầu ra", "text/plain; charset=utf-8")
    assert result.content == b"20.0"


@pytest.mark.parametrize(
    "path",
    [
        "Nothing", "Things(999999999)", "Things('a')", "Things(1", "Datastreams(1)/Nothing", "Things/name",
        "Observations('1:1')", "Observations(5)", "Observations('x')", "Sensors(0)/Thing", "Things(-1)",
        "ObservedProperties('none')", "ObservedProperties(1)", "Things(99999999999999999)", "Datastreams(9999999999)",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_as_json(stations, token, path):
    answer = ask(path, token, status=404)

    assert answer["code"] == 404
    assert answer["message"]


def test_an_answer_that_has_not_changed_is_not_sent_again(measured, token):
    headers = {"Authorization": f"Bearer {token}"}
    first = Client().get(ROOT + "Things", headers=headers)

    again = Client().get(ROOT + "Things", headers={**headers, "If-None-Match": first["ETag"]})

    assert again.status_code == 304


# --- query options ----------------------------------------------------------------------------------------------------


def test_things_are_filtered_ordered_and_paged(measured, token):
    assert names(ask("Datastreams", token, filter="ObservedProperty/properties/key eq 'pressure'", orderby="name")) == [
        "Áp lực mạng", "Áp lực đầu ra",
    ]  # fmt: skip
    assert names(ask("Datastreams", token, filter="Thing/name eq 'Trạm Nghĩa Phú' or name eq 'Clo dư'")) == [
        "Clo dư", "Áp lực mạng",
    ]  # fmt: skip
    assert names(ask("Things", token, filter="Datastreams/ObservedProperty/id eq 'flow'")) == ["Trạm Bình Chánh"]
    assert names(ask("Things", token, filter="properties/isSimulated eq true")) == ["Trạm Nghĩa Phú"]
    assert names(ask("Datastreams", token, filter="phenomenonTime gt 2026-10-01T00:00:00Z")) == ["Áp lực mạng"]
    assert names(ask("Sensors", token, filter="tolower(properties/code) eq 'bc-1'")) == ["Bộ ghi bc-1"]

    first = ask("Datastreams", token, top=3, count="true", orderby="id desc", select="name")
    second = ask(first["@iot.nextLink"], token)

    assert first["@iot.count"] == 4
    assert first["value"][0] == {"name": "Áp lực mạng"}
    assert names(first) + names(second) == ["Áp lực mạng", "Lưu lượng", "Clo dư", "Áp lực đầu ra"]
    assert "@iot.nextLink" not in second


def test_letters_may_come_unencoded(measured, token):
    headers = {"Authorization": f"Bearer {token}"}

    response = Client().get(ROOT + "Things?$filter=contains(name,'Nghĩa')", headers=headers)

    assert names(response.json()) == ["Trạm Nghĩa Phú"]


def test_select_gives_what_is_named_and_no_more(measured, token):
    answer = ask(f"Datastreams({measured['p'].pk})", token, select="id,name,Thing")

    assert set(answer) == {"@iot.id", "name", "Thing@iot.navigationLink"}


def test_expand_opens_links_with_options_of_their_own(measured, token):
    answer = ask(
        "Things", token, orderby="name",
        expand="Locations,Datastreams($select=name;$orderby=name;$top=2;$count=true;"
        "$expand=ObservedProperty($select=name),Observations($top=2;$orderby=phenomenonTime desc;$select=result;"
        "$filter=result lt 28))",
    )  # fmt: skip

    assert [each["@iot.id"] for each in answer["value"][0]["Locations"]] == [measured["p"].device.work_id]
    opened = answer["value"][0]["Datastreams"]
    assert answer["value"][0]["Datastreams@iot.count"] == 3
    assert [each["name"] for each in opened] == ["Clo dư", "Lưu lượng"]
    assert opened[0]["ObservedProperty"] == {"name": "Clo dư tự do"}
    assert [each["result"] for each in opened[0]["Observations"]] == pytest.approx([0.9, 0.8])
    assert opened[1]["Observations"] == []
    more = ask(answer["value"][0]["Datastreams@iot.nextLink"], token)
    assert names(more) == ["Áp lực đầu ra"]
    assert results({"value": more["value"][0]["Observations"]}) == [27, 26]
    rest = ask(more["value"][0]["Observations@iot.nextLink"], token)
    assert results(rest) == [25, 24]


def test_expand_by_path_opens_each_name_on_the_way(measured, token):
    answer = ask("Observations", token, top=1, expand="Datastream/Thing,Datastream/Sensor,FeatureOfInterest")

    opened = answer["value"][0]
    assert opened["Datastream"]["Thing"]["name"] == "Trạm Bình Chánh"
    assert opened["Datastream"]["Sensor"]["properties"]["code"] == "bc-1"
    assert opened["FeatureOfInterest"]["feature"] == {"type": "Point", "coordinates": [108.75, 15.3]}


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "result gt"}, {"filter": "nothing eq 1"}, {"filter": "Datastream eq 1"}, {"expand": "Nothing"},
        {"expand": "Datastream("}, {"select": "nothing"}, {"orderby": "nothing"}, {"orderby": "result up"},
        {"orderby": "Datastream/name"}, {"top": "-1"}, {"top": "x"}, {"skip": "1.5"}, {"count": "yes"}, {"foo": "1"},
        {"resultFormat": "csv"}, {"skiptoken": "x"}, {"skiptoken": "1:1", "orderby": "result"}, {"top": "9" * 20},
        {"expand": "Datastream($expand=Observations($expand=Datastream($expand=Observations($expand=Datastream("
                   "$expand=Observations)))))"},
        {"resultFormat": "dataArray", "expand": "Datastream"},
    ],
)  # fmt: skip
def test_an_impossible_option_is_said(measured, token, options):
    answer = ask("Observations", token, status=400, **options)

    assert (answer["code"], answer["type"]) == (400, "error")
    assert answer["message"]


# --- observations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, list(range(20, 30))),
        ({"orderby": "phenomenonTime desc"}, list(range(29, 19, -1))),
        ({"orderby": "result desc", "top": 2}, [29, 28]),
        ({"filter": "result gt 22 and result le 25"}, [23, 24, 25]),
        ({"filter": "24 lt result"}, [25, 26, 27, 28, 29]),
        ({"filter": "phenomenonTime ge 2026-10-01T07:08:00+07:00"}, [28, 29]),
        ({"filter": "phenomenonTime gt 2026-10-01T00:08:00Z or result lt 21"}, [20, 29]),
        ({"filter": "resultTime lt 2026-10-01T00:00:30.500Z"}, [20]),
        ({"filter": "phenomenonTime eq 2026-10-01T00:03:00Z"}, [23]),
        ({"filter": "phenomenonTime eq 2026-10-01T00:03:00.0001Z"}, []),
        ({"filter": "phenomenonTime lt 2026-10-01"}, []),
        ({"filter": "phenomenonTime gt now() sub duration'P1D' or result eq 20"}, [20]),
        ({"filter": "phenomenonTime gt now()"}, []),
        ({"filter": "result mod 3 eq 0", "orderby": "result desc"}, [27, 24, 21]),
        ({"filter": "minute(phenomenonTime) ge 7 and not (result eq 28)"}, [27, 29]),
        ({"filter": "Datastream/name eq 'Áp lực đầu ra' and result eq 20"}, [20]),
        ({"filter": "Datastream/Thing/name eq 'Trạm khác'"}, []),
        ({"filter": "FeatureOfInterest/name eq 'Trạm Bình Chánh' and result in (21, 5)"}, [21]),
        ({"filter": "1 eq 2"}, []),
        ({"filter": "result eq 'x'"}, []),
        ({"skip": 8}, [28, 29]),
        ({"filter": "result mod 2 eq 0", "skip": 4}, [28]),
        ({"top": 0}, []),
    ],
)  # fmt: skip
def test_observations_are_chosen_by_the_store_or_one_by_one(measured, token, options, expected):
    path = f"Datastreams({measured['p'].pk})/Observations"

    assert results(ask(path, token, **options)) == expected
    if "skip" not in options and "top" not in options:
        assert ask(path, token, count="true", **options)["@iot.count"] == len(expected)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"orderby": "phenomenonTime desc"}, {"orderby": "result"}, {"orderby": "Datastream/id,phenomenonTime desc"},
        {"filter": "result ge 1"}, {"filter": "round(result) mod 2 eq 0"},
        {"filter": "round(result) mod 2 eq 0", "orderby": "result desc"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("top", [1, 4, 7])
def test_pages_of_many_channels_put_together_are_the_whole(measured, token, options, top):
    whole = [each["@iot.id"] for each in ask("Observations", token, **options)["value"]]

    link, found = ask("Observations", token, top=top, **options), []
    while True:
        found += [each["@iot.id"] for each in link["value"]]
        if "@iot.nextLink" not in link:
            break
        link = ask(link["@iot.nextLink"], token)

    assert found == whole
    assert len(set(whole)) == len(whole) > 10


def test_observations_of_a_place_are_those_of_all_its_channels(measured, token):
    work = measured["p"].device.work_id

    answer = ask(f"FeaturesOfInterest({work})/Observations", token, count="true")

    assert answer["@iot.count"] == 20
    opened = ask("FeaturesOfInterest", token, expand="Observations($top=1;$count=true)")
    assert [each["Observations@iot.count"] for each in opened["value"]] == [20, 10]


def test_an_observation_out_of_range_says_so(measured, token):
    answer = ask(f"Datastreams({measured['cl'].pk})/Observations", token, orderby="phenomenonTime desc", top=2)

    assert answer["value"][0]["resultQuality"] == [{"code": 1, "name": "ngoài khoảng tin được"}]
    assert "resultQuality" not in answer["value"][1]


def test_observations_come_as_arrays_too(measured, token):
    answer = ask(
        "Observations", token, resultFormat="dataArray", filter="phenomenonTime lt 2026-10-01T00:00:01Z", count="true"
    )

    p, cl = measured["p"].pk, measured["cl"].pk
    instant = "2026-10-01T00:00:00.000Z"
    assert answer["@iot.count"] == 3
    assert answer["value"][0] == {
        "Datastream@iot.navigationLink": f"http://testserver/sta/v1.1/Datastreams({p})",
        "components": ["id", "phenomenonTime", "result", "resultTime"], "dataArray@iot.count": 1,
        "dataArray": [[f"{p}:{T0}", instant, 20.0, instant]],
    }  # fmt: skip
    few = ask(f"Datastreams({cl})/Observations", token, resultFormat="dataArray", select="result", top=2)
    assert few["value"][0]["components"] == ["result"]
    assert few["value"][0]["dataArray"] == [[0.0], [0.1]]


def test_the_archive_and_what_was_corrected_since_are_read_as_one(stations, token, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    store.close()
    if not store.is_postgresql():
        store.prepare()
    channel, other = stations["p"].pk, stations["p2"].pk
    august = payloads.to_ms(datetime(2026, 8, 10, tzinfo=UTC))
    put((channel, august + n * MINUTE, n) for n in range(10))
    put((other, august + n * MINUTE, 100 + n) for n in range(3))
    rollups.run_once(T0, limit=1_000)
    archive.archive_closed(T0, keep_days=0)
    assert store.query("SELECT count(*) FROM telemetry_reading") == [(0,)]
    put([(channel, august + 3 * MINUTE, 33), (channel, T0, 50)])

    path = f"Datastreams({channel})/Observations"
    assert results(ask(path, token)) == [0, 1, 2, 33, 4, 5, 6, 7, 8, 9, 50]
    assert results(ask(path, token, filter="result lt 5", orderby="phenomenonTime desc", top=2)) == [4, 2]
    assert ask(path, token, filter="result lt 5", count="true", top=0)["@iot.count"] == 4
    assert results(ask(path, token, orderby="result desc", top=2)) == [50, 33]
    assert results(ask("Observations", token, orderby="phenomenonTime desc", top=3)) == [50, 9, 8]
    opened = ask("Datastreams", token, orderby="id", expand="Observations($top=2;$orderby=phenomenonTime desc)")
    assert [results({"value": each["Observations"]}) for each in opened["value"]] == [[50, 9], [], [], [102, 101]]
    assert opened["value"][0]["phenomenonTime"] == "2026-08-10T00:00:00.000Z/2026-10-01T00:00:00.000Z"
    assert opened["value"][3]["phenomenonTime"] == "2026-08-10T00:00:00.000Z/2026-08-10T00:02:00.000Z"
    assert ask(f"Observations('{channel}:{august + 3 * MINUTE}')", token)["result"] == 33
    store.close()


def test_a_question_that_would_judge_too_many_readings_goes_on_page_by_page_or_is_refused(measured, token, monkeypatch):
    monkeypatch.setattr(observations, "SCAN_AT_ONCE", 4)
    monkeypatch.setattr(observations, "SCAN_MAX", 4)
    path = f"Datastreams({measured['p'].pk})/Observations"
    condition = {"filter": "round(result) mod 10 eq 9"}

    link, found, pages = ask(path, token, **condition), [], 1
    while "@iot.nextLink" in link:
        found += results(link)
        link, pages = ask(link["@iot.nextLink"], token), pages + 1

    assert (found + results(link), pages) == ([29], 3)
    assert "Thu hẹp" in ask(path, token, status=400, count="true", **condition)["message"]
    assert "Thu hẹp" in ask(path, token, status=400, orderby="result", **condition)["message"]


def test_a_question_that_takes_too_long_is_refused(measured, token, monkeypatch):
    monkeypatch.setattr(observations, "WITHIN_S", 0.001)
    put((measured["p"].pk, T0 + n * 1_000, n) for n in range(20_000))
    if store.is_postgresql():
        monkeypatch.setattr(observations, "_order_sql", lambda order: "(SELECT pg_sleep(1) WHERE r.at > 0)::text, r.at")

    assert "Thu hẹp" in ask("Observations", token, status=400, orderby="result")["message"]
    monkeypatch.undo()
    assert results(ask("Observations", token, top=1, orderby="result desc")) == [19_999]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("Datastreams", {"filter": "Thing/Datastreams/Thing/Datastreams/Thing/Datastreams/name eq 'x'"}),
        ("Things", {"orderby": "Datastreams/Thing/Datastreams/name"}),
        ("Observations", {"filter": "round(result) eq 1 or Datastream/Thing/Datastreams/name eq 'x'"}),
        ("Things", {"filter": "1 eq 2 or 2 eq 3"}),
    ],
)
def test_a_question_that_goes_round_in_circles_comes_to_an_end(measured, token, monkeypatch, path, options):
    monkeypatch.setattr(world, "WITHIN_S", 0.0)

    assert "Thu hẹp" in ask(path, token, status=400, **options)["message"]


# --- who sees what ----------------------------------------------------------------------------------------------------


def test_a_stranger_sees_what_is_published_and_nothing_of_the_rest(measured):
    assert names(ask("Datastreams")) == ["Áp lực đầu ra"]
    assert names(ask("Things")) == ["Trạm Bình Chánh"]
    assert names(ask("ObservedProperties")) == ["Áp lực"]
    assert ask("Observations", count="true")["@iot.count"] == 10
    assert "serial" not in ask("Sensors")["value"][0]["properties"]
    ask(f"Datastreams({measured['cl'].pk})", status=404)
    ask(f"Observations('{measured['cl'].pk}:{T0}')", status=404)
    ask(f"Things({measured['p2'].device.work_id})", status=404)
    assert ask("Observations", filter=f"Datastream/id eq {measured['cl'].pk}")["value"] == []
    assert ask("Observations", filter=f"id eq '{measured['cl'].pk}:{T0}'")["value"] == []


def test_a_person_sees_the_works_of_their_scope_and_what_is_published(measured):
    raw = make_token(measured["p2"].device.work, Grant.Role.PARTNER)

    assert names(ask("Datastreams", raw)) == ["Áp lực đầu ra", "Áp lực mạng"]
    ask(f"Datastreams({measured['cl'].pk})/Observations", raw, status=404)


def test_a_device_sees_its_own_channels(measured, device_token):
    assert names(ask("Datastreams", device_token)) == ["Áp lực đầu ra", "Clo dư", "Lưu lượng"]


def test_a_token_may_come_as_password_for_clients_that_know_nothing_else(measured, device_token):
    client = Client(headers={"Authorization": "Basic YmMtMTptYXQta2hhdQ=="})  # bc-1:mat-khau

    assert len(client.get(ROOT + "Datastreams").json()["value"]) == 3


@pytest.mark.parametrize("header", ["Bearer sai", "Bearer ", "Basic !!!", "Basic c2Fp", "Bearer mn_khongco"])
def test_a_token_that_opens_nothing_is_said(stations, header):
    response = Client(headers={"Authorization": header}).get(ROOT + "Things")

    assert (response.status_code, response.json()["code"]) == (401, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("change", ["expires_at", "revoked_at"])
def test_a_device_whose_token_is_over_reads_and_writes_nothing(stations, device_token, change):
    Credential.objects.update(**{change: timezone.now() - timedelta(seconds=1)})

    ask("Things", device_token, status=401)
    assert send("Observations", {}, device_token).status_code == 401


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_device_writes_an_observation_by_the_road_of_all_devices(stations, device_token):
    response = send("Observations", body_for(stations["p"]), device_token)

    assert response.status_code == 201, response.content
    assert response["Location"] == f"http://testserver/sta/v1.1/Observations('{stations['p'].pk}:{T0}')"
    assert response.json()["result"] == 3.5
    assert readings() == [(stations["p"].pk, T0, 3.5, 0)]
    assert ledger() == [(stations["p"].device_id, 1, 1, 0, 0, 0)]
    assert store.query("SELECT count(*) FROM telemetry_dirty_hour") == [(1,)]


def test_a_result_is_in_the_unit_that_the_datastream_names_and_is_calibrated(stations, device_token):
    Calibration.objects.create(channel=stations["q"], valid_from="2026-01-01T00:00:00Z", factor=2, offset=1)

    send(f"Datastreams({stations['q'].pk})/Observations", {"phenomenonTime": AT, "result": 36}, device_token)

    assert readings()[0][2] == pytest.approx(73)  # 36 m3/h, though the device speaks in L/s


def test_an_observation_that_is_sent_again_is_there_once_and_another_result_corrects_it(stations, device_token):
    for result in (3.5, 3.5, 4):
        assert send("Observations", body_for(stations["p"], result), device_token).status_code == 201

    assert readings() == [(stations["p"].pk, T0, 4, 0)]
    assert ledger() == [(stations["p"].device_id, 3, 1, 1, 1, 0)]


def test_a_person_enters_by_hand_and_it_is_written_down_who(stations, token):
    response = send("Observations", body_for(stations["q"], 36), token)

    assert response.status_code == 201, response.content
    assert readings() == [(stations["q"].pk, T0, 36, store.FROM_FILE)]
    event = AuditEntry.objects.get(action="telemetry.observations.entered")
    assert event.actor.username == "nguoi-tram"


def test_without_a_time_an_observation_is_of_now(stations, device_token):
    before = payloads.to_ms(timezone.now())

    response = send("Observations", {"result": 1, "Datastream": {"@iot.id": stations["p"].pk}}, device_token)

    assert response.status_code == 201
    assert before <= readings()[0][1] <= payloads.to_ms(timezone.now())


@pytest.mark.parametrize(
    ("change", "said", "counted"),
    [
        ({"phenomenonTime": "2099-01-01T00:00:00Z"}, "tương lai", 1),
        ({"phenomenonTime": "1999-01-01T00:00:00Z"}, "trước năm 2000", 1),
        ({"phenomenonTime": "hôm qua"}, "Không hiểu thời điểm", 1),
        ({"phenomenonTime": "2026-10-01T00:00:00"}, "múi giờ", 0),
        ({"phenomenonTime": "2026-10-01T00:00:00Z/2026-10-01T01:00:00Z"}, "Không hiểu thời điểm", 1),
        ({"result": "cao"}, "không phải là số", 1),
        ({"result": None}, "không phải là số", 1),
        ({"result": 1e301}, "lớn quá mức", 1),
    ],
)
def test_what_is_wrong_with_an_observation_is_said_and_counted(stations, device_token, change, said, counted):
    response = send("Observations", body_for(stations["p"]) | change, device_token)

    assert response.status_code == 400
    assert said in response.json()["message"]
    if counted:
        assert ledger() == [(stations["p"].device_id, 1, 0, 0, 0, 1)]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b'{"result": 1}', b'{"result": 1, "Datastream": 5}',
        b'{"result": 1, "Datastream": {"@iot.id": "5"}}', b'{"result": 1, "Datastream": {"@iot.id": true}}',
        b'{"Datastream": {"@iot.id": 1}}', b"[" * 100_000, b'{"result": NaN, "Datastream": {"@iot.id": 1}}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_observation_is_said(stations, device_token, body):
    for path in ("Observations", "CreateObservations"):
        if (path, body) != ("CreateObservations", b"[]"):
            response = send(path, body, device_token)
            assert response.status_code == 400
            assert response.json()["message"]
    assert readings() == []


def test_arrays_of_observations_are_stored_and_each_gets_its_answer(stations, device_token):
    p, cl, work = stations["p"].pk, stations["cl"].pk, stations["p"].device.work_id
    body = [
        {
            "Datastream": {"@iot.id": p}, "components": ["phenomenonTime", "result", "FeatureOfInterest/id"],
            "dataArray@iot.count": 3,
            "dataArray": [[AT, 1.5, work], ["2099-01-01T00:00:00Z", 2, work], ["2026-10-01T00:01:00Z", "x", work]],
        },
        {"Datastream": {"@iot.id": cl}, "components": ["result", "phenomenonTime"], "dataArray": [[0.4, AT]]},
    ]  # fmt: skip

    response = send("CreateObservations", body, device_token)

    root = "http://testserver/sta/v1.1/"
    assert response.status_code == 201, response.content
    assert response.json() == [
        f"{root}Observations('{p}:{T0}')",
        f"error: {receive.REASONS['future_clock']}",
        f"error: {receive.REASONS['not_a_number']}",
        f"{root}Observations('{cl}:{T0}')",
    ]
    assert ledger() == [(stations["p"].device_id, 4, 2, 0, 0, 2)]


def test_nobody_writes_where_they_may_not(stations, device_token):
    reader = make_token(stations["p"].device.work, can_write=False)
    partner = make_token(stations["p"].device.work, Grant.Role.PARTNER, name="doi-tac")
    elsewhere = make_token(stations["p2"].device.work, name="tram-khac")

    assert send("Observations", body_for(stations["p"])).status_code == 401
    assert send("Observations", body_for(stations["p2"]), device_token).status_code == 403
    for raw in (reader, partner, elsewhere):
        assert send("Observations", body_for(stations["p"]), raw).status_code == 403
    both = [
        {"Datastream": {"@iot.id": each.pk}, "components": ["result"], "dataArray": [[1]]}
        for each in (stations["p"], stations["p2"])
    ]
    assert send("CreateObservations", both, device_token).status_code == 403
    assert readings() == []


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("delete", "Things(1)", "STOPPED"), ("delete", "Things", "công trình"), ("put", "Locations", "vị trí"),
        ("post", "Things(1)", "công trình"), ("patch", "ObservedProperties", "danh mục"),
        ("delete", "ObservedProperties", "danh mục"), ("patch", "FeaturesOfInterest", "nơi đo"),
        ("post", "HistoricalLocations", "do chương trình"), ("patch", "Things(1)/Locations(1)", "vị trí"),
        ("put", "", "thiết bị"), ("post", "Sensors(1)", "thiết bị"), ("patch", "Sensors", "thiết bị"),
        ("delete", "Observations('1:1')", "đính chính"), ("patch", "Observations('1:1')", "đính chính"),
        ("put", "Observations", "đính chính"), ("post", "FeaturesOfInterest(1)/Observations", "Ghi Observation"),
    ],
)  # fmt: skip
def test_what_is_provided_elsewhere_is_not_written_here(stations, token, method, path, said):
    response = send(path, {"name": "x"}, token, method)

    assert response.status_code == 405
    assert response["Allow"]
    assert said.lower() in response.json()["message"].lower()


def test_an_inactive_channel_takes_nothing_and_says_so(stations, device_token):
    Channel.objects.filter(pk=stations["p"].pk).update(is_active=False)

    response = send("Observations", body_for(stations["p"]), device_token)

    assert (response.status_code, response.json()["message"]) == (
        400, "Observation không được nhận: Kênh đã ngừng dùng.",
    )  # fmt: skip


def test_what_a_person_overruled_stands_and_the_sender_is_told(stations, device_token, token):
    put([(stations["p"].pk, T0, 9, store.OVERRULED)])

    for raw in (device_token, token):
        response = send("Observations", body_for(stations["p"]), raw)
        assert response.status_code == 400
        assert "người có trách nhiệm sửa" in response.json()["message"]
    assert readings() == [(stations["p"].pk, T0, 9, store.OVERRULED)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(10**400)
    | st.sampled_from([AT, "2026-10-01", "9999-12-31T23:59:59Z", "2026-10-01T00:00:00Z/..", "1e5", "\0", T0, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=_JSON, at=_JSON, is_device=st.booleans())
def test_no_odd_observation_breaks_the_service_and_the_ledger_closes(
    stations, device_token, token, result, at, is_device
):
    raw = device_token if is_device else token
    named = {"Datastream": {"@iot.id": stations["p"].pk}}
    array = {**named, "components": ["result", "phenomenonTime"], "dataArray": [[result, at], [1, AT]]}

    one = send("Observations", {**named, "result": result, "phenomenonTime": at}, raw)
    many = send("CreateObservations", [array], raw)

    assert one.status_code in (201, 400)
    assert many.status_code in (201, 400)
    assert all(row[1] == sum(row[2:]) for row in store.query(
        "SELECT device, received, stored, corrected, duplicate, rejected, quarantined FROM telemetry_ledger"
    ))  # fmt: skip


# --- cost and odd questions -------------------------------------------------------------------------------------------

QUESTIONS = [
    "Things?$expand=Datastreams($expand=Observations($top=1;$orderby=phenomenonTime%20desc),Sensor),Locations&$count=true",
    "Observations?$orderby=phenomenonTime%20desc&$count=true&$expand=Datastream/Thing",
    "Datastreams?$filter=phenomenonTime%20gt%202026-01-01T00:00:00Z&$expand=ObservedProperty/Datastreams,Observations($count=true)",
]


@pytest.mark.parametrize("path", QUESTIONS)
def test_what_a_question_costs_does_not_grow_with_the_number_of_rows(measured, token, monkeypatch, path):
    asked = []
    real = store.query
    monkeypatch.setattr(store, "query", lambda sql, parameters=(): asked.append(sql) or real(sql, parameters))

    def cost():
        asked.clear()
        with CaptureQueriesContext(connection) as captured:
            ask(path, token)
        return len(captured) + len(asked)

    cost()  # the first use of a token is written down
    before = cost()
    for number in range(5):
        device = make_device(measured["p"].device.work, f"them-{number}")
        for key in ("a", "b", "c"):
            channel = make_channel(device, key, "pressure")
            put((channel.pk, T0 + n * MINUTE, n) for n in range(5))

    assert cost() == before
    assert before <= 15


def words(text: str) -> list[str]:
    return text.split(" ")


_WORDS = st.sampled_from(words(
    "Things Datastreams Observations Sensors Locations ObservedProperties FeaturesOfInterest HistoricalLocations Thing "
    "Datastream (1) (-1) ('1:5') ('flow') / / $ref $value name properties"
))  # fmt: skip
_TEXTS = st.lists(
    st.sampled_from(
        words(
            "result phenomenonTime name id @iot.id Datastream/name Thing/name Datastreams/id eq gt ne and or not ( ) , "
            "; 'a' 1 -2.5 1e300 null true 2026-10-01T00:00:00Z 0001-01-01T00:00:00Z 9999-12-31T23:59:59Z now() sub add "
            "duration'P1D' length( date( desc asc $top=2 $expand= $count=true $orderby= Datastreams Observations "
            "Sensor in substring( mul mod"
        )
    ),
    max_size=14,
).map(" ".join)
_OPTIONS = st.sampled_from(
    ["filter", "expand", "select", "orderby", "top", "skip", "count", "resultFormat", "skiptoken"]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(_WORDS, min_size=1, max_size=5).map("".join),
    asked=st.dictionaries(_OPTIONS, _TEXTS | st.text(max_size=30), max_size=4),
)
def test_no_odd_question_breaks_the_service(measured, token, path, asked):
    query = "&".join(f"${name}={quote(text)}" for name, text in asked.items())
    client = Client(raise_request_exception=True)

    response = client.get(ROOT + quote(path) + "?" + query, headers={"Authorization": f"Bearer {token}"})

    assert response.status_code in (200, 204, 400, 404)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["Things", "Datastreams", "Sensors", "Observations"]),
    condition=st.sampled_from([
        "name eq 'a'", "id gt 1", "Datastreams/name eq null", "length(name) mul 1e308 mul 1e308 gt 1",
        "phenomenonTime sub duration'P999999D' lt now()", "maxdatetime() add duration'P1D' gt phenomenonTime",
        "phenomenonTime lt 9999-12-31T23:59:59Z", "phenomenonTime gt 0001-01-01T00:00:00Z", "result gt -1e300",
        "result eq 1e308", "Thing/Datastreams/Thing/Datastreams/name eq 'x'", "properties/a/b/c eq 1",
        "resultQuality/code eq 1", "phenomenonTime eq 'x'", "phenomenonTime ne 2026-10-01T00:00:00Z", "result",
        "not result", "id eq 5", "id eq '5'", "id eq '99999999999:5'", "phenomenonTime", "result in (1, 'a', null)",
    ]),
    orderby=st.sampled_from([
        "", "name", "id desc", "phenomenonTime desc", "properties/key", "Datastreams/name", "result",
    ]),
)  # fmt: skip
def test_no_filter_that_can_be_read_breaks_an_answer(measured, token, name, condition, orderby):
    asked = {"filter": condition, "count": "true", **({"orderby": orderby} if orderby else {})}
    query = "&".join(f"${key}={quote(text)}" for key, text in asked.items())

    response = Client().get(f"{ROOT}{name}?{query}", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code in (200, 400)


# --- names and places -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["patch", "put"])
def test_a_manager_gives_a_datastream_and_a_sensor_another_name(stations, method):
    manager = make_token(stations["p"].device.work, Grant.Role.DEPARTMENT, name="quan-ly")
    channel, device = stations["p"], stations["p"].device

    renamed = send(f"Datastreams({channel.pk})", {"name": "Áp lực  đầu mạng"}, manager, method)
    assert renamed.status_code == 200, renamed.content.decode()
    assert renamed.json()["name"] == "Áp lực đầu mạng"
    put([(channel.pk, T0, 20.0)])
    whole = ask(f"Datastreams({channel.pk})", manager)
    assert send(f"Datastreams({channel.pk})", whole, manager, method).status_code == 200
    same = {**ask(f"Sensors({device.pk})", manager), "name": "Bộ ghi cổng trạm"}
    assert send(f"Sensors({device.pk})", same, manager, method).status_code == 200

    channel.refresh_from_db()
    device.refresh_from_db()
    assert (channel.name, device.name) == ("Áp lực đầu mạng", "Bộ ghi cổng trạm")
    assert AuditEntry.objects.filter(actor__username="quan-ly", action__startswith="telemetry.").count() >= 2


def test_nothing_else_is_changed_and_by_nobody_else(stations, token, device_token):
    manager = make_token(stations["p"].device.work, Grant.Role.DEPARTMENT, name="quan-ly")
    reader = make_token(stations["p"].device.work, Grant.Role.DEPARTMENT, can_write=False, name="chi-doc")
    address, before = f"Datastreams({stations['p'].pk})", stations["p"].name

    for raw, body, status in [
        (None, {"name": "x"}, 401), ("sai", {"name": "x"}, 401), (device_token, {"name": "x"}, 403),
        (reader, {"name": "x"}, 403), (token, {"name": "x"}, 403), (manager, {"name": " "}, 400),
        (manager, {"name": "x" * 121}, 400), (manager, {"name": 5}, 400), (manager, [], 400), (manager, b"{", 400),
        (manager, {"name": "x", "unitOfMeasurement": {}}, 400), (manager, {}, 400),
    ]:  # fmt: skip
        assert send(address, body, raw, "patch").status_code == status, body
    assert send(f"Datastreams({stations['p2'].pk})", {"name": "x"}, manager, "patch").status_code == 404
    assert send("Datastreams(999999)", {"name": "x"}, manager, "patch").status_code == 404

    stations["p"].refresh_from_db()
    assert stations["p"].name == before


AROUND = "geography'POLYGON((108.7 15.2, 108.8 15.2, 108.8 15.4, 108.7 15.4, 108.7 15.2))'"


def test_things_are_found_by_where_they_are(stations, token):
    assert len(ask("Locations", token, filter=f"st_within(location, {AROUND})")["value"]) == 1
    assert ask("Locations", token, filter=f"not st_within(location, {AROUND})")["value"] == []
    near = "geo.distance(location, geography'POINT(108.75 15.309)') lt {}"
    assert len(ask("Locations", token, filter=near.format(1_100))["value"]) == 1  # 0.009° of latitude: 1,001 m
    assert ask("Locations", token, filter=near.format(900))["value"] == []
    assert names(ask("Things", token, filter=f"st_within(Locations/location, {AROUND})")) == ["Trạm Bình Chánh"]
    assert len(ask("FeaturesOfInterest", token, filter=f"st_within(feature, {AROUND})")["value"]) == 1
    assert ask("Things", token, filter=f"st_within(name, {AROUND})")["value"] == []


@pytest.mark.parametrize(
    "shape",
    ["POINT(1)", "POINT(181 5)", "POLYGON((1 1, 2 2))", "POLYGON(1 1, 2 2)", "LINESTRING(1 1, 2 2)", "", "POINT(x y)",
     "POLYGON((0 0, 1 0, 1 1, 0 1))", "POLYGON((" + ",".join(["1 1"] * 800) + "))x"],
)  # fmt: skip
def test_a_shape_that_is_none_is_told(stations, shape):
    assert "$filter" in ask("Locations", status=400, filter=f"st_within(location, geography'{shape}')")["message"]


def test_the_root_says_plainly_what_is_not_there():
    said = Client().get(ROOT).json()["serverSettings"]["urn:machnuoc:notThere"]

    assert any("MultiDatastreams" in one for one in said)
