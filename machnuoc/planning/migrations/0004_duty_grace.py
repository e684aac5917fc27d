from django.db import migrations, models
from django.db.models import F, Q


def take_the_last_day(apps, schema_editor):
    apps.get_model("planning", "DutyInstance").objects.update(grace_until=F("last_day"))


class Migration(migrations.Migration):
    dependencies = [("planning", "0003_programme_goals_deadlines")]

    operations = [
        migrations.AddField("dutyinstance", "grace_until", models.DateField(null=True)),
        migrations.RunPython(take_the_last_day, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            "dutyinstance", "grace_until", models.DateField(verbose_name="còn coi là đúng hạn đến hết")
        ),
        migrations.AlterField("dutyinstance", "opens_on", models.DateField(verbose_name="mở từ ngày")),
        migrations.AddConstraint(
            "dutyinstance",
            models.CheckConstraint(condition=Q(grace_until__gte=F("last_day")), name="grace_follows_the_last_day"),
        ),
    ]
