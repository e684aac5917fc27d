"""Open311 GeoReport v2: as a server, by the letter of the standard, and as a client over real HTTP."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from lxml import etree

from machnuoc.core import outgoing, tokens
from machnuoc.core.models import Person
from machnuoc.customers import open311_client, request_operations, request_spam
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import DataAccess, Open311Copy, Request
from machnuoc.customers.tests.fixtures_requests import World, make_world

BASE = "/open311/v2"
REPORT = {
    "service_code": "vo-ong-phan-phoi", "lat": "15.2010", "long": "108.7010", "description": "Ống vỡ giữa đường.",
    "first_name": "An", "last_name": "Nguyễn", "phone": "0905 111 222", "email": "an@example.vn",
}  # fmt: skip


@pytest.fixture
def desk(db: None) -> World:
    return make_world()


def key_of(person: Person, *, can_write: bool = True) -> str:
    return tokens.create_token(person=person, name="Open311", now=timezone.now(), can_write=can_write)[1]


def get(path: str, **query: str):
    return Client().get(f"{BASE}/{path}", query)


def body(answer) -> list[dict]:
    return json.loads(answer.content)


# --- as a server


def test_services_are_told_to_everybody_in_both_forms(desk):
    found = body(get("services.json"))
    row = next(one for one in found if one["service_code"] == "khieu-nai-hoa-don")
    assert set(row) == {
        "service_code", "service_name", "description", "metadata", "type", "keywords", "group"
    }  # fmt: skip
    assert "15 ngày làm việc" in row["description"]

    answer = get("services.xml")
    root = etree.fromstring(answer.content)
    assert answer["Content-Type"] == "text/xml; charset=utf-8"
    assert root.tag == "services" and {one.tag for one in root} == {"service"}
    assert root.find("service/metadata").text == "true" and len(root) == len(found)


def test_a_service_tells_its_attributes(desk):
    found = body(get("services/mat-nuoc.json"))
    assert [one["code"] for one in found["attributes"]] == ["connection_code", "urgency"]
    root = etree.fromstring(get("services/mat-nuoc.xml").content)
    assert root.tag == "service_definition" and root.find("attributes/attribute/values") is not None
    assert get("services/khong-co.json").status_code == 404


def test_a_stranger_reports_and_learns_what_the_public_may_know(desk):
    answer = Client().post(f"{BASE}/requests.json", REPORT)

    assert answer.status_code == 201
    (said,) = body(answer)
    made = Request.objects.get()
    assert said["service_request_id"] == made.code and said["token"] == made.token
    assert (made.channel, made.name, made.phone, made.work) == ("OPEN311", "Nguyễn An", "0905111222", desk.work)
    (seen,) = body(get(f"requests/{made.code}.json"))
    assert seen["status"] == "open" and seen["service_code"] == "vo-ong-phan-phoi"
    assert (seen["description"], seen["lat"], seen["long"]) == (None, 15.201, 108.701)
    assert "0905" not in json.dumps(seen) and "Nguyễn" not in json.dumps(seen)
    assert seen["requested_datetime"].endswith("+07:00") and seen["expected_datetime"] > seen["requested_datetime"]
    (by_token,) = body(get(f"tokens/{made.token}.json"))
    assert by_token == {"service_request_id": made.code, "token": made.token}
    (own,) = body(get(f"requests/{made.token}.json"))
    assert own["description"] == "Ống vỡ giữa đường."


def test_the_same_in_xml(desk):
    answer = Client().post(f"{BASE}/requests.xml", {**REPORT, "description": "Vỡ <ống> & \x0bnước"})

    root = etree.fromstring(answer.content)
    code = root.findtext("request/service_request_id")
    listed = etree.fromstring(get("requests.xml", service_request_id=code).content)
    assert listed.tag == "service_requests" and listed.findtext("request/status") == "open"
    key = key_of(desk.station)
    assert "<ống> &" in etree.fromstring(get("requests.xml", api_key=key).content).findtext("request/description")


def test_a_key_reads_words_in_its_own_scope_and_the_look_is_written_down(desk):
    made = desk.receive(now=timezone.now(), latitude=15.20123, longitude=108.70123)

    (own,) = body(get("requests.json", api_key=key_of(desk.station)))
    assert own["description"] == "Mất nước từ sáng sớm." and own["lat"] == 15.20123
    assert body(get("requests.json", api_key=key_of(desk.far_station))) == []
    (masked,) = body(get("requests.json", api_key=key_of(desk.agency)))
    assert masked["description"] is None
    assert list(DataAccess.objects.values_list("person__username", "count")) == [("dong", 1)]
    assert body(get("requests.json", service_request_id=made.code, api_key=key_of(desk.stranger))) == []


@pytest.mark.parametrize("key", ["khieu-nai-hoa-don", "vi-pham-nguon-nuoc"])
def test_disputes_and_reports_of_violations_are_not_listed_to_the_public(desk, key):
    made = desk.receive(key, now=timezone.now(), connection=desk.connection())

    assert body(get("requests.json")) == []
    assert get(f"requests/{made.code}.json").status_code == 404


def test_what_was_answered_is_closed_and_says_so(desk):
    made = desk.receive(now=timezone.now())
    request_operations.answer(made, text="Đã sửa xong.", by=desk.station, now=timezone.now(), version=made.version)

    assert body(get("requests.json", status="open")) == []
    (row,) = body(get("requests.json", status="closed", api_key=key_of(desk.station)))
    assert (row["status"], row["status_notes"]) == ("closed", "Đã sửa xong.")
    (public,) = body(get("requests.json", status="open,closed"))
    assert public["status_notes"] == "Đã trả lời"


@pytest.mark.parametrize(
    ("change", "status"),
    [({"service_code": ""}, 400), ({"service_code": "x"}, 404), ({"description": ""}, 400), ({"lat": "abc"}, 400),
     ({"lat": "nan"}, 400), ({"lat": "91"}, 400), ({"long": ""}, 400), ({"lat": "", "long": ""}, 400),
     ({"lat": "1", "long": "1"}, 400), ({"api_key": "mn_wrong"}, 403), ({"jurisdiction_id": "nowhere"}, 404),
     ({"attribute[urgency]": "VERY"}, 400), ({"description": "x" * 5_000}, 400)],
)  # fmt: skip
def test_a_report_that_cannot_be_taken_is_told_why(desk, change, status):
    answer = Client().post(f"{BASE}/requests.json", {**REPORT, **change})

    assert answer.status_code == status
    (error,) = body(answer)
    assert error["code"] == status and error["description"]
    assert not Request.objects.exists()


@pytest.mark.parametrize(
    "query",
    [{"start_date": "yesterday"}, {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-12-01T00:00:00Z"},
     {"status": "lost"}, {"start_date": "2026-13-45T00:00:00Z"}, {"start_date": "9999-01-01T00:00:00Z"}],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_why(desk, query):
    assert get("requests.json", **query).status_code == 400


def test_a_key_that_only_reads_does_not_write_and_a_writer_may_name_a_connection(desk):
    connection = desk.connection()
    told = {**REPORT, "attribute[connection_code]": connection.code, "attribute[urgency]": "HIGH"}

    refused = Client().post(f"{BASE}/requests.json", {**told, "api_key": key_of(desk.station, can_write=False)})
    taken = Client().post(f"{BASE}/requests.json", {**told, "api_key": key_of(desk.station)})

    assert (refused.status_code, taken.status_code) == (403, 201)
    made = Request.objects.get()
    assert (made.connection, made.urgency) == (connection, "HIGH")
    out_of_scope = {**told, "api_key": key_of(desk.far_station)}
    assert Client().post(f"{BASE}/requests.json", out_of_scope).status_code == 400
    Client().post(f"{BASE}/requests.json", told)  # a stranger names it: kept as words
    assert Request.objects.latest("pk").connection is None


def test_one_address_reports_only_so_often_without_a_key(desk):
    statuses = [Client().post(f"{BASE}/requests.json", REPORT).status_code for _ in range(request_spam.AN_HOUR + 1)]

    assert statuses == [201] * request_spam.AN_HOUR + [429]
    assert Client().post(f"{BASE}/requests.json", {**REPORT, "api_key": key_of(desk.station)}).status_code == 201


def test_a_jurisdiction_takes_what_has_only_an_address(desk):
    told = {**REPORT, "lat": "", "long": "", "address_string": "Chợ Thử", "jurisdiction_id": desk.other.subject.key}

    assert Client().post(f"{BASE}/requests.json", told).status_code == 201
    made = Request.objects.get()
    assert (made.operator, made.address) == (desk.other, "Chợ Thử")
    assert body(get("requests.json", jurisdiction_id=desk.operator.subject.key)) == []


def test_other_methods_are_refused(desk):
    for path in ("services.json", "requests.json", "requests/x.json", "tokens/x.json", "services/x.json"):
        assert Client().delete(f"{BASE}/{path}").status_code == 405


def test_an_address_of_a_picture_is_kept_as_words_and_never_fetched(desk):
    Client().post(f"{BASE}/requests.json", {**REPORT, "media_url": "http://127.0.0.1:1/a.jpg"})

    made = Request.objects.get()
    assert "http://127.0.0.1:1/a.jpg" in made.text and not made.photos.exists()


# --- as a client


def test_an_address_inside_our_network_is_refused(desk):
    given = {
        "operator": desk.operator, "name": "X", "category": None, "service_code": "", "jurisdiction": "", "api_key": "",
        "is_automatic": False, "by": desk.leader,
    }  # fmt: skip
    for url in (
        "http://vi-du.vn/v2",
        "https://127.0.0.1/v2",
        "https://localhost/v2",
        "https://10.0.0.1/v2",
        "file:///etc",
    ):
        with pytest.raises(CustomersError):
            open311_client.add_endpoint(url=url, **given)


@pytest.mark.django_db(transaction=True)
def test_a_request_goes_to_another_server_and_its_answer_comes_back(live_server):
    world = make_world()
    now = timezone.now()
    # The other server is this one: its jurisdiction is the other operator, whose own people answer.
    endpoint = open311_client.add_endpoint(
        operator=world.operator, name="Công ty khác", url=f"{live_server.url}{BASE}/", category=None, service_code="",
        jurisdiction=world.other.subject.key, api_key=key_of(world.stranger), is_automatic=True, by=world.leader,
        may_be_local=True,
    )  # fmt: skip
    made = world.receive(now=now, latitude=15.2, longitude=108.7)
    (copy,) = made.copies.all()
    assert copy.state == "WAITING"

    assert open311_client.exchange(now, may_be_local=True) == (1, 0, 0)

    copy.refresh_from_db()
    remote = Request.objects.get(code=copy.remote_id)
    assert (remote.operator, remote.text, remote.channel) == (world.other, made.text, "OPEN311")
    assert (remote.name, remote.phone, remote.email) == ("", "", "")
    assert open311_client.exchange(now, may_be_local=True) == (0, 0, 0)  # nothing is due yet
    request_operations.answer(remote, text="Đã xử lý bên này.", by=world.stranger, now=now, version=remote.version)
    assert open311_client.exchange(now + timedelta(hours=1), may_be_local=True) == (0, 1, 0)
    copy.refresh_from_db()
    assert (copy.state, copy.status_notes, copy.next_at) == ("CLOSED", "Đã xử lý bên này.", None)
    assert made.events.filter(kind="NOTE", text__contains="Đã xử lý bên này.").count() == 1
    made.refresh_from_db()
    assert made.state == "NEW"  # answering our own sender stays our own act
    assert endpoint.copies.count() == 1


def test_a_server_that_is_away_is_tried_again_later_and_then_given_up(desk):
    now = timezone.now()
    endpoint = open311_client.add_endpoint(
        operator=desk.operator, name="Vắng", url="http://127.0.0.1:9/v2", category=None, service_code="",
        jurisdiction="", api_key="", is_automatic=False, by=desk.leader, may_be_local=True,
    )  # fmt: skip
    made = desk.receive(now=now)
    open311_client.queue_copy(made, endpoint, by=desk.station, now=now)
    open311_client.queue_copy(made, endpoint, by=desk.station, now=now)

    assert open311_client.exchange(now, may_be_local=True) == (0, 0, 1)
    copy = Open311Copy.objects.get()
    assert copy.state == "WAITING" and copy.next_at > now and "Không kết nối được" in copy.error
    for day in range(1, 12):
        open311_client.exchange(now + timedelta(days=day), may_be_local=True)
    copy.refresh_from_db()
    assert (copy.state, copy.next_at, copy.attempts) == ("FAILED", None, open311_client.MOST_ATTEMPTS)


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b'["x"]', b'[{"service_request_id": ""}]', b"<html>", b"[" * 50_000]
)
def test_an_answer_that_is_none_is_a_failure_and_no_defect(desk, answer):
    try:
        found = open311_client._first(answer)
    except outgoing.CannotCall as reason:
        assert "Open311" in str(reason)
    else:
        assert isinstance(found, dict)
