"""A month's bills from stored readings, against loading the same finished rows, and against a loop over the ORM."""

import argparse
import importlib
import importlib.util
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machnuoc.bench import common
from machnuoc.bench.common import Result

LIMIT_RUN = 3.0
LIMIT_PEAK_MB = 2_048.0
LIMIT_EXPONENT = 1.05
LIMIT_WAIT_S = 1.0
_TABLES = ("billing_bill", "billing_billline", "billing_posting")
_LOAD_ROWS = 50_000
_SIGN_IN_EVERY_S = 0.5
_WHO, _PASSWORD = "bench.lon.lap", "phep-do-dang-nhap"
# Parts that other modules measure, each with `measure(connections) -> list[Result]`.
_PARTS = ("billing_pdf", "billing_search", "billing_callbacks")
# Asked for by name alone: at 25,330 connections it takes minutes.
_ASKED_FOR = ("billing_kill",)


@dataclass(frozen=True)
class Size:
    """connections: billed in the run; small: of the run that the exponent starts from; sample: of the ORM loop."""

    connections: int
    small: int
    sample: int


SIZES = {
    "full": Size(1_000_000, 10_000, 500),
    "centre": Size(25_330, 2_500, 300),
    "small": Size(2_000, 500, 50),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--only", default="", help="chỉ đo phần này: run, hoặc " + ", ".join((*_PARTS, *_ASKED_FOR)))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sign-in", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, centre (25,330), full (1,000,000), a number, or connections=100000."""
    text = f"connections={args.size}" if str(args.size).isdigit() else args.size
    if args.sign_in:
        return sign_in_again_and_again()
    if not args.here:
        options = ["--only", args.only] if args.only else []
        return common.run_on_each("billing", text, args.database, *options)
    from machnuoc.config import process

    process.migrate()
    process.collect_static()  # pages name their files
    _require_empty()
    return measure(common.read_size(text, SIZES), args.only)


def _require_empty() -> None:
    """Refuse a database in use: the measurement fills it, and puts an older state of it back."""
    from machnuoc.core.models import Person

    if Person.objects.exists():
        raise common.BenchFailed("Phép đo chỉ chạy trên cơ sở dữ liệu trống. Bỏ --here để đo trên một bản tạm.")


def measure(size: Size, only: str = "") -> dict[str, Any]:
    """Fill the empty database that Django is connected to and measure on it; return the report."""
    results = _measure_run(size) if only in {"", "run"} else []
    for name in (*_PARTS, *_ASKED_FOR):
        if only == name or (only == "" and name in _PARTS):
            results += _part(name, size.connections)
    about = {**asdict(size), "load": round(os.getloadavg()[0], 1)}
    return common.report("billing", about, results)


def _part(name: str, connections: int) -> list[Result]:
    """Return what another module measures; a part that is not there says so."""
    if importlib.util.find_spec(f"machnuoc.bench.{name}") is None:
        return [Result(name, None, "", note=f"chưa có machnuoc.bench.{name}")]
    found: list[Result] = importlib.import_module(f"machnuoc.bench.{name}").measure(connections)
    return found


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Timed:
    seconds: float
    peak_mb: float
    bills: int
    waits_s: list[float]


def _measure_run(size: Size) -> list[Result]:
    from django.db import connection

    from machnuoc.bench import filling, filling_customers
    from machnuoc.billing import ledger

    on = connection.vendor
    filling.make_places(10)
    small = filling_customers.make_provider("nho")
    filling_customers.add_connections(small, size.small)
    small_run = _prepare(small)
    first = _issue(small_run)
    sampled = filling_customers.make_provider("mau", 1)
    filling_customers.add_connections(sampled, size.sample, first=90_000_000)
    orm_s = common.seconds(lambda: bill_one_by_one(sampled)) / size.sample
    large = filling_customers.make_provider("lon")
    begun_s = time.perf_counter()
    filling_customers.add_connections(large, size.connections, first=size.small + 1)
    fill_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    large_run = _prepare(large)
    preview_s = time.perf_counter() - begun_s
    with _before_the_run() as restore:
        last = _issue(large_run, watch_sign_in=on == "sqlite")
        verify_s = common.seconds(lambda: _verified(ledger))
        load_s = restore()
    exponent = math.log(last.seconds / first.seconds) / math.log(last.bills / first.bills)
    results = [
        Result(f"run_{on}", last.seconds, "s", "nạp thẳng các dòng đã tính vào cùng các bảng", last.seconds / load_s,
               LIMIT_RUN, f"{last.bills} hóa đơn"),
        Result(f"bills_per_s_{on}", last.bills / last.seconds, "1/s"),
        Result(f"run_vs_orm_{on}", last.seconds, "s", f"vòng lặp ORM trên {size.sample} đấu nối, nhân lên",
               last.seconds / (orm_s * last.bills)),
        Result(f"run_peak_mb_{on}", last.peak_mb, "MB", f"giới hạn {LIMIT_PEAK_MB:g} MB của cả tiến trình",
               last.peak_mb / LIMIT_PEAK_MB, 1.0),
        Result(f"scaling_exponent_{on}", exponent, "", f"giới hạn {LIMIT_EXPONENT:g}, từ {first.bills} hóa đơn",
               exponent / LIMIT_EXPONENT, 1.0),
        Result(f"preview_s_{on}", preview_s, "s"),
        Result(f"ledger_verify_s_{on}", verify_s, "s", note="sổ cái cân"),
        Result(f"fill_s_{on}", fill_s, "s", note="nạp dữ liệu mẫu, không phải phép đo"),
    ]  # fmt: skip
    if last.waits_s:
        worst = max(last.waits_s)
        results.append(
            Result(f"sign_in_wait_s_{on}", worst, "s", f"giới hạn {LIMIT_WAIT_S:g} s", worst / LIMIT_WAIT_S, 1.0,
                   f"lâu nhất của {len(last.waits_s)} lần; trung vị {common.median(last.waits_s):.3f} s")
        )  # fmt: skip
    return results


def _verified(ledger: Any) -> None:
    problems = ledger.verify().problems
    if problems:
        raise common.BenchFailed(f"Sổ cái không cân sau khi phát hành: {problems[0]}")


def _prepare(provider: Any) -> Any:
    from machnuoc.bench import filling_customers
    from machnuoc.billing import runs

    now = filling_customers.NOW
    made = runs.open_run(
        scope=provider.operator.subject, period_start=filling_customers.MONTHS[1], now=now, by=provider.clerk
    )
    runs.approve(runs.preview(made, now=now, by=provider.clerk), by=provider.leader, now=now)
    return runs.start(made, by=provider.clerk, now=now)


def _issue(made: Any, *, watch_sign_in: bool = False) -> _Timed:
    """Issue the run and return how long it took, the most memory of this process, and how long sign-ins waited."""
    from machnuoc.bench import filling_customers
    from machnuoc.billing import runs

    with _signing_in(watch_sign_in) as waits:
        Path("/proc/self/clear_refs").write_text("5")
        begun_s = time.perf_counter()
        runs.issue(made.pk, now=filling_customers.NOW)
        seconds = time.perf_counter() - begun_s
        peak_mb = common.status_kb("VmHWM") / 1024
    made.refresh_from_db()
    if made.state != made.State.DONE or made.bills != made.previewed["bills"]:
        raise common.BenchFailed(f"Đợt #{made.pk} không phát hành hết: {made.bills} hóa đơn, {made.state}.")
    return _Timed(seconds, peak_mb, made.bills, waits())


# --- the bare load ----------------------------------------------------------------------------------------------------


@contextmanager
def _before_the_run() -> Iterator[Callable[[], float]]:
    """Keep the state before the run; what is given afterwards loads the finished rows alone and returns the seconds."""
    from django.db import connection

    folder = Path(tempfile.mkdtemp(prefix="machnuoc-bench-load."))
    try:
        if connection.vendor == "postgresql":
            yield lambda: _load_postgresql(folder)
            return
        main = Path(str(connection.settings_dict["NAME"]))
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        kept = folder / "before.sqlite3"
        shutil.copyfile(main, kept)
        yield lambda: _load_sqlite(main, kept, folder / "finished.sqlite3")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load_postgresql(folder: Path) -> float:
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        for table in _TABLES:
            with (
                (folder / table).open("wb") as file,
                cursor.cursor.copy(f"COPY {table} TO STDOUT (FORMAT BINARY)") as copy,
            ):
                for block in copy:
                    file.write(block)
        cursor.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
    begun_s = time.perf_counter()
    for table in _TABLES:
        with (
            transaction.atomic(),
            connection.cursor() as cursor,
            cursor.cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy,
            (folder / table).open("rb") as file,
        ):
            while block := file.read(1 << 20):
                copy.write(block)
    return time.perf_counter() - begun_s


def _load_sqlite(main: Path, kept: Path, finished: Path) -> float:
    """Load the rows that the run added into the database as it was before it, and return the seconds of writing."""
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.move(main, finished)
    for name in ("-wal", "-shm"):
        Path(f"{main}{name}").unlink(missing_ok=True)
    shutil.move(kept, main)
    spent_s = 0.0
    source = sqlite3.connect(finished)
    try:
        for table in _TABLES:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")  # noqa: S608
                last_id = cursor.fetchone()[0]
            rows = source.execute(f"SELECT * FROM {table} WHERE id > ? ORDER BY id", [last_id])  # noqa: S608
            marks = ",".join("?" * len(rows.description))
            while batch := rows.fetchmany(_LOAD_ROWS):
                begun_s = time.perf_counter()
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.cursor.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)  # noqa: S608
                spent_s += time.perf_counter() - begun_s
    finally:
        source.close()
    return spent_s


# --- the plain loop ---------------------------------------------------------------------------------------------------


def bill_one_by_one(provider: Any) -> None:
    """Bill the provider's connections as one would write it first: objects, one connection after the other."""
    from datetime import timedelta

    from django.db import transaction

    from machnuoc.bench import filling_customers
    from machnuoc.billing import corrections, ledger
    from machnuoc.billing.models import Bill, BillingProfile, BillLine, InvoiceSeries
    from machnuoc.core.periods import local_date
    from machnuoc.customers.models import Connection

    before, month = filling_customers.MONTHS
    now = filling_customers.NOW
    for home in Connection.objects.filter(work__operator=provider.operator).select_related("customer", "work"):
        with transaction.atomic():
            begin = home.readings.get(period_start_date=before, state="ACCEPTED")
            end = home.readings.get(period_start_date=month, state="ACCEPTED")
            days = local_date(begin.read_at), local_date(end.read_at)
            volume_l = (end.index_l or 0) - (begin.index_l or 0)
            charge = corrections.charge_for(
                home, *days, corrections.Facts(volume_l, home.group, home.households, home.persons)
            )
            series = InvoiceSeries.objects.select_for_update().get(operator=provider.operator, is_active=True)
            profile = BillingProfile.objects.get(operator=provider.operator)
            bill = Bill.objects.create(
                series=series, number=series.next_number, operator=provider.operator, connection=home,
                customer=home.customer, period_start_date=month, from_date=days[0], to_date=days[1], group=home.group,
                tariff=provider.operator.subject.tariffs.get(), households=home.households, persons=home.persons,
                from_reading=begin, to_reading=end, volume_l=volume_l, net_vnd=charge.net_vnd, vat_vnd=charge.vat_vnd,
                fee_vnd=charge.fee_vnd, total_vnd=charge.total_vnd,
                due_date=local_date(now) + timedelta(days=profile.due_days), issued_at=now,
            )  # fmt: skip
            series.next_number += 1
            series.save()
            for order, line in enumerate(charge.lines, start=1):
                BillLine.objects.create(
                    bill=bill, order=order, tariff_id=line.tariff_id, group=line.group, block=line.block,
                    days=line.days, volume_l=line.volume_l, price_vnd=line.price_vnd, amount_vnd=line.amount_vnd,
                )  # fmt: skip
            ledger.post(ledger.bill_moves(bill, now))


# --- somebody signs in meanwhile --------------------------------------------------------------------------------------


@contextmanager
def _signing_in(wanted: bool) -> Iterator[Callable[[], list[float]]]:
    """Let a process of its own sign in again and again; what is given tells how long each took, in seconds."""
    if not wanted:
        yield list
        return
    from machnuoc.core.models import Person

    person = Person.objects.get(username=_WHO)
    person.set_password(_PASSWORD)
    person.save(update_fields=["password"])
    child = subprocess.Popen(
        [sys.executable, "-m", "machnuoc", "bench", "--json", "billing", "--here", "--sign-in"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdin, stdout = child.stdin, child.stdout
    if stdin is None or stdout is None or stdout.readline().strip() != "ready":
        raise common.BenchFailed("Tiến trình đăng nhập thử không khởi động được; xem lỗi ở trên.")
    waits: list[float] = []
    try:
        yield lambda: waits
    finally:
        stdin.close()  # it ends after the sign-in under way
        said = stdout.read().splitlines()
        child.wait(60)
        waits += json.loads(said[-1])["waits_s"] if said else []


def sign_in_again_and_again() -> dict[str, Any]:
    """Sign in, a pause, and once more, until the standard input ends; report how long each took."""
    import select

    from django.test import Client

    def sign_in() -> float:
        begun_s = time.perf_counter()
        answer = Client(HTTP_HOST="localhost").post("/dang-nhap/", {"username": _WHO, "password": _PASSWORD})
        if answer.status_code != 302:
            raise common.BenchFailed(f"Không đăng nhập được trong khi đo: mã {answer.status_code}.")
        return time.perf_counter() - begun_s

    waits: list[float] = []
    sign_in()  # the first one loads the program
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], _SIGN_IN_EVERY_S)[0]:
        waits.append(sign_in())
    return {"waits_s": waits}
