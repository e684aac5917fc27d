"""Of open applications that came by themselves, a group other than households waits for somebody to confirm it."""

from django.db import migrations


def mark(apps, schema_editor):
    rows = apps.get_model("customers", "Application").objects.filter(
        source__in=["portal", "public"], stage__in=["SURVEYED", "REQUESTED", "QUOTED", "CONTRACTED"]
    )
    rows.exclude(group="SH").update(is_group_confirmed=False)


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0011_group_is_confirmed"),
    ]

    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
