"""The table of works takes subjects of the kind WORK alone, as `places` 0002 does for its own tables."""

from django.db import migrations

SQLITE_CHECK = """
CREATE TRIGGER works_work_subject_kind_{event} BEFORE {event} ON works_work
WHEN (SELECT kind FROM places_subject WHERE id = NEW.subject_id) IS NOT 'WORK' BEGIN
    SELECT RAISE(ABORT, 'Bảng works_work chỉ nhận đối tượng loại WORK: đối tượng được nêu không có hoặc thuộc loại khác.');
END
"""
POSTGRESQL_CHECK = """
CREATE TRIGGER works_work_subject_kind BEFORE INSERT OR UPDATE ON works_work
FOR EACH ROW EXECUTE FUNCTION places_check_subject_kind('WORK')
"""


def check_kind(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_CHECK, params=None)
    else:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(SQLITE_CHECK.format(event=event), params=None)


def stop_checking_kind(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER works_work_subject_kind ON works_work", params=None)
    else:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(f"DROP TRIGGER works_work_subject_kind_{event}", params=None)


class Migration(migrations.Migration):
    dependencies = [("works", "0001_initial"), ("places", "0002_subject_kind_triggers")]

    operations = [migrations.RunPython(check_kind, stop_checking_kind)]
