"""The audit tables become append-only, and the search text gets its trigram index.

On SQLite a later migration that rebuilds one of these tables (most AlterField and RemoveField do) drops its triggers
and has to make them again: `machnuoc/core/tests/test_audit.py` and `test_search.py` notice when it forgets.
"""

from django.db import DatabaseError, migrations, transaction

APPEND_ONLY_TABLES = ("core_auditentry", "core_auditseal", "core_sealedentry")

SQLITE_REFUSE = """
CREATE TRIGGER {table}_append_only_{event} BEFORE {event} ON {table} BEGIN
    SELECT RAISE(ABORT, 'Nhật ký chỉ được ghi thêm: không được sửa hay xóa bản ghi của bảng {table}.');
END
"""
SQLITE_SEARCH = (
    """
    CREATE VIRTUAL TABLE core_searchentry_trigram USING fts5(
        folded, content='core_searchentry', content_rowid='id', tokenize='trigram'
    )
    """,
    "INSERT INTO core_searchentry_trigram (core_searchentry_trigram) VALUES ('rebuild')",
    """
    CREATE TRIGGER core_searchentry_trigram_insert AFTER INSERT ON core_searchentry BEGIN
        INSERT INTO core_searchentry_trigram (rowid, folded) VALUES (NEW.id, NEW.folded);
    END
    """,
    """
    CREATE TRIGGER core_searchentry_trigram_delete AFTER DELETE ON core_searchentry BEGIN
        INSERT INTO core_searchentry_trigram (core_searchentry_trigram, rowid, folded)
        VALUES ('delete', OLD.id, OLD.folded);
    END
    """,
    """
    CREATE TRIGGER core_searchentry_trigram_update AFTER UPDATE OF id, folded ON core_searchentry BEGIN
        INSERT INTO core_searchentry_trigram (core_searchentry_trigram, rowid, folded)
        VALUES ('delete', OLD.id, OLD.folded);
        INSERT INTO core_searchentry_trigram (rowid, folded) VALUES (NEW.id, NEW.folded);
    END
    """,
)

# Row-level on purpose: TRUNCATE needs the table's owner, and the test runner empties tables that way.
POSTGRESQL_REFUSE_FUNCTION = """
CREATE FUNCTION core_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Nhật ký chỉ được ghi thêm: không được sửa hay xóa bản ghi của bảng %.', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$
"""
POSTGRESQL_REFUSE = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION core_refuse_change()
"""


def make_audit_append_only(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_REFUSE_FUNCTION, params=None)
        for table in APPEND_ONLY_TABLES:
            schema_editor.execute(POSTGRESQL_REFUSE.format(table=table), params=None)
    else:
        for table in APPEND_ONLY_TABLES:
            for event in ("UPDATE", "DELETE"):
                schema_editor.execute(SQLITE_REFUSE.format(table=table, event=event), params=None)


def make_audit_changeable(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION core_refuse_change() CASCADE", params=None)
    else:
        for table in APPEND_ONLY_TABLES:
            for event in ("UPDATE", "DELETE"):
                schema_editor.execute(f"DROP TRIGGER {table}_append_only_{event}", params=None)


def enable_trigrams(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        if cursor.fetchone():
            return
        try:
            with transaction.atomic(using=connection.alias):
                cursor.execute("CREATE EXTENSION pg_trgm")
        except DatabaseError as reason:
            name = connection.settings_dict["NAME"]
            raise RuntimeError(
                f"Chưa bật được phần mở rộng pg_trgm trong cơ sở dữ liệu {name}: {str(reason).strip()}. "
                "Cài gói postgresql-contrib rồi nhờ quản trị PostgreSQL chạy lệnh "
                f'CREATE EXTENSION pg_trgm; trong cơ sở dữ liệu "{name}", sau đó chạy lại.'
            ) from reason


def index_search_text(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # Without the pending list: many are the searches and few the changes, and a long list is read by every search.
        schema_editor.execute(
            "CREATE INDEX core_searchentry_trigram ON core_searchentry "
            "USING gin (folded gin_trgm_ops) WITH (fastupdate = off)",
            params=None,
        )
    else:
        for statement in SQLITE_SEARCH:
            schema_editor.execute(statement, params=None)


def drop_search_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX core_searchentry_trigram", params=None)
    else:
        for event in ("insert", "delete", "update"):
            schema_editor.execute(f"DROP TRIGGER core_searchentry_trigram_{event}", params=None)
        schema_editor.execute("DROP TABLE core_searchentry_trigram", params=None)


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.RunPython(make_audit_append_only, make_audit_changeable),
        migrations.RunPython(enable_trigrams, migrations.RunPython.noop),
        migrations.RunPython(index_search_text, drop_search_index),
    ]
