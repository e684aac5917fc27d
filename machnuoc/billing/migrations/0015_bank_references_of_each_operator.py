"""Numbers of bank transfers count once for each operator: two operators' banks may give the same.

`billing_bankline` is rebuilt on SQLite; it has no triggers. The constraints of payments are partial indexes: changing
them rebuilds nothing, and the triggers of `billing_payment` stay.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

FILL = """
UPDATE billing_bankline SET operator_id = (
    SELECT s.operator_id FROM billing_bankstatement s WHERE s.id = billing_bankline.statement_id
) WHERE operator_id IS NULL
"""


def _operator(**options):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="places.organisation", **options
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_settlements_are_taken_back"), ("places", "0004_alter_grant_role")]

    operations = [
        migrations.AddField("bankline", "operator", _operator(null=True)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField("bankline", "operator", _operator()),
        migrations.RemoveConstraint("bankline", "bank_reference_once"),
        migrations.AddConstraint(
            "bankline",
            models.UniqueConstraint(fields=["operator", "bank_reference"], name="bank_reference_once"),
        ),
        migrations.RemoveConstraint("payment", "a_transfer_counts_once"),
        migrations.AddConstraint(
            "payment",
            models.UniqueConstraint(
                fields=["method", "external_id"],
                condition=Q(external_id__isnull=False) & ~Q(method="BANK"),
                name="a_transfer_counts_once",
            ),
        ),
        migrations.AddConstraint(
            "payment",
            models.UniqueConstraint(
                fields=["operator", "external_id"],
                condition=Q(external_id__isnull=False, method="BANK"),
                name="a_bank_transfer_counts_once",
            ),
        ),
    ]
