"""Billing runs: previewed, approved, issued in chunks, stopped and taken up again. A connection gets one bill a month.

A chunk is one transaction: its bills, lines, postings, numbers and the run's cursor are there together or not at all. A
process killed anywhere leaves whole chunks behind; whoever takes the run up goes on after the last of them.
What was approved is what is issued: every chunk carries a hash of its bills, and one that has changed is asked anew.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from numpy.typing import NDArray

from machnuoc.billing import bulk, corrections, payments, price_columns, run_columns, tariff_columns
from machnuoc.billing.corrections import Due
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Account, Bill, BillingProfile, BillingRun, BillLine, InvoiceSeries, Posting, RunSkip
from machnuoc.billing.run_columns import GROUPS, REASONS, Priced
from machnuoc.core import audit, jobs, notices
from machnuoc.core.models import Person
from machnuoc.core.periods import Period, local_date
from machnuoc.customers import application_operations, reading_queries, visibility
from machnuoc.places import access
from machnuoc.places.models import Containment, Organisation, Subject
from machnuoc.works.models import Work


def _months(keys: set[str]) -> dict[str, str]:
    return {key: f"{key[5:]}/{key[:4]}" for key in keys}


audit.describe("billing.run.opened", "lập đợt hóa đơn kỳ {period}", period=_months)
audit.describe("billing.run.previewed", "tính thử đợt hóa đơn #{run}: {count} hóa đơn")
audit.describe("billing.run.approved", "duyệt đợt hóa đơn #{run}: {count} hóa đơn")
audit.describe("billing.run.started", "phát hành đợt hóa đơn #{run}")
audit.describe("billing.run.stopped", "tạm dừng đợt hóa đơn #{run}")
audit.describe("billing.run.cancelled", "hủy đợt hóa đơn #{run}")
audit.describe("billing.run.finished", "phát hành xong đợt hóa đơn #{run}: {count} hóa đơn")

State = BillingRun.State
LIVE = (State.PREVIEW, State.APPROVED, State.ISSUING, State.STOPPED)
ISSUE_TASK, PREVIEW_TASK = "billing.issue_run", "billing.preview_run"
NOTICE = "billing.run"
# The one writer of SQLite is held for a fraction of a second; PostgreSQL's writers do not wait for each other.
CHUNK = {"sqlite": 4_000, "postgresql": 20_000}
# Adjustments of estimated months are made one by one: so many in one transaction.
TRUE_UPS = {"sqlite": 20, "postgresql": 500}
# A waiting writer of SQLite looks again every tenth of a second: without a pause it might never find the lock free.
GAP_S = {"sqlite": 0.105, "postgresql": 0.0}
AT_ONCE = 20_000  # connections: a run of no more is previewed while the person waits
_SHOWN_OUTLIERS = 100
_SHOWN_SKIPS = 200
Progress = Callable[[int, int], None]


class ChangedSincePreview(BillingError):
    """Readings, prices or connections have changed since the totals were approved."""


class RunStopped(BillingError):
    """Somebody stopped the run, or it is in another's hands."""


def _nothing(done: int, total: int) -> None:
    return None


# --- opening ----------------------------------------------------------------------------------------------------------


def list_works(scope: Subject | int) -> list[Work]:
    """Return the works under a subject that have somebody to bill."""
    scope_id = scope if isinstance(scope, int) else scope.pk
    inside = Containment.objects.filter(ancestor_id=scope_id).values("descendant_id")
    return list(visibility.works_with_customers().filter(pk__in=inside).select_related("subject", "operator"))


@transaction.atomic
def open_run(
    *, scope: Subject, period_start: date, now: datetime, by: Person | None, is_simulated: bool = False
) -> BillingRun:
    """Open a run of a month for the connections under a subject; nothing is issued before it is approved.

    Raises BillingError: no works, several operators, no series of numbers, a run of the same connections is open.
    """
    if by is not None:
        access.require(by, "bill", scope)
    if period_start.day != 1:
        raise ValueError("a billing month begins on its first day")
    label = f"kỳ {period_start:%m/%Y} của «{scope.name}»"
    works = list_works(scope)
    if not works:
        raise BillingError(f"Chưa lập được hóa đơn {label}: không có đấu nối nào. Nhập đấu nối rồi lập lại.")
    operators = {work.operator_id for work in works}
    if len(operators) > 1 or None in operators:
        raise BillingError(
            f"Chưa lập được hóa đơn {label}: các công trình thuộc nhiều đơn vị cấp nước hoặc chưa rõ đơn vị. "
            "Chọn một đơn vị hay một công trình, hoặc bổ sung đơn vị vận hành ở hồ sơ công trình."
        )
    operator = Organisation.objects.get(pk=operators.pop())
    _require_series(operator)
    reach = Containment.objects.filter(ancestor=scope).values("descendant_id")
    held = Containment.objects.filter(descendant=scope).values("ancestor_id")
    for other in BillingRun.objects.filter(period_start_date=period_start, state__in=LIVE).filter(
        scope_id__in=reach.union(held)
    ):
        raise BillingError(
            f"Kỳ {period_start:%m/%Y} đang có đợt #{other.pk} cho «{other.scope.name}», gồm những đấu nối này. "
            "Mở đợt đó để làm tiếp, hoặc hủy nó trước khi lập đợt khác."
        )
    try:
        with transaction.atomic():
            run = BillingRun.objects.create(
                operator=operator, scope=scope, period_start_date=period_start, created_at=now, created_by=by,
                is_simulated=is_simulated,
            )  # fmt: skip
    except IntegrityError:
        raise BillingError(f"Vừa có người khác mở đợt hóa đơn {label}. Tải lại trang để làm tiếp đợt đó.") from None
    audit.record("billing.run.opened", actor=by, target=run, period=f"{period_start:%Y-%m}")
    return run


def _require_series(operator: Organisation) -> tuple[InvoiceSeries, BillingProfile]:
    series = InvoiceSeries.objects.filter(operator=operator, is_active=True).first()
    profile = BillingProfile.objects.filter(operator=operator).first()
    if series is None or profile is None:
        raise BillingError(
            f"«{operator}» chưa có {'ký hiệu hóa đơn' if series is None else 'thông tin phát hành hóa đơn'} đang dùng. "
            "Khai báo ở «Lập hóa đơn» → «Thông tin phát hành» rồi làm lại."
        )
    return series, profile


# --- preview ----------------------------------------------------------------------------------------------------------


def is_small(run: BillingRun) -> bool:
    """Return whether the run can be previewed while a person waits."""
    return run_columns.count_connections([work.pk for work in list_works(run.scope_id)]) <= AT_ONCE


def preview(run: BillingRun, *, now: datetime, by: Person | None = None, progress: Progress = _nothing) -> BillingRun:
    """Compute what is left to issue, and keep the totals and their hash; no bill is stored.

    Raises BillingError if the run is being issued or ended.
    """
    if run.state not in (State.PREVIEW, State.APPROVED, State.STOPPED):
        raise BillingError(
            f"Đợt #{run.pk} đang ở bước «{run.get_state_display().lower()}» nên không tính thử lại. Tải lại trang."
        )
    totals = _Totals(run)
    work_ids = [work.pk for work in list_works(run.scope_id)]
    prices = price_columns.read_prices(work_ids, run.period_start_date)
    whole = run_columns.count_connections(work_ids)
    cursor, done = run.cursor, 0
    while True:
        rows = run_columns.list_connections(work_ids, cursor, CHUNK[connection.vendor])
        if not len(rows.id):
            break
        last_id = int(rows.id[-1])
        billed = run_columns.list_billed(run.period_start_date, int(rows.id[0]), last_id)
        priced = run_columns.price(run.period_start_date, rows, prices, billed)
        totals.add(cursor, last_id, priced, corrections.list_due(priced.true_ups, rows.id.tolist(), run=run))
        cursor, done = last_id, done + priced.seen
        progress(done, max(whole, done))
    with transaction.atomic():
        changed = BillingRun.objects.filter(pk=run.pk, version=run.version, state=run.state).update(
            state=State.PREVIEW, previewed=totals.as_json(now), approved_at=None, approved_by=None,
            version=run.version + 1,
        )  # fmt: skip
        if not changed:
            raise BillingError(f"Đợt #{run.pk} vừa được người khác thay đổi. Tải lại trang rồi làm lại.")
        run.refresh_from_db()
        audit.record(
            "billing.run.previewed", actor=by, target=run, run=run.pk, count=totals.bills, hash=run.previewed["hash"]
        )
    return run


class _Totals:
    """What a preview gathers while it goes through the chunks."""

    def __init__(self, run: BillingRun) -> None:
        self.run = run
        self.bills = self.volume_l = self.net = self.vat = self.fee = self.total = 0
        self.estimated = self.zero = self.simulated = self.billed_before = 0
        self.chunks: list[list[Any]] = []
        self.by_group = np.zeros((len(GROUPS), 3), np.int64)
        self.by_work: dict[int, NDArray[np.int64]] = {}
        self.skips: dict[str, int] = {}
        self.shown_skips: list[tuple[int, str]] = []
        self.outliers: list[dict[str, Any]] = []
        # Bills, volume, total of those with a bill in the month before too: then, and now.
        self.last, self.same = np.zeros(3, np.int64), np.zeros(3, np.int64)
        self.true_ups = {"count": 0, "volume_l": 0, "up": 0, "down": 0, "net": 0, "vat": 0, "fee": 0, "total": 0}

    def add(self, after_id: int, last_id: int, priced: Priced, dues: Sequence[Due]) -> None:
        count = len(priced.connection_id)
        self.chunks.append([after_id, last_id, _digest(priced, dues)])
        self.bills += count
        for name in ("volume_l", "net", "vat", "fee", "total"):
            column = getattr(priced, name if name == "volume_l" else f"{name}_vnd")
            setattr(self, name, getattr(self, name) + int(column.sum()))
        self.estimated += int(priced.is_estimated.sum())
        self.zero += int((priced.volume_l == 0).sum())
        self.simulated += int((priced.is_simulated != 0).sum())
        for due in dues:
            self._count_due(due)
        for number, column in enumerate((np.ones(count, np.int64), priced.volume_l, priced.total_vnd)):
            np.add.at(self.by_group[:, number], priced.group, column)
            for work in np.unique(priced.work_id).tolist():
                sums = self.by_work.setdefault(work, np.zeros(3, np.int64))
                sums[number] += int(column[priced.work_id == work].sum())
        for code, number in zip(*np.unique(priced.reason, return_counts=True), strict=True):
            self.skips[REASONS[int(code)]] = self.skips.get(REASONS[int(code)], 0) + int(number)
        room = _SHOWN_SKIPS - len(self.shown_skips)
        self.shown_skips += [
            (int(pk), REASONS[int(code)]) for pk, code in zip(priced.skipped[:room], priced.reason[:room], strict=True)
        ]
        self._compare(priced)

    def _count_due(self, due: Due) -> None:
        """Add what is still to be adjusted of an estimated month: what this run has issued already is issued."""
        if due.is_done:
            return
        left_vnd = due.total_vnd - due.done.total_vnd
        sums = self.true_ups
        sums["count"] += 1
        sums["volume_l"] += due.difference_l
        sums["up" if left_vnd > 0 else "down"] += left_vnd
        sums["net"] += due.net_vnd - due.done.net_vnd
        sums["vat"] += due.vat_vnd - due.done.vat_vnd
        sums["fee"] += due.fee_vnd - due.done.fee_vnd
        sums["total"] += left_vnd

    def _compare(self, priced: Priced) -> None:
        """Set the bills beside those of the month before, and keep those that stand out."""
        if not len(priced.connection_id):
            return
        before = (self.run.period_start_date - timedelta(days=1)).replace(day=1)
        known, last_l, last_vnd = run_columns.list_bills(
            before, int(priced.connection_id[0]), int(priced.connection_id[-1])
        )
        at = np.searchsorted(priced.connection_id, known)
        at = np.minimum(at, len(priced.connection_id) - 1)
        mine = priced.connection_id[at] == known
        self.last += np.array([mine.sum(), last_l[mine].sum(), last_vnd[mine].sum()], np.int64)
        both = at[mine]
        self.same += np.array([mine.sum(), priced.volume_l[both].sum(), priced.total_vnd[both].sum()], np.int64)
        was_l = np.full(len(priced.connection_id), -1, np.int64)
        was_l[at[mine]] = last_l[mine]
        was_vnd = np.zeros(len(priced.connection_id), np.int64)
        was_vnd[at[mine]] = last_vnd[mine]
        sudden = (was_l >= 0) & (priced.volume_l > 3 * np.maximum(was_l, 1)) & (priced.volume_l > was_l + 10_000)
        stopped = (was_l > 0) & (priced.volume_l == 0)
        large = priced.total_vnd >= _large(priced.total_vnd)
        long = priced.to_day - priced.from_day > reading_queries.LONGEST_FIRST_DAYS
        kinds = (("LONG", long), ("SUDDEN", sudden), ("ZERO", stopped), ("LARGE", large & ~sudden))
        for kind, which in kinds:
            for row in np.flatnonzero(which if kind == "LONG" else which & ~long).tolist():
                self.outliers.append({
                    "connection": int(priced.connection_id[row]), "kind": kind, "volume_l": int(priced.volume_l[row]),
                    "last_l": None if was_l[row] < 0 else int(was_l[row]), "total": int(priced.total_vnd[row]),
                    "last_total": int(was_vnd[row]),
                    "from_day": str(priced.from_day[row].astype("datetime64[D]")),
                })  # fmt: skip
        order = {"LONG": 0, "SUDDEN": 1, "LARGE": 2, "ZERO": 3}
        self.outliers.sort(key=lambda one: (order[one["kind"]], -abs(one["total"] - one["last_total"])))
        del self.outliers[_SHOWN_OUTLIERS:]

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            "bills": self.bills, "volume_l": self.volume_l, "net": self.net, "vat": self.vat, "fee": self.fee,
            "total": self.total, "hash": _whole_hash([chunk[2] for chunk in self.chunks]), "chunks": self.chunks,
            "estimated": self.estimated, "zero": self.zero, "simulated": self.simulated,
            "true_ups": self.true_ups["count"], "true_up": self.true_ups,
            "by_group": {GROUPS[n]: row.tolist() for n, row in enumerate(self.by_group) if row[0]},
            "by_work": {str(work): row.tolist() for work, row in self.by_work.items()},
            "skips": self.skips, "shown_skips": self.shown_skips, "outliers": self.outliers,
            "last": self.last.tolist(), "same": self.same.tolist(), "made_at": now.isoformat(),
        }  # fmt: skip


def _large(total_vnd: NDArray[np.int64]) -> int:
    """Return from which amount a bill of this chunk is among the few large ones: ten times the middle one."""
    return max(2_000_000, 10 * int(np.median(total_vnd))) if len(total_vnd) else 0


def _digest(priced: Priced, dues: Sequence[Due]) -> str:
    """Return the hash of what a chunk issues: its bills, and the adjustments of months estimated before."""
    hashed = hashlib.sha256(priced.digest())
    for due in dues:
        hashed.update(repr(due.figures()).encode())
    return (hashed.hexdigest() if dues else priced.digest().hex())[:32]


def _whole_hash(digests: Sequence[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:32]


# --- approval ---------------------------------------------------------------------------------------------------------


def may_approve(person: Person, run: BillingRun) -> str:
    """Return why the person may not approve the run, or nothing.

    Whoever approves holds «bill» and «approve» there, and did not prepare it, unless nobody else could.
    """
    if not (access.may(person, "bill", run.scope_id) and access.may(person, "approve", run.scope_id)):
        return "Người duyệt phải có quyền lập hóa đơn và quyền duyệt trong phạm vi của đợt."
    if run.created_by_id == person.pk and corrections.others_may_approve(person, run.scope_id):
        return "Người lập đợt không tự duyệt khi có người khác duyệt được. Nhờ lãnh đạo khác duyệt."
    return ""


@transaction.atomic
def approve(run: BillingRun, *, by: Person, now: datetime, hash_seen: str | None = None) -> BillingRun:
    """Approve the previewed totals. hash_seen: of the totals on the person's screen.

    Raises BillingError if there is no preview, it is another one by now, or the person may not.
    """
    run = BillingRun.objects.select_for_update(of=("self",)).select_related("scope").get(pk=run.pk)
    why_not = may_approve(by, run)
    if why_not:
        raise BillingError(f"Chưa duyệt được đợt #{run.pk}. {why_not}")
    if run.state != State.PREVIEW or "hash" not in run.previewed:
        raise BillingError(
            f"Đợt #{run.pk} đang ở bước «{run.get_state_display().lower()}», không có bản tính thử nào chờ duyệt. "
            "Tải lại trang để xem."
        )
    if hash_seen is not None and hash_seen != run.previewed["hash"]:
        raise BillingError(f"Bản tính thử của đợt #{run.pk} đã được tính lại. Xem số mới rồi duyệt.")
    if not (run.previewed["bills"] or run.previewed.get("true_ups")):
        raise BillingError(f"Đợt #{run.pk} không có hóa đơn nào để phát hành. Xem các đấu nối bị bỏ qua và lý do.")
    run.state, run.approved_at, run.approved_by = State.APPROVED, now, by
    run.version += 1
    run.save(update_fields=["state", "approved_at", "approved_by", "version"])
    audit.record(
        "billing.run.approved", actor=by, target=run, run=run.pk, count=run.previewed["bills"],
        hash=run.previewed["hash"], total_vnd=run.previewed["total"],
        true_up_vnd=run.previewed.get("true_up", {}).get("total", 0),
    )  # fmt: skip
    return run


@transaction.atomic
def start(run: BillingRun, *, by: Person, now: datetime) -> BillingRun:
    """Begin issuing an approved run, or go on with a stopped one. Raises BillingError if it runs already."""
    access.require(by, "bill", run.scope_id)
    run = BillingRun.objects.select_for_update().get(pk=run.pk)
    if run.state == State.ISSUING:
        raise BillingError(f"Đợt #{run.pk} đang được phát hành rồi. Chờ chạy xong, hoặc bấm «Tạm dừng».")
    if run.state not in (State.APPROVED, State.STOPPED) or run.approved_at is None:
        raise BillingError(
            f"Đợt #{run.pk} đang ở bước «{run.get_state_display().lower()}» nên chưa phát hành được. "
            "Tính thử và duyệt trước."
        )
    run.state = State.ISSUING
    run.job = jobs.enqueue(ISSUE_TASK, by=by, schedule=f"{ISSUE_TASK}.{run.pk}", run_id=run.pk)
    run.version += 1
    run.save(update_fields=["state", "job", "version"])
    audit.record("billing.run.started", actor=by, target=run, run=run.pk)
    return run


@transaction.atomic
def stop(run: BillingRun, *, by: Person, now: datetime) -> BillingRun:
    """Stop issuing after the chunk that is being written. Raises BillingError if it does not run."""
    access.require(by, "bill", run.scope_id)
    changed = BillingRun.objects.filter(pk=run.pk, state=State.ISSUING).update(state=State.STOPPED)
    if not changed:
        raise BillingError(f"Đợt #{run.pk} không đang phát hành nên không có gì để dừng. Tải lại trang để xem.")
    run.refresh_from_db()
    audit.record("billing.run.stopped", actor=by, target=run, run=run.pk)
    return run


@transaction.atomic
def cancel(run: BillingRun, *, by: Person, now: datetime) -> BillingRun:
    """Cancel a run that has issued nothing. Raises BillingError."""
    access.require(by, "bill", run.scope_id)
    run = BillingRun.objects.select_for_update().get(pk=run.pk)
    issued = run.issued.count()  # adjustments of estimated months too, which come before the bills
    if issued or run.state not in (State.PREVIEW, State.APPROVED, State.STOPPED):
        raise BillingError(
            f"Đợt #{run.pk} đã phát hành {issued} hóa đơn hoặc đã kết thúc nên không hủy được. "
            "Hóa đơn sai thì điều chỉnh hoặc thay thế từng hóa đơn."
        )
    run.state, run.finished_at = State.CANCELLED, now
    run.version += 1
    run.save(update_fields=["state", "finished_at", "version"])
    audit.record("billing.run.cancelled", actor=by, target=run, run=run.pk)
    return run


# --- issuing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issued:
    """What one call of `issue` did."""

    bills: int
    total_vnd: int
    is_done: bool
    message: str = ""


def issue(run_id: int, *, now: datetime, progress: Progress = _nothing) -> Issued:
    """Issue what is left of a run, chunk by chunk. Called again after a kill it goes on after the last whole chunk.

    Raises RunStopped if the run is not being issued. Where something has changed since the approval nothing more is
    issued: the run waits for a new preview, and says what differs.
    """
    run = BillingRun.objects.select_related("operator", "scope", "approved_by").get(pk=run_id)
    if run.state != State.ISSUING:
        raise RunStopped(f"Đợt #{run.pk} đang ở bước «{run.get_state_display().lower()}».")
    work_ids = [work.pk for work in list_works(run.scope_id)]
    prices = price_columns.read_prices(work_ids, run.period_start_date)
    chunks = [chunk for chunk in run.previewed["chunks"] if chunk[0] >= run.cursor]
    if not run.bills and (differs := _find_change(run, work_ids, prices, chunks)):
        return _ask_anew(run, now, differs, run.cursor)
    bills = total_vnd = 0
    free_at = time.monotonic()
    for number, (after_id, last_id, digest) in enumerate(chunks):
        priced, dues = _price_chunk(run, work_ids, prices, after_id, last_id)
        if _digest(priced, dues) != digest:
            return _ask_anew(run, now, (after_id, last_id), after_id)
        time.sleep(max(0.0, free_at - time.monotonic()))
        try:
            _write_true_ups(run, after_id, dues, now)
            _write_chunk(run, after_id, last_id, priced, now)
        except (ChangedSincePreview, corrections.AlreadyCorrected):
            return _ask_anew(run, now, (after_id, last_id), after_id)
        bills, total_vnd = bills + len(priced.connection_id), total_vnd + int(priced.total_vnd.sum())
        free_at = time.monotonic() + GAP_S[connection.vendor]
        progress(number + 1, len(chunks))
    with transaction.atomic():
        finished = BillingRun.objects.filter(pk=run.pk, state=State.ISSUING).update(
            state=State.DONE, finished_at=now, version=run.version + 1
        )
        run.refresh_from_db()
        if finished:
            audit.record(
                "billing.run.finished", actor=run.approved_by, target=run, run=run.pk, count=run.bills,
                total_vnd=run.total_vnd, hash=run.previewed["hash"],
            )  # fmt: skip
    return Issued(bills, total_vnd, run.state == State.DONE)


def _price_chunk(
    run: BillingRun, work_ids: list[int], prices: price_columns.PriceColumns, after_id: int, last_id: int
) -> tuple[Priced, list[Due]]:
    rows = run_columns.list_connections(work_ids, after_id, 10**9, upto_id=last_id)
    billed = run_columns.list_billed(run.period_start_date, after_id + 1, last_id)
    priced = run_columns.price(run.period_start_date, rows, prices, billed)
    return priced, corrections.list_due(priced.true_ups, rows.id.tolist(), run=run)


def _find_change(
    run: BillingRun, work_ids: list[int], prices: price_columns.PriceColumns, chunks: list[list[Any]]
) -> tuple[int, int] | None:
    """Return the first chunk (ids after, up to) that is no longer what was approved."""
    for after_id, last_id, digest in chunks:
        if _digest(*_price_chunk(run, work_ids, prices, after_id, last_id)) != digest:
            return after_id, last_id
    return None


def _ask_anew(run: BillingRun, now: datetime, where: tuple[int, int], cursor: int) -> Issued:
    """Stop the run and compute what it would be now, for a person to compare and approve.

    cursor: how far the run had come when the change was seen. Raises RunStopped if it has gone on since: what looked
    changed are the bills of another worker.
    """
    before = {name: run.previewed[name] for name in ("bills", "volume_l", "net", "vat", "fee", "total")}
    before["true_up"] = run.previewed.get("true_up", {}).get("total", 0)
    approver, creator = run.approved_by, run.created_by
    at_work = BillingRun.objects.filter(pk=run.pk, state=State.ISSUING)
    changed = at_work.filter(cursor=cursor).update(state=State.STOPPED)
    run.refresh_from_db()
    if not changed and run.state == State.ISSUING:
        raise RunStopped(f"Đợt #{run.pk} đang do bộ chạy nền khác phát hành.")
    if not changed:
        return Issued(0, 0, False, "Đợt đã được dừng.")
    issued_bills, issued_vnd = run.bills, run.total_vnd
    run = preview(run, now=now)
    run.previewed["changed"] = {
        "before": before, "first_id": where[0] + 1, "last_id": where[1], "issued": [issued_bills, issued_vnd],
    }  # fmt: skip
    run.save(update_fields=["previewed"])
    text = (
        f"Đợt hóa đơn #{run.pk} kỳ {run.period_start_date:%m/%Y} chưa phát hành tiếp: chỉ số, giá hoặc hồ sơ "
        "đấu nối đã thay đổi sau khi duyệt. Xem số mới và duyệt lại."
    )
    people = [person for person in {approver, creator} if person is not None]
    notices.notify(people, kind=NOTICE, text=text, url=f"/lap-hoa-don/{run.pk}/")
    return Issued(0, 0, False, text)


def _write_true_ups(run: BillingRun, after_id: int, dues: Sequence[Due], now: datetime) -> None:
    """Adjust the estimated months that were read by now, before the bills of the chunk: some at a time.

    Whoever takes the run up after a kill finds them again, since the chunk has no bills, and makes no adjustment twice.
    """
    for first in range(0, len(dues), TRUE_UPS[connection.vendor]):
        part = dues[first : first + TRUE_UPS[connection.vendor]]
        with transaction.atomic():
            _hold(run, after_id)
            # Before bills and numbers, as corrections do.
            payments.lock_money(sorted({due.bill.connection_id for due in part}))
            corrections.true_up(part, run=run, now=now)
        time.sleep(GAP_S[connection.vendor])


def _hold(run: BillingRun, after_id: int) -> BillingRun:
    """Return the run as it is, held until the transaction ends. Raises RunStopped if it is not ours at this chunk."""
    held = BillingRun.objects.select_for_update().only("state", "cursor", "bills", "total_vnd").get(pk=run.pk)
    if held.state != State.ISSUING or held.cursor != after_id:
        raise RunStopped(f"Đợt #{run.pk} đã được dừng, hoặc đang do bộ chạy nền khác phát hành.")
    return held


def _write_chunk(run: BillingRun, after_id: int, last_id: int, priced: Priced, now: datetime) -> None:
    """Store the bills of a chunk with everything that belongs to them, in one transaction."""
    count = len(priced.connection_id)
    with transaction.atomic():
        held = _hold(run, after_id)
        if count and len(
            np.intersect1d(run_columns.list_billed(run.period_start_date, after_id + 1, last_id), priced.connection_id)
        ):
            raise ChangedSincePreview("A bill of the month came from elsewhere.")
        if count:
            series = InvoiceSeries.objects.select_for_update().get(operator=run.operator, is_active=True)
            profile = BillingProfile.objects.only("due_days").get(operator=run.operator)
            ids = bulk.take_ids(Bill, count)
            first_number = series.next_number
            InvoiceSeries.objects.filter(pk=series.pk).update(next_number=first_number + count)
            today = local_date(now)
            _write_bills(run, priced, ids, series.pk, first_number, today + timedelta(days=profile.due_days), now)
            _write_lines(priced.lines, ids)
            _write_postings(run, priced, ids, today, now)
            application_operations.mark_billed(priced.connection_id.tolist(), now)
        if len(priced.skipped):
            texts = REASONS
            bulk.insert(
                RunSkip,
                {
                    "run_id": run.pk, "connection_id": priced.skipped, "reason": bulk.Coded(priced.reason, texts),
                    "detail": "",
                },
                len(priced.skipped),
            )  # fmt: skip
        BillingRun.objects.filter(pk=run.pk).update(
            cursor=last_id, bills=held.bills + count, total_vnd=held.total_vnd + int(priced.total_vnd.sum())
        )


def _write_bills(
    run: BillingRun, priced: Priced, ids: NDArray[np.int64], series_id: int, first_number: int, due: date, now: datetime
) -> None:
    count = len(ids)
    bulk.insert(
        Bill,
        {
            "id": ids, "series_id": series_id, "number": first_number + np.arange(count, dtype=np.int64),
            "operator_id": run.operator_id, "run_id": run.pk, "connection_id": priced.connection_id,
            "customer_id": priced.customer_id, "period_start_date": run.period_start_date,
            "from_date": priced.from_day.astype("datetime64[D]"), "to_date": priced.to_day.astype("datetime64[D]"),
            "kind": str(Bill.Kind.NORMAL), "state": str(Bill.State.ISSUED), "reason": "",
            "group": bulk.Coded(priced.group, GROUPS), "tariff_id": priced.tariff_id,
            "households": priced.households, "persons": priced.persons,
            "from_reading_id": bulk.Optional(priced.from_reading), "to_reading_id": bulk.Optional(priced.to_reading),
            "volume_l": priced.volume_l, "is_estimated": priced.is_estimated != 0, "net_vnd": priced.net_vnd,
            "vat_vnd": priced.vat_vnd, "fee_vnd": priced.fee_vnd, "total_vnd": priced.total_vnd, "due_date": due,
            "issued_at": now, "issued_by_id": run.approved_by_id,
            "is_simulated": (priced.is_simulated != 0) | run.is_simulated,
        },
        count,
    )  # fmt: skip


def _write_lines(lines: tariff_columns.LineColumns, ids: NDArray[np.int64]) -> None:
    bulk.insert(
        BillLine,
        {
            "bill_id": ids[lines.usage], "order": lines.order, "tariff_id": lines.tariff_id,
            "group": bulk.Coded(lines.group, GROUPS), "block": lines.block, "days": lines.days,
            "volume_l": lines.volume_l, "price_vnd": lines.price_vnd, "amount_vnd": lines.amount_vnd,
        },
        len(lines.usage),
    )  # fmt: skip


def _write_postings(run: BillingRun, priced: Priced, ids: NDArray[np.int64], today: date, now: datetime) -> None:
    """Post every bill: receivable from revenue, VAT and fee; what is 0 is not posted."""
    sources, credits, amounts = [], [], []
    accounts = (str(Account.REVENUE.value), str(Account.VAT.value), str(Account.FEE.value))
    for code, amount_vnd in enumerate((priced.net_vnd, priced.vat_vnd, priced.fee_vnd)):
        some = np.flatnonzero(amount_vnd)
        sources.append(some)
        credits.append(np.full(len(some), code, np.int64))
        amounts.append(amount_vnd[some])
    row = np.concatenate(sources)
    given, amount = np.concatenate(credits), np.concatenate(amounts)
    bulk.insert(
        Posting,
        {
            "operator_id": run.operator_id, "at": now, "date": today, "debit": str(Account.RECEIVABLE.value),
            "credit": bulk.Coded(given, accounts), "amount_vnd": amount, "connection_id": priced.connection_id[row],
            "source": str(Posting.Source.BILL.value), "source_id": ids[row],
            "is_simulated": (priced.is_simulated[row] != 0) | run.is_simulated,
        },
        len(row),
    )  # fmt: skip


# --- what was left out ------------------------------------------------------------------------------------------------


def count_waiting(run: BillingRun) -> dict[str, int]:
    """Return how many of the run's skipped connections have no bill of the month yet, by reason."""
    billed = Bill.objects.filter(
        period_start_date=run.period_start_date, state=Bill.State.ISSUED,
        kind__in=[Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT],
    )  # fmt: skip
    waiting = run.skips.exclude(connection_id__in=billed.values("connection_id"))
    return dict(waiting.values_list("reason").annotate(count=Count("id")).order_by("reason"))


def period_of(run: BillingRun) -> Period:
    return Period("M", run.period_start_date)
