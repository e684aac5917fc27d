"""A tiny world of requests: two operators, their stations and people, and pictures made by hand."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from PIL import Image

from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.customers import request_categories, request_operations
from machnuoc.customers.models import Category, Connection, Customer, Request
from machnuoc.places import operations as places
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, Organisation, Subject
from machnuoc.works.models import ServiceArea, Work


def png(*, text: bytes = b"") -> bytes:
    """Return a picture of one pixel, with a text beside it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">II5B", 1, 1, 8, 0, 0, 0, 0)
    beside = chunk(b"tEXt", text) if text else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + beside
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def jpeg(*, orientation: int = 1, secret: bytes = b"") -> bytes:
    """Return the bones of a photo as a phone writes it: Exif with what it should not tell, one frame, one scan."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0) + secret
    exif = b"Exif\0\0" + tiff
    frame = struct.pack(">BHHB3B", 8, 8, 8, 1, 1, 0x11, 0)
    scan = bytes([1, 1, 0, 0, 63, 0])
    return b"".join([
        b"\xff\xd8",
        b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif,
        b"\xff\xdb" + struct.pack(">H", 67) + bytes([0] + [1] * 64),
        b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame,
        b"\xff\xda" + struct.pack(">H", len(scan) + 2) + scan,
        b"\x2a\xff\x00\x55",
        b"\xff\xd9",
    ])  # fmt: skip


def photo(width: int, height: int, *, kind: str = "jpeg", orientation: int = 1, secret: str = "") -> bytes:
    """Return a picture that can be looked at, of stripes, with the secret in its Exif."""
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    if secret:
        exif[0x010E] = secret
    made = io.BytesIO()
    picture.save(made, kind.upper(), exif=exif)
    return made.getvalue()


NOW = datetime(2026, 7, 6, 8, 0, tzinfo=LOCAL_ZONE)  # a Monday


def make_person(username: str, role: str, scope: Subject) -> Person:
    person = Person.objects.create_user(username, "mat-khau-thu-2026", full_name=f"Người {username}")
    Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2020, 1, 1))
    return person


@dataclass
class World:
    """operator has two stations, each a team with a work; `other` is an operator of its own."""

    operator: Organisation
    team: Organisation
    work: Work
    far_team: Organisation
    far_work: Work
    commune: Subject
    other: Organisation
    other_work: Work
    leader: Person
    office: Person  # a department of the operator
    station: Person  # of `team`
    far_station: Person
    agency: Person  # sees, and no more
    stranger: Person  # of the other operator
    made: int = field(default=0)

    def connection(self, work: Work | None = None, **fields: Any) -> Connection:
        self.made += 1
        number = self.made
        chosen = work or self.work
        customer = Customer.objects.create(
            operator=chosen.operator, code=f"KH{number:04}", name=f"Trần Thị Mẫu {number}",
            phone=f"09051234{number:02}", email=f"mau{number}@example.vn", created_at=NOW,
        )  # fmt: skip
        given = {
            "code": f"DN{number:04}", "work": chosen, "status": "ACTIVE", "connected_date": date(2026, 1, 1),
            "address": f"Thôn {number}", "latitude": 15.2001, "longitude": 108.7001, "place": self.commune,
        }  # fmt: skip
        return Connection.objects.create(customer=customer, **{**given, **fields})

    def receive(self, key: str = "mat-nuoc", **fields: Any) -> Request:
        given = {
            "category": Category.objects.get(key=key), "channel": "PHONE", "text": "Mất nước từ sáng sớm.", "now": NOW,
            "work": self.work, "name": "Lê Văn Thử", "phone": "0905 999 888", "email": "thu@example.vn",
            "address": "12 đường Thử",
        }  # fmt: skip
        return request_operations.receive(**{**given, **fields})


def _organisation(key: str, name: str, kind: str, parent: Organisation | None = None) -> Organisation:
    made = places.put_organisation(key=key, name=name, kind=kind, parent=parent)
    Containment.objects.get_or_create(ancestor=made.subject, descendant=made.subject)
    if parent is not None:
        Containment.objects.get_or_create(ancestor=parent.subject, descendant=made.subject)
    return made


def _work(
    key: str, name: str, operator: Organisation, team: Organisation | None, at: tuple[float, float], *above: Subject
) -> Work:
    subject = Subject.objects.create(key=key, kind="WORK", name=name, latitude=at[0], longitude=at[1])
    for one in {subject, operator.subject, *([team.subject] if team else []), *above}:
        Containment.objects.create(ancestor=one, descendant=subject)
    return Work.objects.create(subject=subject, kind="STATION", sector="RURAL", operator=operator, team=team)


def make_world() -> World:
    request_categories.load_categories()
    operator = _organisation("org.tt", "Trung tâm nước thử", Organisation.Kind.OPERATOR)
    other = _organisation("org.khac", "Công ty nước khác", Organisation.Kind.OPERATOR)
    team = _organisation("org.tt.dong", "Trạm Đông", Organisation.Kind.STATION, operator)
    far_team = _organisation("org.tt.tay", "Trạm Tây", Organisation.Kind.STATION, operator)
    province = Subject.objects.create(key="vn.thu", kind="UNIT", name="Tỉnh Thử")
    commune = Subject.objects.create(key="vn.thu.xa", kind="UNIT", name="Xã Thử")
    unit = AdministrativeUnit.objects.create(
        subject=province, level="PROVINCE", unit_type="Tỉnh", code="98", full_name="Tỉnh Thử"
    )
    AdministrativeUnit.objects.create(
        subject=commune, level="COMMUNE", unit_type="Xã", code="98001", full_name="Xã Thử", parent=unit
    )
    for above, below in [(province, province), (commune, commune), (province, commune)]:
        Containment.objects.create(ancestor=above, descendant=below)
    for one in (operator, team, far_team):
        Containment.objects.create(ancestor=province, descendant=one.subject)
    work = _work("work.dong", "Nhà máy Đông", operator, team, (15.2, 108.7), province, commune)
    far_work = _work("work.tay", "Nhà máy Tây", operator, far_team, (15.2, 108.2), province)
    other_work = _work("work.khac", "Nhà máy khác", other, None, (22.6, 106.2))
    ServiceArea.objects.create(work=work, place=commune)
    return World(
        operator, team, work, far_team, far_work, commune, other, other_work,
        leader=make_person("lanh-dao", "LEADER", operator.subject),
        office=make_person("phong", "DEPARTMENT", operator.subject),
        station=make_person("dong", "STATION", team.subject),
        far_station=make_person("tay", "STATION", far_team.subject),
        agency=make_person("so", "AGENCY", province),
        stranger=make_person("khac", "DEPARTMENT", other.subject),
    )  # fmt: skip
