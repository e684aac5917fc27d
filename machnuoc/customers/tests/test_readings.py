"""How readings are taken and become the use of a month. Runs on both databases."""

import uuid
from datetime import date, timedelta

import numpy as np
import pytest

from machnuoc.core.models import AuditEntry
from machnuoc.customers import meters, reading_desk, reading_queries, readings
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, ConnectionEvent, Fitting, Meter, Reading, Round
from machnuoc.customers.tests.fixtures_readings import AUGUST, JULY, JUNE, MAY, NOW, World, at, meter_world

__all__ = ["meter_world"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(meter_world: World) -> World:
    return meter_world


def use(connection: Connection, period: date) -> tuple[int, bool, str]:
    found = reading_queries.usages(period, [connection.pk])
    return int(found.volume_l[0]), bool(found.is_estimated[0]), str(found.problem[0])


# --- taking


def test_a_plausible_reading_closes_its_month(world):
    house = world.connection()
    world.months(house, 11, 22, 35)

    found = reading_queries.usages(JUNE, [house.pk])

    assert found.volume_l.tolist() == [13_000]
    assert found.from_date.tolist() == [date(2026, 5, 20)]
    assert found.to_date.tolist() == [date(2026, 6, 20)]
    assert found.problem.tolist() == [""]
    assert found.from_reading_id[0] == house.readings.get(period_start_date=date(2026, 5, 1)).pk


def test_the_first_month_begins_with_the_index_at_installation(world):
    house = world.connection(installed_l=7_000)
    world.months(house, 19)

    found = reading_queries.usages(date(2026, 4, 1), [house.pk])

    assert found.volume_l.tolist() == [12_000]
    assert found.from_date.tolist() == [date(2026, 3, 20)]


def test_the_same_item_sent_twice_is_one_reading(world):
    house, item = world.connection(), uuid.uuid4()

    first = world.read(house, date(2026, 4, 20), 10, client_id=item)
    again = world.read(house, date(2026, 4, 20), 11, client_id=item)

    assert (first.fate, again.fate) == ("STORED", "DUPLICATE")
    assert again.reading == first.reading
    assert house.readings.filter(kind="ACTUAL").count() == 1


def test_two_phones_with_two_values_are_both_kept_until_a_person_chooses(world):
    house = world.connection()
    world.months(house, 10, 20)
    first = world.read(house, date(2026, 6, 20), 30, client_id=uuid.uuid4())

    second = world.read(house, date(2026, 6, 21), 33, client_id=uuid.uuid4(), person=world.reader)

    assert second.fate == "CONFLICT"
    assert "30" in second.reason and house.code in second.reason
    assert use(house, JUNE) == (0, False, "SUSPECT")

    readings.choose(second.reading, note="Ảnh chụp rõ 33", by=world.clerk, now=NOW)

    first.reading.refresh_from_db()
    assert first.reading.state == "REFUSED"
    assert use(house, JUNE) == (13_000, False, "")


def test_two_phones_with_the_same_value_agree(world):
    house = world.connection()
    world.months(house, 10, 20)
    world.read(house, date(2026, 6, 20), 30, client_id=uuid.uuid4())

    second = world.read(house, date(2026, 6, 21), 30, client_id=uuid.uuid4())

    assert second.fate == "DUPLICATE"
    assert use(house, JUNE) == (10_000, False, "")


def test_an_index_that_goes_back_waits_for_a_person_and_is_never_a_volume(world):
    house = world.connection(installed_l=90_000)
    world.months(house, 100, 112)

    outcome = world.read(house, date(2026, 6, 20), 105, confirmed_flags={"REVERSED"})

    assert (outcome.fate, outcome.flags, outcome.volume_l) == ("SUSPECT", ("REVERSED",), None)
    assert use(house, JUNE) == (0, False, "SUSPECT")
    with pytest.raises(CustomersError, match="lùi"):
        readings.accept(outcome.reading, note="nhầm", by=world.clerk, now=NOW)


def test_99_998_after_00_012_is_held_back(world):
    house = world.connection()
    world.months(house, 3, 12)

    outcome = world.read(house, date(2026, 6, 20), 99_998)

    assert (outcome.fate, outcome.flags) == ("SUSPECT", ("SUDDEN", "BACKWARDS"))
    assert use(house, JUNE)[0] == 0


def test_a_roll_over_counts_once_the_reader_confirms_it(world):
    house = world.connection(installed_l=99_962_000)
    world.months(house, 99_975, 99_988)

    unsure = world.read(house, date(2026, 6, 20), 2)
    assert (unsure.fate, unsure.flags) == ("SUSPECT", ("ROLLOVER",))
    readings.refuse(unsure.reading, note="đọc lại", by=world.clerk, now=NOW)
    sure = world.read(house, date(2026, 6, 21), 2, confirmed_flags={"ROLLOVER"})

    assert (sure.fate, sure.volume_l, sure.reading.rolled_over) == ("STORED", 14_000, True)
    assert use(house, JUNE) == (14_000, False, "")


def test_the_office_may_accept_a_roll_over_later(world):
    house = world.connection(installed_l=99_962_000)
    world.months(house, 99_975, 99_988)
    held = world.read(house, date(2026, 6, 20), 2)

    readings.accept(held.reading, note="xem ảnh", rolled_over=True, by=world.clerk, now=NOW)

    assert use(house, JUNE) == (14_000, False, "")


def test_sudden_use_is_held_back_unless_confirmed_at_the_door(world):
    one, other = world.connection(), world.connection()
    for house in (one, other):
        world.months(house, 12, 24)

    held = world.read(one, date(2026, 6, 20), 90)
    confirmed = world.read(other, date(2026, 6, 20), 90, confirmed_flags={"SUDDEN"})

    assert (held.fate, held.flags) == ("SUSPECT", ("SUDDEN",))
    assert (confirmed.fate, confirmed.flags) == ("STORED", ("SUDDEN",))


def test_neighbours_whose_readings_were_exchanged_are_both_held_back(world):
    left, right = world.connection(installed_l=490_000), world.connection(installed_l=35_000)
    world.months(left, 500, 512)
    world.months(right, 45, 57)

    first = world.read(left, date(2026, 6, 20), 69)
    second = world.read(right, date(2026, 6, 20), 524)

    assert first.fate == "SUSPECT"
    assert "SWAPPED" in second.flags
    first.reading.refresh_from_db()
    assert "SWAPPED" in first.reading.flags

    made = readings.exchange(first.reading, second.reading, note="đối chiếu sê-ri", by=world.clerk, now=NOW)
    assert [one.flags for one in made] == [[], []]  # put right: no warning stays

    assert use(left, JUNE) == (12_000, False, "")
    assert use(right, JUNE) == (12_000, False, "")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"read_at": NOW + timedelta(days=1), "index_l": 1_000}, "tương lai"),
        ({"read_at": at(date(2026, 4, 20)), "index_l": 100_000_000}, "5 chữ số"),
        ({"read_at": at(date(2026, 4, 20)), "no_access": ""}, "lý do"),
        ({"read_at": at(date(2025, 4, 20)), "index_l": 1_000}, "không có đồng hồ"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(world, change, match):
    house = world.connection()

    with pytest.raises(CustomersError, match=match):
        readings.take_reading(house, source="OFFICE", person=world.clerk, now=NOW, **change)

    assert not house.readings.filter(kind="ACTUAL").exists()


def test_a_meter_that_could_not_be_seen_leaves_its_reason(world):
    house = world.connection()

    outcome = readings.take_reading(
        house, read_at=at(date(2026, 6, 20)), no_access="DOG", source="FIELD", person=world.reader, now=NOW
    )

    assert (outcome.fate, outcome.reading.kind) == ("STORED", "NO_ACCESS")
    assert use(house, JUNE) == (0, False, "NO_READING")


def test_a_reading_after_the_round_was_closed_waits_for_a_person(world):
    house = world.connection()
    world.months(house, 10, 20)
    world.round(JUNE, state=Round.State.CLOSED)

    outcome = world.read(house, date(2026, 6, 20), 30)

    assert (outcome.fate, outcome.flags) == ("SUSPECT", ("LATE",))
    readings.accept(outcome.reading, note="máy mất mạng", by=world.clerk, now=NOW)
    assert use(house, JUNE) == (10_000, False, "")


def test_a_correction_takes_the_place_of_the_reading_that_was_seen(world):
    house = world.connection()
    world.months(house, 10, 20)
    wrong = world.read(house, date(2026, 6, 20), 25)

    right = world.read(house, date(2026, 6, 20), 29, replaces=wrong.reading)

    wrong.reading.refresh_from_db()
    assert (wrong.reading.state, wrong.reading.superseded_by) == ("SUPERSEDED", right.reading)
    assert use(house, JUNE) == (9_000, False, "")
    with pytest.raises(CustomersError, match="người khác"):
        world.read(house, date(2026, 6, 20), 31, replaces=wrong.reading)


def test_the_journal_holds_ids_and_no_index_or_name(world):
    house = world.connection()
    world.read(house, date(2026, 6, 20), 12)

    entry = AuditEntry.objects.filter(action="customers.reading.taken").get()

    assert set(entry.detail) == {"source", "readings"}


# --- meters


def test_a_swap_inside_a_month_adds_the_volumes_of_both_meters(world):
    house = world.connection(installed_l=90_000)
    world.months(house, 100, 112)

    meters.swap(
        house, at=at(date(2026, 6, 5)), removed_index_l=118_000, serial="moi 1", index_l=2_000, by=world.clerk,
        reason="hết hạn kiểm định", now=NOW,
    )  # fmt: skip
    world.read(house, date(2026, 6, 20), 9)

    assert use(house, JUNE) == (13_000, False, "")
    assert [row.kind for row in house.readings.order_by("id")][-3:] == ["FINAL", "INITIAL", "ACTUAL"]
    assert house.events.get(kind=ConnectionEvent.Kind.METER).text.startswith("A0000001 → MOI 1")
    assert Fitting.objects.filter(connection=house, removed_at=None).count() == 1


def test_the_desk_shows_what_both_meters_of_a_swap_used_now_and_later(world):
    house = world.connection(installed_l=90_000)
    world.months(house, 100, 112)
    meters.swap(
        house, at=at(date(2026, 6, 5)), removed_index_l=118_000, serial="moi 1", index_l=2_000, by=world.clerk,
        reason="hết hạn kiểm định", now=NOW,
    )  # fmt: skip
    (line,) = reading_desk.lines([house], JUNE, frozenset())
    assert line.facts.earlier_l == 6_000

    world.read(house, date(2026, 6, 20), 9)

    (line,) = reading_desk.lines([house], JUNE, frozenset())
    assert line.volume_l == 13_000
    (before,) = reading_desk.lines([house], MAY, frozenset())
    assert before.volume_l == 12_000  # of the meter that hung then
    world.read(house, date(2026, 7, 20), 20)
    (after,) = reading_desk.lines([house], JULY, frozenset())
    assert (after.volume_l, after.facts.earlier_l) == (11_000, 0)


def test_a_reading_that_waits_after_a_swap_counts_both_meters_too(world):
    house = world.connection()
    world.months(house, 10, 20)
    meters.swap(
        house, at=at(date(2026, 6, 5)), removed_index_l=26_000, serial="moi 2", index_l=0, by=world.clerk,
        reason="kẹt", now=NOW,
    )  # fmt: skip

    assert world.read(house, date(2026, 6, 20), 900).fate == readings.Fate.SUSPECT

    (line,) = reading_desk.lines([house], JUNE, frozenset())
    assert line.volume_l == 906_000


def test_what_a_meter_counted_in_years_before_its_first_reading_is_no_month(world):
    house = world.connection(meter=False, connected_date=date(2021, 6, 1))
    meters.fit(house, at=at(date(2021, 6, 15)), by=world.clerk, serial="CU-1", index_l=0, digits=5, now=NOW)
    world.months(house, 505, 519)

    (used,) = reading_queries.month_uses([house.pk])[house.pk]

    assert (used.period_start_date, used.volume_l) == (MAY, 14_000)
    assert [one.volume_l for one in reading_queries.meter_facts([house.pk], before=JUNE)[house.pk].uses] == [14_000]


def test_a_swap_that_cannot_be_leaves_nothing_behind(world):
    house = world.connection(installed_l=90_000)
    world.months(house, 100, 112)

    with pytest.raises(CustomersError, match="thấp hơn"):
        meters.swap(house, at=at(date(2026, 6, 5)), removed_index_l=90_000, serial="M2", by=world.clerk, now=NOW)

    assert not Meter.objects.filter(serial="M2").exists()
    assert Fitting.objects.get(connection=house).removed_at is None


def test_a_meter_hangs_in_one_place(world):
    world.connection()
    other = world.connection(meter=False)

    with pytest.raises(CustomersError, match="DN000001"):
        meters.fit(other, at=at(date(2026, 2, 1)), by=world.clerk, serial="A0000001", now=NOW)


def test_the_day_of_the_next_verification_follows_the_dated_rule(world):
    mechanical = world.connection(meter=False)
    electronic = world.connection(meter=False)
    for house, kind in ((mechanical, "MECHANICAL"), (electronic, "ELECTRONIC")):
        meters.fit(
            house, at=at(date(2026, 2, 1)), by=world.clerk, serial=kind, kind=kind, verified_date=date(2026, 1, 31),
            now=NOW,
        )  # fmt: skip

    assert Meter.objects.get(serial="MECHANICAL").verification_due_date == date(2031, 1, 31)
    assert Meter.objects.get(serial="ELECTRONIC").verification_due_date == date(2029, 1, 31)
    assert meters.due_date("MECHANICAL", date(2010, 1, 1)) is None  # no rule of that time is known


# --- estimates


def test_estimates_are_marked_and_trued_up_in_the_months_they_belong_to(world):
    house = world.connection()
    world.months(house, 10, 20, 30)  # until June
    done = readings.estimate([house.pk], period=JULY, on_date=date(2026, 7, 20), by=world.clerk, now=NOW)
    assert done.made == 1
    volume, estimated, problem = use(house, JULY)
    assert (estimated, problem) == (True, "")
    assert volume % 1000 == 0 and 5_000 <= volume <= 11_000

    world.read(house, date(2026, 8, 20), 61)

    found = reading_queries.usages(AUGUST, [house.pk])
    assert found.volume_l.tolist() == [31_000 - 31_000 * 30 // 61 - (0 if 31_000 * 30 % 61 * 2 < 61 else 1)]
    assert found.true_ups.connection_id.tolist() == [house.pk]
    assert found.true_ups.period_start_date.tolist() == [JULY]
    assert found.true_ups.estimated_l.tolist() == [volume]
    assert int(found.true_ups.volume_l[0] + found.volume_l[0]) == 31_000
    assert found.from_date.tolist() == [date(2026, 7, 20)]


def test_a_real_reading_takes_the_place_of_the_estimate_of_its_month(world):
    house = world.connection()
    world.months(house, 10, 20, 30)
    readings.estimate([house.pk], period=JULY, on_date=date(2026, 7, 20), by=world.clerk, now=NOW)

    world.read(house, date(2026, 7, 24), 44)

    assert use(house, JULY) == (14_000, False, "")
    assert house.readings.get(kind="ESTIMATED").state == "SUPERSEDED"


def test_an_estimate_above_what_was_then_read_is_given_back_not_made_negative(world):
    house = world.connection()
    world.months(house, 30, 60, 90)
    readings.estimate([house.pk], period=JULY, on_date=date(2026, 7, 20), by=world.clerk, now=NOW)

    outcome = world.read(house, date(2026, 8, 20), 92)

    assert outcome.fate == "STORED"
    found = reading_queries.usages(AUGUST, [house.pk])
    assert found.volume_l[0] >= 0
    assert found.true_ups.difference_l[0] < 0
    assert int(found.true_ups.volume_l[0] + found.volume_l[0]) == 2_000


def test_a_new_connection_is_not_estimated(world):
    house = world.connection()

    done = readings.estimate([house.pk], period=JULY, on_date=date(2026, 7, 20), by=world.clerk, now=NOW)

    assert (done.made, [row.reason for row in done.rows]) == (0, ["Chưa có kỳ nào đọc thực tế."])


# --- many at once


def test_usages_of_many_are_told_in_two_queries(world, django_assert_max_num_queries):
    houses = [world.connection() for _ in range(12)]
    for house in houses:
        world.months(house, 5, 15)
    ids = [house.pk for house in reversed(houses)]

    with django_assert_max_num_queries(2):
        found = reading_queries.usages(date(2026, 5, 1), ids)

    assert found.connection_id.tolist() == sorted(ids)
    assert np.all(found.volume_l == 10_000)


def test_a_gap_of_months_is_one_span(world):
    house = world.connection()
    world.months(house, 10)
    world.read(house, date(2026, 7, 20), 40)

    found = reading_queries.usages(JULY, [house.pk])

    assert found.volume_l.tolist() == [30_000]
    assert found.from_date.tolist() == [date(2026, 4, 20)]


def test_remote_meters_are_taken_once_however_often_they_send(world):
    house = world.connection()
    rows = [(house.pk, at(date(2026, 4, 20)), 12_345), (house.pk, at(date(2026, 5, 20)), 20_001)]

    first = readings.take_from_telemetry(rows, now=NOW)
    again = readings.take_from_telemetry(rows, now=NOW)

    assert (first, again) == ({"STORED": 2}, {"DUPLICATE": 2})
    assert use(house, date(2026, 5, 1)) == (7_656, False, "")


def test_a_chunk_with_bad_rows_stores_the_good_ones_and_counts_all(world):
    house, empty = world.connection(), world.connection(meter=False)
    rows = [
        readings.Incoming(house.pk, at(date(2026, 4, 20)), 12_000),
        readings.Incoming(house.pk, at(date(2026, 4, 21)), 15_000),
        readings.Incoming(empty.pk, at(date(2026, 4, 20)), 12_000),
        readings.Incoming(0, at(date(2026, 4, 20)), 12_000),
    ]

    outcomes = readings.take_many(rows, person=world.clerk, now=NOW)

    assert [one.fate for one in outcomes] == ["STORED", "CONFLICT", "REFUSED", "REFUSED"]
    assert Reading.objects.filter(kind="ACTUAL").count() == 2
