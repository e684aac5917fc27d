"""The API as programs meet it: tokens, errors, paging, ETags, writes that act once, lineage, its own description."""

import contextlib
import json
from datetime import timedelta
from urllib.parse import quote

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import Client
from django.utils import timezone
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from machnuoc.config import wsgi
from machnuoc.config.api_urls import api
from machnuoc.core import tokens
from machnuoc.core.models import ApiToken, Person
from machnuoc.indicators.models import Submission, SubmissionLine, Value
from machnuoc.places.models import Organisation
from machnuoc.works.models import Work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo")]

ROOT = "/api/v1"
STATION_MONTH = {"form_key": "tram-thang", "organisation_key": "org.qn.tram-binh-chanh"}


class Program:
    """A program that holds a token."""

    def __init__(self, raw: str) -> None:
        self.headers = {"Authorization": f"Bearer {raw}"}
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, headers: dict | None = None, **query):
        return self.client.get(f"{ROOT}{path}", query, headers=self.headers | (headers or {}))

    def send(self, method: str, path: str, body: dict, *, key: str = ""):
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return self.client.generic(
            method, f"{ROOT}{path}", json.dumps(body), content_type="application/json", headers=headers
        )


@pytest.fixture
def make_program(demo, db):
    def make(username: str, *, can_write: bool = True, **token) -> Program:
        person = Person.objects.get(username=username)
        _, raw = tokens.create_token(person=person, name="thử nghiệm", now=timezone.now(), can_write=can_write, **token)
        return Program(raw)

    return make


@pytest.fixture
def admin(make_program) -> Program:
    return make_program("quantri")


@pytest.fixture
def station(make_program) -> Program:
    return make_program("qn.binhchanh")


@pytest.fixture
def last_month() -> str:
    first = timezone.localdate().replace(day=1)
    return f"{first - timedelta(days=1):%Y-%m}"


def problem(answer, status: int) -> dict:
    """Return the body of an error, having seen that it is one."""
    assert answer.status_code == status, answer.content.decode()
    assert answer["Content-Type"] == "application/problem+json; charset=utf-8"
    body = answer.json()
    assert body["status"] == status and body["title"] and body["detail"]
    return body


# --- who asks ---------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_told(demo):
    assert problem(Client().get(f"{ROOT}/works"), 401)["title"] == "Cần xác thực"
    assert Client().get(f"{ROOT}/works")["WWW-Authenticate"] == "Bearer"


def test_a_token_of_someone_elses_making_opens_nothing(demo):
    problem(Program("mn_bia-dat").get("/works"), 401)


def test_a_revoked_token_opens_nothing(station):
    assert station.get("/works").status_code == 200

    tokens.revoke_token(ApiToken.objects.get(), by=Person.objects.get(username="qn.binhchanh"), now=timezone.now())

    problem(station.get("/works"), 401)


def test_an_expired_token_opens_nothing(make_program):
    program = make_program("quantri", expires_at=timezone.now() - timedelta(seconds=1))

    problem(program.get("/works"), 401)


def test_a_token_of_a_deactivated_person_opens_nothing(station):
    Person.objects.filter(username="qn.binhchanh").update(is_active=False)

    problem(station.get("/works"), 401)


def test_a_token_for_reading_writes_nothing(make_program, last_month):
    program = make_program("qn.binhchanh", can_write=False)

    body = problem(program.send("POST", "/submissions", STATION_MONTH | {"period": last_month}), 403)

    assert "chỉ được đọc" in body["detail"]
    assert not Submission.objects.exists()


def test_a_token_sees_what_its_person_sees(admin, station, make_program):
    department = make_program("cb.soxaydung")

    def keys(program):
        return {row["key"] for row in program.get("/works", limit=500).json()["items"]}

    assert len(keys(admin)) == Work.objects.count()
    assert len(keys(station)) == 1
    assert keys(department) and not keys(department) & keys(station)
    (own,) = keys(station)
    foreign = (keys(department) - keys(station)).pop()
    assert station.get(f"/works/{quote(own)}").status_code == 200
    problem(station.get(f"/works/{quote(foreign)}"), 404)


def test_a_signed_in_browser_reads_but_writes_only_with_its_csrf_token(demo, last_month):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(
        Person.objects.get(username="qn.binhchanh"), backend="django.contrib.auth.backends.ModelBackend"
    )

    assert browser.get(f"{ROOT}/works").status_code == 200
    refused = browser.post(
        f"{ROOT}/submissions", STATION_MONTH | {"period": last_month}, content_type="application/json"
    )
    problem(refused, 403)
    assert not Submission.objects.exists()


# --- errors -----------------------------------------------------------------------------------------------------


def test_every_error_is_a_problem_that_says_what_to_do(admin, last_month):
    assert problem(admin.get("/works", limit=0), 422)["errors"][0]["where"] == "query.limit"
    assert "cursor" in problem(admin.get("/works", cursor="khong-phai"), 422)["detail"]
    assert "period" in problem(admin.get("/values", period="2026-13"), 422)["detail"]
    problem(admin.get("/works/khong-co"), 404)
    problem(admin.get("/figures/999999999999999999999999"), 404)
    problem(admin.get("/khong-co-dia-chi"), 404)
    problem(admin.get("/"), 404)
    assert problem(admin.send("DELETE", "/works", {}), 405)["detail"].endswith("GET.")
    broken = admin.client.post(f"{ROOT}/submissions", "{", content_type="application/json", headers=admin.headers)
    problem(broken, 400)
    problem(admin.send("POST", "/submissions", STATION_MONTH | {"period": last_month}), 403)


def test_a_nul_character_is_refused_before_it_reaches_the_database(admin):
    problem(admin.get("/works", q="a\0b"), 400)
    problem(admin.get("/works/a%00b"), 400)
    problem(admin.send("POST", "/submissions", STATION_MONTH | {"period": "2026-01", "form_key": "a\0b"}), 400)
    assert admin.client.get("/tim-kiem/", {"q": "a\0b"}).status_code == 400


def test_a_refusal_of_the_subject_is_told_in_its_words(station):
    later = f"{timezone.localdate().year + 2}-01"

    body = problem(station.send("POST", "/submissions", STATION_MONTH | {"period": later}), 409)

    assert "chưa bắt đầu" in body["detail"]


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/units", "/organisations", "/works", "/metrics", "/values"])
def test_pages_together_hold_everything_once(admin, path):
    expected = {
        "/units": None, "/organisations": Organisation.objects.count(), "/works": Work.objects.count(),
        "/metrics": None, "/values": Value.objects.filter(scenario="A").count(),
    }[path]  # fmt: skip
    whole = [] if path == "/units" else admin.get(path, limit=500).json()["items"]
    limit, seen, cursor = 500 if path == "/units" else 7 if len(whole) < 100 else 61, [], ""

    while True:
        body = admin.get(path, limit=limit, cursor=cursor).json()
        assert len(body["items"]) <= limit
        seen += [row.get("key") or row["id"] for row in body["items"]]
        cursor = body["next_cursor"]
        if not cursor:
            break

    assert len(seen) == len(set(seen))
    if path == "/units":
        assert len(seen) == 34 + 3_321
    elif expected is not None:
        assert len(seen) == expected
    else:
        assert seen == [row["key"] for row in whole]


def test_what_has_not_changed_is_not_sent_again(admin):
    path = f"/works/{quote(Work.objects.select_related('subject').first().subject.key)}"
    first = admin.get(path)

    again = admin.get(path, headers={"If-None-Match": first["ETag"]})

    assert (first.status_code, again.status_code) == (200, 304)
    assert not again.content


def test_what_has_changed_is_sent_again(admin):
    work = Work.objects.select_related("subject").first()
    path = f"/works/{quote(work.subject.key)}"
    first = admin.get(path)

    Work.objects.filter(pk=work.pk).update(status=Work.Status.STOPPED)

    assert admin.get(path, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_works_are_found_without_diacritics(admin):
    found = [row["name"] for row in admin.get("/works", q="hoa binh").json()["items"]]

    assert any("Hòa Bình" in name for name in found)


def test_a_unit_tells_its_history(admin):
    (unit,) = [
        row for row in admin.get("/units", q="dong khe", level="COMMUNE").json()["items"] if row["name"] == "Đông Khê"
    ]

    body = admin.get(f"/units/{quote(unit['key'])}").json()

    assert any(row["on_date"] == "2025-07-01" for row in body["history"])


def test_values_keep_the_form_in_which_a_plan_gives_them(admin):
    rows = admin.get("/values", within_key="vn.cao-bang", limit=500).json()["items"]

    numbers = [row for row in rows if row["number"] is not None]
    ranges = [row for row in rows if row["low"] is not None and row["high"] is not None]
    classes = [row for row in rows if row["number"] is None and (row["band_code"] or row["high"] or row["low"])]
    assert any(row["text"].startswith("17,9") for row in numbers)
    assert any(float(row["low"]) == 12 and float(row["high"]) == 72.5 for row in ranges)
    assert len(classes) > len(ranges)


def test_the_figures_of_the_plan_come_out(admin):
    rows = admin.get("/values", subject_key="org.qn.trung-tam").json()["items"]

    figures = {(row["metric_key"], row["period"]): float(row["number"]) for row in rows}
    assert figures["works.households_design", "2025"] == 34_657
    assert figures["works.households_connected", "2025"] == 25_330
    assert figures["works.households_planned", "2026"] == 26_930
    assert figures["works.customer_growth_planned", "2026"] == 1_600
    assert figures["works.customer_growth_planned_pct", "2026"] == 6.32


def _walk(program: Program, node: dict) -> list[dict]:
    """Return the ends of a lineage. A branch that is not open is the lineage of its own figure."""
    if node.get("is_closed"):
        node = program.get(f"/figures/{node['value_id']}").json()["lineage"]
    children = node.get("children", [])
    return [end for child in children for end in _walk(program, child)] if children else [node]


def test_a_figure_leads_to_document_section_and_quotation(admin):
    (value,) = admin.get(
        "/values", metric_key="works.households_connected", subject_key="org.qn.trung-tam", period="2025"
    ).json()["items"]

    body = admin.get(f"/figures/{value['id']}").json()

    assert body["text"].startswith("25.330")
    ends = _walk(admin, body["lineage"])
    assert len(ends) >= 29
    for end in ends:
        source = end["source"]
        assert source["document"] and source["section"] and source["quotation"], end
    assert any("1.288" in end["source"]["quotation"] for end in ends)


def test_lineage_stops_where_the_readers_scope_ends(admin, make_program):
    (value,) = admin.get(
        "/values", metric_key="works.households_connected", subject_key="vn.quang-ngai", period="2025"
    ).json()["items"]

    outsider = make_program("cb.soxaydung").get(f"/figures/{value['id']}")

    assert outsider.status_code == 200  # figures of provinces are published
    assert "Trạm" not in json.dumps(outsider.json(), ensure_ascii=False)
    assert "Trạm" in json.dumps(admin.get(f"/figures/{value['id']}").json(), ensure_ascii=False)


# --- writing ----------------------------------------------------------------------------------------------------


def _fill(program, submission: dict, number: str = "1.000") -> dict:
    cells = [
        {"metric_key": cell["metric_key"], "subject_key": cell["subject_key"], "text": number, "is_confirmed": True}
        for cell in submission["cells"]
    ]
    answer = program.send(
        "PUT", f"/submissions/{submission['id']}/cells", {"version": submission["version"], "cells": cells}
    )
    assert answer.status_code == 200, answer.content.decode()
    return answer.json()


def test_a_station_sends_its_month_through_the_api(station, last_month):
    opened = station.send("POST", "/submissions", STATION_MONTH | {"period": last_month}).json()
    assert opened["status"] == "DRAFT" and len(opened["cells"]) >= 3

    written = _fill(station, opened)
    sent = station.send("POST", f"/submissions/{opened['id']}/submit", {"version": written["version"]})

    assert (written["received"], written["rejected"]) == (len(opened["cells"]), [])
    assert sent.status_code == 200, sent.content.decode()
    assert sent.json()["status"] == "SUBMITTED"
    problem(station.send("PUT", f"/submissions/{opened['id']}/cells", {"version": 1, "cells": []}), 409)


def test_a_bad_cell_is_refused_with_its_reason_and_the_others_stay(station, last_month):
    opened = station.send("POST", "/submissions", STATION_MONTH | {"period": last_month}).json()
    good, bad = opened["cells"][:2]
    cells = [
        {"metric_key": good["metric_key"], "subject_key": good["subject_key"], "text": "1.000"},
        {"metric_key": bad["metric_key"], "subject_key": bad["subject_key"], "text": "mười hai"},
        {"metric_key": "khong.co", "subject_key": "khong-co", "text": "1"},
    ]

    body = station.send(
        "PUT", f"/submissions/{opened['id']}/cells", {"version": opened["version"], "cells": cells}
    ).json()

    assert body["received"] == 3
    assert {row["metric_key"] for row in body["rejected"]} == {bad["metric_key"], "khong.co"}
    assert SubmissionLine.objects.filter(submission_id=opened["id"], number__isnull=False).count() == 1


def test_the_same_key_acts_once_and_answers_the_same(station, last_month):
    opened = station.send("POST", "/submissions", STATION_MONTH | {"period": last_month}).json()
    cell = {key: opened["cells"][0][key] for key in ("metric_key", "subject_key")} | {"text": "1.000"}
    body = {"version": opened["version"], "cells": [cell]}
    path = f"/submissions/{opened['id']}/cells"

    first = station.send("PUT", path, body, key="thang-1")
    again = station.send("PUT", path, body, key="thang-1")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert Submission.objects.get().version == first.json()["version"]
    assert "khóa" in problem(station.send("PUT", path, body | {"version": 2}, key="thang-1"), 422)["detail"]


def test_a_key_is_its_persons_own(station, make_program, last_month):
    other = make_program("qn.nghiaphu")
    station.send("POST", "/submissions", STATION_MONTH | {"period": last_month}, key="cung-khoa")

    answer = other.send(
        "POST", "/submissions",
        STATION_MONTH | {"organisation_key": "org.qn.tram-nghia-phu", "period": last_month}, key="cung-khoa",
    )  # fmt: skip

    assert answer.status_code == 200
    assert answer.json()["organisation_key"] == "org.qn.tram-nghia-phu"


def test_a_station_opens_nothing_for_another(station, last_month):
    body = STATION_MONTH | {"organisation_key": "org.qn.tram-nghia-phu", "period": last_month}

    assert station.send("POST", "/submissions", body).status_code in {403, 404}
    assert not Submission.objects.exists()


def test_an_old_version_overwrites_nothing(station, last_month):
    opened = station.send("POST", "/submissions", STATION_MONTH | {"period": last_month}).json()
    _fill(station, opened)
    cell = {key: opened["cells"][0][key] for key in ("metric_key", "subject_key")} | {"text": "2.000"}

    answer = station.send("PUT", f"/submissions/{opened['id']}/cells", {"version": opened["version"], "cells": [cell]})

    assert "không có gì bị ghi đè" in problem(answer, 409)["detail"]


# --- its own description ----------------------------------------------------------------------------------------

DESCRIPTION = api.get_openapi_schema()
OPERATIONS = [(method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods]
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip


def test_the_description_is_openapi_3_1_and_open_to_all(demo):
    body = Client().get(f"{ROOT}/openapi.json").json()

    assert body["openapi"].startswith("3.1")
    assert len({operation["operationId"] for methods in body["paths"].values() for operation in methods.values()}) == (
        len(OPERATIONS)
    )


@contextlib.contextmanager
def _connection_kept():
    """Keep the server's handler from closing the connection on which the test's transaction runs."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    try:
        yield
    finally:
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)


@pytest.fixture(scope="session")
def described():
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(DESCRIPTION)))
    schema.app = wsgi.application
    return schema


@pytest.mark.slow
@pytest.mark.parametrize("username", ["quantri", "qn.binhchanh"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_the_answer_is_as_described(described, make_program, last_month, username, method, path):
    program = make_program(username)
    known = _known_parameters(program, path, make_program("qn.binhchanh"), last_month)
    operation = described[path][method.upper()]

    @hypothesis.settings(
        max_examples=15, derandomize=True, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(), real=hypothesis.strategies.booleans())
    def ask(case, real):
        if real:  # else nearly every address would name nothing
            case.path_parameters = (case.path_parameters or {}) | known
        with _connection_kept(), transaction.atomic():
            case.call_and_validate(headers=program.headers | {"Accept-Encoding": "identity"}, checks=CHECKS)
            transaction.set_rollback(True)

    ask()


def _known_parameters(program: Program, path: str, writer: Program, last_month: str) -> dict[str, object]:
    """Return path parameters that lead somewhere for this program."""
    if "submission_id" in path:
        opened = writer.send("POST", "/submissions", STATION_MONTH | {"period": last_month})
        return {"submission_id": opened.json()["id"]}
    if "value_id" in path:
        return {"value_id": program.get("/values", limit=1).json()["items"][0]["id"]}
    name = path.partition("{")[2].partition("}")[0]
    if not name:
        return {}
    listed = program.get(path.removeprefix(ROOT).partition("/{")[0]).json()
    rows = listed.get("items", []) if isinstance(listed, dict) else listed
    return {name: rows[0].get(name, rows[0].get("id"))} if rows else {}  # who sees none asks for what is not there
