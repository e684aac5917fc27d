"""The pages of duty: what the week shows, and what those who manage it change there."""

from datetime import time

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from machnuoc.core import roster, search
from machnuoc.core.models import Person, Roster
from machnuoc.places import operations as places
from machnuoc.places.models import Grant, Organisation

pytestmark = pytest.mark.django_db


@pytest.fixture
def station() -> Organisation:
    return places.put_organisation(key="org.test.tram", name="Trạm Nghĩa Phú", kind=Organisation.Kind.STATION)


@pytest.fixture
def manager(station) -> Person:
    person = Person.objects.create_user("ky-thuat", full_name="Trần Kỹ Thuật", phone="0912345678")
    places.give_grant(person=person, role=Grant.Role.DEPARTMENT, scope=station.subject, by=None)
    return person


@pytest.fixture
def duty(station, manager) -> Roster:
    made = roster.put_roster(subject_id=station.pk, name="Trực trạm Nghĩa Phú", by=None)
    roster.add_shifts(made, weekdays=range(7), start=time(18), end=time(6), person=manager, by=None)
    return made


def sign_in(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def change(client: Client, duty: Roster, act: str, **data):
    return client.post(f"/giam-sat/truc/{duty.pk}/sua/", {"act": act, **data})


def test_the_list_says_who_is_on_and_that_hours_are_not_covered(duty, manager):
    page = sign_in(manager).get("/giam-sat/truc/").content.decode()

    assert "Trực trạm Nghĩa Phú" in page and "có giờ không ai trực" in page


def test_the_week_shows_both_ends_of_a_night(duty, manager):
    page = sign_in(manager).get(f"/giam-sat/truc/{duty.pk}/?tuan=2026-06-03").content.decode()

    assert "Tuần 01/06/2026 – 07/06/2026" in page
    assert "18:00 – 06:00 <small>hôm sau</small>" in page
    assert "18:00 <small>hôm trước</small> – 06:00" in page


def test_a_week_that_is_no_day_is_this_week(duty, manager):
    for text in ("x", "9999-12-31", "0001-01-01", "2026-13-01"):
        assert sign_in(manager).get(f"/giam-sat/truc/{duty.pk}/", {"tuan": text}).status_code == 200


def test_a_manager_makes_a_roster_and_fills_it(station, manager):
    client = sign_in(manager)
    entry = search.SearchEntry.objects.get(kind="organisation", object_id=station.pk)

    client.post("/giam-sat/truc/them/", {"subject": entry.pk, "name": "Tổ trực"})
    duty = Roster.objects.get()
    change(client, duty, "shift", person=manager.pk, weekdays=["0", "1"], start="06:00", end="18:00")
    change(client, duty, "override", person=manager.pk, from_at="2026-06-03T06:00", until="2026-06-03T18:00")
    change(client, duty, "level", level="2", after_min="15", people=[manager.pk])
    change(client, duty, "settings", name="Tổ trực 2", webhook_url="https://vi-du.vn/nhan")

    duty.refresh_from_db()
    assert (duty.name, duty.webhook_url, len(duty.webhook_key) > 30) == ("Tổ trực 2", "https://vi-du.vn/nhan", True)
    assert (duty.shifts.count(), duty.overrides.count(), duty.levels.get().after_min) == (2, 1, 15)
    change(client, duty, "remove_shift", row=duty.shifts.first().pk)
    change(client, duty, "remove_override", row=duty.overrides.get().pk)
    assert (duty.shifts.count(), duty.overrides.count()) == (1, 0)


def test_what_is_wrong_is_said_beside_the_form(duty, manager):
    client = sign_in(manager)

    answer = change(client, duty, "settings", name="Tổ", webhook_url="https://127.0.0.1/x")
    assert answer.status_code == 422 and "mạng nội bộ" in answer.content.decode()
    answer = change(client, duty, "shift", person="9" * 30, weekdays=["9"], start="25:00", end="x")
    assert answer.status_code == 422
    assert change(client, duty, "remove_shift", row="9" * 40).status_code == 404
    assert change(client, duty, "khac").status_code == 404


def test_who_only_looks_changes_nothing_and_sees_no_secret(duty, manager, station):
    roster.put_roster(subject_id=station.pk, name="Trực", by=None, webhook_url="https://vi-du.vn/nhan")
    duty.refresh_from_db()
    operator = Person.objects.create_user("truc", full_name="Người Trực")
    places.give_grant(person=operator, role=Grant.Role.STATION, scope=station.subject, by=None)
    stranger = Person.objects.create_user("la", full_name="Người Lạ")
    client = sign_in(operator)

    page = client.get(f"/giam-sat/truc/{duty.pk}/").content.decode()

    assert duty.webhook_key not in page and "Sắp xếp" not in page
    assert change(client, duty, "settings", name="x").status_code == 403
    with pytest.raises(PermissionDenied):
        roster.add_shifts(duty, weekdays=[0], start=time(6), end=time(18), person=operator, by=operator)
    assert list(roster.list_rosters(operator)) == [duty] and not roster.list_rosters(stranger).exists()
    assert sign_in(stranger).get(f"/giam-sat/truc/{duty.pk}/").status_code == 404
    assert sign_in(stranger).get("/giam-sat/truc/them/").status_code == 403
