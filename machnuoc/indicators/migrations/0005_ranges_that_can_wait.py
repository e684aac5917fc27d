from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("indicators", "0004_projects_as_subjects"),
    ]

    operations = [
        migrations.AddField(
            model_name="dirtyrange",
            name="can_wait",
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name="dirtyrange",
            index=models.Index(condition=models.Q(("can_wait", False)), fields=["id"], name="dirty_range_not_waiting"),
        ),
    ]
