"""A tiny world of meters: an operator, a station, a route, people who read and who decide."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from machnuoc.core.models import Person
from machnuoc.customers import meters, readings
from machnuoc.customers.models import Connection, Customer, Reading, Round, Route
from machnuoc.places import operations as places
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works.models import Work

LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = datetime(2026, 8, 31, 9, 0, tzinfo=LOCAL).astimezone(UTC)
MAY, JUNE, JULY, AUGUST = (date(2026, month, 1) for month in (5, 6, 7, 8))


def at(day: date, hour: int = 8) -> datetime:
    return datetime.combine(day, time(hour), LOCAL)


def make_person(username: str, role: str, scope: Subject) -> Person:
    person = Person.objects.create(username=username, full_name=f"Người {username}")
    Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2020, 1, 1))
    return person


@dataclass
class World:
    operator: Organisation
    work: Work
    route: Route
    reader: Person  # reads the route alone
    clerk: Person  # serves and reads everywhere in the operator's works
    leader: Person
    agency: Person  # sees, and no more
    made: int = field(default=0)

    def connection(self, *, digits: int = 5, installed_l: int = 0, meter: bool = True, **fields: Any) -> Connection:
        """Make a connection on the route, its meter hung on 20 March."""
        self.made += 1
        number = self.made
        customer = Customer.objects.create(
            operator=self.operator, code=f"KH{number:06}", name=f"Trần Thị Mẫu {number}", phone=f"0905{number:06}",
            created_at=NOW,
        )  # fmt: skip
        given = {
            "code": f"DN{number:06}", "work": self.work, "route": self.route, "route_order": number, "status": "ACTIVE",
            "connected_date": date(2026, 1, 1), "address": f"Thôn {number}",
        }  # fmt: skip
        connection = Connection.objects.create(customer=customer, **{**given, **fields})
        if meter:
            meters.fit(
                connection, at=at(date(2026, 3, 20)), by=self.clerk, serial=f"A{number:07}", index_l=installed_l,
                digits=digits, now=NOW,
            )  # fmt: skip
        return connection

    def read(self, connection: Connection, day: date, index_m3: int, **more: Any) -> readings.Outcome:
        given = {"source": Reading.Source.OFFICE, "person": self.clerk, "now": NOW, **more}
        return readings.take_reading(connection, read_at=at(day), index_l=index_m3 * 1000, **given)

    def months(self, connection: Connection, *indices_m3: int, first: int = 4) -> None:
        """Read on the 20th of each month from April on."""
        for number, index_m3 in enumerate(indices_m3):
            outcome = self.read(connection, date(2026, first + number, 20), index_m3)
            assert outcome.fate == "STORED", outcome

    def round(self, period: date, **fields: Any) -> Round:
        return Round.objects.create(route=self.route, period_start_date=period, opened_at=NOW, **fields)


def make_world(key: str = "doc") -> World:
    operator = places.put_organisation(key=f"org.{key}", name="Trung tâm Nước đọc", kind=Organisation.Kind.OPERATOR)
    subject = Subject.objects.create(key=f"work.{key}", kind=Subject.Kind.WORK, name=f"Trạm cấp nước {key}")
    Containment.objects.create(ancestor=subject, descendant=subject)
    Containment.objects.create(ancestor=operator.subject, descendant=subject)
    work = Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector=Work.Sector.RURAL, operator=operator)
    reader = make_person(f"{key}.ghi", Grant.Role.READER, subject)
    route = Route.objects.create(code=f"T-{key}", name="Tuyến thử", work=work, reader=reader, read_day=20)
    return World(
        operator, work, route, reader,
        clerk=make_person(f"{key}.phong", Grant.Role.DEPARTMENT, operator.subject),
        leader=make_person(f"{key}.lanhdao", Grant.Role.LEADER, operator.subject),
        agency=make_person(f"{key}.so", Grant.Role.AGENCY, operator.subject),
    )  # fmt: skip


@pytest.fixture
def meter_world(db) -> World:
    return make_world()
