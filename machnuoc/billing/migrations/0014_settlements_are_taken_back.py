"""A hand-over of a gateway may be taken back: marked once and for all, told why; its transfer and payments are free.

The two tables of hand-overs are rebuilt on SQLite, which drops their triggers: they are made again at the end, and from
now on let `is_reversed` become true and nothing else change.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

REFUSE = {
    "billing_gatewaysettlement": "Lần cổng chuyển tiền đã ghi không được sửa hay xóa: đảo nó rồi ghi lại.",
    "billing_settlementitem": "Khoản của lần cổng chuyển tiền không được sửa hay xóa.",
    "billing_settlementreversal": "Việc đảo lần cổng chuyển tiền không được sửa hay xóa.",
}
FIXED = {
    "billing_gatewaysettlement": (
        "id", "operator_id", "gateway", "paid_date", "document", "gross_vnd", "fee_vnd", "net_vnd", "bank_line_id",
        "at", "by_id", "is_simulated",
    ),
    "billing_settlementitem": ("id", "settlement_id", "payment_id", "amount_vnd"),
    "billing_settlementreversal": (),
}  # fmt: skip
WERE_THERE = ("billing_gatewaysettlement", "billing_settlementitem")  # since 0012


def _drop(schema_editor, tables):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table in tables:
        for event in ("update", "delete"):
            on = f" ON {table}" if is_postgresql else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_append_only_{event}{on}", params=None)


def _create(schema_editor, table, event, changed):
    if schema_editor.connection.vendor == "postgresql":
        when = f"WHEN ({changed})" if changed else ""
        body = f"FOR EACH ROW {when} EXECUTE FUNCTION billing_refuse_change('{REFUSE[table]}')"
    else:
        body = f"{f'WHEN {changed}' if changed else ''} BEGIN SELECT RAISE(ABORT, '{REFUSE[table]}'); END"
    name = f"{table}_append_only_{event.lower()}"
    schema_editor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {body}", params=None)


def release_old(apps, schema_editor):
    _drop(schema_editor, WERE_THERE)


def protect_old(apps, schema_editor):
    _drop(schema_editor, WERE_THERE)
    for table in WERE_THERE:
        _create(schema_editor, table, "UPDATE", "")
        _create(schema_editor, table, "DELETE", "")


def protect(apps, schema_editor):
    _drop(schema_editor, FIXED)
    differs = "IS DISTINCT FROM" if schema_editor.connection.vendor == "postgresql" else "IS NOT"
    for table, columns in FIXED.items():
        changed = " OR ".join(f'OLD."{name}" {differs} NEW."{name}"' for name in columns)
        changed += " OR (OLD.is_reversed AND NOT NEW.is_reversed)" if columns else ""
        _create(schema_editor, table, "UPDATE", changed)
        _create(schema_editor, table, "DELETE", "")


def release(apps, schema_editor):
    _drop(schema_editor, FIXED)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_newest_postings"),
        ("places", "0004_alter_grant_role"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(release_old, protect_old),
        migrations.CreateModel(
            name="SettlementReversal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=300, verbose_name="lý do")),
                ("at", models.DateTimeField(verbose_name="đảo lúc")),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="gatewaysettlement",
            name="settlement_document_once",
        ),
        migrations.RemoveConstraint(
            model_name="settlementitem",
            name="payment_is_handed_over_once",
        ),
        migrations.RemoveConstraint(
            model_name="settlementitem",
            name="payment_is_deducted_once",
        ),
        migrations.AddField(
            model_name="gatewaysettlement",
            name="is_reversed",
            field=models.BooleanField(default=False, verbose_name="đã đảo"),
        ),
        migrations.AddField(
            model_name="settlementitem",
            name="is_reversed",
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name="gatewaysettlement",
            name="bank_line",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="settlements",
                to="billing.bankline",
            ),
        ),
        migrations.AlterField(
            model_name="posting",
            name="source",
            field=models.CharField(
                choices=[
                    ("BILL", "Hóa đơn"),
                    ("PAYMENT", "Khoản thu"),
                    ("ALLOCATION", "Cấn trừ trả trước"),
                    ("REFUND", "Hoàn tiền"),
                    ("TILL", "Chốt quỹ"),
                    ("SETTLEMENT", "Cổng chuyển tiền về"),
                    ("SETTLEBACK", "Đảo lần cổng chuyển về"),
                    ("REVERSAL", "Bút toán đảo"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="gatewaysettlement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_reversed", False)),
                fields=("operator", "gateway", "document"),
                name="settlement_document_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="gatewaysettlement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_reversed", False)), fields=("bank_line",), name="transfer_is_one_settlement"
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementitem",
            constraint=models.UniqueConstraint(
                condition=models.Q(("amount_vnd__gt", 0), ("is_reversed", False)),
                fields=("payment",),
                name="payment_is_handed_over_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementitem",
            constraint=models.UniqueConstraint(
                condition=models.Q(("amount_vnd__lt", 0), ("is_reversed", False)),
                fields=("payment",),
                name="payment_is_deducted_once",
            ),
        ),
        migrations.AddField(
            model_name="settlementreversal",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="settlementreversal",
            name="settlement",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="reversal", to="billing.gatewaysettlement"
            ),
        ),
        migrations.RunPython(protect, release),
    ]
