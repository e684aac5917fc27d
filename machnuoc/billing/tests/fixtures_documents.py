"""Bills made by hand, for tests of what is printed and signed."""

from datetime import date, datetime, timedelta
from typing import Any

from machnuoc.billing.models import Bill, BillLine
from machnuoc.billing.tests.world import NOW, World
from machnuoc.customers.models import Connection


def make_bill(
    world: World,
    connection: Connection,
    month: date = date(2026, 7, 1),
    *,
    volumes_l: tuple[int, ...] = (10_000, 2_000),
    issued_at: datetime = NOW,
    **fields: Any,
) -> Bill:
    """Make an issued bill of the month with a line a block, priced by the world's tariff; VAT 5 %, fee 10 %."""
    prices = list(world.tariff.prices.filter(group=connection.group).order_by("from_l"))
    sign = -1 if fields.get("kind") == Bill.Kind.ADJUSTMENT_DOWN else 1
    amounts = [sign * volume_l * price.price_vnd // 1000 for volume_l, price in zip(volumes_l, prices, strict=False)]
    net_vnd = sum(amounts)
    vat_vnd, fee_vnd = net_vnd * 5 // 100, net_vnd // 10
    number = world.series.next_number
    world.series.next_number += 1
    world.series.save()
    end = (month + timedelta(days=32)).replace(day=1)
    readings = {one.period_start_date: one for one in connection.readings.filter(state="ACCEPTED")}
    before = (month - timedelta(days=1)).replace(day=1)
    values: dict[str, Any] = {
        "series": world.series, "number": number, "operator": world.operator, "connection": connection,
        "customer": connection.customer, "period_start_date": month, "from_date": month, "to_date": end,
        "group": connection.group, "tariff": world.tariff, "households": connection.households,
        "from_reading": readings.get(before), "to_reading": readings.get(month), "volume_l": sign * sum(volumes_l),
        "net_vnd": net_vnd, "vat_vnd": vat_vnd, "fee_vnd": fee_vnd, "total_vnd": net_vnd + vat_vnd + fee_vnd,
        "due_date": end + timedelta(days=15), "issued_at": issued_at, "issued_by": world.leader, **fields,
    }  # fmt: skip
    bill = Bill.objects.create(**values)
    for order, (volume_l, amount_vnd) in enumerate(zip(volumes_l, amounts, strict=True), start=1):
        BillLine.objects.create(
            bill=bill, order=order, tariff=world.tariff, group=connection.group, block=order, days=(end - month).days,
            volume_l=sign * volume_l, price_vnd=prices[order - 1].price_vnd, amount_vnd=amount_vnd,
        )  # fmt: skip
    return bill
