"""A table that shares the primary key of a subject takes subjects of its own kind alone, and a kind never changes.

On SQLite a later migration that rebuilds one of these tables drops its triggers and has to make them again:
`tests/test_subject_kinds.py` notices when it forgets.
"""

from django.db import migrations

KIND_OF_TABLE = {
    "places_administrativeunit": "UNIT",
    "places_urbanarea": "URBAN_AREA",
    "places_organisation": "ORGANISATION",
}

SQLITE_CHECK = """
CREATE TRIGGER {table}_subject_kind_{event} BEFORE {event} ON {table}
WHEN (SELECT kind FROM places_subject WHERE id = NEW.subject_id) IS NOT '{kind}' BEGIN
    SELECT RAISE(ABORT, 'Bảng {table} chỉ nhận đối tượng loại {kind}: đối tượng được nêu không có hoặc thuộc loại khác.');
END
"""
SQLITE_KIND_STAYS = """
CREATE TRIGGER places_subject_kind_stays BEFORE UPDATE OF kind ON places_subject WHEN NEW.kind IS NOT OLD.kind BEGIN
    SELECT RAISE(ABORT, 'Loại của đối tượng không đổi được: lập đối tượng mới thuộc loại cần dùng.');
END
"""

POSTGRESQL_CHECK_FUNCTION = """
CREATE FUNCTION places_check_subject_kind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT kind FROM places_subject WHERE id = NEW.subject_id) IS DISTINCT FROM TG_ARGV[0] THEN
        RAISE EXCEPTION 'Bảng % chỉ nhận đối tượng loại %: đối tượng #% không có hoặc thuộc loại khác.',
            TG_TABLE_NAME, TG_ARGV[0], NEW.subject_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$
"""
POSTGRESQL_CHECK = """
CREATE TRIGGER {table}_subject_kind BEFORE INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION places_check_subject_kind('{kind}')
"""
POSTGRESQL_KIND_STAYS_FUNCTION = """
CREATE FUNCTION places_refuse_kind_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Loại của đối tượng #% không đổi được: lập đối tượng mới thuộc loại cần dùng.', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END
$$
"""
POSTGRESQL_KIND_STAYS = """
CREATE TRIGGER places_subject_kind_stays BEFORE UPDATE OF kind ON places_subject
FOR EACH ROW WHEN (NEW.kind IS DISTINCT FROM OLD.kind) EXECUTE FUNCTION places_refuse_kind_change()
"""


def check_kinds(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_CHECK_FUNCTION, params=None)
        for table, kind in KIND_OF_TABLE.items():
            schema_editor.execute(POSTGRESQL_CHECK.format(table=table, kind=kind), params=None)
        schema_editor.execute(POSTGRESQL_KIND_STAYS_FUNCTION, params=None)
        schema_editor.execute(POSTGRESQL_KIND_STAYS, params=None)
    else:
        for table, kind in KIND_OF_TABLE.items():
            for event in ("INSERT", "UPDATE"):
                schema_editor.execute(SQLITE_CHECK.format(table=table, kind=kind, event=event), params=None)
        schema_editor.execute(SQLITE_KIND_STAYS, params=None)


def stop_checking_kinds(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION places_check_subject_kind() CASCADE", params=None)
        schema_editor.execute("DROP FUNCTION places_refuse_kind_change() CASCADE", params=None)
    else:
        for table in KIND_OF_TABLE:
            for event in ("INSERT", "UPDATE"):
                schema_editor.execute(f"DROP TRIGGER {table}_subject_kind_{event}", params=None)
        schema_editor.execute("DROP TRIGGER places_subject_kind_stays", params=None)


class Migration(migrations.Migration):
    dependencies = [("places", "0001_initial")]

    operations = [migrations.RunPython(check_kinds, stop_checking_kinds)]
