"""What this room tells of a customer to the pages of connections: what is owed, and a copy of the bills."""

import pytest

from machnuoc.billing.models import Bill
from machnuoc.billing.tests.world import JULY, NOW
from machnuoc.customers import connection_panels, privacy
from machnuoc.customers.errors import CustomersError

pytestmark = pytest.mark.django_db


def test_a_customer_with_an_open_bill_is_not_erased_and_gets_it_in_their_copy(world):
    one = world.connection()
    Bill.objects.create(
        series=world.series, operator=world.operator, connection=one, customer=one.customer, period_start_date=JULY,
        group="SH", tariff=world.tariff, net_vnd=60_000, vat_vnd=3_000, fee_vnd=6_000, total_vnd=69_000,
        from_date=JULY, to_date=NOW.date(), volume_l=10_000, issued_at=NOW, due_date=NOW.date(), number=1,
    )  # fmt: skip
    type(one).objects.filter(pk=one.pk).update(status="CLOSED", closed_date=NOW.date())

    assert connection_panels.owed_vnd([one.customer_id]) == 69_000
    with pytest.raises(CustomersError, match="còn nợ"):
        privacy.erase(one.customer, reason="đơn", by=None, now=NOW)
    assert privacy.copy_of(one.customer)["Hóa đơn"][0]["total_vnd"] == 69_000
