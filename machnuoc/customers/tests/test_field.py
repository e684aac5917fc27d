"""What phones of meter readers take along and send: who may, what is kept, and that nothing is lost or doubled."""

import base64
import json
import struct
import uuid
import zlib
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.customers import field_operations, field_queries, plausibility, privacy, reading_desk, readings
from machnuoc.customers.models import DataAccess, FieldItem, Reading, Route
from machnuoc.customers.tests.fixtures_readings import AUGUST, NOW, World, at, make_person, make_world, meter_world
from machnuoc.places.models import Grant

__all__ = ["meter_world"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(meter_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let it be the last day of August, with the round of August open on the reader's route."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    meter_world.round(AUGUST)
    return meter_world


@pytest.fixture
def house(world: World) -> Any:
    made = world.connection()
    world.months(made, 10, 20, 30, 40)  # April to July: ten a month
    return made


def browser(person: Person | None) -> Client:
    client = Client()
    if person is not None:
        client.force_login(person)
    return client


def item(house: Any, index_m3: float | None = 50, **more: Any) -> dict[str, Any]:
    given = {
        "client_id": str(uuid.uuid4()), "connection": house.pk, "code": house.code, "period": "2026-08-01",
        "read_at": (NOW - timedelta(hours=1)).isoformat(),
        "index_l": None if index_m3 is None else int(index_m3 * 1000),
    }  # fmt: skip
    return {**given, **more}


def send(person: Person, /, *items: Any, **more: Any) -> Any:
    said = {"person": person.pk, "sent_at": NOW.isoformat(), "items": list(items), **more}
    address = reverse("customers:field_send")
    return browser(person).post(address, json.dumps(said), content_type="application/json")


def receipts(person: Person, /, *items: Any, **more: Any) -> list[dict[str, Any]]:
    answer = send(person, *items, **more)
    assert answer.status_code == 200, answer.content
    return answer.json()["receipts"]


def receive(person: Person, *items: Any) -> list[str]:
    return [one.fate for one in field_operations.receive(items, person=person, now=NOW)]


def a_picture() -> str:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    told = chunk(b"tEXt", b"Where\0here")
    png = b"\x89PNG\r\n\x1a\n" + head + told + chunk(b"IDAT", zlib.compress(b"\0\1\2" * 2)) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


def counts_add_up() -> bool:
    fates = list(FieldItem.objects.values_list("fate", flat=True))
    stored = sum(fate in ("STORED", "SUSPECT", "CONFLICT") for fate in fates)
    return len(fates) == stored + fates.count("DUPLICATE") + fates.count("REFUSED")


# --- taking a route along


def test_a_reader_takes_along_own_routes_alone_and_a_station_all_of_its_works(world):
    foreign = make_world("khac")
    foreign.round(AUGUST)
    unassigned = Route.objects.create(code="T-2", name="Tuyến hai", work=world.work)
    mine = world.round(date(2026, 9, 1))
    unassigned.rounds.create(period_start_date=AUGUST, opened_at=NOW)

    assert {one.route.code for one in field_queries.list_rounds(world.reader)} == {"T-doc"}
    assert {one.route.code for one in field_queries.list_rounds(world.clerk)} == {"T-doc", "T-2"}
    assert not field_queries.list_rounds(world.agency)
    mine.state = "CLOSED"
    mine.save()
    assert field_queries.list_rounds(world.reader).count() == 1


def test_a_route_that_still_names_somebody_whose_grant_ended_gives_nothing(world, house):
    Grant.objects.filter(person=world.reader).update(valid_to=date(2026, 8, 1))
    shown = world.route.rounds.get()

    assert browser(world.reader).get(reverse("customers:field_route", args=[shown.pk])).status_code == 404
    assert browser(world.reader).get(reverse("customers:field_me")).status_code == 403


def test_the_package_holds_what_is_needed_at_the_door_and_the_look_is_written_down(world, house):
    shown = world.route.rounds.get()

    package = browser(world.reader).get(reverse("customers:field_route", args=[shown.pk])).json()

    (one,) = package["items"]
    assert (one["code"], one["name"], one["address"]) == (house.code, "Trần Thị Mẫu 1", "Thôn 1")
    assert one["meter"]["before_l"] == 40_000 and one["meter"]["before_date"] == "2026-07-20"
    assert [use["volume_l"] for use in one["meter"]["uses"]] == [10_000, 10_000, 10_000]
    assert one["meter"]["mean"] == [30_000, 91] and one["read"] is None
    assert package["rules"]["sudden_factor"] == plausibility.SUDDEN_FACTOR
    assert set(package["rules"]["warnings"]) == set(plausibility.WARNINGS)
    look = DataAccess.objects.get(person=world.reader)
    assert (look.what, look.count, look.purpose) == ("FIELD", 1, "Tuyến T-doc kỳ 08/2026")


def test_the_package_says_what_was_read_already_so_that_nobody_walks_there_twice(world, house):
    world.read(house, date(2026, 8, 20), 50)

    package = field_queries.make_package(world.route.rounds.get(), person=world.reader, now=NOW)

    assert package["items"][0]["read"] == {"index_l": 50_000, "state": "ACCEPTED", "is_own": False}
    assert package["items"][0]["meter"]["before_l"] == 40_000


def test_rounds_are_found_by_words_without_marks_and_come_in_pages(world, monkeypatch):
    monkeypatch.setattr(field_queries, "ROUNDS_A_PAGE", 2)
    for number, name in enumerate(["Thôn Phú Lễ", "Thôn Đông Yên", "Chợ Phú Lễ"]):
        route = Route.objects.create(code=f"T-{number}", name=name, work=world.work)
        route.rounds.create(period_start_date=AUGUST, opened_at=NOW)
    client = browser(world.clerk)
    address = reverse("customers:field_rounds")

    def codes(**asked: Any) -> list[str]:
        return [one["code"] for one in client.get(address, asked).json()["rounds"]]

    me = client.get(reverse("customers:field_me")).json()

    assert (len(me["rounds"]), me["pages"], len(me["open"])) == (2, 2, 4)
    assert codes(q="phu le") == ["T-0", "T-2"] and codes(q="đông") == ["T-1"] and codes(q="cho PHÚ") == ["T-2"]
    assert codes(q="không có") == []
    assert len({*codes(), *codes(page=2)}) == 4
    for odd in ("0", "-1", "99", "x", "٣", "9" * 30):
        assert client.get(address, {"page": odd}).status_code == 200
    assert [one["code"] for one in browser(world.reader).get(address).json()["rounds"]] == ["T-doc"]
    assert browser(world.agency).get(address).status_code == 403


def test_another_persons_route_is_not_taken_along(world):
    other = make_person("doc.ghi2", Grant.Role.READER, world.work.subject)
    shown = world.route.rounds.get()

    assert browser(other).get(reverse("customers:field_route", args=[shown.pk])).status_code == 404
    assert browser(world.agency).get(reverse("customers:field_route", args=[shown.pk])).status_code == 404
    assert not DataAccess.objects.exists()


def test_a_route_costs_as_many_queries_with_thirty_houses_as_with_two(world, django_assert_max_num_queries):
    for _ in range(30):
        world.connection()
    client = browser(world.reader)

    with django_assert_max_num_queries(20):
        client.get(reverse("customers:field_route", args=[world.route.rounds.get().pk]))


def test_the_shell_is_the_same_for_everybody_and_the_worker_names_it(world):
    one = browser(world.reader).get(reverse("customers:field_home"))
    other = browser(world.clerk).get(reverse("customers:field_home"))
    worker = browser(None).get(reverse("customers:field_worker"))

    assert one.content == other.content and world.reader.full_name not in one.content.decode()
    assert worker["Content-Type"].startswith("text/javascript") and "/di-ghi/" in worker.content.decode()
    assert browser(None).get(reverse("customers:field_manifest")).json()["scope"] == "/di-ghi/"
    assert browser(world.agency).get(reverse("customers:field_home")).status_code == 403
    assert browser(None).get(reverse("customers:field_me")).status_code == 302


# --- sending


def test_an_item_becomes_a_reading_of_its_month_with_photo_position_and_note(world, house):
    sent = item(house, 51, photo=a_picture(), position={"lat": 15.1, "lon": 108.8}, note="  Đã đọc   lại ")

    (told,) = receipts(world.reader, sent)

    assert told == {"client_id": sent["client_id"], "fate": "STORED", "reason": "", "is_repeat": False}
    reading = Reading.objects.get(client_id=sent["client_id"])
    assert (reading.index_l, reading.period_start_date, reading.source) == (51_000, AUGUST, "FIELD")
    assert (reading.latitude, reading.longitude, reading.note) == (15.1, 108.8, "Đã đọc lại")
    assert reading.read_by == world.reader and reading.photo.media_type == "image/png"
    kept = FieldItem.objects.get()
    assert kept.reading == reading and "photo" not in kept.body and kept.body["has_photo"] is True


def test_the_same_item_sent_again_gets_the_same_answer_and_changes_nothing(world, house):
    sent = item(house, 51)

    first, second = receipts(world.reader, sent), receipts(world.reader, sent, sent)

    assert [one["fate"] for one in first + second] == ["STORED"] * 3
    assert [one["is_repeat"] for one in first + second] == [False, True, True]
    assert Reading.objects.filter(period_start_date=AUGUST).count() == 1
    assert FieldItem.objects.get().repeats == 2


def test_an_item_sent_again_with_another_number_is_refused_and_the_first_is_kept(world, house):
    sent = item(house, 51)
    receipts(world.reader, sent)

    (told,) = receipts(world.reader, {**sent, "index_l": 59_000})

    assert told["fate"] == "REFUSED" and "bản đầu được giữ" in told["reason"]
    assert Reading.objects.get(period_start_date=AUGUST).index_l == 51_000


def test_two_phones_that_read_one_house_differently_both_see_the_conflict(world, house):
    first, second = item(house, 51), item(house, 53)
    receipts(world.reader, first)

    (told,) = receipts(world.clerk, second)

    assert told["fate"] == "CONFLICT" and "51" in told["reason"]
    for person, sent, other in ((world.reader, first, "53"), (world.clerk, second, "51")):
        (shown,) = field_queries.list_fates(person, [uuid.UUID(sent["client_id"])])
        assert shown.fate == "CONFLICT" and other in shown.reason
    assert set(Reading.objects.filter(period_start_date=AUGUST).values_list("state", flat=True)) == {
        "ACCEPTED", "CONFLICT"
    }  # fmt: skip


def test_the_phones_hear_what_the_office_chose(world, house):
    first, second = item(house, 51), item(house, 53)
    receipts(world.reader, first)
    receipts(world.clerk, second)
    readings.choose(Reading.objects.get(client_id=second["client_id"]), note="ảnh rõ 53", by=world.leader, now=NOW)

    fates = {
        person.username: field_queries.list_fates(person, [uuid.UUID(sent["client_id"])])[0]
        for person, sent in ((world.reader, first), (world.clerk, second))
    }

    assert fates["doc.ghi"].fate == "REFUSED" and "ảnh rõ 53" in fates["doc.ghi"].reason
    assert fates["doc.phong"].fate == "STORED"


def test_a_reader_who_reads_a_house_again_corrects_themselves_and_both_are_kept(world, house):
    first = item(house, 51, read_at=(NOW - timedelta(hours=3)).isoformat())
    second = item(house, 50)
    receipts(world.reader, first)

    (told,) = receipts(world.reader, second)

    assert told["fate"] == "STORED" and "51" in told["reason"]
    old, new = (Reading.objects.get(client_id=sent["client_id"]) for sent in (first, second))
    assert (old.state, old.superseded_by, old.index_l) == ("SUPERSEDED", new, 51_000)
    assert (new.state, new.index_l) == ("ACCEPTED", 50_000)
    (shown,) = field_queries.list_fates(world.reader, [uuid.UUID(first["client_id"])])
    assert shown.fate == "STORED" and "ghi lại số khác" in shown.reason
    assert counts_add_up()


def test_a_correction_that_arrives_before_what_it_corrects_stands_all_the_same(world, house):
    first = item(house, 51, read_at=(NOW - timedelta(hours=3)).isoformat())
    second = item(house, 50)
    receipts(world.reader, second)

    (told,) = receipts(world.reader, first)

    assert told["fate"] == "STORED" and "ghi lại 50" in told["reason"]
    assert Reading.objects.get(client_id=second["client_id"]).state == "ACCEPTED"
    assert Reading.objects.get(client_id=first["client_id"]).state == "SUPERSEDED"


def test_both_in_one_batch_keep_the_later(world, house):
    first = item(house, 51, read_at=(NOW - timedelta(hours=3)).isoformat())

    assert receive(world.reader, first, item(house, 50)) == ["STORED", "STORED"]

    states = Reading.objects.filter(period_start_date=AUGUST).order_by("index_l").values_list("index_l", "state")
    assert list(states) == [(50_000, "ACCEPTED"), (51_000, "SUPERSEDED")]


def test_an_odd_correction_waits_and_the_office_sees_both(world, house):
    receipts(world.reader, item(house, 51, read_at=(NOW - timedelta(hours=3)).isoformat()))
    second = item(house, 140)

    (told,) = receipts(world.reader, second)

    assert told["fate"] == "SUSPECT"
    waiting = Reading.objects.get(client_id=second["client_id"])
    assert [one.index_l for one in reading_desk.read_case(waiting).others] == [51_000]
    page = browser(world.clerk).get(reverse("customers:review_detail", args=[waiting.pk])).content.decode()
    assert "51" in page and "140" in page


def test_what_the_office_has_judged_a_reader_does_not_put_aside(world, house):
    receipts(world.reader, item(house, 140))
    readings.accept(Reading.objects.get(period_start_date=AUGUST), note="đã gọi", by=world.leader, now=NOW)

    assert receive(world.reader, item(house, 50)) == ["CONFLICT"]


def test_once_somebody_else_has_read_too_a_further_reading_is_a_conflict(world, house):
    receive(world.reader, item(house, 51))
    receive(world.clerk, item(house, 53))

    assert receive(world.reader, item(house, 52)) == ["CONFLICT"]


def test_after_the_round_was_closed_a_second_reading_corrects_nothing(world, house):
    receive(world.reader, item(house, 51))
    world.route.rounds.update(state="CLOSED")

    assert receive(world.reader, item(house, 50)) == ["CONFLICT"]
    assert Reading.objects.get(index_l=51_000).state == "ACCEPTED"


def test_two_phones_with_the_same_number_make_one_reading(world, house):
    receipts(world.reader, item(house, 51))

    (told,) = receipts(world.clerk, item(house, 51))

    assert told["fate"] == "DUPLICATE"
    assert Reading.objects.filter(period_start_date=AUGUST).count() == 1 and counts_add_up()


def test_a_sudden_use_waits_unless_the_reader_confirmed_it(world, house):
    unsure = world.connection()
    world.months(unsure, 10, 20, 30, 40)

    fates = receive(world.reader, item(house, 140, confirmed=["SUDDEN"], note="Rò rỉ"), item(unsure, 140))

    assert fates == ["STORED", "SUSPECT"]


def test_a_reader_cannot_confirm_that_a_meter_went_back(world, house):
    (fate,) = receive(world.reader, item(house, 12, confirmed=["REVERSED", "ROLLOVER", "LATE"]))

    assert fate == "SUSPECT"


def test_a_door_that_stays_shut_is_kept_with_its_reason(world, house):
    (fate,) = receive(world.reader, item(house, None, no_access="LOCKED"))

    reading = Reading.objects.get(period_start_date=AUGUST)
    assert fate == "STORED" and (reading.kind, reading.no_access) == ("NO_ACCESS", "LOCKED")


def test_a_round_closed_meanwhile_lets_the_reading_wait(world, house):
    world.route.rounds.update(state="CLOSED")

    (told,) = receipts(world.reader, item(house, 51))

    assert told["fate"] == "SUSPECT" and "sau khi chốt" in told["reason"]


def test_a_house_that_is_not_on_ones_route_is_refused_and_the_item_kept(world, house):
    other = make_world("khac")
    strange = other.connection(code="DN-KHAC")

    (told,) = receipts(world.reader, item(strange, 5))

    assert told["fate"] == "REFUSED" and "không thuộc tuyến của bạn" in told["reason"]
    assert not Reading.objects.filter(connection=strange, period_start_date=AUGUST).exists()
    assert FieldItem.objects.get().body["index_l"] == 5_000 and counts_add_up()


def test_nobody_learns_by_an_id_what_another_sent(world, house):
    sent = item(house, 51)
    receipts(world.reader, sent)

    (told,) = receipts(world.clerk, sent)

    assert told["fate"] == "REFUSED" and "51" not in told["reason"]
    assert field_queries.list_fates(world.clerk, [uuid.UUID(sent["client_id"])]) == []


def test_a_picture_that_is_none_does_not_cost_the_reading(world, house):
    for number, photo in enumerate(("khong phai base64!", base64.b64encode(b"<svg/>").decode(), 7)):
        receipts(world.reader, item(house, 51 + number * 0, photo=photo))

    assert Reading.objects.get(period_start_date=AUGUST).photo is None
    assert "Ảnh hỏng" in FieldItem.objects.order_by("pk").first().reason


@pytest.mark.parametrize("bad", [
    {"connection": "1"}, {"connection": True}, {"connection": -1}, {"connection": 2**70}, {"connection": None},
    {"period": "2026-13-01"}, {"period": "2026-08-02"}, {"period": 8}, {"period": "2031-01-01"}, {"read_at": "hôm qua"},
    {"read_at": "2026-08-31T08:00:00"}, {"read_at": "2020-01-01T00:00:00Z"}, {"read_at": "9999-12-31T23:59:59Z"},
    {"index_l": -1}, {"index_l": 1.5}, {"index_l": "51"}, {"index_l": True}, {"index_l": 10**14}, {"index_l": None},
    {"index_l": 100_000_000}, {"index_l": None, "no_access": "HIDDEN"}, {"no_access": "DOG"}, {"no_access": ["DOG"]},
])  # fmt: skip
def test_an_item_that_makes_no_sense_is_refused_with_a_reason_and_counted(world, house, bad):
    (told,) = receipts(world.reader, item(house, 51, **bad))

    assert told["fate"] == "REFUSED" and len(told["reason"]) > 10
    assert FieldItem.objects.count() == 1 and not Reading.objects.filter(source="FIELD").exists()


@pytest.mark.parametrize("odd", [
    None, 7, "x", [], {}, {"client_id": "khong"}, {"client_id": 5}, {"client_id": "z" * 36}, {"a": {"b": [[[[[1]]]]]}},
    {"client_id": None, "x": "\u0000\ud800"}, {"x": "đ" * 9_000}, {"x": 10**400},
])  # fmt: skip
def test_what_is_no_item_is_refused_counted_once_and_stored_harmlessly(world, odd):
    first, second = receipts(world.reader, odd), receipts(world.reader, odd)

    assert first[0]["fate"] == second[0]["fate"] == "REFUSED"
    assert FieldItem.objects.get().repeats == 1


def test_odd_details_are_left_out_and_the_reading_stays(world, house):
    sent = item(
        house, 51, note="a\u0000b\u202ec" + "x" * 900, position={"lat": "NaN", "lon": 1}, confirmed={"SUDDEN": 1},
        photo={"a": 1}, serial=5,
    )  # fmt: skip

    (told,) = receipts(world.reader, sent)

    reading = Reading.objects.get(client_id=sent["client_id"])
    assert told["fate"] == "STORED" and reading.latitude is None and len(reading.note) == 300


def test_the_bad_items_of_a_batch_do_not_hold_up_the_good_ones(world, house):
    assert receive(world.reader, None, item(house, 51), {"x": 1}) == ["REFUSED", "STORED", "REFUSED"]
    assert counts_add_up()


@pytest.mark.parametrize("body", ["", "[]", "{", '{"items": 5}', "null", "[" * 100_000])
def test_a_body_that_is_no_batch_takes_nothing(world, body):
    answer = browser(world.reader).post(reverse("customers:field_send"), body, content_type="application/json")

    assert answer.status_code == 422 and "không đúng dạng" in answer.json()["error"]
    assert not FieldItem.objects.exists()


def test_a_batch_of_more_than_twenty_takes_nothing(world, house):
    answer = send(world.reader, *[item(house)] * 21)

    assert answer.status_code == 422 and not FieldItem.objects.exists()


def test_items_of_one_person_are_never_taken_as_anothers(world, house):
    answer = send(world.reader, item(house), person=world.clerk.pk)

    assert answer.status_code == 409 and not FieldItem.objects.exists()


def test_who_does_not_read_meters_sends_nothing(world, house):
    assert send(world.agency, item(house)).status_code == 403
    assert send(world.leader, item(house)).status_code == 403
    stranger = browser(None).post(reverse("customers:field_send"), "{}", content_type="application/json")
    assert stranger.status_code == 302 and not FieldItem.objects.exists()


def test_a_batch_without_the_token_of_the_page_is_refused(world, house):
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.reader)
    said = json.dumps({"person": world.reader.pk, "items": [item(house)]})

    assert client.post(reverse("customers:field_send"), said, content_type="application/json").status_code == 403
    token = client.get(reverse("customers:field_me")).json()["csrf"]
    answer = client.post(
        reverse("customers:field_send"), said, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 200 and answer.json()["receipts"][0]["fate"] == "STORED"


def test_a_phone_whose_clock_is_two_hours_ahead_reads_at_the_right_moment(world, house):
    ahead = timedelta(hours=2)
    sent = item(house, 51, read_at=(NOW + ahead - timedelta(minutes=30)).isoformat())

    (told,) = receipts(world.reader, sent, sent_at=(NOW + ahead).isoformat())

    assert told["fate"] == "STORED"
    assert Reading.objects.get(client_id=sent["client_id"]).read_at == NOW - timedelta(minutes=30)
    assert FieldItem.objects.get().body["read_at"] == sent["read_at"]


def test_a_meter_changed_after_the_route_was_taken_along_is_told_in_the_note(world, house):
    receipts(world.reader, item(house, 51, serial="CU-1"))

    assert "CU-1" in Reading.objects.get(period_start_date=AUGUST).note


# --- the office


def test_the_office_sees_each_item_with_its_fate_and_the_sum(world, house):
    strange = make_world("khac").connection(code="DN-KHAC")
    receipts(world.reader, item(house, 51), item(strange, 5), item(house, 51))
    receipts(world.clerk, item(house, 53))

    shown = browser(world.leader).get(reverse("customers:field_item_list"))

    text = shown.content.decode()
    assert shown.context["sums"] == {"received": 4, "stored": 2, "duplicate": 1, "refused": 1}
    assert "không thuộc tuyến của bạn" in text and house.code in text
    only = browser(world.leader).get(reverse("customers:field_item_list"), {"fate": "CONFLICT", "q": house.code})
    assert len(only.context["rows"]) == 1
    exported = browser(world.leader).get(reverse("customers:field_item_list"), {"export": "csv"})
    assert exported.status_code == 200


def test_another_operators_office_sees_none_of_it_nor_who_only_views(world, house):
    other = make_world("khac")
    receipts(world.reader, item(house, 51), None)

    assert not field_queries.list_items(other.leader).exists()
    assert browser(world.agency).get(reverse("customers:field_item_list")).status_code == 403
    assert browser(world.reader).get(reverse("customers:field_item_list")).status_code == 403


def test_a_reading_taken_in_the_field_is_dated_by_the_phone(world, house):
    sent = item(house, 51, read_at=at(date(2026, 8, 20)).isoformat())
    receipts(world.reader, sent)

    assert Reading.objects.get(client_id=sent["client_id"]).read_at == at(date(2026, 8, 20))


def test_what_phones_sent_of_a_customer_is_emptied_with_the_customer(world, house):
    receipts(world.reader, item(house, 51, note="Bà Mẫu nói đi vắng"), item(house, 5.5, period="2031-01-01"))
    house.status, house.closed_date = "CLOSED", date(2026, 8, 31)
    house.save()

    privacy.erase(house.customer, reason="Theo yêu cầu", by=world.leader, now=NOW + timedelta(hours=1))

    assert list(FieldItem.objects.values_list("body", flat=True)) == [{}, {}]
    assert browser(world.leader).get(reverse("customers:field_item_list")).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"read_at": "9999-12-31T23:59:59+00:00"}, {"read_at": "0001-01-01T00:00:00+14:00"},
        {"read_at": "2026-08-20T08:00:00"},
    ],
)  # fmt: skip
def test_a_moment_at_the_end_of_the_calendar_is_refused_and_the_office_page_still_opens(world, house, more):
    told = receipts(world.reader, item(house, **more))

    assert [one["fate"] for one in told] == ["REFUSED"]
    assert browser(world.clerk).get(reverse("customers:field_item_list")).status_code == 200


@pytest.mark.parametrize("lat", [10**400, float("nan"), float("inf"), 91, "15", True])
def test_a_place_that_is_none_does_not_cost_the_reading(world, house, lat):
    assert receive(world.reader, item(house, position={"lat": lat, "lon": 108.0})) == ["STORED"]
    assert FieldItem.objects.get().reading.latitude is None


def test_a_reader_is_told_on_the_overview_of_a_route_past_its_day(world, house):
    later = reverse("core:later_overview", args=["now"])

    page = browser(world.reader).get(later).content.decode()

    assert "Tuyến T-" in page and "còn 1 nhà, quá ngày ghi 11 ngày" in page
    assert "còn 1 nhà" not in browser(world.clerk).get(later).content.decode()  # who oversees walks no route
    send(world.reader, item(house))
    assert "còn 1 nhà" not in browser(world.reader).get(later).content.decode()


def test_the_bottom_bar_of_a_reader_begins_with_the_own_routes(world):
    bar = browser(world.reader).get("/").context["quick_navigation"]
    shown = [link.title for link in (bar() if callable(bar) else bar)]
    assert shown[0] == "Tuyến của tôi" and len(shown) == 4
