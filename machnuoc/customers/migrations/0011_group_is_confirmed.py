from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0010_the_same_number_arrived_before"),
    ]

    operations = [
        migrations.AddField(
            model_name="application",
            name="is_group_confirmed",
            field=models.BooleanField(default=True),
        ),
    ]
