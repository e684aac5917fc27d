"""Clerks' pages and the search among many customers, against an empty signed-in page of the same process."""

import time
from typing import Any

from machnuoc.bench import common
from machnuoc.bench.common import Result

LIMIT_MS = 300.0
LIMIT_QUERIES = 15.0
_TIMES = 30
_KEY = "lon"  # the provider of the run; made here if this part runs alone


def measure(connections: int = 0) -> list[Result]:
    """Return p95 of searches by a piece of a name, by code and by phone, of clerks' pages, and their queries.

    connections: to fill with where the run has not done so.
    """
    from django.db import connection
    from django.test import Client

    from machnuoc.bench import filling, filling_customers
    from machnuoc.billing.models import Bill
    from machnuoc.core.models import Person
    from machnuoc.customers.models import Connection

    on = connection.vendor
    person = Person.objects.filter(username=f"bench.{_KEY}.lap").first()
    if person is None:
        filling.make_places(10)
        provider = filling_customers.make_provider(_KEY)
        filling_customers.add_connections(provider, connections or 10_000)
        person = provider.clerk
    client = Client(HTTP_HOST="localhost")
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    homes = Connection.objects.filter(work__operator__subject__key=f"bench.{_KEY}")
    count = homes.count()
    last = homes.select_related("customer").order_by("-pk").first()
    if last is None:
        raise common.BenchFailed("Không có đấu nối nào để tìm.")
    digits = last.code.removeprefix("DN")
    middle = int(digits) - count // 2

    def codes(number: int) -> str:
        return f"{middle + number * 7:08}"

    asked = {
        "name": lambda n: f"/khach-hang/?q=van+{codes(n)[:7]}",
        "code": lambda n: f"/khach-hang/?q=DN{codes(n)}",
        "phone": lambda n: f"/khach-hang/?q=09{codes(n)}",
        "list": lambda n: "/khach-hang/",
        "connection": lambda n: f"/khach-hang/DN{codes(n)}/",
        "runs": lambda n: "/lap-hoa-don/",
    }
    bill_id = Bill.objects.filter(connection=last).values_list("pk", flat=True).first()
    if bill_id is not None:
        asked |= {
            "bills": lambda n: "/hoa-don/",
            "bills_of_name": lambda n: f"/hoa-don/?q=van+{codes(n)[:7]}",
            "bill": lambda n: f"/hoa-don/{bill_id - n}/",
            "ledger_journal": lambda n: "/so-cai/nhat-ky/",
        }
    empty_ms, _ = _visit(client, lambda number: "/tai-khoan/")
    results = []
    worst_ms, worst_queries = 0.0, 0
    for name, address in asked.items():
        p95_ms, queries = _visit(client, address)
        is_search = name in {"name", "code", "phone"}
        against = f"trang tài khoản, p95 {empty_ms:.3g} ms"
        metric = f"search_{name}_{on}" if is_search else f"page_{name}_{on}"
        results.append(Result(metric, p95_ms, "ms", against, p95_ms / empty_ms, note=f"{queries} câu hỏi"))
        if is_search:
            worst_ms = max(worst_ms, p95_ms)
        if name not in {"connection", "bill"}:  # of one thing: panels of every room stand on it
            worst_queries = max(worst_queries, queries)
    return [
        Result(f"search_{on}", worst_ms, "ms", f"giới hạn {LIMIT_MS:g} ms", worst_ms / LIMIT_MS, 1.0,
               f"p95 lâu nhất khi tìm trong {count} đấu nối"),
        Result(f"list_queries_max_{on}", worst_queries, "", f"giới hạn {LIMIT_QUERIES:g}",
               worst_queries / LIMIT_QUERIES, 1.0),
        *results,
    ]  # fmt: skip


def _visit(client: Any, address: Any) -> tuple[float, int]:
    """Return the p95 of the times of an address, ms, and how many queries it asks (of the second visit)."""
    from django.db import connection

    times_s: list[float] = []
    asked: list[str] = []

    def count(execute: Any, sql: str, *others: Any) -> Any:
        asked.append(sql)
        return execute(sql, *others)

    client.get(address(0))
    with connection.execute_wrapper(count):
        client.get(address(0))
    for number in range(_TIMES):
        begun_s = time.perf_counter()
        answer = client.get(address(number))
        times_s.append(time.perf_counter() - begun_s)
        if answer.status_code != 200:
            raise common.BenchFailed(f"{address(number)} trả lời {answer.status_code}.")
    return common.percentile(times_s, 0.95) * 1000, len(asked)
