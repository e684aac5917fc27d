"""What the tests of places share: the country as loaded, and people with grants."""

from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from django.test import Client

from machnuoc.core.models import Person
from machnuoc.places import load_units, operations, queries
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(scope="module")
def loaded_units(django_db_setup, django_db_blocker) -> Iterator[load_units.Loaded]:
    """Load all units once a module (it takes seconds) and leave the database as empty as it was."""
    with django_db_blocker.unblock():
        loaded = load_units.load_units()
    yield loaded
    with django_db_blocker.unblock():
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def country(db) -> Subject:
    subject, created = Subject.objects.get_or_create(
        key="vn", defaults={"kind": Subject.Kind.COUNTRY, "name": "Việt Nam"}
    )
    if created:
        operations.rebuild_containment([subject.pk])
    return subject


@pytest.fixture
def make_unit(country) -> Callable[..., AdministrativeUnit]:
    def make(key: str, full_name: str, *, code: str, parent: AdministrativeUnit | None = None) -> AdministrativeUnit:
        unit_type, name = full_name.split(" ", 1)
        subject = Subject.objects.create(kind=Subject.Kind.UNIT, key=key, name=name, latitude=15.0, longitude=108.0)
        unit = AdministrativeUnit.objects.create(
            subject=subject,
            level="COMMUNE" if parent else "PROVINCE",
            unit_type=unit_type,
            code=code,
            full_name=full_name,
            parent=parent,
        )
        operations.set_parents(subject, "TERRITORY", [parent.subject if parent else country])
        return unit

    return make


@pytest.fixture
def quang_ngai(make_unit) -> AdministrativeUnit:
    return make_unit("thu.quang-ngai", "Tỉnh Quảng Ngãi", code="98")


@pytest.fixture
def cao_bang(make_unit) -> AdministrativeUnit:
    return make_unit("thu.cao-bang", "Tỉnh Cao Bằng", code="99")


@pytest.fixture
def nghia_phu(make_unit, quang_ngai) -> AdministrativeUnit:
    return make_unit("thu.quang-ngai.nghia-phu", "Xã Nghĩa Phú", code="98001", parent=quang_ngai)


@pytest.fixture
def water_centre(quang_ngai) -> Organisation:
    return operations.put_organisation(
        key="org.qn.trung-tam", name="Trung tâm Nước sạch Quảng Ngãi", kind="CENTRE", territory=quang_ngai
    )


@pytest.fixture
def station(water_centre) -> Organisation:
    return operations.put_organisation(
        key="org.qn.nghia-phu", name="Trạm Nghĩa Phú", kind="STATION", parent=water_centre, phone="0255 123 456"
    )


@pytest.fixture
def cao_bang_operator(cao_bang) -> Organisation:
    return operations.put_organisation(
        key="org.cb.cap-nuoc", name="Công ty Cấp nước Cao Bằng", kind="OPERATOR", territory=cao_bang
    )


@pytest.fixture
def make_person(db) -> Callable[..., Person]:
    def make(username: str, role: str = "", scope: Subject | None = None, **grant: object) -> Person:
        person = Person.objects.create_user(username, "mot-mat-khau-dai", full_name=f"Người {username}")
        if role:
            operations.give_grant(person=person, role=role, scope=scope or queries.get_country(), by=None, **grant)
        return person

    return make


@pytest.fixture
def admin(make_person, country) -> Person:
    return make_person("quan-tri", Grant.Role.ADMIN, country)


@pytest.fixture
def browser_of() -> Callable[[Person], Client]:
    def sign_in(person: Person) -> Client:
        client = Client()
        client.force_login(person, backend=BACKEND)
        return client

    return sign_in
