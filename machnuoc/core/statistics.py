"""What the database knows of the size of its tables."""

from django.db import connection
from django.db.models import Model


def gather(*models: type[Model]) -> None:
    """Count the tables anew after many rows went in at once; without models, all tables.

    PostgreSQL does so by itself, but only some time after the commit: until then it plans as if the tables were empty,
    and a join of a few thousand rows may take hours. SQLite plans by its indexes.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for name in [connection.ops.quote_name(model._meta.db_table) for model in models] or [""]:
            cursor.execute(f"ANALYZE {name}")
