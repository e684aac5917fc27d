"""Lets the test runner, and nobody else, empty tables that only take additions.

After a test that commits, Django empties every table; on SQLite it does so by DELETE, which the triggers refuse. The
triggers are therefore taken away for the emptying and put back, in the same transaction.
"""

from typing import Any

import pytest
from django.db.backends.sqlite3.base import DatabaseOperations


@pytest.fixture(autouse=True, scope="session")
def _emptying_goes_around_append_only_triggers():
    empty = DatabaseOperations.sql_flush

    def empty_without_triggers(self: DatabaseOperations, *args: Any, **kwargs: Any) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%append_only%'")
            triggers = cursor.fetchall()
        drop = [f'DROP TRIGGER "{name}"' for name, _ in triggers]
        return [*drop, *empty(self, *args, **kwargs), *(sql for _, sql in triggers)]

    DatabaseOperations.sql_flush = empty_without_triggers
    yield
    DatabaseOperations.sql_flush = empty
