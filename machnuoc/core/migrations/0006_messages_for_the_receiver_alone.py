"""Messages whose text no page shows and no row keeps: sign-in codes of customers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0005_duty_roster_and_outbox")]

    operations = [
        migrations.AddField(
            model_name="sending", name="is_secret", field=models.BooleanField(default=False),
        ),
    ]  # fmt: skip
