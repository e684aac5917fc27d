from datetime import UTC, datetime, timedelta

import pytest

from machnuoc.core import notices
from machnuoc.core.models import Notice, Person

NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def make_person(db):
    def make(username: str, **fields) -> Person:
        return Person.objects.create_user(username, full_name=username.title(), **fields)

    return make


def test_each_active_person_gets_one_message(make_person):
    lan, gone = make_person("lan"), make_person("gone", is_active=False)

    notices.notify([lan, lan, gone], kind="submission.returned", text="Biểu tháng 7 bị trả lại", url="/nhap-lieu/1/")

    notice = Notice.objects.get()
    assert (notice.person, notice.text, notice.url, notice.read_at) == (
        lan,
        "Biểu tháng 7 bị trả lại",
        "/nhap-lieu/1/",
        None,
    )


def test_a_message_that_is_too_long_is_cut_with_a_sign(make_person):
    [notice] = notices.notify([make_person("lan")], kind="x", text="a" * 500)

    assert len(notice.text) == 400 and notice.text.endswith("…")


def test_a_person_marks_own_messages_alone(make_person):
    lan, minh = make_person("lan"), make_person("minh")
    notices.notify([lan, minh], kind="x", text="Một")
    notices.notify([lan], kind="x", text="Hai")
    of_minh = Notice.objects.get(person=minh)

    assert notices.mark_read(lan, NOW, notice_id=of_minh.pk) == 0
    assert notices.mark_read(lan, NOW, notice_id=Notice.objects.filter(person=lan).first().pk) == 1
    assert (notices.count_unread(lan), notices.count_unread(minh)) == (1, 1)
    assert notices.mark_read(lan, NOW) == 1
    assert notices.count_unread(lan) == 0


def test_old_messages_are_deleted_and_unread_ones_stay_longer(make_person):
    lan = make_person("lan")

    def left(created_days: int, read_days: int | None = None) -> Notice:
        read_at = None if read_days is None else NOW - timedelta(days=read_days)
        return Notice.objects.create(
            person=lan, kind="x", text="x", created_at=NOW - timedelta(days=created_days), read_at=read_at
        )

    left(200, 91), left(366)
    kept = {left(200, 89), left(364)}

    assert notices.prune(NOW) == 2
    assert set(Notice.objects.all()) == kept
