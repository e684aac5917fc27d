"""What the database knows of the size of its tables, from which it chooses how to answer."""

from django.db import connection
from django.db.models import Model

_LOOK_AT = 1_000  # rows of each index: enough to tell large from small, on SQLite


def gather(*models: type[Model]) -> None:
    """Count the tables anew, as after many rows went in at once; without models, all tables.

    PostgreSQL does so by itself, but only some time after the commit: until then it plans as if the tables were empty,
    and a join of a few thousand rows may take hours. SQLite never does.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA analysis_limit = {_LOOK_AT}")
        for name in [connection.ops.quote_name(model._meta.db_table) for model in models] or [""]:
            cursor.execute(f"ANALYZE {name}")
