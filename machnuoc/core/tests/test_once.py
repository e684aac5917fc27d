"""A form that is sent twice acts once."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse, HttpResponseRedirect
from django.test import RequestFactory
from django.utils import timezone

from machnuoc.core import once
from machnuoc.core.models import IdempotentWrite, Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def lan() -> Person:
    return Person.objects.create_user("lan", "mot-mat-khau-dai", full_name="Nguyễn Thị Lan")


class Desk:
    """A page that adds a row each time it is asked, and says where the row is."""

    def __init__(self, person: object) -> None:
        self.person, self.made, self.status = person, 0, 302
        self.answered = once.act_once(self._add)

    def _add(self, request):
        self.made += 1
        return HttpResponseRedirect(f"/dong/{self.made}/") if self.status == 302 else HttpResponse(status=self.status)

    def post(self, path="/them/", headers=None, **said):
        request = RequestFactory(headers=headers or {}).post(path, {"_once": "so-1", "name": "An", **said})
        request.user = self.person
        return self.answered(request)


def test_the_second_of_two_equal_posts_is_led_where_the_first_led(lan):
    desk = Desk(lan)

    answers = [desk.post(csrfmiddlewaretoken=token) for token in ("a", "b")]

    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, "/dong/1/")] * 2
    assert desk.made == 1


@pytest.mark.parametrize(
    "other",
    [{"name": "Bình"}, {"_once": "so-2"}, {"path": "/them/?loai=2"}, {"file": SimpleUploadedFile("a.txt", b"a")}],
)
def test_another_content_or_another_form_is_another_act(lan, other):
    desk = Desk(lan)

    desk.post()
    desk.post(**other)

    assert desk.made == 2


def test_what_was_refused_may_be_sent_again(lan):
    desk = Desk(lan)
    desk.status = 422
    desk.post()
    desk.status = 302

    assert desk.post().status_code == 302
    assert desk.made == 2


def test_somebody_elses_post_with_the_same_number_is_their_own(lan):
    other = Person.objects.create_user("hoa", "mot-mat-khau-dai", full_name="Hoa")
    first, second = Desk(lan), Desk(other)

    first.post()
    second.post()

    assert (first.made, second.made) == (1, 1)


@pytest.mark.parametrize("number", ["", "x" * 100_000])
def test_a_missing_or_odd_number_stops_nothing(lan, number):
    desk = Desk(lan)

    assert desk.post(_once=number).status_code == 302


def test_parts_of_pages_and_strangers_are_left_alone(lan):
    parts, stranger = Desk(lan), Desk(AnonymousUser())
    for _ in range(2):
        parts.post(headers={"HX-Request": "true"})
        stranger.post()

    assert (parts.made, stranger.made) == (2, 2)
    assert not IdempotentWrite.objects.exists()


def test_a_post_that_is_still_at_work_is_waited_for_and_told_of(lan, monkeypatch):
    monkeypatch.setattr(once, "_EVERY_S", 0.001)
    desk, inner = Desk(lan), Desk(lan)
    desk.answered = once.act_once(lambda request: inner.post())

    answer = desk.post()

    assert answer.status_code == 409
    assert "còn đang xử lý" in answer.content.decode()
    assert inner.made == 0


def test_a_post_that_died_is_taken_over_and_old_numbers_are_forgotten(lan, monkeypatch):
    monkeypatch.setattr(once, "_EVERY_S", 0.001)
    desk = Desk(lan)
    desk.post()
    IdempotentWrite.objects.update(status=0, created_at=timezone.now() - timedelta(minutes=3))

    assert desk.post()["Location"] == "/dong/2/"
    IdempotentWrite.objects.update(created_at=timezone.now() - timedelta(days=2))
    desk.post(name="Bình")
    assert IdempotentWrite.objects.count() == 1
