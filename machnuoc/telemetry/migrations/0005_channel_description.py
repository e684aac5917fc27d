from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0004_device_import"),
    ]

    operations = [
        migrations.AddField(
            model_name="channel",
            name="description",
            field=models.CharField(blank=True, default="", max_length=300, verbose_name="mô tả"),
            preserve_default=False,
        ),
    ]
