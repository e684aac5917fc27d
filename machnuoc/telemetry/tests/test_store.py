from machnuoc.telemetry import store


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
