"""A plugin of the tests: an empty store of readings for the test that asks for it."""

import pytest

from machnuoc.telemetry import directory, rollups, store


def empty_store() -> None:
    with store.transaction() as cursor:
        for table in (
            "reading", "reading_history", "ledger", "rejection", "quarantine", "device_state", "dirty_hour",
            "dirty_alarm", "judged_alarm", "dirty_day", "rollup_hour", "rollup_day", "batch", "archive",
        ):  # fmt: skip
            cursor.execute(f"DELETE FROM telemetry_{table}")  # noqa: S608 - names from the list above


@pytest.fixture
def clean_store(db, settings, tmp_path):
    """Give an empty store, and close this thread's connection to it afterwards."""
    empty_store()
    directory.forget()
    rollups.forget()
    yield store
    directory.forget()
    store.close()
