"""Two at once: phones that send for one connection, clerks that judge one reading, swaps of one meter."""

import threading
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import connection as database

from machnuoc.customers import meters, readings
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Fitting, Reading
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
