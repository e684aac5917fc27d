"""Two at once: phones that send for one connection, clerks that judge one reading, swaps of one meter."""

import threading
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import connection as database

from machnuoc.customers import field_operations, meters, readings
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import FieldItem, Fitting, Reading
from machnuoc.customers.tests.fixtures_readings import JUNE, NOW, World, at, make_world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world("dua")


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """Do the acts at the same moment, each on its own connection; return what each said, in any order."""
    start, told = threading.Barrier(len(acts)), []

    def run(act: Callable[[], Any]) -> None:
        start.wait()
        try:
            told.append(str(act()))
        except CustomersError as reason:
            told.append(f"refused: {reason}")
        finally:
            database.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(told)


def send(world: World, house: Any, index_m3: int, item: uuid.UUID | None = None) -> Callable[[], str]:
    return lambda: world.read(house, date(2026, 6, 20), index_m3, client_id=item or uuid.uuid4()).fate


def test_of_two_phones_that_send_at_once_one_is_stored_and_one_is_a_conflict(world):
    house = world.connection()
    world.months(house, 10, 20)

    told = at_once(send(world, house, 30), send(world, house, 33))

    assert told == ["CONFLICT", "STORED"]
    assert Reading.objects.filter(period_start_date=JUNE, state="ACCEPTED").count() == 1
    assert Reading.objects.filter(period_start_date=JUNE).count() == 2


def test_the_same_item_sent_twice_at_once_is_one_reading(world):
    house, item = world.connection(), uuid.uuid4()

    told = at_once(*(send(world, house, 12, item) for _ in range(4)))

    assert told == ["DUPLICATE", "DUPLICATE", "DUPLICATE", "STORED"]
    assert Reading.objects.filter(period_start_date=JUNE).count() == 1


def test_of_two_clerks_who_judge_at_once_the_second_is_told(world):
    house = world.connection()
    world.months(house, 12, 24)
    held = world.read(house, date(2026, 6, 20), 90).reading
    mine, theirs = Reading.objects.get(pk=held.pk), Reading.objects.get(pk=held.pk)

    told = at_once(
        lambda: readings.accept(mine, note="đúng", by=world.clerk, now=NOW).state,
        lambda: readings.refuse(theirs, note="sai", by=world.leader, now=NOW).state,
    )

    assert sum(one.startswith("refused") and "người khác xử lý" in one for one in told) == 1
    assert Reading.objects.get(pk=held.pk).state in {"ACCEPTED", "REFUSED"}


def test_of_two_who_swap_one_meter_at_once_the_second_is_told(world):
    house = world.connection()
    seen = Fitting.objects.get(connection=house).pk

    def swap(serial: str) -> Callable[[], str]:
        return lambda: meters.swap(
            house, at=at(date(2026, 6, 5)), removed_index_l=5_000, serial=serial, seen=seen, by=world.clerk, now=NOW
        ).meter.serial  # fmt: skip

    told = at_once(swap("M1"), swap("M2"))

    assert sum("vừa được người khác thay" in one for one in told) == 1
    assert Fitting.objects.filter(connection=house).count() == 2
    assert Fitting.objects.get(connection=house, removed_at=None).meter.serial in told


def from_phone(world: World, person: Any, body: dict[str, Any]) -> Callable[[], str]:
    return lambda: field_operations.receive([body], person=person, now=NOW)[0].fate


def an_item(house: Any, index_m3: int) -> dict[str, Any]:
    return {
        "client_id": str(uuid.uuid4()), "connection": house.pk, "code": house.code, "period": "2026-06-01",
        "read_at": at(date(2026, 6, 20)).isoformat(), "index_l": index_m3 * 1000,
    }  # fmt: skip


def test_one_item_that_arrives_by_two_ways_at_once_is_one_reading_and_one_answer(world):
    house = world.connection()
    world.months(house, 10, 20)
    world.round(JUNE)

    for index_m3 in (30, 31, 32):  # several times: the moment must be met
        body = an_item(house, index_m3)
        Reading.objects.filter(period_start_date=JUNE).update(state="REFUSED")
        told = at_once(*[from_phone(world, world.reader, body)] * 3)

        assert told == ["STORED"] * 3
        assert FieldItem.objects.get(client_id=body["client_id"]).repeats == 2
        assert Reading.objects.filter(client_id=body["client_id"]).count() == 1


def test_two_phones_at_one_door_at_once_leave_both_numbers_and_both_items(world):
    house = world.connection()
    world.months(house, 10, 20)
    world.round(JUNE)

    told = at_once(
        from_phone(world, world.reader, an_item(house, 30)), from_phone(world, world.clerk, an_item(house, 33))
    )

    assert told == ["CONFLICT", "STORED"] and FieldItem.objects.count() == 2
    assert Reading.objects.filter(period_start_date=JUNE, index_l__isnull=False).count() == 2
