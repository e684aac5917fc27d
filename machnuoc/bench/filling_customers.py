"""Made-up customers for benchmarks: an operator with works, prices, connections, meters and two months of readings.

The numbers mean nothing and live in throw-away databases alone; they are drawn from a fixed seed.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db import connection, models, transaction
from numpy.typing import NDArray

from machnuoc.bench import filling
from machnuoc.billing import bulk
from machnuoc.billing.models import BillingProfile, FeeRule, InvoiceSeries, Tariff, TariffPrice
from machnuoc.core.models import Person
from machnuoc.customers.models import Connection, Customer, Fitting, Group, Meter, Reading
from machnuoc.places import operations as places
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works.models import Work

MONTHS = (date(2026, 6, 1), date(2026, 7, 1))
READ_AT = (datetime(2026, 6, 20, 2, tzinfo=UTC), datetime(2026, 7, 20, 2, tzinfo=UTC))
INSTALLED_AT = datetime(2025, 1, 10, 2, tzinfo=UTC)
NOW = datetime(2026, 8, 1, 2, tzinfo=UTC)
WORKS = 29
# Four blocks, VAT and fee on top: edges in litres a month, đồng a m³.
BLOCKS = ((0, 10_000, 6_000), (10_000, 20_000, 7_500), (20_000, 30_000, 9_000), (30_000, None, 12_000))
GROUP_SHARES = {"SH": 0.88, "SH_NGHEO": 0.06, "HCSN": 0.02, "SX": 0.01, "KDDV": 0.03}
_AT_ONCE = 50_000
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Provider:
    """An operator that bills. clerk prepares, leader approves."""

    operator: Organisation
    works: list[Work]
    clerk: Person
    leader: Person


def make_provider(key: str, works: int = WORKS) -> Provider:
    """Make an operator with works, a tariff of four blocks, VAT 5 %, environment fee 10 % and a series of numbers."""
    operator = places.put_organisation(key=f"bench.{key}", name=f"Đơn vị {key}", kind=Organisation.Kind.OPERATOR)
    made = []
    for number in range(works):
        subject = Subject.objects.create(
            key=f"bench.{key}.{number}", kind=Subject.Kind.WORK, name=f"Trạm {key} {number}"
        )
        Containment.objects.create(ancestor=subject, descendant=subject)
        Containment.objects.create(ancestor=operator.subject, descendant=subject)
        made.append(Work.objects.create(subject=subject, kind="STATION", sector="RURAL", operator=operator))
    tariff = Tariff.objects.create(
        key=f"bench.{key}", name="Biểu giá của phép đo", scope=operator.subject, area="RURAL", decision="1/QĐ-ĐO",
        valid_from=date(2025, 1, 1), state=Tariff.State.IN_FORCE,
    )  # fmt: skip
    for group in Group.values:
        for from_l, to_l, price_vnd in BLOCKS:
            TariffPrice.objects.create(
                tariff=tariff, group=group, structure="BLOCK_PER_CONNECTION", from_l=from_l, to_l=to_l,
                price_vnd=price_vnd,
            )  # fmt: skip
    FeeRule.objects.create(scope=operator.subject, valid_from=date(2020, 1, 1), document="Phép đo")
    InvoiceSeries.objects.create(operator=operator, code=f"K26{key[:3].upper():A>3}")
    BillingProfile.objects.create(
        operator=operator, legal_name=f"Đơn vị {key}", tax_code="4300000001", address="Phép đo"
    )
    return Provider(
        operator, made, filling.make_person(f"bench.{key}.lap", Grant.Role.DEPARTMENT, operator.subject),
        filling.make_person(f"bench.{key}.duyet", Grant.Role.LEADER, operator.subject),
    )  # fmt: skip


def add_connections(provider: Provider, count: int, first: int = 1) -> None:
    """Store that many connections with meters, numbered from first, and readings of both months."""
    for begin in range(first, first + count, _AT_ONCE):
        _add(provider, begin, min(_AT_ONCE, first + count - begin))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("ANALYZE")
        else:
            cursor.execute("VACUUM ANALYZE")


@transaction.atomic
def _add(provider: Provider, first: int, count: int) -> None:
    draw = np.random.default_rng([filling.SEED, first])
    number = np.arange(first, first + count, dtype=np.int64)
    customer = _insert(
        Customer, count, operator_id=provider.operator.pk, code=_texts("KH{:08}", number),
        name=_texts("Nguyen Van {:08}", number), phone=_texts("09{:08}", number), created_at=NOW,
    )  # fmt: skip
    work = np.array([one.pk for one in provider.works], np.int64)[number * len(provider.works) // (first + count)]
    group = draw.choice(len(GROUP_SHARES), count, p=list(GROUP_SHARES.values()))
    code = _texts("DN{:08}", number)
    made = _insert(
        Connection, count, code=code, work_id=work, customer_id=customer,
        address=_texts("Thon {:08}", number), group=bulk.Coded(group, tuple(GROUP_SHARES)),
        status="ACTIVE", connected_date=date(2025, 1, 10),
        folded=_texts(" dn{0:08} nguyen van {0:08} thon {0:08} ", number),
    )  # fmt: skip
    meter = _insert(Meter, count, operator_id=provider.operator.pk, serial=_texts("S{:08}", number))
    fitting = _insert(Fitting, count, connection_id=made, meter_id=meter, installed_at=INSTALLED_AT)
    before_l = draw.integers(0, 3_000, count) * 1_000
    after_l = before_l + np.minimum(draw.gamma(2.2, 7, count), 200).astype(np.int64) * 1_000
    for month, read_at, index_l in zip(MONTHS, READ_AT, (before_l, after_l), strict=True):
        _insert(
            Reading, count, connection_id=made, fitting_id=fitting, period_start_date=month, source="FIELD",
            read_at=read_at, received_at=read_at, index_l=index_l, flags="[]",
        )  # fmt: skip


def _texts(pattern: str, numbers: Ids) -> NDArray[np.bytes_]:
    return np.array([pattern.format(number) for number in numbers.tolist()], "S")


def _insert(model: type[models.Model], count: int, **given: Any) -> Ids:
    """Insert rows with the model's defaults for what is not given, and return their ids."""
    ids = bulk.take_ids(model, count)
    columns: dict[str, Any] = {"id": ids}
    for field in model._meta.concrete_fields:
        name = str(field.column)
        if name in given:
            columns[name] = given[name]
        elif not field.null and not field.primary_key:
            columns[name] = field.get_default()
    bulk.insert(model, columns, count)
    return ids
