"""Stations and tokens for the tests of SensorThings, and how they ask and send."""

import json
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.core.models import Person
from machnuoc.places import operations as place_operations
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, ParentLink, Subject
from machnuoc.telemetry import payloads, store
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.tests.readings import put
from machnuoc.telemetry.tests.world import make_channel, make_device, make_person, make_work

ROOT = "/sta/v1.1/"
T0 = payloads.to_ms(datetime(2026, 10, 1, tzinfo=UTC))
MINUTE = 60_000
AT = "2026-10-01T07:00:00+07:00"


@pytest.fixture
def stations(db):
    """Two stations: one with pressure (published), chlorine and flow; one, simulated, with pressure."""
    first, second = make_work("binh-chanh", "Trạm Bình Chánh"), make_work("nghia-phu", "Trạm Nghĩa Phú")
    first.subject.latitude, first.subject.longitude = 15.3, 108.75
    first.subject.save()
    logger = make_device(first, "bc-1", make="Hãng thử", serial="SN-1")
    other = make_device(second, "np-1", is_simulated=True)
    return {
        "p": make_channel(logger, "p", "pressure", name="Áp lực đầu ra", is_public=True),
        "cl": make_channel(logger, "cl", "chlorine", name="Clo dư"),
        "q": make_channel(logger, "q", "flow", name="Lưu lượng", sent_unit="L/s"),
        "p2": make_channel(other, "p", "pressure", name="Áp lực mạng"),
    }


@pytest.fixture
def measured(stations):
    put((stations["p"].pk, T0 + n * MINUTE, 20 + n) for n in range(10))
    put((stations["cl"].pk, T0 + n * MINUTE, 0.1 * n, 1 if n == 9 else 0) for n in range(10))
    put((stations["p2"].pk, T0 + n * MINUTE + 1, 40 - n) for n in range(10))
    return stations


@pytest.fixture
def province(db):
    """A province with two communes and a centre that runs works there; keys vn.tinh-thu, vn.tinh-thu.xa-1, org.tt."""
    country = Subject.objects.create(key="vn", kind=Subject.Kind.COUNTRY, name="Việt Nam")
    Containment.objects.create(ancestor=country, descendant=country)
    found = make_unit("vn.tinh-thu", "Thử", "PROVINCE", "99", [country])
    for number in (1, 2):
        around = [country, found.subject]
        make_unit(f"vn.tinh-thu.xa-{number}", f"Xã {number}", "COMMUNE", f"9900{number}", around, found)
    place_operations.put_organisation(key="org.tt", name="Trung tâm thử", kind="CENTRE", territory=found)
    return found


def make_unit(key, name, level, code, around, parent=None):
    subject = Subject.objects.create(key=key, kind=Subject.Kind.UNIT, name=name)
    for ancestor in (*around, subject):
        Containment.objects.create(ancestor=ancestor, descendant=subject)
    for above in around[-1:]:
        ParentLink.objects.create(child=subject, parent=above, reason=ParentLink.Reason.TERRITORY)
    return AdministrativeUnit.objects.create(
        subject=subject, level=level, unit_type="Tỉnh" if level == "PROVINCE" else "Xã", code=code, parent=parent
    )


def make_token(work, role=Grant.Role.STATION, *, can_write=True, name="nguoi-tram"):
    person = make_person(name)
    Grant.objects.create(person=person, role=role, scope=work.subject, valid_from="2020-01-01")
    return tokens.create_token(person=person, name="sta", now=timezone.now(), can_write=can_write)[1]


@pytest.fixture
def token(stations):
    """Of somebody who enters for both stations."""
    raw = make_token(stations["p"].device.work)
    person = Person.objects.get(username="nguoi-tram")
    Grant.objects.create(
        person=person, role=Grant.Role.STATION, scope=stations["p2"].device.work.subject, valid_from="2020-01-01"
    )
    return raw


@pytest.fixture
def device_token(stations):
    Credential.objects.create(
        device=stations["p"].device, broker_hash="", token_sha256=tokens.hash_token("mat-khau"), made_at=timezone.now()
    )
    return "mat-khau"


def ask(path, token=None, status=200, **options):
    """Ask; options are query options without their dollar."""
    if "://" in path:
        parts = urlsplit(path)
        path = parts.path.removeprefix(ROOT) + (f"?{parts.query}" if parts.query else "")
    if options:
        path += "?" + "&".join(f"${name}={quote(str(text))}" for name, text in options.items())
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = Client().get(ROOT + path, headers=headers)
    assert response.status_code == status, response.content.decode()
    return response.json() if response.content else None


def send(path, body, token=None, method="post"):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, bytes) else json.dumps(body)
    client = Client(enforce_csrf_checks=True)
    return getattr(client, method)(ROOT + path, data, content_type="application/json", headers=headers)


def names(answer):
    return [each["name"] for each in answer["value"]]


def results(answer):
    return [each["result"] for each in answer["value"]]


def body_for(channel, result=3.5, **more):
    return {"phenomenonTime": AT, "result": result, "Datastream": {"@iot.id": channel.pk}, **more}


def readings():
    return store.query("SELECT channel, at, value, quality FROM telemetry_reading ORDER BY channel, at")


def ledger():
    return store.query("SELECT device, received, stored, corrected, duplicate, rejected FROM telemetry_ledger")
