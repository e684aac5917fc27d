"""Pages and API under eight users at once: p50, p95 and queries of each, against an empty signed-in page."""

import argparse
import gzip
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from machnuoc.bench import common
from machnuoc.bench.common import Result

NOW = datetime(2026, 1, 15, tzinfo=UTC)
LIMIT_RATIO = 30.0
LIMIT_QUERIES = 15
CONCURRENT_USERS = 8
_START_WITHIN_S = 60.0
_ANSWER_WITHIN_S = 120.0


@dataclass(frozen=True)
class Size:
    """communes: None is the real country. few_works: where queries are counted first. requests: of a user to a page."""

    communes: int | None
    few_works: int
    works: int
    years: int
    requests: int


SIZES = {"full": Size(None, 100, 1_000, 5, 8), "small": Size(40, 5, 20, 1, 2)}

# Every main page by the name of its address, with what finds its arguments (several: with a space between them); the
# text after it is the query string.
_PAGES: tuple[tuple[str, str, str], ...] = (
    ("core:overview", "", ""),
    ("core:account", "", ""),
    ("core:notices", "", ""),
    ("core:documents", "", ""),
    ("core:document", "document", ""),
    ("core:jobs", "", ""),
    ("core:audit", "", ""),
    ("places:search", "", "q=cong+trinh+1"),
    ("places:units", "", ""),
    ("places:units", "", "q=phuc"),
    ("places:unit", "commune", ""),
    ("places:unit", "province", ""),
    ("places:map", "", ""),
    ("places:organisations", "", ""),
    ("places:organisation", "organisation", ""),
    ("places:urban_area", "urban_area", ""),
    ("places:people", "", ""),
    ("works:list", "", ""),
    ("works:list", "", "q=cong+trinh+1"),
    ("works:map", "", ""),
    ("works:chart", "", ""),
    ("works:detail", "work", ""),
    ("indicators:list", "", ""),
    ("indicators:detail", "metric", ""),
    ("indicators:value", "country_value", ""),
    ("indicators:value", "work_value", ""),
    ("indicators:forms", "", ""),
    ("indicators:submission", "submission", ""),
    ("indicators:queue", "", ""),
    ("indicators:import", "", ""),
    ("planning:plan_list", "", ""),
    ("planning:plan_detail", "plan", ""),
    ("planning:target_list", "", ""),
    ("planning:growth", "", ""),
    ("planning:scorecard", "", ""),
    ("planning:task_list", "", ""),
    ("planning:task_board", "", ""),
    ("planning:task_detail", "task", ""),
    ("planning:programme_matrix", "plan", ""),
    ("planning:programme_unit", "plan place", ""),
    ("planning:programme_unit_course", "plan place", ""),
    ("planning:project_list", "", ""),
    ("planning:project_detail", "project", ""),
    ("planning:duty_calendar", "", ""),
    ("reports:list", "", ""),
    ("telemetry:wall", "", ""),
    ("telemetry:station", "work", ""),
    ("telemetry:online", "", ""),
)
# Every reading endpoint of the API below /api/v1/; {} stands for the argument.
_ENDPOINTS: tuple[tuple[str, str, str], ...] = (
    ("api units", "units", ""),
    ("api unit", "units/{}", "province"),
    ("api organisations", "organisations", ""),
    ("api organisation", "organisations/{}", "organisation"),
    ("api works", "works", ""),
    ("api work", "works/{}", "work"),
    ("api metrics", "metrics", ""),
    ("api metric", "metrics/{}", "metric"),
    ("api values", "values?metric_key=works.households_connected&period=2025", ""),
    ("api figure", "figures/{}", "country_value"),
    ("api forms", "forms", ""),
    ("api submissions", "submissions", ""),
    ("api submission", "submissions/{}", "submission"),
    ("api plans", "plans", ""),
    ("api plan", "plans/{}", "plan"),
    ("api targets", "targets", ""),
    ("api target", "targets/{}", "target"),
    ("api tasks", "tasks", ""),
    ("api task", "tasks/{}", "task"),
    ("api projects", "projects", ""),
    ("api projects oc4ids", "projects/oc4ids", ""),
    ("api project", "projects/{}", "project"),
    ("api criteria sets", "criteria-sets", ""),
    ("api criteria set", "criteria-sets/{}", "criteria_set"),
    ("api assessments", "programmes/{}/assessments", "plan"),
    ("api duties", "duties", ""),
    ("api duty instances", "duty-instances", ""),
    ("api reports", "reports", ""),
)
# A report is prepared of a plan's own figures, which this country has not; `bench plans` times how one is written.
# Nor has it devices: `bench telemetry` and `bench rollup` time what comes from them and how it is read. Nor customers:
# `bench billing` searches and opens pages among a million.
_NOT_MEASURED = frozenset(
    {
        "reports/*",
        "reports/*/snapshot",
        "telemetry/alarms",
        "telemetry/channels",
        "telemetry/channels/*/series",
        "telemetry/devices",
        "telemetry/latest",
        "telemetry/ledger",
        "bills",
        "bills/*",
        "payments",
        "payments/*",
        "einvoices",
        "einvoices/*",
        "complaints",
        "complaints/*",
        "complaints/statistics",
        "connections",
        "connections/*",
        "readings",
        "tariffs",
    }
)


@dataclass
class Page:
    """One address and what was found of it. problem: why it could not be measured; empty: it was."""

    name: str
    path: str = ""
    problem: str = ""
    queries_few: int = 0
    queries: int = 0
    cookies: list[str] = field(default_factory=list)  # sessions of those who may open it
    times_s: list[float] = field(default_factory=list)
    unchanged_s: list[float] = field(default_factory=list)  # answers 304 to a matching ETag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process, on its database


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, full (all places, 1,000 works, 5 years) or works=300,requests=5."""
    if not args.here:
        return common.run_on_each("pages", args.size, args.database)
    from machnuoc.config import process

    process.migrate()
    process.collect_static()
    return measure(common.read_size(args.size, SIZES))


def measure(size: Size) -> dict[str, Any]:
    """Fill the empty database of this process, count queries, then time a real server; return the report."""
    from django.db import connection, connections

    from machnuoc.bench import filling_plans, filling_works, server_urls
    from machnuoc.indicators.models import Value
    from machnuoc.places.models import Subject

    country = filling_works.make_country(size.communes, size.works, NOW)
    plan = filling_plans.make_plan(country, NOW)
    filling_works.add_works(country, 0, size.few_works, size.years, NOW)
    filling_plans.add_owed(plan, country, 0, size.few_works)
    few = count_queries(list_pages(), for_everyone=False)
    filling_works.add_works(country, size.few_works, size.works, size.years, NOW)
    filling_plans.add_owed(plan, country, size.few_works, size.works)
    _settle()
    pages = count_queries(list_pages())
    for page, before in zip(pages, few, strict=True):
        page.queries_few = before.queries
    about = {
        **asdict(size),
        "places": Subject.objects.filter(kind="UNIT").count(),
        "values": Value.objects.count(),
        "concurrent_users": CONCURRENT_USERS,
    }
    vendor = connection.vendor
    connections.close_all()
    empty = Page("empty", server_urls.EMPTY, cookies=sign_in_everyone())
    with serve() as port:
        empty_times_s: list[float] = []
        for page in [empty, *pages]:
            if not page.problem:
                _visit(page, port, max(1, size.requests // 4))  # whatever is loaded once is loaded now
        for page in pages:
            # The empty page again and again between the others, so that both see the same machine.
            empty.times_s = []
            _visit(empty, port, size.requests)
            empty_times_s += empty.times_s
            if not page.problem:
                page.times_s = []
                page.unchanged_s = []
                _visit(page, port, size.requests)
    return common.report("pages", about, _results(pages, empty_times_s, vendor))


def _results(pages: list[Page], empty_times_s: list[float], on: str) -> list[Result]:
    good = [page for page in pages if not page.problem]
    empty_ms = common.percentile(empty_times_s, 0.95) * 1000
    against = f"trang trống đã đăng nhập, p95 {empty_ms:.3g} ms"
    results: list[Result] = []
    if good:
        slowest = max(good, key=lambda page: common.percentile(page.times_s, 0.95))
        worst_ms = common.percentile(slowest.times_s, 0.95) * 1000
        results.append(Result(f"p95_{on}", worst_ms, "ms", against, worst_ms / empty_ms, LIMIT_RATIO, slowest.name))
        busiest = max(good, key=lambda page: page.queries)
        limit = f"giới hạn {LIMIT_QUERIES} câu truy vấn"
        ratio = busiest.queries / LIMIT_QUERIES
        results.append(Result(f"queries_max_{on}", busiest.queries, "", limit, ratio, 1.0, busiest.name))
        growing = [page.name for page in good if page.queries > page.queries_few]
        few_against = "số trang có số câu truy vấn tăng theo số công trình"
        results.append(Result(f"queries_growing_{on}", len(growing), "", few_against, note=", ".join(growing)))
    results.append(Result(f"empty_p50_{on}", common.percentile(empty_times_s, 0.5) * 1000, "ms"))
    results.append(Result(f"empty_p95_{on}", empty_ms, "ms"))
    unchanged_s = [time_s for page in good for time_s in page.unchanged_s]
    if unchanged_s:
        hits_ms = common.percentile(unchanged_s, 0.95) * 1000
        results.append(Result(f"etag_hit_p95_{on}", hits_ms, "ms", against, hits_ms / empty_ms))
    for page in pages:
        name = re.sub(r"[^a-z0-9]+", "_", page.name.lower()).strip("_")
        if page.problem:
            results.append(Result(f"error_{name}_{on}", None, "", note=page.problem))
            continue
        p50_ms, p95_ms = (common.percentile(page.times_s, share) * 1000 for share in (0.5, 0.95))
        few_note = f"{page.queries_few} câu khi ít công trình"
        results += [
            Result(f"p50_{name}_{on}", p50_ms, "ms", against, p50_ms / empty_ms),
            Result(f"p95_{name}_{on}", p95_ms, "ms", against, p95_ms / empty_ms),
            Result(f"queries_{name}_{on}", page.queries, "", few_note, page.queries / max(1, page.queries_few)),
        ]
        if page.unchanged_s:
            hit_ms = common.percentile(page.unchanged_s, 0.95) * 1000
            results.append(Result(f"etag_hit_{name}_{on}", hit_ms, "ms", against, hit_ms / empty_ms))
    return results


# --- which pages ------------------------------------------------------------------------------------------------


def list_pages() -> list[Page]:
    """Return every page and endpoint, those that cannot be found with the reason."""
    found = []
    arguments = _find_arguments()
    for name, argument, query in _PAGES:
        page = Page(" ".join(filter(None, [name, argument, query])))
        _fill_path(page, name, argument, query, arguments)
        found.append(page)
    for name, path, argument in _ENDPOINTS:
        page = Page(name, f"/api/v1/{path.format(arguments.get(argument))}")
        if argument and arguments.get(argument) is None:
            page.problem = f"không có dữ liệu cho «{argument}»"
        found.append(page)
    return found


def _fill_path(page: Page, name: str, argument: str, query: str, arguments: dict[str, object]) -> None:
    from django.urls import NoReverseMatch, reverse

    missing = [one for one in argument.split() if arguments.get(one) is None]
    if missing:
        page.problem = f"không có dữ liệu cho «{missing[0]}»"
        return
    try:
        page.path = reverse(name, args=[arguments[one] for one in argument.split()])
    except NoReverseMatch as reason:
        page.problem = f"chưa có trang này: {reason}"
        return
    if query:
        page.path += f"?{query}"


def _find_arguments() -> dict[str, object]:
    """Return what the addresses need: the busiest object of each kind, as its key or number."""
    from machnuoc.core.models import Document
    from machnuoc.indicators.models import Submission, Value
    from machnuoc.places.models import AdministrativeUnit, Subject
    from machnuoc.planning.models import CriteriaSet, Plan, Target, Task

    work = Subject.objects.get(key="bench.work.0")
    commune = AdministrativeUnit.objects.filter(subject__contains__descendant=work, level="COMMUNE").first()
    connected = Value.objects.filter(metric__key="works.households_connected", period_kind="Y").order_by(
        "-period_start"
    )
    rate = Value.objects.filter(metric__key="works.utilisation_households_pct", period_kind="Y")
    country_value = rate.filter(subject__kind="COUNTRY").order_by("-period_start").first()
    work_value = connected.filter(subject=work).first()
    document = Document.objects.first()
    sheet = Submission.objects.filter(organisation__subject__key="bench.operator.0").order_by("pk").last()
    plan = Plan.objects.first()
    target = Target.objects.first()
    task = Task.objects.first()
    project = Subject.objects.filter(kind="PROJECT").first()
    criteria_set = CriteriaSet.objects.first()
    place = plan and plan.programme.units.order_by("pk").first()
    return {
        "place": place and place.key,
        "plan": plan and plan.key,
        "target": target and target.pk,
        "task": task and task.key,
        "project": project and project.key,
        "criteria_set": criteria_set and criteria_set.key,
        "document": document and document.key,
        "commune": commune and commune.subject.key,
        "province": commune and commune.parent and commune.parent.subject.key,
        "organisation": "bench.operator.0",
        "urban_area": "bench.urban",
        "work": work.key,
        "metric": "works.utilisation_households_pct",
        "country_value": country_value and country_value.pk,
        "work_value": work_value and work_value.pk,
        "submission": sheet and sheet.pk,
    }


# --- queries, in this process -----------------------------------------------------------------------------------


def sign_in_everyone() -> list[str]:
    """Return the session cookies of all people, in the order of `filling_works.list_people`."""
    from django.conf import settings
    from django.test import Client

    from machnuoc.bench import filling_works

    cookies = []
    for person in filling_works.list_people():
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        cookies.append(f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}")
    return cookies


def count_queries(pages: list[Page], *, for_everyone: bool = True) -> list[Page]:
    """Open each page as each person in this process; note who may, and how many queries it takes the first of them.

    for_everyone: False stops at the first who may. A page that fails for everyone gets its problem written down.
    """
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    cookies = sign_in_everyone()
    for page in pages:
        if page.problem:
            continue
        answers: list[str] = []
        for cookie in cookies:
            client = Client(headers={"cookie": cookie, "host": "localhost"}, raise_request_exception=False)
            response = client.get(page.path)
            answers.append(str(response.status_code))
            if response.status_code != http.HTTPStatus.OK:
                continue
            if not page.cookies:  # once more: what is loaded once in a process is loaded by now
                with CaptureQueriesContext(
                    connection,
                ) as captured:
                    client.get(page.path)
                page.queries = len(captured)
            page.cookies.append(cookie)
            if not for_everyone:
                break
        if not page.cookies:
            page.problem = f"{page.path} trả lời {', '.join(sorted(set(answers)))}"
    return pages


def _settle() -> None:
    """Leave the tables as they are long after five years were written, not in the minute after.

    Otherwise PostgreSQL vacuums them while the first pages are timed, on the same processors.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


# --- a real server ----------------------------------------------------------------------------------------------


@contextmanager
def serve() -> Iterator[int]:
    """Run `machnuoc web` on the database of this process, with the empty page added; give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "machnuoc.bench.server_settings"}
    command = [sys.executable, "-m", "machnuoc", "web", "--port", str(port)]
    server = subprocess.Popen(command, env=environment)  # noqa: S603 - our own program
    try:
        _wait_until_up(server, port)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_up(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            status, _ = _get(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "/healthz", "")
        except OSError:
            time.sleep(0.1)
            continue
        if status == http.HTTPStatus.OK:
            return
    raise common.BenchFailed("Máy chủ của phép đo không trả lời; xem lỗi ở trên.")


def _get(connection: http.client.HTTPConnection, path: str, cookie: str, etag: str = "") -> tuple[int, str]:
    """Fetch as a browser does; return status and ETag."""
    headers = {"Cookie": cookie, "Accept-Encoding": "gzip"} | ({"If-None-Match": etag} if etag else {})
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        gzip.decompress(body)
    return response.status, response.headers.get("ETag", "")


def _visit(page: Page, port: int, requests: int) -> None:
    """Let eight users fetch the page at once, each so many times on a connection of their own."""
    lock = threading.Lock()
    problems: list[str] = []

    def fetch(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_WITHIN_S)
        cookie = page.cookies[number % len(page.cookies)]
        for _ in range(requests):
            begun_s = time.perf_counter()
            status, etag = _get(connection, page.path, cookie)
            ended_s = time.perf_counter()
            again = _get(connection, page.path, cookie, etag)[0] if etag else 0
            again_s = time.perf_counter() - ended_s
            with lock:
                page.times_s.append(ended_s - begun_s)
                if again == http.HTTPStatus.NOT_MODIFIED:
                    page.unchanged_s.append(again_s)
                if status != http.HTTPStatus.OK:
                    problems.append(f"{page.path} trả lời {status}")
        connection.close()

    users = [threading.Thread(target=fetch, args=[number]) for number in range(CONCURRENT_USERS)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    if problems:
        page.problem = problems[0]
    elif len(page.times_s) < requests * CONCURRENT_USERS:
        page.problem = f"{page.path}: có lượt không được trả lời"
