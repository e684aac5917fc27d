"""Works and where they stand, made and changed through SensorThings: by whom, and what is refused."""

import json

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.core.models import AuditEntry, Person
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.telemetry.models import Channel
from machnuoc.telemetry.tests.sta_world import ROOT, ask, make_token, make_unit, names, send
from machnuoc.telemetry.tests.world import make_person, make_work
from machnuoc.works.models import Work, WorkStatus

pytestmark = pytest.mark.usefixtures("clean_store")

POINT = {"type": "Point", "coordinates": [108.8, 15.1]}


def location(**more):
    return {
        "name": "Cổng trạm", "description": "Sau trường học", "encodingType": "application/geo+json",
        "location": POINT, **more,
    }  # fmt: skip


def thing(**more):
    about = {"kind": "STATION", "sector": "RURAL", "operator": "org.tt", "territory": "vn.tinh-thu.xa-1"}
    return {
        "name": "Trạm Suối Đá", "description": "Xây năm 2019", "properties": {**about, **more.pop("about", {})}, **more
    }  # fmt: skip


@pytest.fixture
def planner(province):
    """The token of somebody who manages the centre of the province."""
    centre = Organisation.objects.get(subject__key="org.tt")
    return make_token(centre, Grant.Role.DEPARTMENT, name="ke-hoach")


@pytest.fixture
def work(planner):
    return Work.objects.get(pk=send("Things", thing(), planner).json()["@iot.id"])


def test_a_manager_makes_a_work_as_the_page_does(planner):
    response = send("Things", thing(about={"status": "BUILDING"}, Locations=[location()]), planner)

    assert response.status_code == 201, response.content.decode()
    made = Work.objects.select_related("subject", "operator__subject").get(subject__key="work.tram-suoi-da")
    assert response["Location"].endswith(f"/Things({made.pk})")
    assert (made.kind, made.sector, made.status, made.note) == ("STATION", "RURAL", "BUILDING", "Xây năm 2019")
    assert made.operator.subject.key == "org.tt"
    assert (made.subject.latitude, made.subject.longitude) == (15.1, 108.8)
    assert response.json()["properties"] == {
        "key": "work.tram-suoi-da", "kind": "STATION", "kindName": "Trạm cấp nước", "status": "BUILDING",
        "statusName": "Đang xây dựng", "sector": "RURAL", "isSimulated": False, "operator": "org.tt",
        "territory": "vn.tinh-thu.xa-1",
    }  # fmt: skip
    acts = AuditEntry.objects.filter(target_id=str(made.pk), actor__username="ke-hoach").values_list(
        "action", flat=True
    )
    assert {"works.work.saved", "works.operator.set", "works.status.set"} <= set(acts)
    assert ask(f"Things({made.pk})/Locations", planner)["value"][0]["location"] == POINT


def test_a_work_comes_with_its_devices_and_channels_or_not_at_all(planner):
    stream = {
        "name": "Lưu lượng đầu ra", "description": "", "ObservedProperty": {"@iot.id": "flow"},
        "Sensor": {"name": "Bộ ghi mới", "description": "", "encodingType": "text/plain", "metadata": "Hãng"},
    }  # fmt: skip
    wrong = {**stream, "name": "Mưa", "ObservedProperty": {"@iot.id": "mua"}}

    refused = send("Things", thing(Locations=[location()], Datastreams=[stream, wrong]), planner)
    assert refused.status_code == 400
    assert not Work.objects.exists()

    made = send("Things", thing(Locations=[location()], Datastreams=[stream]), planner)
    assert made.status_code == 201, made.content.decode()
    assert Channel.objects.get(device__work=made.json()["@iot.id"]).quantity == "flow"


def test_several_communes_a_whole_province_and_a_key_of_ones_own(planner):
    both = ["vn.tinh-thu.xa-1", "vn.tinh-thu.xa-2"]
    first = send("Things", thing(about={"territory": both, "key": "work.suoi-da"}), planner).json()
    second = send("Things", thing(about={"territory": "vn.tinh-thu"}), planner).json()

    assert (first["properties"]["key"], first["properties"]["territory"]) == ("work.suoi-da", both)
    assert (second["properties"]["territory"], second["properties"]["status"]) == ("vn.tinh-thu", "UNKNOWN")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"), ({"name": None}, "name"), ({"name": 5}, "name"), ({"name": "x" * 201}, "name"),
        ({"name": {"a": 1}}, "name"), ({"description": "x" * 2001}, "description"), ({"description": ["a"]}, "chữ"),
        ({"about": {"kind": None}}, "STATION"), ({"about": {"kind": "SUBSCHEME"}}, "STATION"),
        ({"about": {"kind": ["STATION"]}}, "kind"), ({"about": {"sector": ""}}, "URBAN"),
        ({"about": {"sector": "SEA"}}, "URBAN"), ({"about": {"status": "GONE"}}, "RUNNING"),
        ({"about": {"status": 10**400}}, "status"), ({"about": {"operator": "org.khong-co"}}, "operator"),
        ({"about": {"operator": 5}}, "operator"), ({"about": {"operator": ""}}, "đơn vị vận hành"),
        ({"about": {"territory": None}}, "territory"), ({"about": {"territory": []}}, "territory"),
        ({"about": {"territory": [1]}}, "territory"), ({"about": {"territory": ["vn"] * 51}}, "territory"),
        ({"about": {"territory": "vn.\x00"}}, "territory"),
        ({"about": {"territory": "vn.khong-co"}}, "vn.khong-co"), ({"about": {"territory": "org.tt"}}, "org.tt"),
        ({"about": {"key": "org.cua-toi"}}, "work."), ({"about": {"key": "work.Có dấu"}}, "work."),
        ({"about": {"key": "work." + "x" * 116}}, "120"), ({"about": {"key": 5}}, "key"),
        ({"about": {"apiToken": "x"}}, "mật khẩu"), ({"about": {"note": "x"}}, "properties.note"),
        ({"about": {"passage": 1}}, "properties.passage"), ({"contact_phone": "0900"}, "contact_phone"),
        ({"Locations": {}}, "danh sách"), ({"Locations": [location(), location()]}, "một"),
        ({"Locations": ["x"]}, "JSON"), ({"Datastreams": "x"}, "danh sách"),
        ({"HistoricalLocations": []}, "Historical"),
    ],
)  # fmt: skip
def test_a_thing_that_cannot_be_kept_is_said(planner, change, said):
    before = Subject.objects.count()

    response = send("Things", thing(**change), planner)

    assert response.status_code == 400, response.content.decode()
    assert said in response.json()["message"]
    assert Subject.objects.count() == before


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"5", b'"x"', b"{", b"[" * 5000, b"\xff", b"{}"])
def test_a_body_that_is_no_thing_is_said(planner, body):
    assert send("Things", body, planner).status_code == 400
    assert send("Locations", body, planner).status_code == 400


def test_a_key_that_is_taken_is_said(planner, work):
    response = send("Things", thing(about={"key": work.subject.key}), planner)

    assert response.status_code == 400
    assert "đã có" in response.json()["message"]


def test_who_does_not_manage_the_place_makes_no_work_there(planner, work, province, device_token, token):
    other = make_unit("vn.tinh-khac", "Khác", "PROVINCE", "98", [Subject.objects.get(kind=Subject.Kind.COUNTRY)])
    abroad = make_person("tinh-khac")
    Grant.objects.create(person=abroad, role=Grant.Role.DEPARTMENT, scope=other.subject, valid_from="2020-01-01")
    abroad_token = tokens.create_token(person=abroad, name="sta", now=timezone.now(), can_write=True)[1]
    reader = make_token(
        Organisation.objects.get(subject__key="org.tt"), Grant.Role.DEPARTMENT, can_write=False, name="d"
    )
    viewer = make_token(Organisation.objects.get(subject__key="org.tt"), Grant.Role.PARTNER, name="doi-tac")
    before = (Subject.objects.count(), Work.objects.get(pk=work.pk).note)

    senders = [(None, 401), ("sai", 401), (device_token, 403), (token, 403), (reader, 403), (viewer, 403),
               (abroad_token, 403)]  # fmt: skip
    for raw, status in senders:
        assert send("Things", thing(), raw).status_code == status
        assert send("Locations", location(Things=[{"@iot.id": work.pk}]), raw).status_code == status
        for address, body, method in [
            (f"Things({work.pk})", {"name": "Của tôi"}, "patch"), (f"Things({work.pk})/Locations", location(), "post"),
            (f"Locations({work.pk})", {"location": POINT}, "patch"), (f"Locations({work.pk})", "", "delete"),
        ]:  # fmt: skip
            assert send(address, body, raw, method).status_code in (status, 404)

    assert (Subject.objects.count(), Work.objects.get(pk=work.pk).note) == before
    assert Subject.objects.get(pk=work.pk).latitude is None
    assert send("Things", thing(about={"territory": "vn.tinh-khac"}), planner).status_code == 403
    assert send("Things", thing(about={"operator": "org.tt"}), abroad_token).status_code == 403
    two = ["vn.tinh-thu.xa-1", "vn.tinh-khac"]
    assert send("Things", thing(about={"territory": two}), planner).status_code == 403
    assert (
        send("Things", thing(about={"territory": "vn.tinh-khac", "operator": "org.tt"}), abroad_token).status_code
        == 400
    )


def test_works_of_ones_scope_are_things_also_without_devices_and_nobody_elses(planner, work, stations):
    assert names(ask("Things", planner)) == ["Trạm Suối Đá", "Trạm Bình Chánh"]  # the second is published
    assert names(ask("Things")) == ["Trạm Bình Chánh"]
    ask(f"Things({work.pk})", status=404)
    published = stations["p"].device.work_id
    shown = ask(f"Things({published})", planner)["properties"]
    assert not shown.keys() & {"operator", "territory"}
    assert ask("Things", planner, filter="properties/operator eq 'org.tt'", count="true")["@iot.count"] == 1
    assert ask(f"Things({work.pk})", planner, expand="Datastreams,Locations,HistoricalLocations")["Datastreams"] == []


def test_a_work_is_renamed_described_and_stopped(planner, work):
    before = work.subject.version

    changed = send(
        f"Things({work.pk})", {"name": "Trạm Mới", "description": "", "properties": {"status": "STOPPED"}}, planner,
        "patch",
    )  # fmt: skip

    assert changed.status_code == 200, changed.content.decode()
    now = Work.objects.select_related("subject").get(pk=work.pk)
    assert (now.subject.name, now.note, now.status) == ("Trạm Mới", "", "STOPPED")
    assert now.subject.version > before
    assert WorkStatus.objects.filter(work=work, status="STOPPED").count() == 1
    assert now.operator_id == work.operator_id  # what was not said stays
    whole = ask(f"Things({work.pk})", planner)
    assert send(f"Things({work.pk})", whole, planner, "put").status_code == 200
    assert WorkStatus.objects.filter(work=work).count() == 2


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": ""}, {"name": 1}, {"properties": {"status": "GONE"}}, {"properties": {"status": ["RUNNING"]}},
        {"properties": {"key": "work.khac"}}, {"properties": {"operator": "org.khac"}}, {"properties": []},
        {"properties": {"territory": "vn"}}, {"properties": {"secret": "x"}}, {"properties": {"is_public": True}},
        {"sector": "URBAN"}, {"Locations": [location()]}, {"description": 5}, {"properties": "x"},
        {"properties": {"version": 1}},
    ],
)  # fmt: skip
def test_what_of_a_work_is_not_changed_here_is_said(planner, work, body):
    send(f"Things({work.pk})", {"description": "x"}, planner, "patch")
    if body == {"properties": []}:
        body = {"properties": [1]}

    response = send(f"Things({work.pk})", body, planner, "patch")

    assert response.status_code == 400, response.content.decode()
    assert Work.objects.get(pk=work.pk).note == "x"


def test_a_work_is_stopped_and_never_deleted(planner, work):
    response = send(f"Things({work.pk})", "", planner, "delete")

    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, PATCH, PUT")
    assert "STOPPED" in response.json()["message"]
    assert Work.objects.filter(pk=work.pk).exists()


@pytest.mark.parametrize(
    "shape", [POINT, {"type": "Feature", "geometry": {"type": "Point", "coordinates": [108.8, 15.1, 30]}}]
)
@pytest.mark.parametrize("address", ["Locations", "Things({work})/Locations"])
def test_a_location_says_where_a_work_stands(planner, work, shape, address):
    more = {"Things": [{"@iot.id": work.pk}]} if address == "Locations" else {}

    response = send(address.format(work=work.pk), location(location=shape, **more), planner)

    assert response.status_code == 201, response.content.decode()
    assert response["Location"].endswith(f"/Locations({work.pk})")
    subject = Subject.objects.get(pk=work.pk)
    assert (subject.latitude, subject.longitude) == (15.1, 108.8)
    assert AuditEntry.objects.filter(action="works.work.saved", target_id=str(work.pk)).count() == 2


def test_a_work_is_moved_and_its_place_forgotten(planner, work):
    send(f"Things({work.pk})/Locations", location(), planner)
    moved = {"type": "Point", "coordinates": [108.9, 15.2]}

    whole = ask(f"Locations({work.pk})", planner)
    assert send(f"Locations({work.pk})", {**whole, "location": moved}, planner, "put").json()["location"] == moved
    version = Subject.objects.get(pk=work.pk).version
    assert send(f"Locations({work.pk})", {"location": moved}, planner, "patch").status_code == 200
    assert Subject.objects.get(pk=work.pk).version == version  # nothing changed
    assert send(f"Locations({work.pk})", "", planner, "delete").status_code == 200
    assert Subject.objects.get(pk=work.pk).latitude is None
    assert send(f"Locations({work.pk})", "", planner, "delete").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"location": None}, "GeoJSON"), ({"location": "POINT(108 15)"}, "GeoJSON"), ({"location": []}, "GeoJSON"),
        ({"location": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}}, "Polygon"),
        ({"location": {"type": "Feature", "geometry": None}}, "GeoJSON"),
        ({"location": {"type": "Feature", "geometry": {"type": "Feature", "geometry": POINT}}}, "GeoJSON"),
        ({"location": {"type": "Point"}}, "GeoJSON"), ({"location": {"type": "Point", "coordinates": []}}, "GeoJSON"),
        ({"location": {"type": ["Point"], "coordinates": [1, 2]}}, "GeoJSON"),
        ({"location": {"type": "Point", "coordinates": ["108", "15"]}}, "số"),
        ({"location": {"type": "Point", "coordinates": [True, False]}}, "số"),
        ({"location": {"type": "Point", "coordinates": [10**400, 15]}}, "số"),
        ({"location": {"type": "Point", "coordinates": [108, 1e308]}}, "số"),
        ({"location": {"type": "Point", "coordinates": [15.1, 108.8]}}, "ngoài Việt Nam"),
        ({"location": {"type": "Point", "coordinates": [0, 0]}}, "ngoài Việt Nam"),
        ({"encodingType": "application/pdf"}, "encodingType"), ({"encodingType": ["x"]}, "encodingType"),
        ({"properties": {"password": 1}}, "mật khẩu"), ({"properties": {"a": 1}}, "properties.a"),
        ({"name": 5}, "name"), ({"HistoricalLocations": [1]}, "HistoricalLocations"),
        ({"Things": [{"@iot.id": 1}, {"@iot.id": 2}]}, "một công trình"), ({"Things": [{"name": "x"}]}, "Things"),
        ({"Things": 5}, "danh sách"),
    ],
)  # fmt: skip
def test_a_location_that_cannot_be_kept_is_said(planner, work, change, said):
    body = json.dumps(location(**change)).encode()

    response = send(f"Things({work.pk})/Locations", body, planner)

    assert response.status_code == 400, response.content.decode()
    assert said in response.json()["message"]
    assert Subject.objects.get(pk=work.pk).latitude is None


@pytest.mark.parametrize("body", [{"name": "Tên khác"}, {}, {"location": 5}, {"location": POINT, "Things": []}])
def test_of_a_location_only_the_point_is_changed(planner, work, body):
    send(f"Things({work.pk})/Locations", location(), planner)

    assert send(f"Locations({work.pk})", body, planner, "patch").status_code == 400


def test_the_location_of_a_work_out_of_scope_is_not_moved(planner):
    other = make_work("xa-la", "Trạm xa lạ")

    response = send("Locations", location(Things=[{"@iot.id": other.pk}]), planner)

    assert response.status_code == 403
    assert send("Locations", location(Things=[{"@iot.id": 999_999}]), planner).json() == response.json()
    assert Subject.objects.get(pk=other.pk).latitude is None


def test_the_sector_of_a_grant_bounds_what_is_made_and_moved(planner, work):
    person = Person.objects.get(username="ke-hoach")
    Grant.objects.filter(person=person).update(field="URBAN")

    assert send("Things", thing(), planner).status_code == 400
    assert send("Things", thing(about={"sector": "URBAN"}), planner).status_code == 201
    assert send(f"Things({work.pk})", {"name": "x"}, planner, "patch").status_code in (403, 404)
    assert send(f"Things({work.pk})/Locations", location(), planner).status_code in (403, 404)


@pytest.mark.parametrize(("quantity", "statuses"), [("flow", [201, 201, 201]), ("mua", [400])])
def test_a_group_makes_a_work_its_place_and_its_channel_or_none(planner, quantity, statuses):
    sensor = {"name": "Bộ ghi mới", "description": "", "encodingType": "text/plain", "metadata": ""}
    stream = {"name": "Kênh", "description": "", "ObservedProperty": {"@iot.id": quantity}, "Sensor": sensor}
    asked = [
        {"id": "t", "url": "Things", "body": thing()},
        {"id": "l", "url": "Locations", "body": location(Things=[{"@iot.id": "$t"}])},
        {"id": "d", "url": "$t/Datastreams", "body": stream},
    ]
    body = {"requests": [{"atomicityGroup": "g", "method": "post", **each} for each in asked]}

    response = Client().post(
        ROOT + "$batch", json.dumps(body), content_type="application/json",
        headers={"Authorization": f"Bearer {planner}"},
    )  # fmt: skip

    assert [each["status"] for each in response.json()["responses"]] == statuses, response.content.decode()
    assert Subject.objects.filter(latitude=15.1).count() == Channel.objects.count() == (1 if len(statuses) == 3 else 0)
