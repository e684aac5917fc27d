"""What the benchmarks share: throw-away databases, processes of their own, medians, memory, the shape of a report."""

import dataclasses
import gc
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from machnuoc.bench import cluster

DATABASES = ("sqlite", "postgresql")
REPETITIONS = 3
_CHILD_TIMEOUT_S = 3600
S = TypeVar("S", bound=Any)


class BenchFailed(Exception):
    """The measurement did not come to an end; the text says why."""


@dataclass(frozen=True)
class Result:
    """One figure of a report. value: None where it could not be measured; note says why. ratio: value ÷ peer."""

    metric: str
    value: float | None
    unit: str
    against: str = ""
    ratio: float | None = None
    limit: float | None = None
    note: str = ""

    def as_row(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "metric": self.metric,
            "value": _short(self.value),
            "unit": self.unit,
            "against": self.against,
            "ratio": _short(self.ratio),
        }
        if self.limit is not None:
            row["limit"] = self.limit
        if self.note:
            row["note"] = self.note
        return row


def _short(number: float | None) -> float | None:
    """Return the number with four significant digits: more would only be noise."""
    return None if number is None else float(f"{number:.4g}")


def report(bench: str, size: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """Return the report as `machnuoc bench NAME --json` prints it (design: contract of the benchmarks)."""
    return {"bench": bench, "size": size, "results": [result.as_row() for result in results]}


def seconds(act: Callable[[], Any]) -> float:
    """Return how long one call takes, with the rubbish of earlier ones cleared away first."""
    gc.collect()
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


def median(numbers: list[float]) -> float:
    return statistics.median(numbers)


def percentile(numbers: list[float], share: float) -> float:
    """Return the smallest number that at least this share (0-1) of the numbers do not exceed.

    >>> percentile([3.0, 1.0, 2.0, 4.0], 0.95)
    4.0
    """
    ordered = sorted(numbers)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def peak_mb_above_idle(act: Callable[[], Any]) -> float:
    """Return by how many MB the memory of this process rises at most during the call.

    The kernel's own high-water mark, set back before the call (Linux), so that no peak between two samples is lost.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    idle_kb = status_kb("VmRSS")
    act()
    return (status_kb("VmHWM") - idle_kb) / 1024


def status_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise BenchFailed(f"/proc/self/status không có {name}: phép đo bộ nhớ cần Linux.")


@contextmanager
def throw_away_database(kind: str) -> Iterator[dict[str, str]]:
    """Give the environment of a process that works on an empty database of this kind, gone afterwards.

    PostgreSQL: the server of MACHNUOC_BENCH_POSTGRESQL_URL (an empty database for the benchmark alone), or one
    started for this run with fsync on. Raises cluster.NoPostgresql.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    data_dir = Path(tempfile.mkdtemp(prefix="machnuoc-bench."))
    try:
        environment = {**kept, "MACHNUOC_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"}
        given = os.environ.get("MACHNUOC_BENCH_POSTGRESQL_URL", "")
        if kind == "sqlite":
            yield environment
        elif given:
            yield {**environment, "MACHNUOC_DATABASE_URL": given}
        else:
            with cluster.start() as url:
                yield {**environment, "MACHNUOC_DATABASE_URL": url}
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def run_on_each(bench: str, size: str, databases: str, *options: str) -> dict[str, Any]:
    """Run the benchmark in a process of its own on each database and merge the reports.

    Django knows one database from start to end, so each needs its own process. databases: sqlite, postgresql or both.
    Raises BenchFailed.
    """
    merged: dict[str, Any] = {}
    for kind in DATABASES if databases == "both" else (databases,):
        try:
            with throw_away_database(kind) as environment:
                found = run_child(bench, size, environment, *options)
        except cluster.NoPostgresql as reason:
            found = report(bench, {}, [Result(f"{kind}_missing", None, "", note=str(reason))])
        if not merged:
            merged = found
        else:
            merged["size"] = merged["size"] or found["size"]
            merged["results"] += found["results"]
    return merged


def run_child(bench: str, size: str, environment: dict[str, str], *options: str) -> dict[str, Any]:
    """Run the benchmark in a process of its own on the database that this environment names. Raises BenchFailed."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "machnuoc", "bench", "--json", "--size", size, bench, "--here", *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_CHILD_TIMEOUT_S,
    )
    if done.returncode:
        raise BenchFailed(f"Phép đo «{bench}» dừng với mã {done.returncode}; xem lỗi ở trên.")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def read_size(text: str, sizes: Mapping[str, S]) -> S:
    """Return the size of that name (no text: "full"), or the full one with the fields given as communes=300,months=12.

    Raises BenchFailed for anything else.
    """
    if (text or "full") in sizes:
        return sizes[text or "full"]
    known = {field.name for field in dataclasses.fields(sizes["full"])}
    given: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in known or not number.isdigit() or int(number) < 1:
            raise BenchFailed(
                f"Không hiểu cỡ «{text}». Dùng {', '.join(sizes)} hoặc ví dụ {'=100,'.join(sorted(known))}=100."
            )
        given[name] = int(number)
    return dataclasses.replace(sizes["full"], **given)
