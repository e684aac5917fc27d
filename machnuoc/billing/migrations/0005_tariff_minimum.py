"""A tariff may have a minimum for the households of a shared meter. Empty: none."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_payments_are_taken_back")]

    operations = [
        migrations.AddField(
            model_name="tariff",
            name="minimum_l_per_household",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="mức tối thiểu (lít/hộ/tháng)"),
        ),
    ]
