from machnuoc.telemetry import store
from machnuoc.telemetry.tests import readings


def test_the_latest_reading_is_the_latest_measured(clean_store):
    with store.transaction() as cursor:
        if store.is_postgresql():
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS telemetry_reading_test PARTITION OF telemetry_reading "
                "FOR VALUES FROM (0) TO (1000)"
            )
        for at, value in ((300, 3.0), (100, 1.0), (200, 2.0)):
            cursor.execute(store.adapt("INSERT INTO telemetry_reading VALUES (7, ?, ?, 0)"), (at, value))

    assert store.latest([7, 8]) == {7: (300, 3.0, 0)}
    assert list(store.read_hot(7, 100, 300).value) == [1.0, 2.0]


def test_what_fails_in_a_transaction_leaves_nothing(clean_store):
    try:
        with store.transaction() as cursor:
            cursor.execute(
                store.adapt("INSERT INTO telemetry_ledger (device, hour, received, stored) VALUES (1, ?, 1, 1)"), (0,)
            )
            raise RuntimeError("power cut")
    except RuntimeError:
        pass

    assert store.query("SELECT count(*) FROM telemetry_ledger") == [(0,)]


def test_readings_of_any_month_find_their_place(clean_store):
    hour = store.HOUR_MS
    for at in (
        1_700_000_000_000,
        1_767_200_400_000 - 1,
        1_767_200_400_000,
    ):  # 2023-11, the last of 2025, the first of 2026
        readings.put([(7, at, 1.0), (7, at + 800 * hour, 2.0)])

    assert store.query("SELECT count(*) FROM telemetry_reading") == [(6,)]


def test_a_month_made_in_a_transaction_that_fails_is_made_again(clean_store):
    at = 2_000_000_000_000
    try:
        with store.transaction() as cursor:
            store.ensure_months(cursor, at, at)
            raise RuntimeError("power cut")
    except RuntimeError:
        pass

    readings.put([(7, at, 1.0)])

    assert len(store.read_hot(7, at, at + 1)) == 1
