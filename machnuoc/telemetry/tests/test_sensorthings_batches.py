"""$batch of SensorThings: multipart/mixed as the standard has it, JSON as clients of FROST send it."""

import json
from email import message_from_bytes

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.telemetry import store
from machnuoc.telemetry.sensorthings import batches, views
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.tests.sta_world import ROOT, body_for, readings

pytestmark = pytest.mark.usefixtures("clean_store")


def post(content, token=None, content_type="application/json", **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = content if isinstance(content, bytes) else json.dumps(content)
    return Client(enforce_csrf_checks=True).post(ROOT + "$batch", data, content_type=content_type, headers=headers)


def asked(*requests):
    return {"requests": [{"id": str(number), **each} for number, each in enumerate(requests, 1)]}


def get(url):
    return {"method": "get", "url": url}


def statuses(response):
    assert response.status_code == 200, response.content.decode()
    return [each["status"] for each in response.json()["responses"]]


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_requests_are_answered_in_their_order_with_the_rights_of_the_token(measured, device_token):
    address = f"Datastreams({measured['p'].pk})"
    response = post(
        asked(
            get(f"{address}?$select=name"),
            {"method": "post", "url": "Observations", "body": body_for(measured["q"], 7.5)},
            get(f"http://testserver{ROOT}{address}/Observations?$top=1&$orderby=phenomenonTime%20desc"),
            get(f"{address}/name/$value"),
        ),
        device_token,
    )

    assert statuses(response) == [200, 201, 200, 200]
    first, second, third, fourth = response.json()["responses"]
    assert first == {"id": "1", "status": 200, "body": {"name": "Áp lực đầu ra"}}
    assert second["location"].endswith(f"Observations('{second['body']['@iot.id']}')")
    assert third["body"]["value"][0]["result"] == 29
    assert fourth["body"] == "Áp lực đầu ra"
    assert measured["q"].pk in {row[0] for row in readings()}


def test_the_first_request_that_fails_ends_the_batch_unless_told_otherwise(measured, token):
    wanted = asked(get("Things"), get("Things(999999)"), get("Sensors"))

    assert statuses(post(wanted, token)) == [200, 404]
    assert statuses(post(wanted, token, Prefer="odata.continue-on-error")) == [200, 404, 200]
    assert statuses(post(wanted, token, Prefer="continue-on-error=false")) == [200, 404]


def test_who_has_no_token_reads_what_is_published_and_writes_nothing(measured):
    response = post(asked(get("Things"), {"method": "POST", "url": "Observations", "body": body_for(measured["q"])}))

    assert statuses(response) == [200, 401]
    assert [each["name"] for each in response.json()["responses"][0]["body"]["value"]] == ["Trạm Bình Chánh"]


def test_readings_do_not_go_in_groups(measured, device_token):
    reading = {"method": "post", "url": "Observations", "body": body_for(measured["q"]), "atomicityGroup": "g"}
    before = readings()

    response = post(asked(reading, {**reading}), device_token)

    assert statuses(response) == [400]
    assert "CreateObservations" in response.json()["responses"][0]["body"]["message"]
    assert readings() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {}, [], {"requests": {}}, {"requests": []}, {"requests": [5]}, b"{", asked({"method": "get"}),
        asked({"method": "eat", "url": "Things"}), {"requests": [{"id": "a b", "method": "get", "url": "Things"}]},
        {"requests": [{"id": "1", "method": "get", "url": "Things"}] * 2}, asked(*[get("Things")] * 201),
        asked(*({"method": "post", "url": "Sensors", "atomicityGroup": group} for group in "aba")),
        asked(*[{"method": "post", "url": "Sensors", "atomicityGroup": "a"}] * 21),
        asked({**get("Things"), "atomicityGroup": "a"}),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_read_is_said(measured, token, wrong):
    response = post(wrong, token)

    assert response.status_code == 400
    assert response.json()["message"]


@pytest.mark.parametrize(
    "url", ["$batch", "/giam-sat/", "http://khac.vn/sta/v1.1/Things", "$9/Datastreams", "//khac.vn/sta/v1.1/Things"]
)
def test_a_request_stays_within_the_service(measured, token, url):
    assert statuses(post(asked(get(url)), token)) in ([400], [404])


def test_a_batch_is_posted_and_not_too_large(measured, token, monkeypatch):
    assert Client().get(ROOT + "$batch").status_code == 405
    assert post(b"x" * (4 * 1024 * 1024 + 1), token).status_code == 413
    assert post(b"x", token, content_type="text/plain").status_code == 400
    monkeypatch.setattr(views, "BATCH_WITHIN_S", -1.0)
    assert statuses(post(asked(get("Things"), get("Things")), token)) == [503]


# --- multipart ------------------------------------------------------------------------------------------------------


def part(line, body="", number=None, headers="Content-Type: application/json"):
    named = f"Content-ID: {number}\r\n" if number else ""
    return (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{named}\r\n"
        f"{line} HTTP/1.1\r\nHost: thu.vn\r\n{headers}\r\n\r\n{body}\r\n"
    )


def multipart(*parts, boundary="b-1"):
    return "".join(f"--{boundary}\r\n{each}" for each in parts) + f"--{boundary}--\r\n"


def parts_of(response):
    assert response.status_code == 200, response.content.decode()
    whole = message_from_bytes(b"Content-Type: " + response["Content-Type"].encode() + b"\r\n\r\n" + response.content)
    assert whole.is_multipart()
    return whole.get_payload()


def test_parts_of_the_standard_are_answered_as_parts(measured, device_token):
    content = multipart(
        part("GET Things?$select=name"),
        part("POST /sta/v1.1/Observations", json.dumps(body_for(measured["q"], 8.5)), number=2),
        part("DELETE Observations('1:1')"),
    )

    response = post(content.encode(), device_token, content_type="multipart/mixed; boundary=b-1")

    first, second, third = (each.get_payload(decode=True).decode() for each in parts_of(response))
    assert first.startswith("HTTP/1.1 200 OK\r\n") and "Trạm Bình Chánh" in first
    assert second.startswith("HTTP/1.1 201 Created\r\n") and "Location: " in second and '"result":8.5' in second
    assert third.startswith("HTTP/1.1 405 ")
    assert parts_of(response)[1]["Content-ID"] == "2"


def test_a_change_set_is_one_part_and_fails_as_one(measured, device_token):
    inner = multipart(part("PATCH Datastreams(1)", '{"name":"x"}', number=1), boundary="c-1")
    content = multipart(f"Content-Type: multipart/mixed; boundary=c-1\r\n\r\n{inner}", part("GET Things"))

    response = post(
        content.encode(), device_token, content_type='multipart/mixed; boundary="b-1"', Prefer="continue-on-error"
    )

    first, second = (each.get_payload(decode=True).decode() for each in parts_of(response))
    assert first.startswith(("HTTP/1.1 403", "HTTP/1.1 404")) and second.startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/mixed", multipart(part("GET Things"))),
        ("multipart/mixed; boundary=b-1", ""),
        ("multipart/mixed; boundary=b-1", "--b-1\r\n" + part("GET Things")),
        ("multipart/mixed; boundary=b-1", multipart("Content-Type: text/plain\r\n\r\nGET Things HTTP/1.1\r\n")),
        ("multipart/mixed; boundary=b-1", multipart("Content-Type: application/http\r\n\r\nThings\r\n")),
        ("multipart/mixed; boundary=b-1", multipart("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n")),
        ("multipart/mixed; boundary=b-1", multipart(*[part("GET Things")] * 201)),
    ],
)
def test_parts_that_cannot_be_read_are_said(measured, token, content_type, content):
    response = post(content.encode(), token, content_type=content_type)

    assert response.status_code == 400
    assert "$batch" in response.json()["message"] or "boundary" in response.json()["message"]


_PIECES = st.sampled_from([
    "--b-1\r\n", "--b-1--\r\n", "--b-1", "\r\n", "\n", "Content-Type: application/http\r\n", "Content-ID: 1\r\n",
    "Content-Type: multipart/mixed; boundary=b-1\r\n", "GET Things HTTP/1.1\r\n", "POST $1 HTTP/1.1\r\n", '{"a":1}',
    "\0",
])  # fmt: skip


_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_UNHURRIED
@given(st.lists(_PIECES, max_size=25).map("".join))
def test_no_odd_parts_break_the_reader(content):
    try:
        found = batches.read("multipart/mixed; boundary=b-1", content.encode())
    except QueryError:
        return
    assert 0 < len(found) <= batches.PARTS_MAX


@_UNHURRIED
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["get", "Things", "1", "$1", "g", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["requests", "id", "method", "url", "body", "atomicityGroup", "@iot.id"]), inner, max_size=6
    ), max_leaves=25,
))  # fmt: skip
def test_no_odd_json_breaks_the_reader(said):
    try:
        found = batches.read("application/json", json.dumps(said).encode())
        for each in found:
            batches.resolve(each, {"1": ("Things(5)", 5)})
    except QueryError:
        return
    assert found


def test_what_an_earlier_request_made_is_put_in_the_place_of_its_mark():
    made = {"1": ("Sensors(5)", 5)}
    body = b'{"Sensor":{"@iot.id":"$1"},"name":"$1"}'

    url, written = batches.resolve(batches.Request("POST", "$1/Datastreams?$top=1", body, "2"), made)

    assert url == "Sensors(5)/Datastreams?$top=1"
    assert json.loads(written) == {"Sensor": {"@iot.id": 5}, "name": "$1"}


def test_the_store_is_not_touched_by_a_batch_that_reads(measured, token):
    before = store.query("SELECT count(*) FROM telemetry_ledger")

    assert statuses(post(asked(get("Things"), get("Datastreams")), token)) == [200, 200]
    assert store.query("SELECT count(*) FROM telemetry_ledger") == before
