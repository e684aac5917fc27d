"""A small operator with a station, prices and customers, for the tests of this room and of those above it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from machnuoc.billing.models import BillingProfile, FeeRule, InvoiceSeries, Tariff, TariffPrice
from machnuoc.core.models import Person
from machnuoc.customers.models import Connection, Contract, Customer, Fitting, Meter, Reading
from machnuoc.places import operations as places
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works.models import Work

LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
JUNE, JULY, AUGUST = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)
NOW = datetime(2026, 8, 1, 2, 0, tzinfo=UTC)  # 9 o'clock of 1 August in Quảng Ngãi
TODAY = date(2026, 8, 1)
# Four blocks a household, as rural tariffs have them: edges in litres, đồng a m³ without VAT.
BLOCKS = ((0, 10_000, 6_000), (10_000, 20_000, 7_500), (20_000, 30_000, 9_000), (30_000, None, 12_000))
FLAT_VND = {"HCSN": 9_500, "SX": 11_000, "KDDV": 15_000}


def make_operator(key: str = "org.thu", name: str = "Trung tâm Nước thử") -> Organisation:
    return places.put_organisation(key=key, name=name, kind=Organisation.Kind.OPERATOR)


def make_work(operator: Organisation, key: str = "work.thu", name: str = "Trạm cấp nước thử") -> Work:
    subject = Subject.objects.create(key=key, kind=Subject.Kind.WORK, name=name)
    Containment.objects.create(ancestor=subject, descendant=subject)
    Containment.objects.create(ancestor=operator.subject, descendant=subject)
    return Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector=Work.Sector.RURAL, operator=operator)


def make_tariff(
    scope: Subject, key: str = "gia-thu", valid_from: date = date(2025, 1, 1), raise_pct: int = 0, **fields: Any
) -> Tariff:
    """Make a tariff in force: blocks for households (poor ones a tenth less), one price for everybody else."""
    tariff = Tariff.objects.create(
        key=key, scope=scope, valid_from=valid_from,
        **{
            "name": f"Biểu giá {key}", "area": "RURAL", "decision": "1/QĐ-THU", "state": Tariff.State.IN_FORCE,
            "vat_basis_points": 500, **fields,
        },
    )  # fmt: skip
    for group, share_pct in (("SH", 100), ("SH_NGHEO", 90)):
        for from_l, to_l, price_vnd in BLOCKS:
            TariffPrice.objects.create(
                tariff=tariff, group=group, structure="BLOCK_PER_CONNECTION", from_l=from_l, to_l=to_l,
                price_vnd=price_vnd * share_pct * (100 + raise_pct) // 10_000,
            )  # fmt: skip
    for group, price_vnd in FLAT_VND.items():
        TariffPrice.objects.create(
            tariff=tariff, group=group, structure="FLAT", price_vnd=price_vnd * (100 + raise_pct) // 100
        )
    return tariff


def make_person(username: str, role: str, scope: Subject) -> Person:
    person = Person.objects.create(username=username, full_name=f"Người {username}")
    Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2020, 1, 1))
    return person


def read_at(day: date, hour: int = 8) -> datetime:
    return datetime.combine(day, time(hour), LOCAL)


@dataclass
class World:
    """operator runs work; prices in force since 2025; VAT 5 %, environment fee 10 %."""

    operator: Organisation
    work: Work
    tariff: Tariff
    series: InvoiceSeries
    profile: BillingProfile
    clerk: Person  # prepares bills
    leader: Person  # approves them
    cashier: Person
    station: Person
    made: int = field(default=0)

    def connection(
        self, readings_m3: dict[date, int] | None = None, *, group: str = "SH", work: Work | None = None, **fields: Any
    ) -> Connection:
        """Make an active connection of a new customer, with a meter.

        readings_m3: index in m³ by month; a reading of a month is taken on the last day of it. The first is the
        index at installation if it lies in no billed month.
        """
        self.made += 1
        number = self.made
        customer = Customer.objects.create(
            operator=self.operator, code=f"KH{number:06}", name=f"Nguyễn Văn Thử {number}",
            phone=f"09050{number:05}", created_at=NOW,
        )  # fmt: skip
        code = fields.pop("code", f"DN{number:06}")
        connection = Connection.objects.create(
            customer=customer, work=work or self.work, group=group, code=code,
            folded=f" {code.lower()} nguyen van thu {number} ",
            **{"status": "ACTIVE", "connected_date": date(2025, 1, 1), "address": f"Thôn {number}", **fields},
        )  # fmt: skip
        Contract.objects.create(
            connection=connection, customer=customer, number=f"HD{number:06}", signed_date=date(2025, 1, 1)
        )
        meter = Meter.objects.create(operator=self.operator, serial=f"S{number:08}")
        first = min((readings_m3 or {}).values(), default=0)
        fitting = Fitting.objects.create(
            connection=connection, meter=meter, installed_at=read_at(date(2025, 1, 1)), installed_index_l=first * 1000
        )
        for month, index_m3 in sorted((readings_m3 or {}).items()):
            self.read(connection, month, index_m3, fitting=fitting)
        return connection

    def read(
        self, connection: Connection, month: date, index_m3: int, *, kind: str = "ACTUAL", **fields: Any
    ) -> Reading:
        """Store the reading that closes a month, taken at its last day."""
        last_day = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        at = fields.pop("at", read_at(last_day))
        fitting = fields.pop("fitting", None) or connection.fittings.get(removed_at=None)
        return Reading.objects.create(
            connection=connection, fitting=fitting, period_start_date=month, kind=kind, read_at=at,
            index_l=index_m3 * 1000, received_at=at, **{"source": "FIELD", **fields},
        )  # fmt: skip


def make_world(key: str = "thu") -> World:
    operator = make_operator(f"org.{key}")
    work = make_work(operator, f"work.{key}")
    series = InvoiceSeries.objects.create(operator=operator, code="K26TAA")
    profile = BillingProfile.objects.create(
        operator=operator, legal_name="Trung tâm Nước thử", tax_code="4300000001", address="Quảng Ngãi",
        phone="1900 0000", bank_bin="970436", bank_account="0123456789", bank_account_name="TRUNG TAM NUOC THU",
    )  # fmt: skip
    FeeRule.objects.create(
        scope=operator.subject, basis_points=1_000, valid_from=date(2020, 1, 1), document="NĐ 53/2020/NĐ-CP"
    )
    return World(
        operator=operator, work=work, tariff=make_tariff(operator.subject, f"gia-{key}"), series=series,
        profile=profile,
        clerk=make_person(f"{key}.lap", Grant.Role.DEPARTMENT, operator.subject),
        leader=make_person(f"{key}.duyet", Grant.Role.LEADER, operator.subject),
        cashier=make_person(f"{key}.thu", Grant.Role.CASHIER, operator.subject),
        station=make_person(f"{key}.tram", Grant.Role.STATION, work.subject),
    )  # fmt: skip
