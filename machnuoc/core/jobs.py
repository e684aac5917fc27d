"""Background work: a queue in the main database, so that a job is enqueued in the transaction that causes it.

A room's `tasks.py` declares its tasks; each is called as `function(job, **arguments)`, outside any transaction, and
may run twice (a worker that was killed leaves its job to another). Text that it returns becomes the job's message.

    @jobs.task("indicators.recompute", timeout_s=300)
    def recompute(job: Job, *, metric_id: int) -> str: ...

    @jobs.every("core.seal_audit", minutes=5)
    def seal_audit(job: Job) -> None: ...
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from types import FrameType
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from machnuoc.core import audit
from machnuoc.core.models import Job, Person

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 600
MIDNIGHT = time(0)
FIRST_RETRY_S = 30
RETRY_FACTOR = 4  # 30 seconds, 2 minutes, 8 minutes … an hour at most
RETRY_AT_MOST_S = 3_600
RECLAIM_GRACE_S = 30  # a job that ends exactly at its limit still has to write its end
PROGRESS_EVERY_S = 1.0
IDLE_POLL_S = 1.0
HOUSEKEEPING_EVERY_S = 10.0
STOP_GRACE_S = 3.0  # what a running job gets after SIGTERM before it goes back to the queue

TaskFunction = Callable[..., str | None]


class UnknownTask(ValueError):
    """No room declares a task of this name."""


class GiveUp(Exception):
    """Raised by a task that cannot succeed by trying again; its text is shown."""


class NotPossibleNow(Exception):
    """The job is in a state in which it cannot be retried or cancelled."""


class JobInterrupted(BaseException):
    """Ends a running task from outside. A BaseException: a task's own `except Exception` must not hold it up."""


class JobTimedOut(JobInterrupted):
    """The task ran longer than its time limit."""


class JobCancelled(JobInterrupted):
    """The job was cancelled, or handed to another worker, while it ran."""


class WorkerStopping(JobInterrupted):
    """The worker was asked to stop; the job goes back to the queue."""


@dataclass(frozen=True)
class Task:
    name: str
    function: TaskFunction
    timeout_s: int
    max_attempts: int
    title: str


@dataclass(frozen=True)
class Schedule:
    task: str
    every: timedelta
    at: time  # local time of day from which the interval is counted


_tasks: dict[str, Task] = {}
_schedules: dict[str, Schedule] = {}


def task(
    name: str, *, timeout_s: int = DEFAULT_TIMEOUT_S, max_attempts: int = 3, title: str = ""
) -> Callable[[TaskFunction], TaskFunction]:
    """Declare a task. timeout_s: seconds a run may last. max_attempts: runs before the job counts as failed.

    title: what people read, in Vietnamese; without one they read the name.
    """

    def declare(function: TaskFunction) -> TaskFunction:
        _tasks[name] = Task(name, function, timeout_s, max_attempts, title or name)
        return function

    return declare


def every(
    name: str,
    *,
    minutes: int = 0,
    hours: int = 0,
    days: int = 0,
    at: time = MIDNIGHT,
    timeout_s: int = 300,
    title: str = "",
) -> Callable[[TaskFunction], TaskFunction]:
    """Run a task again and again: `@every("core.prune_jobs", days=1, at=time(2, 30))`, local time.

    Declares the task too, unless `@task` below it has done so. A slot that nobody ran is made up for once, not
    once for each slot missed.
    """
    interval = timedelta(minutes=minutes, hours=hours, days=days)
    if not timedelta(minutes=1) <= interval <= timedelta(days=28):
        raise ValueError(f"schedule {name}: the interval must be a minute to 28 days")

    def declare(function: TaskFunction) -> TaskFunction:
        if name not in _tasks:
            task(name, timeout_s=timeout_s, title=title)(function)
        _schedules[name] = Schedule(name, interval, at)
        return function

    return declare


@cache
def _discover() -> None:
    autodiscover_modules("tasks")


def get_task(name: str) -> Task:
    """Return the task of that name. Raises UnknownTask."""
    _discover()
    try:
        return _tasks[name]
    except KeyError:
        raise UnknownTask(f"Không có tác vụ nào tên {name!r}: kiểm tra tên, hoặc phiên bản chương trình.") from None


def get_title(task_name: str) -> str:
    """Return what people read for a task, its name if no room declares it any more."""
    _discover()
    declared = _tasks.get(task_name)
    return declared.title if declared else task_name


def list_titles() -> dict[str, str]:
    """Return every declared task with its title, in the order of the titles."""
    _discover()
    return dict(sorted(((name, declared.title) for name, declared in _tasks.items()), key=lambda item: item[1]))


def enqueue(
    task_name: str,
    *,
    by: Person | None = None,
    run_after_at: datetime | None = None,
    schedule: str = "",
    **arguments: Any,
) -> Job:
    """Queue a task in the current transaction; nothing runs if that is rolled back. Raises UnknownTask.

    schedule: at most one job of this name waits or runs at a time; if there is one, it is returned instead.
    arguments: what JSON holds; ids rather than objects.
    """
    declared = get_task(task_name)
    now = timezone.now()
    new = Job(
        task=task_name,
        arguments=arguments,
        max_attempts=declared.max_attempts,
        enqueued_by=by,
        enqueued_at=now,
        run_after_at=run_after_at or now,
        schedule=schedule,
    )
    if not schedule:
        new.save(force_insert=True)
        return new
    unfinished = Job.objects.filter(schedule=schedule, state__in=[Job.State.QUEUED, Job.State.RUNNING])
    while True:
        waiting = unfinished.first()
        if waiting:
            return waiting
        try:
            with transaction.atomic():
                new.save(force_insert=True)
                return new
        except IntegrityError:
            log.debug("schedule %s was queued by someone else at the same moment", schedule)


# --- running --------------------------------------------------------------------------------------------------------


def run_next(now: datetime) -> Job | None:
    """Run the job that has waited longest, to its end, and return it; None if nothing is due.

    The end is DONE, FAILED, or QUEUED again with a pause that grows. Only WorkerStopping comes out as an exception.
    """
    job = _claim(now)
    if job is None:
        return None
    log.info("job %s %s starts, attempt %s of %s", job.pk, job.task, job.attempts, job.max_attempts)
    try:
        declared = get_task(job.task)
        with _time_limit(declared.timeout_s):
            message = declared.function(job, **job.arguments)
    except JobCancelled:
        log.info("job %s %s was cancelled", job.pk, job.task)
    except WorkerStopping:
        _end(job, Job.State.QUEUED, "Bộ chạy nền dừng giữa chừng; tác vụ sẽ chạy lại.", attempts=job.attempts - 1)
        raise
    except (GiveUp, UnknownTask) as reason:
        _end(job, Job.State.FAILED, str(reason))
    except JobTimedOut:
        log.warning("job %s %s exceeded its time limit", job.pk, job.task)
        _retry_later(job, f"Chạy quá thời hạn {declared.timeout_s} giây nên bị dừng.")
    except Exception as reason:
        log.exception("job %s %s failed", job.pk, job.task)
        _retry_later(job, str(reason) or type(reason).__name__)
    else:
        _end(job, Job.State.DONE, message or "")
    job.refresh_from_db()
    return job


def _claim(now: datetime) -> Job | None:
    due = Job.objects.filter(state=Job.State.QUEUED, run_after_at__lte=now).order_by("run_after_at", "id")
    if not due.exists():  # an idle worker must not take SQLite's one write lock every second
        return None
    with transaction.atomic():
        # On SQLite the transaction holds the write lock from its start (BEGIN IMMEDIATE), so nobody comes between.
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        job = due.first()
        if job is None:
            return None
        job.state = Job.State.RUNNING
        job.attempts += 1
        job.started_at = job.heartbeat_at = now
        job.finished_at = None
        job.progress_done = job.progress_total = 0
        job.message = ""
        claimed = Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(
            state=job.state,
            attempts=job.attempts,
            started_at=now,
            heartbeat_at=now,
            finished_at=None,
            progress_done=0,
            progress_total=0,
            message="",
        )
    return job if claimed else None


def _mine(job: Job) -> QuerySet[Job]:
    """The job's row as long as this run of it owns it: not cancelled, and not given to another worker."""
    return Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, attempts=job.attempts)


def _end(job: Job, state: str, message: str, **changes: Any) -> None:
    _mine(job).update(
        state=state,
        message=message[:500],
        finished_at=None if state == Job.State.QUEUED else timezone.now(),
        **changes,
    )


def _retry_later(job: Job, message: str) -> None:
    if job.attempts >= job.max_attempts:
        _end(job, Job.State.FAILED, message)
        return
    pause_s = min(FIRST_RETRY_S * RETRY_FACTOR ** (job.attempts - 1), RETRY_AT_MOST_S)
    _end(job, Job.State.QUEUED, message, run_after_at=timezone.now() + timedelta(seconds=pause_s))


def report_progress(job: Job, done: int, total: int, message: str = "") -> None:
    """Say how far the job is, which also shows that it is alive; written at most once a second, and at its end.

    Raises JobCancelled if the job was cancelled meanwhile. Inside a transaction others see it once that commits.
    """
    now = timezone.now()
    last = getattr(job, "_reported_at", None)
    if last is not None and done < total and (now - last).total_seconds() < PROGRESS_EVERY_S:
        return
    job._reported_at = now  # type: ignore[attr-defined]
    changes: dict[str, Any] = {"progress_done": done, "progress_total": total, "heartbeat_at": now}
    if message:
        changes["message"] = message[:500]
    if not _mine(job).update(**changes):
        raise JobCancelled


_stop_requested = threading.Event()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after that many seconds. Only the main thread can be interrupted; others run on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise WorkerStopping if _stop_requested.is_set() else JobTimedOut

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if _stop_requested.is_set():
            raise WorkerStopping
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- keeping the queue in order -------------------------------------------------------------------------------------


def reclaim(now: datetime) -> int:
    """Take jobs back from workers that died, and return how many.

    A worker ends every job within its time limit, so one whose last sign of life is older has lost its worker.
    """
    count = 0
    for job in Job.objects.filter(state=Job.State.RUNNING):
        declared = _tasks.get(job.task)
        limit_s = (declared.timeout_s if declared else DEFAULT_TIMEOUT_S) + RECLAIM_GRACE_S
        heartbeat_at = job.heartbeat_at or job.started_at or job.enqueued_at
        if heartbeat_at + timedelta(seconds=limit_s) > now:
            continue
        is_last = job.attempts >= job.max_attempts
        text = "Bộ chạy nền dừng đột ngột khi đang chạy tác vụ này"
        changed = (
            _mine(job)
            .filter(Q(heartbeat_at=job.heartbeat_at) if job.heartbeat_at else Q(heartbeat_at__isnull=True))
            .update(
                state=Job.State.FAILED if is_last else Job.State.QUEUED,
                message=f"{text}; đã thử {job.attempts} lần." if is_last else f"{text}; sẽ chạy lại.",
                run_after_at=F("run_after_at") if is_last else now,
                finished_at=now if is_last else None,
            )
        )
        count += changed
        if changed:
            log.warning("job %s %s was reclaimed, attempt %s", job.pk, job.task, job.attempts)
    return count


def enqueue_due_schedules(now: datetime) -> list[Job]:
    """Queue each recurring task whose current slot nobody has queued yet, and return the new jobs."""
    _discover()
    made = []
    for name, schedule in _schedules.items():
        slot_at = _slot_start(schedule, now)
        if not Job.objects.filter(schedule=name, run_after_at__gte=slot_at).exists():
            unfinished = Job.objects.filter(schedule=name, state__in=[Job.State.QUEUED, Job.State.RUNNING])
            if not unfinished.exists():
                made.append(enqueue(schedule.task, run_after_at=slot_at, schedule=name))
    return made


def _slot_start(schedule: Schedule, now: datetime) -> datetime:
    local = timezone.localtime(now)
    first_at = datetime.combine(datetime(2026, 1, 1, tzinfo=local.tzinfo), schedule.at, local.tzinfo)
    return first_at + (local - first_at) // schedule.every * schedule.every


def prune(now: datetime, *, done_days: int = 30, failed_days: int = 180) -> int:
    """Delete jobs that ended long ago, in chunks, and return how many.

    Jobs that recur every day or oftener and went well go after 3 days.
    """
    _discover()
    frequent = [name for name, schedule in _schedules.items() if schedule.every <= timedelta(days=1)]
    ended = Job.objects.filter(
        Q(state=Job.State.DONE, finished_at__lt=now - timedelta(days=done_days))
        | Q(state=Job.State.DONE, finished_at__lt=now - timedelta(days=3), schedule__in=frequent)
        | Q(state__in=[Job.State.FAILED, Job.State.CANCELLED], finished_at__lt=now - timedelta(days=failed_days))
    )
    count = 0
    while chunk := list(ended.order_by("id").values_list("pk", flat=True)[:1_000]):
        count += Job.objects.filter(pk__in=chunk).delete()[0]
    return count


@transaction.atomic
def cancel(job: Job, *, by: Person, now: datetime) -> None:
    """Cancel a job that waits or runs; a running one notices when it next reports progress. Raises NotPossibleNow."""
    changed = Job.objects.filter(pk=job.pk, state__in=[Job.State.QUEUED, Job.State.RUNNING]).update(
        state=Job.State.CANCELLED, finished_at=now, message="Đã hủy theo yêu cầu."
    )
    if not changed:
        raise NotPossibleNow(f"Tác vụ #{job.pk} đã kết thúc nên không hủy được. Tải lại trang để xem trạng thái mới.")
    audit.record("core.job.cancelled", actor=by, target=job)


@transaction.atomic
def retry(job: Job, *, by: Person, now: datetime) -> None:
    """Queue a job again that failed or was cancelled, with its attempts counted anew. Raises NotPossibleNow."""
    try:
        with transaction.atomic():
            changed = Job.objects.filter(pk=job.pk, state__in=[Job.State.FAILED, Job.State.CANCELLED]).update(
                # Attempts go on counting: their number tells a new run from one that is still winding down.
                state=Job.State.QUEUED,
                max_attempts=F("attempts") + _max_attempts(job.task),
                run_after_at=now,
                finished_at=None,
            )
    except IntegrityError:
        raise NotPossibleNow(
            f"Lịch {job.schedule} đã có một tác vụ khác đang chờ hoặc đang chạy. Chờ tác vụ đó xong rồi thử lại."
        ) from None
    if not changed:
        raise NotPossibleNow(
            f"Tác vụ #{job.pk} không ở trạng thái thất bại hay đã hủy nên không chạy lại được. "
            "Tải lại trang để xem trạng thái mới."
        )
    audit.record("core.job.retried", actor=by, target=job)


def _max_attempts(task_name: str) -> int:
    _discover()
    declared = _tasks.get(task_name)
    return declared.max_attempts if declared else 1


def last_sign_of_life() -> datetime | None:
    """Return when a worker last gave a sign; with schedules of 5 minutes, a living one is never long silent."""
    last_at: datetime | None = Job.objects.aggregate(at=Max("heartbeat_at"))["at"]
    return last_at


def run_worker() -> None:
    """Run jobs until SIGTERM or SIGINT. A running job then gets a few seconds, and goes back to the queue."""

    def stop(signum: int, frame: FrameType | None) -> None:
        if not _stop_requested.is_set():
            log.info("worker stops on signal %s", signum)
            _stop_requested.set()
            if signal.getitimer(signal.ITIMER_REAL)[0]:  # a job runs: shorten its time
                signal.setitimer(signal.ITIMER_REAL, STOP_GRACE_S)

    _stop_requested.clear()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    _discover()
    log.info("worker ready with %s tasks and %s schedules", len(_tasks), len(_schedules))
    housekeeping_due_at = timezone.now()
    try:
        while not _stop_requested.is_set():
            close_old_connections()
            now = timezone.now()
            try:
                if now >= housekeeping_due_at:
                    reclaim(now)
                    enqueue_due_schedules(now)
                    housekeeping_due_at = now + timedelta(seconds=HOUSEKEEPING_EVERY_S)
                job = run_next(now)
            except (OperationalError, InterfaceError):
                log.exception("database is not available; the worker waits and tries again")
                connection.close()
                _stop_requested.wait(5)
                continue
            except WorkerStopping:
                break
            if job is None:
                _stop_requested.wait(IDLE_POLL_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    log.info("worker stopped")
