"""Say of each payment whose bills it pays: whom the first of them was issued to, else who holds the connection."""

from django.db import migrations

FILL = """
UPDATE billing_payment SET customer_id = COALESCE(
    (SELECT b.customer_id FROM billing_allocation a JOIN billing_bill b ON b.id = a.bill_id
        WHERE a.payment_id = billing_payment.id ORDER BY a.id LIMIT 1),
    (SELECT c.customer_id FROM customers_connection c WHERE c.id = billing_payment.connection_id)
) WHERE customer_id IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_holders_and_settlements")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
