"""Sheets of readings: preview, good rows or all, undo, long files in bounded memory."""

import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date

import openpyxl
import pytest
from django.db import connection as database

from machnuoc.core import files, jobs
from machnuoc.core.models import Job, StoredFile
from machnuoc.core.tests.test_workbooks import charts_alone
from machnuoc.customers import reading_queries, reading_sheets, readings
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, Fitting, Meter, Reading, ReadingImport, Round
from machnuoc.customers.tests.fixtures_readings import JUNE, NOW, World, at, meter_world
from machnuoc.places.models import Grant

__all__ = ["meter_world"]
pytestmark = pytest.mark.django_db
HEAD = "Mã đấu nối;Chỉ số (m³);Ngày đọc;Lý do không đọc được"


@pytest.fixture
def world(meter_world: World) -> World:
    return meter_world


def upload(world: World, *rows: str, name: str = "chi-so.csv", period: date | None = None) -> ReadingImport:
    content = "\n".join([HEAD, *rows]).encode("utf-8")
    return reading_sheets.receive(io.BytesIO(content), name=name, period=period, by=world.clerk, now=NOW)


def test_a_workbook_of_charts_alone_is_refused_in_words(world):
    with pytest.raises(CustomersError, match="chỉ có trang biểu đồ"):
        reading_sheets.receive(
            io.BytesIO(charts_alone()), name="chi-so.xlsx", period=JUNE, by=world.clerk, now=NOW
        )  # fmt: skip


def test_a_preview_says_what_would_become_of_each_row_and_stores_nothing(world):
    one, two, three, four = (world.connection() for _ in range(4))
    world.months(two, 10, 20)

    batch = upload(
        world,
        f"{one.code};12;20/06/2026;",
        f"{two.code.lower()};5;20/06/2026;",
        f"{three.code};;20/06/2026;Nhà khóa cửa",
        "KHONG-CO;12;20/06/2026;",
        f"{four.code};12,5x;20/06/2026;",
        f"{four.code};12;32/06/2026;",
        f"{four.code};;20/06/2026;",
    )

    assert (batch.received, batch.stored, batch.suspect, batch.rejected) == (7, 2, 1, 4)
    assert not Reading.objects.filter(source="SHEET").exists()
    told = {number: problems[0] for number, _, problems in batch.found["problems"]}
    assert told[5][0] == "A5" and "KHONG-CO" in told[5][1]
    assert told[6][0] == "B6"
    assert told[7][0] == "C7"
    assert told[8][0] == "B8"


def test_only_the_good_rows_or_all_of_them_are_taken_and_add_up(world):
    one, two = world.connection(), world.connection()
    batch = upload(world, f"{one.code};12;20/06/2026;", f"{two.code};x;20/06/2026;", "=1+1;9;20/06/2026;")

    with pytest.raises(CustomersError, match="2 dòng còn lỗi"):
        reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)
    done = ReadingImport.objects.get(pk=batch.pk)
    reading_sheets.begin(done, mode="GOOD", by=world.clerk, now=NOW)

    done.refresh_from_db()
    assert (done.received, done.stored, done.rejected) == (3, 1, 2)
    with files.open_file(StoredFile.objects.get(pk=done.found["rejected_file"])) as rejected:
        assert ",'=1+1," in rejected.read().decode()  # text, whatever a spreadsheet would make of it
    assert Reading.objects.get(source="SHEET").batch == done
    with pytest.raises(CustomersError, match="đã được nạp"):
        reading_sheets.begin(done, mode="GOOD", by=world.clerk, now=NOW)


def test_all_or_nothing_leaves_nothing_if_a_row_fails_meanwhile(world):
    one, two = world.connection(), world.connection()
    batch = upload(world, f"{one.code};12;20/06/2026;", f"{two.code};9;20/06/2026;")
    Connection.objects.filter(pk=two.pk).update(status="CLOSED", closed_date=date(2026, 6, 1))

    with pytest.raises(CustomersError, match="chưa dòng nào"):
        reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)

    assert not Reading.objects.filter(source="SHEET").exclude(state="REFUSED").exists()
    assert ReadingImport.objects.get().applied_at is None


def test_an_import_is_undone_and_the_estimate_before_it_comes_back(world):
    house, closed = world.connection(), world.connection()
    world.months(house, 10, 20)
    readings.estimate([house.pk], period=JUNE, on_date=date(2026, 6, 20), by=world.clerk, now=NOW)
    batch = upload(world, f"{house.code};30;20/06/2026;", f"{closed.code};7;20/06/2026;")
    reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)
    assert reading_queries.usages(JUNE, [house.pk]).volume_l.tolist() == [10_000]
    assert not reading_queries.usages(JUNE, [house.pk]).is_estimated[0]

    assert reading_sheets.undo(ReadingImport.objects.get(), by=world.clerk, now=NOW) == (2, 0)

    assert reading_queries.usages(JUNE, [house.pk]).is_estimated[0]
    with pytest.raises(CustomersError, match="đã hoàn tác"):
        reading_sheets.undo(ReadingImport.objects.get(), by=world.clerk, now=NOW)


def test_readings_of_a_closed_month_stay_when_an_import_is_undone(world):
    house = world.connection()
    batch = upload(world, f"{house.code};12;20/06/2026;")
    reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)
    world.round(JUNE, state=Round.State.CLOSED)

    assert reading_sheets.undo(ReadingImport.objects.get(), by=world.clerk, now=NOW) == (0, 1)


def test_the_same_sheet_twice_doubles_nothing(world):
    house = world.connection()
    for _ in range(2):
        batch = upload(world, f"{house.code};12;20/06/2026;")
        reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)

    again = ReadingImport.objects.order_by("-id")[0]
    assert (again.stored, again.duplicate) == (0, 1)
    assert Reading.objects.filter(source="SHEET").count() == 1


def test_a_sheet_killed_half_way_goes_on_and_counts_each_row_once(world, monkeypatch):
    houses = [world.connection() for _ in range(6)]
    batch = upload(world, *(f"{house.code};{10 + n};20/06/2026;" for n, house in enumerate(houses)))
    monkeypatch.setattr(readings, "CHUNK", 2)
    taken = iter([None, None])

    def stop_after_two(done: int) -> None:
        if next(taken, "stop") == "stop":
            raise KeyboardInterrupt

    batch.mode = "GOOD"
    batch.save()
    with pytest.raises(KeyboardInterrupt):
        reading_sheets.apply(batch, now=NOW, progress=stop_after_two)
    assert Reading.objects.filter(source="SHEET").count() == 6

    done = reading_sheets.apply(ReadingImport.objects.get(), now=NOW)

    assert (done.received, done.stored, done.duplicate) == (6, 6, 0)
    assert Reading.objects.filter(source="SHEET").count() == 6


def test_neighbours_that_a_sheet_exchanged_are_both_held_back(world):
    left, right = world.connection(installed_l=490_000), world.connection(installed_l=35_000)
    world.months(left, 500, 512)
    world.months(right, 45, 57)
    others = [world.connection() for _ in range(60)]  # beyond what is looked at one by one
    batch = upload(
        world,
        f"{left.code};69;20/06/2026;",
        *(f"{house.code};12;20/06/2026;" for house in others),
        f"{right.code};524;20/06/2026;",
    )

    reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)

    held = Reading.objects.filter(state="SUSPECT", connection__in=[left, right])
    assert [("SWAPPED" in row.flags) for row in held] == [True, True]


def test_who_reads_only_their_own_route_cannot_import_for_others(world):
    house = world.connection(route=None)
    Grant.objects.filter(person=world.clerk).update(role=Grant.Role.CASHIER)

    batch = upload(world, f"{house.code};12;20/06/2026;")

    assert (batch.received, batch.rejected) == (1, 1)


def test_a_file_that_is_no_sheet_of_readings_is_refused_as_a_whole(world):
    with pytest.raises(CustomersError, match="Không tìm thấy cột"):
        reading_sheets.receive(io.BytesIO(b"a;b\n1;2\n"), name="x.csv", period=None, by=world.clerk, now=NOW)

    assert not ReadingImport.objects.exists()


def test_the_template_is_read_back(world):
    house = world.connection()
    book = openpyxl.load_workbook(io.BytesIO(reading_sheets.template()))
    book["Chỉ số"].append([house.code, 12, date(2026, 6, 20), None, "tường rào mới"])
    file = io.BytesIO()
    book.save(file)
    file.seek(0)

    batch = reading_sheets.receive(file, name="mau.xlsx", period=None, by=world.clerk, now=NOW)
    reading_sheets.begin(batch, mode="ALL", by=world.clerk, now=NOW)

    reading = Reading.objects.get(source="SHEET")
    assert (reading.index_l, reading.note, reading.period_start_date) == (12_000, "tường rào mới", JUNE)


def _many(world: World, number: int) -> list[str]:
    """Make so many connections with a meter each, in bulk."""
    like = world.connection()
    made = Connection.objects.bulk_create(
        [
            Connection(
                code=f"L{n:06}", work=world.work, customer=like.customer, address="Thôn", status="ACTIVE",
                connected_date=date(2026, 1, 1), route=world.route, route_order=n + 10,
            )
            for n in range(number)
        ],
        batch_size=2_000,
    )  # fmt: skip
    hung = Meter.objects.bulk_create(
        [Meter(operator=world.operator, serial=f"L{n:06}") for n in range(number)], batch_size=2_000
    )
    Fitting.objects.bulk_create(
        [
            Fitting(connection=one, meter=meter, installed_at=at(date(2026, 5, 20)).astimezone(UTC))
            for one, meter in zip(made, hung, strict=True)
        ],
        batch_size=2_000,
    )
    return [one.code for one in made]


@pytest.fixture
def many(world: World) -> Iterator[list[str]]:
    yield _many(world, 20_000)


@pytest.mark.slow
def test_twenty_thousand_rows_with_bad_ones_are_taken_in_a_job_in_bounded_memory(world, many):
    rows = [f"{code};{n % 25};20/06/2026;" for n, code in enumerate(many)]
    rows[100] = "KHONG-CO;1;20/06/2026;"
    rows[200] = f"{many[200]};chưa rõ;20/06/2026;"
    rows[300] = f"{many[300]};99.998;20/06/2026;"
    batch = upload(world, *rows)
    assert batch.job is not None and batch.previewed_at is None

    _work()
    batch.refresh_from_db()
    assert (batch.received, batch.stored, batch.suspect, batch.rejected) == (20_000, 19_997, 1, 2)
    reading_sheets.begin(batch, mode="GOOD", by=world.clerk, now=NOW)
    tracemalloc.start()
    _work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    batch.refresh_from_db()
    assert batch.applied_at is not None
    assert Reading.objects.filter(batch=batch).count() == 19_998
    assert peak < 60_000_000, f"{peak:,} bytes"


def _work() -> None:
    from django.utils import timezone

    database.queries_log.clear()
    while (job := jobs.run_next(timezone.now())) is not None:
        assert job.state == Job.State.DONE, job.message
