"""What this room tells of a customer to the pages of connections: what is owed, and a copy of the bills."""

import pytest

from machnuoc.billing.models import Bill, BillingRun, RunSkip
from machnuoc.billing.tests.world import JULY, NOW
from machnuoc.core import files
from machnuoc.customers import connection_panels, connection_sheets, privacy
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, ConnectionImport
from machnuoc.indicators.sheets import SheetError

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


def test_a_sheet_of_connections_stays_once_a_billing_run_looked_at_one_of_them(world):
    one, two = world.connection(), world.connection()
    stored = files.store(b"a;b\n", name="dau-noi.csv", by=world.clerk, kinds=frozenset({"csv"}))
    batch = ConnectionImport.objects.create(
        kind="CONNECTIONS", file=stored, file_name="dau-noi.csv", uploaded_by=world.clerk, uploaded_at=NOW,
        applied_at=NOW,
    )  # fmt: skip
    Connection.objects.update(imported_in=batch)
    run = BillingRun.objects.create(
        operator=world.operator, scope=world.operator.subject, period_start_date=JULY, created_at=NOW
    )
    RunSkip.objects.create(run=run, connection=two, reason=RunSkip.Reason.NO_READING)

    with pytest.raises(SheetError, match=f"đấu nối {two.code} đã có hóa đơn"):
        connection_sheets.undo(batch, by=world.clerk, now=NOW)
    assert Connection.objects.filter(pk=one.pk).exists()
