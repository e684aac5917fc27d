import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0006_own_quantities"),
        ("works", "0002_subject_kind_trigger"),
    ]

    operations = [
        migrations.CreateModel(
            name="MeasuringPlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=120, verbose_name="tên")),
                ("description", models.CharField(blank=True, max_length=300, verbose_name="mô tả")),
                ("latitude", models.FloatField(verbose_name="vĩ độ")),
                ("longitude", models.FloatField(verbose_name="kinh độ")),
                (
                    "work",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="measuring_places",
                        to="works.work",
                        verbose_name="công trình",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=("work", "name"), name="measuring_place_name_once_a_work")
                ],
            },
        ),
        migrations.AddField(
            model_name="channel",
            name="feature",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="channels",
                to="telemetry.measuringplace",
                verbose_name="nơi đo",
            ),
        ),
    ]
