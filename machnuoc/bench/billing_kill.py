"""Issuing a month's bills in a process that is killed (−9) again and again: every bill once, no number missing.

A real process issues; it is killed at random moments, in the middle of chunks and of adjustments of estimated months,
and another takes the run up where the last whole chunk ended. Afterwards bills, numbers, lines and ledger are counted.
"""

import random
import subprocess
import sys
import time
from datetime import date
from typing import Any

from machnuoc.bench import common
from machnuoc.bench.common import Result

ROUNDS = 3
KILLS_A_ROUND = 6
CHUNK = 1_000  # smaller than in use, so that kills meet more of their edges
ESTIMATED = 60  # of the month before: they are adjusted in the run that is killed
_STARTS_MOST = 60
_CHILD = """
import sys
import django
django.setup()
from machnuoc.bench import filling_customers
from machnuoc.billing import runs
print("ready", flush=True)
runs.issue(int(sys.argv[1]), now=filling_customers.NOW)
"""


def measure(connections: int) -> list[Result]:
    """Return how often issuing was killed and what was lost, doubled or left out by it: nothing. Raises BenchFailed."""
    from django.db import connection

    on = connection.vendor
    rng = random.Random(20_260_801)  # noqa: S311 - moments, no secret
    kills = lost = doubled = gaps = 0
    begun_s = time.perf_counter()
    for number in range(ROUNDS):
        run = _prepare(f"kill{number}", connections, first=50_000_000 + number * 2_000_000)
        kills += _kill_until_done(run, rng, seconds=max(1.0, connections / 2_500))
        found = _count(run, connections)
        lost, doubled, gaps = lost + found[0], doubled + found[1], gaps + found[2]
    if lost or doubled or gaps:
        raise common.BenchFailed(f"Sau {kills} lần kill −9: thiếu {lost}, trùng {doubled}, hụt số {gaps}.")
    about = f"{ROUNDS} đợt {connections} hóa đơn, mỗi đợt kèm {ESTIMATED} điều chỉnh kỳ tạm tính"
    return [
        Result(f"kill_kills_{on}", float(kills), "", note=about),
        Result(f"kill_lost_{on}", float(lost), "", "hóa đơn thiếu", float(lost), 0.0),
        Result(f"kill_doubled_{on}", float(doubled), "", "hóa đơn, điều chỉnh trùng", float(doubled), 0.0),
        Result(f"kill_gaps_{on}", float(gaps), "", "số hóa đơn bị hụt", float(gaps), 0.0),
        Result(f"kill_seconds_{on}", time.perf_counter() - begun_s, "s", note="cả nạp dữ liệu mẫu"),
    ]


def _prepare(key: str, connections: int, first: int) -> Any:
    """Return an approved run of that many connections, some of which were billed by an estimate the month before."""
    from django.db import connection

    from machnuoc.bench import filling, filling_customers
    from machnuoc.billing import runs
    from machnuoc.customers.models import Connection, Reading
    from machnuoc.places.models import Subject

    before, month = filling_customers.MONTHS
    if not Subject.objects.exists():
        filling.make_places(10)
    provider = filling_customers.make_provider(key)
    filling_customers.add_connections(provider, connections, first=first)
    homes = Connection.objects.filter(work__operator=provider.operator).order_by("pk")
    ids = list(homes.values_list("pk", flat=True)[:: max(1, connections // ESTIMATED)])  # some in every chunk
    Connection.objects.filter(pk__in=ids).update(work=provider.works[0])
    guessed = Reading.objects.filter(connection_id__in=ids, period_start_date=before)
    guessed.update(kind=Reading.Kind.ESTIMATED)
    whole = dict(runs.CHUNK)
    runs.CHUNK[connection.vendor] = CHUNK
    try:
        runs.issue(_approved(provider, provider.works[0].subject, before).pk, now=filling_customers.NOW)
        return _approved(provider, provider.operator.subject, month)
    finally:
        runs.CHUNK.update(whole)


def _approved(provider: Any, scope: Any, month: date) -> Any:
    from machnuoc.bench import filling_customers
    from machnuoc.billing import runs

    now = filling_customers.NOW
    run = runs.open_run(scope=scope, period_start=month, now=now, by=provider.clerk)
    runs.approve(runs.preview(run, now=now, by=provider.clerk), by=provider.leader, now=now)
    return runs.start(run, by=provider.clerk, now=now)


def _kill_until_done(run: Any, rng: random.Random, seconds: float) -> int:
    """Let processes issue the run, killing the first of them at random moments; return how many were killed."""
    kills = 0
    for _ in range(_STARTS_MOST):
        child = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _CHILD, str(run.pk)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        with child:
            if child.stdout is not None:
                child.stdout.readline()
            try:
                child.wait(rng.uniform(0, seconds) if kills < KILLS_A_ROUND else 3_600)
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
        run.refresh_from_db()
        if run.state == run.State.DONE:
            return kills
    raise common.BenchFailed(f"Đợt #{run.pk} không xong sau {_STARTS_MOST} lần chạy lại.")


def _count(run: Any, connections: int) -> tuple[int, int, int]:
    """Return how many bills lack, are there twice, and numbers without a bill. Raises BenchFailed for wrong books."""
    from django.db.models import Count, F, Sum

    from machnuoc.billing import corrections, ledger
    from machnuoc.billing.models import Bill, BillLine, InvoiceSeries

    made = Bill.objects.filter(run=run)
    billed = made.filter(kind=Bill.Kind.NORMAL)
    lost = connections - billed.values("connection_id").distinct().count() - run.skips.count()
    doubled = billed.count() - billed.values("connection_id").distinct().count()
    trued_up = Bill.objects.filter(corrects__operator=run.operator).values("corrects_id").annotate(n=Count("pk"))
    doubled += sum(row["n"] - 1 for row in trued_up)
    gaps = sum(len(corrections.list_gaps(series)) for series in InvoiceSeries.objects.filter(operator=run.operator))
    problems = ledger.verify(run.operator_id).problems
    of_lines = BillLine.objects.filter(bill__run=run).aggregate(v=Sum("volume_l"))["v"]
    if of_lines != made.aggregate(v=Sum("volume_l"))["v"]:
        problems.append("Dòng của hóa đơn không cộng lại bằng lượng nước.")
    if (run.bills, run.total_vnd) != (billed.count(), billed.aggregate(t=Sum(F("total_vnd")))["t"]):
        problems.append("Đợt ghi khác số hóa đơn đã phát hành.")
    planned = run.previewed["bills"], run.previewed["total"]
    if planned != (run.bills, run.total_vnd):
        problems.append("Số đã phát hành khác số đã duyệt.")
    if problems:
        raise common.BenchFailed(f"Sổ sách sai sau kill −9: {problems[0]}")
    return lost, doubled, gaps
