"""Payments, what they pay, lines of bills, refunds and hand-overs only take additions, as postings do.

What operations may change is left open: who paid and the words beside it (emptied when a customer is erased), the way
of a refund from asked to paid, and the state of a bill that is replaced. On SQLite a later migration that rebuilds one
of these tables drops its triggers and has to make them again: `machnuoc/billing/tests/test_append_only.py` notices.
"""

from django.db import migrations

REFUSE = {
    "billing_billline": "Dòng của hóa đơn đã phát hành không được sửa hay xóa.",
    "billing_allocation": "Cấn trừ chỉ được ghi thêm: gỡ cấn trừ bằng một dòng ngược dấu.",
    "billing_payment": "Khoản thu đã ghi không được sửa hay xóa: đảo khoản thu rồi ghi lại.",
    "billing_paymentreversal": "Việc đảo khoản thu không được sửa hay xóa.",
    "billing_refund": "Yêu cầu hoàn tiền không được sửa số tiền hay xóa.",
    "billing_gatewaysettlement": "Lần cổng chuyển tiền đã ghi không được sửa hay xóa.",
    "billing_settlementitem": "Khoản của lần cổng chuyển tiền không được sửa hay xóa.",
    "billing_bill": "Hóa đơn đã phát hành không được sửa hay xóa: lập hóa đơn điều chỉnh hoặc thay thế.",
}
# Columns that never change; None: none does. Of bills: those that 0003 does not hold yet.
FIXED = {
    "billing_billline": None,
    "billing_allocation": None,
    "billing_payment": (
        "id", "operator_id", "connection_id", "method", "amount_vnd", "received_at", "recorded_at", "external_id",
        "order_id", "till_id", "receipt_number", "recorded_by_id", "idempotency_key", "is_simulated", "customer_id",
    ),
    "billing_paymentreversal": ("id", "payment_id", "at", "till_id"),
    "billing_refund": ("id", "connection_id", "payment_id", "credit_bill_id", "amount_vnd", "requested_at"),
    "billing_gatewaysettlement": None,
    "billing_settlementitem": None,
    "billing_bill": (
        "id", "operator_id", "run_id", "customer_id", "from_date", "to_date", "corrects_id", "group", "tariff_id",
        "households", "persons", "from_reading_id", "to_reading_id", "is_estimated", "due_date", "issued_at",
    ),
}  # fmt: skip


def _triggers(is_postgresql):
    """Yield table, name, event and condition of each."""
    differs = "IS DISTINCT FROM" if is_postgresql else "IS NOT"
    for table, columns in FIXED.items():
        changed = ""
        if columns is not None:
            changed = " OR ".join(f'OLD."{name}" {differs} NEW."{name}"' for name in columns)
        if table == "billing_bill":
            changed += " OR (OLD.state = 'REPLACED' AND NEW.state <> 'REPLACED')"
            yield table, f"{table}_append_only_facts", "UPDATE", changed
            continue
        yield table, f"{table}_append_only_update", "UPDATE", changed
        yield table, f"{table}_append_only_delete", "DELETE", ""


def protect(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name, event, changed in _triggers(is_postgresql):
        text = REFUSE[table]
        if is_postgresql:
            when = f"WHEN ({changed})" if changed else ""
            body = f"FOR EACH ROW {when} EXECUTE FUNCTION billing_refuse_change('{text}')"
        else:
            body = f"{f'WHEN {changed}' if changed else ''} BEGIN SELECT RAISE(ABORT, '{text}'); END"
        schema_editor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {body}", params=None)


def release(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name, _, _ in _triggers(is_postgresql):
        schema_editor.execute(f"DROP TRIGGER {name}{f' ON {table}' if is_postgresql else ''}", params=None)


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_payments_name_their_customer")]

    operations = [migrations.RunPython(protect, release)]
