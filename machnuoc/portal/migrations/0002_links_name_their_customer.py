"""A link says whose it is, and why it was made and ended. Nothing has made links before this."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0006_connection_listed_by_group"),
        ("portal", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="portallink",
            name="customer",
            field=models.ForeignKey(
                default=0, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="customers.customer"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="portallink",
            name="reason",
            field=models.CharField(blank=True, max_length=300, verbose_name="lý do"),
        ),
        migrations.AddField(
            model_name="portallink",
            name="ended_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="portallink",
            name="end_reason",
            field=models.CharField(blank=True, max_length=300, verbose_name="lý do gỡ"),
        ),
    ]
