"""Postings are never changed or removed, and the figures of an issued bill never change.

On SQLite a later migration that rebuilds one of these tables (most AlterField and RemoveField do) drops its triggers
and has to make them again: `machnuoc/billing/tests/test_ledger.py` notices when it forgets.
"""

from django.db import migrations

FIXED = (
    "series_id",
    "number",
    "connection_id",
    "period_start_date",
    "kind",
    "volume_l",
    "net_vnd",
    "vat_vnd",
    "fee_vnd",
    "total_vnd",
)
REFUSE_POSTING = "Sổ cái chỉ được ghi thêm: không được sửa hay xóa bút toán."
REFUSE_BILL = "Hóa đơn đã phát hành không được sửa hay xóa: lập hóa đơn điều chỉnh hoặc thay thế."

POSTGRESQL_FUNCTION = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$
"""


def protect(apps, schema_editor):
    changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in FIXED)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_FUNCTION, params=None)
        refuse = "FOR EACH ROW {when} EXECUTE FUNCTION billing_refuse_change('{text}')"
        for table, event, when, text in (
            ("billing_posting", "UPDATE OR DELETE", "", REFUSE_POSTING),
            ("billing_bill", "DELETE", "", REFUSE_BILL),
            ("billing_bill", "UPDATE", f"WHEN ({changed})", REFUSE_BILL),
        ):
            name = f"{table}_append_only_{event.split()[0].lower()}"
            body = refuse.format(when=when, text=text)
            schema_editor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {body}", params=None)
        return
    changed = changed.replace("IS DISTINCT FROM", "IS NOT")
    for table, event, when, text in (
        ("billing_posting", "UPDATE", "", REFUSE_POSTING),
        ("billing_posting", "DELETE", "", REFUSE_POSTING),
        ("billing_bill", "DELETE", "", REFUSE_BILL),
        ("billing_bill", "UPDATE", f"WHEN {changed}", REFUSE_BILL),
    ):
        schema_editor.execute(
            f"CREATE TRIGGER {table}_append_only_{event.lower()} BEFORE {event} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{text}'); END",
            params=None,
        )


def release(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION billing_refuse_change() CASCADE", params=None)
        return
    for name in (
        "billing_posting_append_only_update",
        "billing_posting_append_only_delete",
        "billing_bill_append_only_delete",
        "billing_bill_append_only_update",
    ):
        schema_editor.execute(f"DROP TRIGGER {name}", params=None)


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_initial")]

    operations = [migrations.RunPython(protect, release)]
