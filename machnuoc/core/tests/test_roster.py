"""Who is on duty, across midnight, weeks and people who stand in."""

from datetime import date, datetime, time

import pytest

from machnuoc.core import roster
from machnuoc.core.models import Person, Roster
from machnuoc.core.periods import LOCAL_ZONE

pytestmark = pytest.mark.django_db
MONDAY = date(2026, 6, 1)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, minute, tzinfo=LOCAL_ZONE)


def names(people) -> set[str]:
    return {person.username for person in people}


@pytest.fixture
def an() -> Person:
    return Person.objects.create_user("an", full_name="Nguyễn Văn An")


@pytest.fixture
def binh() -> Person:
    return Person.objects.create_user("binh", full_name="Trần Thị Bình")


@pytest.fixture
def cuong() -> Person:
    return Person.objects.create_user("cuong", full_name="Lê Cường")


@pytest.fixture
def duty(an, binh) -> Roster:
    """An by day, Bình by night, every day."""
    made = roster.put_roster(subject_id=7, name="Trạm Nghĩa Phú", by=None)
    roster.add_shifts(made, weekdays=range(7), start=time(6), end=time(18), person=an, by=None)
    roster.add_shifts(made, weekdays=range(7), start=time(18), end=time(6), person=binh, by=None)
    return made


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        (at(1, 6), "an"),
        (at(1, 17, 59), "an"),
        (at(1, 18), "binh"),
        (at(1, 23, 59), "binh"),
        (at(2, 0), "binh"),
        (at(2, 5, 59), "binh"),
        (at(2, 6), "an"),
        (at(8, 3), "binh"),  # Sunday's night runs into Monday
    ],
)
def test_a_night_shift_runs_over_midnight(duty, moment, who):
    assert names(roster.who_is_on(duty, moment)) == {who}


def test_nobody_is_missing_in_a_week_and_a_gap_is_told(duty, an):
    assert roster.list_uncovered(duty, at(1, 0), at(8, 0)) == []

    roster.remove_shift(duty.shifts.get(weekday=2, person=an), by=None)

    assert roster.list_uncovered(duty, at(1, 0), at(8, 0)) == [(at(3, 6), at(3, 18))]


def test_who_stands_in_takes_only_the_place_and_hours_of_the_other(duty, an, binh, cuong):
    roster.add_override(duty, from_at=at(1, 12), until=at(2, 12), person=cuong, instead_of=binh, by=None)

    assert names(roster.who_is_on(duty, at(1, 11))) == {"an"}
    assert names(roster.who_is_on(duty, at(1, 13))) == {"an", "cuong"}
    assert names(roster.who_is_on(duty, at(2, 3))) == {"cuong"}
    assert names(roster.who_is_on(duty, at(2, 19))) == {"binh"}


def test_an_override_for_everybody_leaves_nobody_else_on(duty, cuong):
    roster.add_override(duty, from_at=at(1, 0), until=at(3, 0), person=cuong, by=None)

    assert names(roster.who_is_on(duty, at(2, 3))) == {"cuong"}


def test_shifts_hold_within_their_dates_and_for_active_people(duty, an, cuong):
    roster.add_shifts(
        duty, weekdays=[0], start=time(8), end=time(8), person=cuong, by=None, valid_from=date(2026, 6, 8),
        valid_to=date(2026, 6, 15),
    )  # fmt: skip

    assert "cuong" not in names(roster.who_is_on(duty, at(1, 9)))
    assert "cuong" in names(roster.who_is_on(duty, at(9, 7)))  # 24 hours from Monday 8 June
    assert "cuong" not in names(roster.who_is_on(duty, at(15, 9)))
    an.is_active = False
    an.save()
    assert roster.who_is_on(duty, at(1, 9)) == []


def test_the_week_shows_a_night_on_both_days(duty):
    week = roster.get_week(duty, MONDAY, date(2026, 6, 3))

    assert [len(day.spans) for day in week] == [3, 3, 3, 3, 3, 3, 3]
    assert [day.is_today for day in week].index(True) == 2


def test_the_next_level_is_called_after_its_minutes(duty, cuong):
    roster.put_level(duty, level=2, after_min=15, people=[cuong], by=None)

    assert roster.next_level(duty, 1).after_min == 15
    assert roster.next_level(duty, 2) is None
    assert names(roster.who_is_on(duty, at(1, 9), level=2)) == {"cuong"}
    roster.put_level(duty, level=2, after_min=15, people=[], by=None)
    assert roster.next_level(duty, 1) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://vi-du.vn/x", "https"),
        ("https://10.1.2.3/x", "mạng nội bộ"),
        ("https://127.0.0.1/x", "mạng nội bộ"),
        ("https://[::1]/x", "mạng nội bộ"),
        ("https://localhost/x", "mạng nội bộ"),
        ("https://169.254.169.254/latest", "mạng nội bộ"),
        ("https://vi-du.vn:22/x", "cổng"),
        ("https://a:b@vi-du.vn/x", "tên đăng nhập"),
    ],
)
def test_a_webhook_into_our_own_network_is_refused(url, words):
    with pytest.raises(roster.RosterError, match=words):
        roster.put_roster(subject_id=7, name="Tổ", by=None, webhook_url=url)


def test_nobody_stands_in_for_themselves(duty, an):
    with pytest.raises(roster.RosterError, match="chính mình"):
        roster.add_override(duty, from_at=at(1, 0), until=at(1, 1), person=an, instead_of=an, by=None)
