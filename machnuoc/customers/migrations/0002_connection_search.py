"""Connections are found by any piece of code, name or address: a trigram index over their folded text.

On SQLite a later migration that rebuilds customers_connection (most AlterField and RemoveField do) drops the triggers
and has to make them again: `machnuoc/customers/tests/test_search.py` notices when it forgets.
"""

from django.db import migrations

SQLITE = (
    """
    CREATE VIRTUAL TABLE customers_connection_trigram USING fts5(
        folded, content='customers_connection', content_rowid='id', tokenize='trigram'
    )
    """,
    "INSERT INTO customers_connection_trigram (customers_connection_trigram) VALUES ('rebuild')",
    """
    CREATE TRIGGER customers_connection_trigram_insert AFTER INSERT ON customers_connection BEGIN
        INSERT INTO customers_connection_trigram (rowid, folded) VALUES (NEW.id, NEW.folded);
    END
    """,
    """
    CREATE TRIGGER customers_connection_trigram_delete AFTER DELETE ON customers_connection BEGIN
        INSERT INTO customers_connection_trigram (customers_connection_trigram, rowid, folded)
        VALUES ('delete', OLD.id, OLD.folded);
    END
    """,
    """
    CREATE TRIGGER customers_connection_trigram_update AFTER UPDATE OF id, folded ON customers_connection BEGIN
        INSERT INTO customers_connection_trigram (customers_connection_trigram, rowid, folded)
        VALUES ('delete', OLD.id, OLD.folded);
        INSERT INTO customers_connection_trigram (rowid, folded) VALUES (NEW.id, NEW.folded);
    END
    """,
)


def enable(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX customers_connection_trigram ON customers_connection USING gin (folded gin_trgm_ops)",
            params=None,
        )
        return
    for statement in SQLITE:
        schema_editor.execute(statement, params=None)


def disable(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX customers_connection_trigram", params=None)
        return
    for event in ("insert", "delete", "update"):
        schema_editor.execute(f"DROP TRIGGER customers_connection_trigram_{event}", params=None)
    schema_editor.execute("DROP TABLE customers_connection_trigram", params=None)


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial"), ("core", "0002_trigram_and_audit_triggers")]

    operations = [migrations.RunPython(enable, disable)]
