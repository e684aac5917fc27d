"""Which telemetry channel tells the index of which customer meter."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_printed_batches_and_einvoice_days"),
        ("customers", "0005_reading_imports"),
        ("telemetry", "0004_device_import"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RemoteMeter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("offset_l", models.BigIntegerField(default=0, verbose_name="lệch so với mặt số (lít)")),
                ("linked_at", models.DateTimeField(verbose_name="nối từ")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ngừng từ")),
                ("taken_date", models.DateField(blank=True, null=True)),
                ("message", models.CharField(blank=True, max_length=300)),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="remote_meters",
                        to="telemetry.channel",
                        verbose_name="kênh số tổng",
                    ),
                ),
                (
                    "fitting",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="remote_meters",
                        to="customers.fitting",
                    ),
                ),
                (
                    "linked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-linked_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("fitting",),
                        name="one_remote_channel_a_meter",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("channel",),
                        name="a_channel_speaks_for_one_meter",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at__isnull", True), ("ended_at__gte", models.F("linked_at")), _connector="OR"
                        ),
                        name="remote_meter_runs_forward",
                    ),
                ],
            },
        ),
    ]
