"""Every form and act of planning and reports, filled in by somebody who means harm or does not know better."""

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
import icalendar
import lxml.html
import openpyxl
import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from machnuoc.core.models import Person
from machnuoc.planning.models import Duty, Plan, Task
from machnuoc.reports.models import Report
from tests import test_matrix
from tests.test_matrix import ROWS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo")]
things = test_matrix.things
ROOMS = ("planning:", "reports:")
TOLD = {200, 302, 409, 422}
BACKEND = "django.contrib.auth.backends.ModelBackend"
SHORT_MARKUP = "<i x7>"
MARKUP = '<script>alert(7)</script>"><img src=x onerror=alert(7)>'
Fields = dict[str, tuple[str, list[str]]]  # name: kind, what a person could leave in it
_WRITES = re.compile(r"\s*(?:INSERT (?:OR \w+ )?INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)


def browser_of(username: str, **options: Any) -> Client:
    client = Client(raise_request_exception=False, **options)
    if username:
        client.force_login(Person.objects.get(username=username), backend=BACKEND)
    return client


def acts(things: dict[str, Any]) -> Iterator[tuple[str, str, test_matrix.Row]]:
    """Give the address of everything in both rooms that takes a POST."""
    for row in ROWS:
        if row.name.startswith(ROOMS) and row.post:
            yield row.name, reverse(row.name, args=[things.get(part, part) for part in row.args]), row


def watched() -> CaptureQueriesContext:
    """Return what records the queries; the log forgets the oldest, so it begins empty."""
    connection.queries_log.clear()
    return CaptureQueriesContext(connection)


def tables_written(queries: CaptureQueriesContext) -> set[str]:
    found = {match[1] for query in queries.captured_queries if (match := _WRITES.match(query["sql"]))}
    return found - {"django_session", "core_idempotentwrite"}  # whose session, and which form: not what was done


def post(client: Client, address: str, data: dict[str, Any]) -> tuple[Any, set[str]]:
    """Send a form, take back what it did, and return the answer and the tables that were written to."""
    with transaction.atomic():
        with watched() as queries:
            answer = client.post(address, data)
        transaction.set_rollback(True)
    return answer, tables_written(queries)


# --- filled in ------------------------------------------------------------------------------------------------------


def read_forms(client: Client, address: str) -> Iterator[tuple[str, Fields]]:
    """Give the forms that a page posts: where to, and their fields."""
    answer = client.get(address)
    if answer.status_code != 200 or answer.streaming or "html" not in answer.headers["Content-Type"]:
        return
    for form in lxml.html.fromstring(answer.content.decode()).forms:
        if (form.get("method") or "").lower() != "post":
            continue
        fields: Fields = {}
        for field in form.iter("input", "select", "textarea", "button"):
            name = field.get("name")
            if name and name != "csrfmiddlewaretoken":
                kind, values = _read_field(field)
                fields[name] = (kind, fields.get(name, ("", []))[1] + values)
        yield form.get("action") or address, fields


def _read_field(field: Any) -> tuple[str, list[str]]:
    if field.tag == "select":
        chosen = [one.get("value") for one in field.iter("option") if one.get("selected") is not None]
        offered = [one.get("value") for one in field.iter("option") if one.get("value")]
        return "choice", [one for one in chosen if one] or offered[:1]
    if field.tag == "textarea":
        return f"text {field.get('maxlength', '')}", [(field.text or "").lstrip("\n")]
    kind = "button" if field.tag == "button" else (field.get("type") or "text")
    if kind in {"checkbox", "radio"}:
        return kind, [field.get("value", "on")] if field.get("checked") is not None else []
    if kind == "text" and field.get("inputmode") in {"numeric", "decimal"}:
        return "number", [field.get("value") or ""]
    return (f"text {field.get('maxlength', '')}" if kind == "text" else kind), [field.get("value") or ""]


def fill(fields: Fields, *texts: str) -> dict[str, Any]:
    """Return what a browser would send: the first of the texts that fits, and something in empty numbers and days."""
    said: dict[str, Any] = {}
    for name, (kind, values) in fields.items():
        if kind.startswith("text"):
            most_chars = int(kind.partition(" ")[2] or 10**9)
            text = next((one for one in texts if len(one) <= most_chars), "")
            said[name] = [text or value for value in values]
        elif kind in {"number", "date"}:
            said[name] = [value or ("5" if kind == "number" else "2026-11-20") for value in values]
        elif kind != "file":
            said[name] = values
    return said


_ACCOUNTS = ("qn.khkt", "quantri", "qn.lanhdao", "qn.binhchanh")
_PAGES_WITH_FORMS = frozenset({
    "planning:task_detail", "planning:duty_instance", "planning:duty_detail", "planning:project_detail",
    "planning:target_detail", "planning:programme_detail", "planning:task_board", "reports:detail",
})  # fmt: skip


def list_forms(things: dict[str, Any]) -> list[tuple[Client, str, str, Fields]]:
    """Return each form of both rooms once: who sends it, the name of the act, where to, its fields."""
    clients = {username: browser_of(username) for username in _ACCOUNTS}
    found: dict[Any, Any] = {}
    for row in ROWS:
        if not row.name.startswith(ROOMS) or not row.get or not (row.post or row.name in _PAGES_WITH_FORMS):
            continue
        client = next((clients[username] for username in _ACCOUNTS if username in row.get), None)
        if client is None:
            continue
        for action, fields in read_forms(client, reverse(row.name, args=[things.get(x, x) for x in row.args])):
            path = action.partition("?")[0]
            act = resolve(path).view_name
            if act.startswith(ROOMS):
                same = (act, path if act == "reports:act" else "", *sorted(fields))
                found.setdefault(same, (client, act, action, fields))
    return list(found.values())


# --- tried ----------------------------------------------------------------------------------------------------------


def test_no_act_is_taken_without_the_token_of_its_page(things):
    wrong = []
    for name, address, row in acts(things):
        username = sorted(row.post or ())[0]
        answer, written = post(browser_of(username, enforce_csrf_checks=True), address, row.data)
        if answer.status_code != 403 or written:
            wrong.append(f"{name}: {answer.status_code} {sorted(written)}")

    assert not wrong, "\n".join(wrong)


def test_whoever_may_not_act_changes_nothing(things):
    wrong = []
    allowed: dict[tuple[str, str], frozenset[str]] = {}
    for name, address, row in acts(things):
        allowed[name, address] = allowed.get((name, address), frozenset()) | (row.post or frozenset())
    for (name, address), welcome in allowed.items():
        for username in [test_matrix.STRANGER, *({"cb.phuchoa", "doitac", "ct.camtan"} - welcome)]:
            answer, written = post(browser_of(username), address, {"version": "1", "reason": "x", "text": "x"})
            if answer.status_code not in {302, 403, 404} or written:
                wrong.append(f"{name} by {username}: {answer.status_code} {sorted(written)}")

    assert not wrong, "\n".join(wrong)


_SHOWS_A_SECRET_ONCE = {"planning:duty_feed"}
_TYPED = [  # text, number, day, answers
    ("a\0b", "5", "2026-11-20", {400}),
    ("ạ" * 30_000, "-1", "0001-01-01", TOLD),
    ("=cmd|' /C calc'!A0", "9" * 60, "9999-12-31", TOLD),
    ("\u202e\u200b", "1e400", "²", TOLD),
]


def test_a_field_of_ten_megabytes_is_refused_in_vietnamese_and_stays_nowhere(things):
    address = reverse("planning:task_comment", args=[test_matrix.QN_TASK])

    answer, written = post(browser_of("qn.khkt"), address, {"text": "n" * 10_000_000})

    assert answer.status_code == 400 and not written
    assert "quá lớn" in answer.content.decode()


@pytest.mark.slow
def test_whatever_is_typed_is_refused_in_words_or_kept_with_its_audit_entry_and_shown_as_text(things):
    wrong, done = [], set()
    forms = list_forms(things)
    for client, act, action, fields in forms:
        kinds = {name: kind.partition(" ")[0] for name, (kind, _) in fields.items()}
        for text, number, day, expected in _TYPED:
            typed = {"text": text, "number": number, "date": day}
            said = fill(fields) | {name: typed[kind] for name, kind in kinds.items() if kind in typed}
            answer, written = post(client, action, said)
            if answer.status_code not in (expected if "text" in kinds.values() else TOLD):
                wrong.append(f"{act} {text[:9]!r}: {answer.status_code}")
            if answer.status_code != 302 and written and act not in _SHOWS_A_SECRET_ONCE:
                wrong.append(f"{act} {text[:9]!r}: refused, but {sorted(written)}")
    for client, act, action, fields in forms:  # these stay
        with watched() as queries:
            answer = client.post(action, fill(fields, MARKUP, SHORT_MARKUP))
        written = tables_written(queries) - {"core_notice"}
        if answer.status_code >= 500 or (written and "core_auditentry" not in written):
            wrong.append(f"{act} with markup: {answer.status_code} {sorted(written)}")
        done |= {act} if written else set()
    admin = browser_of("quantri")
    for row in ROWS:
        if row.get and "quantri" in row.get and row.name.startswith((*ROOMS, "core:audit", "core:overview")):
            answer = admin.get(reverse(row.name, args=[things.get(part, part) for part in row.args]))
            is_page = not answer.streaming and answer.headers.get("Content-Type", "").startswith("text/html")
            if is_page and re.search("<script>alert|<img src=x|<i x7>", answer.content.decode()):
                wrong.append(f"{answer.request['PATH_INFO']} runs what somebody wrote")

    assert not wrong, "\n".join(wrong)
    assert len(done) > 20  # else the forms were not filled in well enough to tell


# --- what leaves as a file ------------------------------------------------------------------------------------------


def test_a_name_of_control_marks_is_no_name(things):
    client = browser_of("qn.khkt")
    plan = Plan.objects.get(key="qn.79-2026")
    said = {"name": "\u200b\u202e", "short_name": "\ufeff", "issuer": plan.issuer_id, "territory": plan.territory_id,
            "field": "RURAL", "status": "IN_FORCE"}  # fmt: skip

    refused = client.post(reverse("planning:plan_add"), said)
    made = client.post(
        reverse("planning:plan_add"), said | {"name": "Kế\u200b hoạch \u202etháng", "short_name": "\x0bThử"}
    )

    assert (refused.status_code, made.status_code) == (422, 302)
    assert {"name", "short_name"} <= refused.context["form"].errors.keys()
    found = Plan.objects.get(short_name="Thử")
    assert found.name == "Kế hoạch tháng"


EVIL = "=cmd|'/C calc'!A0\r\nBEGIN:VEVENT\r\n;=1+1 <w:br/>&"


def test_nothing_that_was_typed_runs_where_a_list_a_calendar_or_a_report_is_opened(things):
    admin, writer = browser_of("quantri"), browser_of("qn.khkt")
    task, duty = Task.objects.get(key="qn.79-2026.phu-luc-2.1"), Duty.objects.get(key=test_matrix.QN_DUTY)
    report = Report.objects.get(pk=things["@report"])
    Task.objects.filter(pk=task.pk).update(content=EVIL)
    Duty.objects.filter(pk=duty.pk).update(name=EVIL)
    Report.objects.filter(pk=report.pk).update(title=EVIL, to_as_printed=EVIL, recipients=EVIL, signer_name=EVIL)
    report.sections.update(text=EVIL)

    for address in (reverse("planning:task_list"), reverse("planning:duty_list"), reverse("reports:list")):
        table = b"".join(admin.get(address, {"export": "csv"}).streaming_content).decode()  # type: ignore[attr-defined]
        assert "cmd|" in table, address
        assert not re.search(r"(?m)(?:^|[,;\"\r\n])\s*=", table), address
        book = io.BytesIO(b"".join(admin.get(address, {"export": "xlsx"}).streaming_content))  # type: ignore[attr-defined]
        assert all(cell.data_type != "f" for sheet in openpyxl.load_workbook(book) for row in sheet for cell in row)
    calendar = Client().get(reverse("planning:duty_ics", args=[things["@feed"]])).content
    events = icalendar.Calendar.from_ical(calendar).walk("VEVENT")
    assert any("cmd|" in str(event["summary"]) for event in events)
    assert calendar.count(b"\nBEGIN:VEVENT") == len(events) and max(map(len, calendar.split(b"\r\n"))) <= 75
    files = {what: writer.get(reverse("reports:file", args=[report.pk, what])).content for what in ("docx", "xlsx")}
    word = docx.Document(io.BytesIO(files["docx"]))
    assert any("<w:br/>&" in paragraph.text for paragraph in word.paragraphs)
    book = openpyxl.load_workbook(io.BytesIO(files["xlsx"]))
    assert all(cell.data_type != "f" for sheet in book for row in sheet for cell in row)
