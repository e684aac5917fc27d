import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import jobs, permissions
from machnuoc.core.models import AuditEntry, AuditSeal, Job, Person

NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)  # 10:00 in Vietnam
State = Job.State


@pytest.fixture(autouse=True)
def own_tasks(monkeypatch):
    """Keep the tasks that a test declares to that test."""
    jobs.get_title("")  # the tasks of the rooms are found first
    monkeypatch.setattr(jobs, "_tasks", dict(jobs._tasks))
    monkeypatch.setattr(jobs, "_schedules", {})


@pytest.fixture
def minh(db) -> Person:
    return Person.objects.create_user("minh", "mot mat khau dai", full_name="Lê Văn Minh")


@pytest.fixture
def judge(monkeypatch):
    allowed: dict[str, bool] = {}
    monkeypatch.setattr(permissions, "_judge", lambda person, action, *rest: allowed.get(action, False))
    monkeypatch.setattr(permissions, "_overseer", lambda person, action: None)
    return allowed


def later(**delta: float) -> datetime:
    return timezone.now() + timedelta(**delta)


# --- the queue


@pytest.mark.django_db
def test_a_job_runs_with_its_arguments_and_ends_done():
    seen = []

    @jobs.task("test.add")
    def add(job, *, a, b):
        seen.append(a + b)
        return f"Tổng {a + b}"

    job = jobs.enqueue("test.add", a=1, b=2)
    done = jobs.run_next(later(seconds=1))

    assert done == job and seen == [3]
    assert (done.state, done.message, done.attempts) == (State.DONE, "Tổng 3", 1)
    assert done.finished_at is not None
    assert jobs.run_next(later(seconds=1)) is None


@pytest.mark.django_db
def test_a_job_of_a_rolled_back_transaction_does_not_exist():
    with pytest.raises(RuntimeError), transaction.atomic():
        jobs.enqueue("core.seal_audit")
        raise RuntimeError

    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_task_that_nobody_declares_is_refused():
    with pytest.raises(jobs.UnknownTask, match=r"no\.such"):
        jobs.enqueue("no.such")


@pytest.mark.django_db
def test_a_job_is_not_run_before_its_time():
    jobs.enqueue("core.seal_audit", run_after_at=NOW + timedelta(minutes=1))

    assert jobs.run_next(NOW) is None
    assert jobs.run_next(NOW + timedelta(minutes=1)) is not None


@pytest.mark.django_db
def test_a_failing_job_is_tried_again_with_growing_pauses_and_then_counts_as_failed():
    @jobs.task("test.fail", max_attempts=3)
    def fail(job):
        raise ValueError("Không đọc được tệp")

    job = jobs.enqueue("test.fail")
    pauses_s = []
    for _ in range(2):
        jobs.run_next(later(days=1))
        job.refresh_from_db()
        assert (job.state, job.message) == (State.QUEUED, "Không đọc được tệp")
        pauses_s.append(round((job.run_after_at - timezone.now()).total_seconds()))
    jobs.run_next(later(days=1))
    job.refresh_from_db()

    assert pauses_s == [30, 120]
    assert (job.state, job.attempts) == (State.FAILED, 3)


@pytest.mark.django_db
def test_a_task_that_gives_up_is_not_tried_again():
    @jobs.task("test.give_up")
    def give_up(job):
        raise jobs.GiveUp("Tệp không còn")

    jobs.enqueue("test.give_up")

    assert jobs.run_next(later(seconds=1)).state == State.FAILED


@pytest.mark.django_db
def test_a_job_whose_task_is_gone_fails_with_a_sentence():
    Job.objects.create(task="old.task")

    failed = jobs.run_next(later(seconds=1))

    assert failed.state == State.FAILED and "old.task" in failed.message


@pytest.mark.django_db
def test_a_task_that_runs_too_long_is_stopped():
    @jobs.task("test.slow", timeout_s=1, max_attempts=1)
    def slow(job):
        time.sleep(20)

    jobs.enqueue("test.slow")
    started = time.monotonic()
    failed = jobs.run_next(later(seconds=1))

    assert time.monotonic() - started < 5
    assert failed.state == State.FAILED and "thời hạn 1 giây" in failed.message


@pytest.mark.django_db
def test_progress_is_written_at_most_once_a_second_and_at_the_end(monkeypatch, django_assert_num_queries):
    seen = []

    @jobs.task("test.steps")
    def steps(job):
        with django_assert_num_queries(2):
            for done in range(1, 101):
                jobs.report_progress(job, done, 100, f"bước {done}")
        seen.append(Job.objects.get(pk=job.pk))

    jobs.enqueue("test.steps")
    jobs.run_next(NOW + timedelta(days=365))

    assert (seen[0].progress_done, seen[0].progress_total, seen[0].message) == (100, 100, "bước 100")
    assert seen[0].heartbeat_at > seen[0].enqueued_at


@pytest.mark.django_db
def test_a_cancelled_job_stops_at_its_next_progress_and_stays_cancelled(minh):
    reached = []

    @jobs.task("test.long")
    def long(job):
        jobs.cancel(job, by=minh, now=NOW)
        jobs.report_progress(job, 1, 2)
        reached.append("after")

    job = jobs.enqueue("test.long")
    ended = jobs.run_next(later(seconds=1))

    assert (ended, ended.state, reached) == (job, State.CANCELLED, [])
    assert AuditEntry.objects.get().action == "core.job.cancelled"


@pytest.mark.django_db
def test_only_what_is_unfinished_can_be_cancelled_and_only_what_failed_can_be_retried(minh):
    @jobs.task("test.fail", max_attempts=1)
    def fail(job):
        raise ValueError("hỏng")

    job = jobs.enqueue("test.fail")
    with pytest.raises(jobs.NotPossibleNow):
        jobs.retry(job, by=minh, now=NOW)
    jobs.run_next(later(seconds=1))
    with pytest.raises(jobs.NotPossibleNow):
        jobs.cancel(job, by=minh, now=NOW)

    jobs.retry(job, by=minh, now=NOW)

    assert jobs.run_next(NOW + timedelta(seconds=1)).state == State.FAILED


@pytest.mark.django_db
def test_a_run_that_lost_its_job_does_not_overwrite_the_run_that_has_it(minh):
    @jobs.task("test.outlived", max_attempts=2)
    def outlived(job):
        if job.attempts == 1:
            jobs.reclaim(later(hours=2))  # another worker thinks this one died, and runs the job to its end
            jobs.run_next(later(hours=3))
            raise ValueError("lần chạy cũ hỏng")
        return "lần chạy mới xong"

    job = jobs.enqueue("test.outlived")
    jobs.run_next(later(seconds=1))

    job.refresh_from_db()
    assert (job.state, job.message, job.attempts) == (State.DONE, "lần chạy mới xong", 2)


@pytest.mark.django_db
def test_a_job_without_a_sign_of_life_is_taken_back_and_at_last_counts_as_failed():
    jobs.task("test.dead", timeout_s=60)(lambda job: None)
    running = {"task": "test.dead", "state": State.RUNNING, "started_at": NOW}
    alive = Job.objects.create(**running, attempts=1, heartbeat_at=NOW + timedelta(seconds=59))
    dead = Job.objects.create(**running, attempts=1, heartbeat_at=NOW - timedelta(seconds=60))
    lost = Job.objects.create(**running, attempts=3, heartbeat_at=NOW - timedelta(seconds=60))

    assert jobs.reclaim(NOW + timedelta(seconds=60)) == 2

    states = {job.pk: job.state for job in Job.objects.all()}
    assert states == {alive.pk: State.RUNNING, dead.pk: State.QUEUED, lost.pk: State.FAILED}


# --- schedules


@pytest.mark.django_db
def test_a_schedule_makes_one_job_a_slot_and_makes_up_once_for_what_was_missed():
    jobs.every("test.often", minutes=5)(lambda job: None)

    assert [job.schedule for job in jobs.enqueue_due_schedules(NOW)] == ["test.often"]
    assert jobs.enqueue_due_schedules(NOW + timedelta(minutes=1)) == []
    jobs.run_next(NOW + timedelta(minutes=1))
    assert jobs.enqueue_due_schedules(NOW + timedelta(minutes=4, seconds=59)) == []
    assert len(jobs.enqueue_due_schedules(NOW + timedelta(hours=3))) == 1
    assert jobs.enqueue_due_schedules(NOW + timedelta(hours=4)) == []  # one waits already


@pytest.mark.django_db
def test_a_daily_schedule_runs_at_its_local_time():
    jobs.every("test.nightly", days=1, at=clock(2, 30))(lambda job: None)

    [job] = jobs.enqueue_due_schedules(NOW)

    assert timezone.localtime(job.run_after_at) == timezone.localtime(NOW).replace(hour=2, minute=30)


def test_schedules_closer_than_a_minute_are_refused():
    with pytest.raises(ValueError, match="a minute"):
        jobs.every("test.never")


@pytest.mark.django_db
def test_one_job_of_a_schedule_waits_at_a_time():
    first = jobs.enqueue("core.seal_audit", schedule="core.seal_audit")

    assert jobs.enqueue("core.seal_audit", schedule="core.seal_audit") == first
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(task="core.seal_audit", schedule="core.seal_audit")


@pytest.mark.django_db
def test_the_rooms_recurring_work_is_declared_and_runs():
    for name in ("core.seal_audit", "core.prune_jobs", "core.prune_notices"):
        jobs.enqueue(name)

    ended = [jobs.run_next(later(seconds=1)) for _ in range(3)]

    assert {job.state for job in ended} == {State.DONE}
    assert all(job.message for job in ended)


@pytest.mark.django_db
def test_old_jobs_are_deleted_and_what_failed_stays_longer():
    jobs.every("test.often", minutes=5)(lambda job: None)

    def ended(days: int, state: str = State.DONE, schedule: str = "") -> Job:
        return Job.objects.create(task="x", state=state, schedule=schedule, finished_at=NOW - timedelta(days=days))

    ended(31), ended(4, schedule="test.often"), ended(181, State.FAILED)
    kept = [ended(29), ended(2, schedule="test.often"), ended(179, State.FAILED), Job.objects.create(task="x")]

    assert jobs.prune(NOW) == 3
    assert set(Job.objects.all()) == set(kept)


# --- several workers, and workers that die


@pytest.mark.django_db(transaction=True)
def test_each_job_is_claimed_by_one_of_several_workers():
    ran: list[int] = []
    jobs.task("test.once")(lambda job: ran.append(job.pk))
    for _ in range(30):
        jobs.enqueue("test.once")
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            start.wait()
            misses = 0
            while misses < 5:
                misses = 0 if jobs.run_next(later(seconds=1)) else misses + 1
        except BaseException as reason:
            failures.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(ran) == len(set(ran)) == 30


@pytest.fixture
def start_worker(tmp_path, transactional_db):
    """Return a function that starts a real worker process on the database of the tests."""
    processes = []

    def start() -> "subprocess.Popen[bytes]":
        script = Path(__file__).with_name("worker_process.py")
        process = subprocess.Popen(
            [sys.executable, str(script), str(connection.settings_dict["NAME"]), str(tmp_path)],
            env=os.environ | {"MACHNUOC_DATA_DIR": str(tmp_path / "data")},
        )
        processes.append(process)
        wait_until(lambda: (tmp_path / f"ready-{process.pid}").exists())
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_of_a_killed_worker_is_done_by_another(start_worker, tmp_path):
    for name in ("test.hang", "test.touch"):
        jobs.task(name, timeout_s=60)(lambda job: None)
    job = jobs.enqueue("test.hang")
    worker = start_worker()
    wait_until(lambda: (tmp_path / f"started-{job.pk}-1").exists())

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    job.refresh_from_db()
    assert job.state == State.RUNNING
    assert jobs.reclaim(later(seconds=5)) == 0
    assert jobs.reclaim(later(seconds=100)) == 1

    Job.objects.filter(pk=job.pk).update(run_after_at=timezone.now())
    start_worker()
    wait_until(lambda: (tmp_path / f"started-{job.pk}-2").exists())


@pytest.mark.slow
def test_a_worker_that_is_asked_to_stop_gives_its_job_back_within_five_seconds(start_worker, tmp_path):
    jobs.task("test.hang", timeout_s=60)(lambda job: None)
    job = jobs.enqueue("test.hang")
    worker = start_worker()
    wait_until(lambda: (tmp_path / f"started-{job.pk}-1").exists())

    worker.terminate()

    assert worker.wait(timeout=5) == 0
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.QUEUED, 0)


@pytest.mark.slow
def test_an_idle_worker_stops_at_once_and_has_run_what_was_due(start_worker, tmp_path):
    jobs.task("test.touch", timeout_s=60)(lambda job: None)
    jobs.enqueue("test.touch", name="done.txt")
    jobs.enqueue("core.seal_audit")
    worker = start_worker()
    wait_until(lambda: not Job.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists())

    worker.terminate()

    assert worker.wait(timeout=3) == 0
    assert (tmp_path / "done.txt").read_text(encoding="ascii").split() == [str(worker.pid)]
    assert not AuditSeal.objects.exists()
    assert Job.objects.filter(schedule="core.seal_audit", state=State.DONE).exists()
    assert jobs.last_sign_of_life() is not None


# --- the page


@pytest.mark.django_db
def test_the_page_is_for_administrators(client, minh, judge):
    job = jobs.enqueue("core.seal_audit")
    client.force_login(minh)

    assert client.get(reverse("core:jobs")).status_code == 403
    for name in ("core:retry_job", "core:cancel_job"):
        assert client.post(reverse(name, args=[job.pk])).status_code == 403
    judge["administer"] = True
    assert client.get(reverse("core:jobs")).status_code == 200
    assert client.get(reverse("core:cancel_job", args=[job.pk])).status_code == 405


@pytest.mark.django_db
def test_the_page_polls_only_while_something_runs(client, minh, judge):
    judge["administer"] = True
    client.force_login(minh)

    assert "every 3s" not in client.get(reverse("core:jobs")).content.decode()
    jobs.enqueue("core.seal_audit", run_after_at=later(hours=1))
    assert "every 3s" not in client.get(reverse("core:jobs")).content.decode()
    jobs.enqueue("core.seal_audit")
    page = client.get(reverse("core:jobs"), headers={"HX-Request": "true", "HX-Target": "jobs"}).content.decode()
    assert "every 3s" in page and "<html" not in page


@pytest.mark.django_db
def test_the_page_shows_progress_and_errors_and_filters(client, minh, judge):
    judge["administer"] = True
    client.force_login(minh)
    Job.objects.create(task="core.seal_audit", state=State.RUNNING, progress_done=1, progress_total=4)
    Job.objects.create(task="core.prune_jobs", state=State.FAILED, message="Hết chỗ trên đĩa <b>")

    page = client.get(reverse("core:jobs")).content.decode()
    failed = client.get(reverse("core:jobs"), {"state": "FAILED"}).content.decode()

    assert 'value="1" max="4"' in page and "Hết chỗ trên đĩa &lt;b&gt;" in page
    assert "Xóa tác vụ cũ</strong>" in failed and "Niêm phong nhật ký</strong>" not in failed


@pytest.mark.django_db
def test_buttons_cancel_and_retry_and_say_when_it_is_too_late(client, minh, judge):
    judge["administer"] = True
    client.force_login(minh)
    job = jobs.enqueue("core.seal_audit")

    client.post(reverse("core:cancel_job", args=[job.pk]))
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    late = client.post(reverse("core:cancel_job", args=[job.pk]), follow=True).content.decode()
    assert "đã kết thúc nên không hủy được" in late
    client.post(reverse("core:retry_job", args=[job.pk]))
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "core.job.cancelled",
        "core.job.retried",
    ]
