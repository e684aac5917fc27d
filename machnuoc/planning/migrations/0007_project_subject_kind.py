"""The table of projects takes subjects of the kind PROJECT alone, as `places` 0002 does for its own tables."""

from django.db import migrations

SQLITE_CHECK = """
CREATE TRIGGER planning_project_subject_kind_{event} BEFORE {event} ON planning_project
WHEN (SELECT kind FROM places_subject WHERE id = NEW.subject_id) IS NOT 'PROJECT' BEGIN
    SELECT RAISE(ABORT, 'Bảng planning_project chỉ nhận đối tượng loại PROJECT: đối tượng được nêu không có hoặc thuộc loại khác.');
END
"""
POSTGRESQL_CHECK = """
CREATE TRIGGER planning_project_subject_kind BEFORE INSERT OR UPDATE ON planning_project
FOR EACH ROW EXECUTE FUNCTION places_check_subject_kind('PROJECT')
"""


def check_kind(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_CHECK, params=None)
    else:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(SQLITE_CHECK.format(event=event), params=None)


def stop_checking_kind(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER planning_project_subject_kind ON planning_project", params=None)
    else:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(f"DROP TRIGGER planning_project_subject_kind_{event}", params=None)


class Migration(migrations.Migration):
    dependencies = [("planning", "0006_project_spending_and_moves"), ("places", "0002_subject_kind_triggers")]

    operations = [migrations.RunPython(check_kind, stop_checking_kind)]
