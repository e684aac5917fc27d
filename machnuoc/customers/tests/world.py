"""A small water centre with two stations and the people of its roles, for the tests of this room."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from machnuoc.core.models import Person
from machnuoc.customers import connection_operations
from machnuoc.customers.connection_operations import ConnectionFacts, CustomerFacts
from machnuoc.customers.models import Connection
from machnuoc.places import operations as places
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works.models import Work

NOW = datetime(2026, 8, 3, 2, 0, tzinfo=UTC)  # 9 o'clock of 3 August in Quảng Ngãi
TODAY = date(2026, 8, 3)


def make_operator(key: str, name: str) -> Organisation:
    return places.put_organisation(key=key, name=name, kind=Organisation.Kind.OPERATOR)


def make_work(operator: Organisation, key: str, name: str) -> Work:
    subject = Subject.objects.create(key=key, kind=Subject.Kind.WORK, name=name)
    Containment.objects.create(ancestor=subject, descendant=subject)
    Containment.objects.create(ancestor=operator.subject, descendant=subject)
    return Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector=Work.Sector.RURAL, operator=operator)


def make_person(username: str, role: str, scope: Subject) -> Person:
    person = Person.objects.create(username=username, full_name=f"Người {username}")
    Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2020, 1, 1))
    return person


@dataclass
class Centre:
    """operator runs binh_chanh and nghia_phu; other_work belongs to somebody else."""

    operator: Organisation
    binh_chanh: Work
    nghia_phu: Work
    other_work: Work
    clerk: Person  # of the operator's department: serves, manages
    station: Person  # of Bình Chánh alone
    agency: Person  # oversees the operator: views, masked
    cashier: Person
    reader: Person

    def connection(
        self, name: str = "Nguyễn Văn An", *, work: Work | None = None, phone: str = "", **fields: Any
    ) -> Connection:
        """Make an active connection of a new customer, with a contract if `contract_number` says so."""
        kind = fields.pop("kind", "HOUSEHOLD")
        address = fields.pop("address", "Thôn Bình Yên")
        facts = ConnectionFacts(address, **{key: fields.pop(key) for key in ("group", "route") if key in fields})
        said: dict[str, Any] = {"connected_date": date(2026, 1, 10), **fields}
        return connection_operations.create_connection(
            work=work or self.binh_chanh, customer=CustomerFacts(name, kind, phone=phone), facts=facts, by=None,
            now=NOW, **said,
        )  # fmt: skip


def make_centre() -> Centre:
    operator = make_operator("org.thu.trung-tam", "Trung tâm Nước thử")
    elsewhere = make_operator("org.thu.khac", "Công ty nước khác")
    binh_chanh = make_work(operator, "work.thu.binh-chanh", "Trạm Bình Chánh")
    return Centre(
        operator, binh_chanh, make_work(operator, "work.thu.nghia-phu", "Trạm Nghĩa Phú"),
        make_work(elsewhere, "work.thu.khac", "Trạm khác"),
        make_person("thu.khkt", Grant.Role.DEPARTMENT, operator.subject),
        make_person("thu.binhchanh", Grant.Role.STATION, binh_chanh.subject),
        make_person("thu.so", Grant.Role.AGENCY, operator.subject),
        make_person("thu.thungan", Grant.Role.CASHIER, operator.subject),
        make_person("thu.ghichiso", Grant.Role.READER, operator.subject),
    )  # fmt: skip
