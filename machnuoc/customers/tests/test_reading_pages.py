"""The pages of rounds, readings that wait, routes and meters: who gets in, and what they do."""

from datetime import date
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from machnuoc.core import sending
from machnuoc.core.models import Person, Sending
from machnuoc.customers import readings
from machnuoc.customers.models import Consent, DataAccess, Meter, Reading, Round, Route
from machnuoc.customers.tests.fixtures_readings import AUGUST, JUNE, NOW, World, make_world, meter_world

__all__ = ["meter_world"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(meter_world: World, time_machine_now: Any) -> World:
    return meter_world


@pytest.fixture
def time_machine_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the last day of August for the views, which ask the clock."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page(person: Person, name: str, *args: object, **query: str) -> Any:
    return browser(person).get(reverse(f"customers:{name}", args=args), query)


def post(person: Person, page_name: str, /, *args: object, **data: Any) -> Any:
    return browser(person).post(reverse(f"customers:{page_name}", args=args), data)


@pytest.fixture
def round_of_june(world: World) -> Round:
    return world.round(JUNE)


def enter(world: World, shown: Round, house: Any, index: str, person: Person | None = None, **more: str) -> Any:
    data = {"row": str(house.pk), f"index-{house.pk}": index, "on": "2026-06-20", **more}
    return post(person or world.clerk, "round_detail", shown.pk, **data)


# --- who gets in


def test_who_only_sees_gets_none_of_the_pages_and_a_reader_keeps_to_the_phone(world, round_of_june):
    house = world.connection()
    world.months(house, 10, 20)
    held = world.read(house, date(2026, 6, 20), 5).reading
    meter = Meter.objects.get()
    pages = [
        ("round_list",), ("round_detail", round_of_june.pk), ("round_close", round_of_june.pk), ("review_list",),
        ("review_detail", held.pk), ("route_list",), ("route_detail", world.route.code), ("reading_imports",),
        ("meter_list",), ("meter_detail", meter.pk), ("meter_swap", house.code),
    ]  # fmt: skip

    for name, *args in pages:
        assert page(world.agency, name, *args).status_code in {403, 404}, name
        assert page(world.reader, name, *args).status_code in {403, 404}, name
        assert page(world.clerk, name, *args).status_code == 200, name


def test_another_operators_rounds_meters_and_readings_are_out_of_sight(world, round_of_june):
    other = make_world("khac")
    house = world.connection()
    held = world.read(house, date(2026, 6, 20), 99_000).reading

    for name, *args in [
        ("round_detail", round_of_june.pk), ("review_detail", held.pk), ("route_detail", world.route.code),
        ("meter_detail", Meter.objects.get(serial="A0000001").pk), ("meter_swap", house.code),
    ]:  # fmt: skip
        assert page(other.clerk, name, *args).status_code == 404, name
    assert world.route.code not in page(other.clerk, "round_list").content.decode()


def test_who_serves_at_the_counter_sees_the_round_and_does_not_write_in_it(world, round_of_june):
    house = world.connection()

    assert page(world.leader, "round_detail", round_of_june.pk).status_code == 200
    assert enter(world, round_of_june, house, "12", world.leader).status_code == 403
    assert not Reading.objects.filter(kind="ACTUAL").exists()


def test_a_look_at_names_is_written_down(world, round_of_june):
    world.connection()

    page(world.clerk, "round_detail", round_of_june.pk)

    look = DataAccess.objects.get()
    assert (look.person, look.what, look.count) == (world.clerk, "LIST", 1)


# --- the grid


def test_the_clerk_types_an_index_and_reads_the_use(world, round_of_june):
    house = world.connection(installed_l=1_250_000)
    world.months(house, 1_262, 1_275)

    answer = enter(world, round_of_june, house, "1.288")

    assert "Dùng 13 m³" in answer.content.decode()
    assert Reading.objects.get(period_start_date=JUNE).index_l == 1_288_000


def test_what_is_odd_is_held_back_until_the_clerk_confirms_it(world, round_of_june):
    house = world.connection()
    world.months(house, 12, 24)

    first = enter(world, round_of_june, house, "90").content.decode()
    held = Reading.objects.get(period_start_date=JUNE)
    assert held.state == "SUSPECT" and "Tăng đột biến" in first and "Đúng vậy, nhận" in first

    confirmed = {f"seen-{house.pk}": str(held.pk), f"confirmed-{house.pk}": "SUDDEN"}
    enter(world, round_of_june, house, "90", **confirmed)

    held.refresh_from_db()
    assert (held.state, held.judged_by) == ("ACCEPTED", world.clerk)


def test_an_index_that_somebody_else_wrote_meanwhile_is_not_overwritten(world, round_of_june):
    house = world.connection()
    world.months(house, 12, 24)
    world.read(house, date(2026, 6, 20), 36, person=world.reader)

    answer = enter(world, round_of_june, house, "37").content.decode()

    assert "người khác" in answer
    assert Reading.objects.get(period_start_date=JUNE).index_l == 36_000


def test_what_is_no_number_is_told_in_its_row(world, round_of_june):
    house = world.connection()

    answer = enter(world, round_of_june, house, "12x").content.decode()

    assert "is-danger" in answer and "12x" in answer


def test_many_rows_are_saved_at_once_without_javascript(world, round_of_june):
    houses = [world.connection() for _ in range(3)]
    data = {f"index-{house.pk}": str(10 + number) for number, house in enumerate(houses)}

    answer = post(world.clerk, "round_detail", round_of_june.pk, on="2026-06-20", **data)

    assert answer.status_code == 302
    assert Reading.objects.filter(period_start_date=JUNE, state="ACCEPTED").count() == 3


# --- rounds


def test_rounds_are_opened_once_for_a_month(world):
    for _ in range(2):
        post(world.clerk, "round_open", period="2026-08")

    assert Round.objects.filter(route=world.route, period_start_date=AUGUST).count() == 1
    assert page(world.clerk, "round_list").context["period"] == AUGUST


@pytest.mark.parametrize("named", [{"route": "x"}, {"route": ["1", "²"]}, {"route": "9" * 19}, {"work": "tat-ca"}])
def test_what_names_no_route_opens_none(world, named):
    answer = post(world.clerk, "round_open", period="2026-08", **named)

    assert answer.status_code == 302
    assert not Round.objects.exists()
    assert "Không mở đợt nào" in str(next(iter(get_messages(answer.wsgi_request))))


def test_a_round_is_opened_on_the_routes_that_are_named(world):
    other = Route.objects.create(work=world.work, code="T-KHAC", name="Tuyến khác")

    post(world.clerk, "round_open", period="2026-08", route=str(other.pk))
    assert list(Round.objects.values_list("route", flat=True)) == [other.pk]
    post(world.clerk, "round_open", period="2026-08", work=str(world.work.pk))
    assert Round.objects.count() == 2


def test_a_round_is_closed_when_nothing_waits_and_the_missing_are_estimated_or_left(world, round_of_june):
    read, missing, new = world.connection(), world.connection(), world.connection()
    world.months(read, 10, 20, 30)
    world.months(missing, 10, 20)
    odd = world.read(new, date(2026, 6, 20), 900)
    assert odd.fate == "SUSPECT"

    assert post(world.clerk, "round_close", round_of_june.pk).status_code == 409
    readings.refuse(odd.reading, note="đọc nhầm", by=world.clerk, now=NOW)
    listed = page(world.clerk, "round_close", round_of_june.pk).content.decode()
    assert missing.code in listed and new.code in listed and read.code not in listed
    preview = page(world.clerk, "round_estimate", round_of_june.pk)
    assert preview.context["possible"] == 1
    assert not Reading.objects.filter(kind="ESTIMATED").exists()
    post(world.clerk, "round_estimate", round_of_june.pk, on_date="2026-06-20")
    assert Reading.objects.get(kind="ESTIMATED").connection == missing

    assert post(world.clerk, "round_close", round_of_june.pk).status_code == 409
    assert post(world.clerk, "round_close", round_of_june.pk, leave_missing="1").status_code == 302
    assert post(world.clerk, "round_close", round_of_june.pk, action="reopen").status_code == 409
    post(world.clerk, "round_close", round_of_june.pk, action="reopen", note="còn ghi tiếp")
    assert Round.objects.get().state == "OPEN"


def test_customers_who_agreed_are_warned_once_before_the_bill(world, round_of_june):
    agreed, silent = world.connection(), world.connection()
    Consent.objects.create(customer=agreed.customer, purpose="NOTICES", given_at=NOW, how="hợp đồng")
    for house in (agreed, silent):
        world.months(house, 12, 24)
        world.read(house, date(2026, 6, 20), 90, confirmed_flags={"SUDDEN"})
    ids = list(Reading.objects.filter(period_start_date=JUNE).values_list("pk", flat=True))

    for _ in range(2):
        post(world.clerk, "round_warn", round_of_june.pk, reading=ids)

    message = Sending.objects.get()
    assert message.address == sending.phone_84(agreed.customer.phone)
    assert "66 m³" in message.text and agreed.customer.name not in message.text
    assert "chưa đồng ý nhận tin" in page(world.clerk, "round_warn", round_of_june.pk).content.decode()


@pytest.mark.parametrize("key", ["usage-warning:{}", "usage-warning:{}:EMAIL"])
def test_who_was_warned_by_e_mail_is_not_warned_again_by_phone(world, round_of_june, key):
    agreed = world.connection()
    Consent.objects.create(customer=agreed.customer, purpose="NOTICES", given_at=NOW, how="hợp đồng")
    world.months(agreed, 12, 24)
    world.read(agreed, date(2026, 6, 20), 90, confirmed_flags={"SUDDEN"})
    told = Reading.objects.get(period_start_date=JUNE)
    sending.queue(
        key=key.format(told.pk), channel="EMAIL", title="Nước dùng khác thường", text="…", now=NOW, address="a@b.vn"
    )

    post(world.clerk, "round_warn", round_of_june.pk, reading=[told.pk])

    assert Sending.objects.get().address == "a@b.vn"


# --- what waits


def test_the_office_chooses_between_two_phones(world, round_of_june):
    house = world.connection()
    world.months(house, 10, 20)
    first = world.read(house, date(2026, 6, 20), 30).reading
    second = world.read(house, date(2026, 6, 21), 33, person=world.reader).reading

    shown = page(world.clerk, "review_detail", second.pk).content.decode()
    assert "30 m³" in shown and "33 m³" in shown
    without_reason = post(world.clerk, "review_detail", second.pk, action=f"choose:{first.pk}", note="")
    assert without_reason.status_code == 422
    post(world.clerk, "review_detail", second.pk, action=f"choose:{first.pk}", note="ảnh rõ")

    second.refresh_from_db()
    assert second.state == "REFUSED"
    again = post(world.clerk, "review_detail", second.pk, action="accept", note="nhầm")
    assert again.status_code == 409


def test_neighbours_are_exchanged_in_one_step(world, round_of_june):
    left, right = world.connection(installed_l=490_000), world.connection(installed_l=35_000)
    world.months(left, 500, 512)
    world.months(right, 45, 57)
    one = world.read(left, date(2026, 6, 20), 69).reading
    other = world.read(right, date(2026, 6, 20), 524).reading

    assert f"exchange:{other.pk}" in page(world.clerk, "review_detail", one.pk).content.decode()
    post(world.clerk, "review_detail", one.pk, action=f"exchange:{other.pk}", note="đối chiếu sê-ri")

    kept = Reading.objects.filter(period_start_date=JUNE, state="ACCEPTED").order_by("connection_id")
    assert [row.index_l for row in kept] == [524_000, 69_000]
    assert Reading.objects.filter(state="REFUSED").count() == 2


def test_a_reading_of_another_connection_cannot_be_chosen(world, round_of_june):
    one, other = world.connection(), world.connection()
    held = world.read(one, date(2026, 6, 20), 900).reading
    foreign = world.read(other, date(2026, 6, 20), 10).reading

    assert post(world.clerk, "review_detail", held.pk, action=f"choose:{foreign.pk}", note="x").status_code == 409


# --- routes


def test_a_route_is_made_filled_and_put_in_order(world):
    houses = [world.connection() for _ in range(3)]
    made = post(
        world.clerk, "route_add", code="T-2", name="Tuyến hai", work=world.work.pk, reader=world.reader.pk, read_day="5"
    )
    assert made.status_code == 302
    post(world.clerk, "route_detail", "T-2", action="add", connection=[house.pk for house in houses])
    order = {f"order-{house.pk}": str(3 - number) for number, house in enumerate(houses)}
    version = str(Route.objects.get(code="T-2").version)

    post(world.clerk, "route_detail", "T-2", action="order", version=version, **order)

    walked = Route.objects.get(code="T-2").connections.order_by("route_order").values_list("code", flat=True)
    assert list(walked) == [house.code for house in reversed(houses)]
    stale = post(world.clerk, "route_detail", "T-2", action="order", version=version, **order)
    assert stale.status_code == 409


# --- meters


def test_a_meter_is_swapped_on_its_page_and_keeps_its_history(world):
    house = world.connection()
    world.months(house, 10, 20)
    assert "20 m³" in page(world.clerk, "meter_swap", house.code).content.decode()

    wrong = post(
        world.clerk, "meter_swap", house.code, at="2026-06-05T08:00", removed_index_m3="5", reason="kẹt", serial="B1",
        index_m3="0", kind="MECHANICAL", diameter_mm="15", digits="5",
    )  # fmt: skip
    assert wrong.status_code == 422 and "thấp hơn" in wrong.content.decode()
    post(
        world.clerk, "meter_swap", house.code, at="2026-06-05T08:00", removed_index_m3="22", reason="kẹt", serial="b1",
        index_m3="1,5", kind="ELECTRONIC", diameter_mm="15", digits="5", verified_date="2026-05-31",
    )  # fmt: skip

    new = Meter.objects.get(serial="B1")
    assert new.verification_due_date == date(2029, 5, 31)
    assert new.fittings.get().installed_index_l == 1_500
    old = Meter.objects.get(serial="A0000001")
    assert "kẹt" in page(world.clerk, "meter_detail", old.pk).content.decode()


def test_meters_past_their_verification_are_listed_first_due(world):
    for number in (1, 2, 3):
        world.connection()
        due = date(2026, 5 + number, 1)
        Meter.objects.filter(serial=f"A{number:07}").update(verification_due_date=due)

    listed = page(world.clerk, "meter_list", due="past")

    assert [row[0].serial for row in listed.context["rows"]] == ["A0000001", "A0000002", "A0000003"]
    assert "chưa đối chiếu văn bản" in listed.content.decode()
    assert [row[0].serial for row in page(world.clerk, "meter_list", q="dn000002").context["rows"]] == ["A0000002"]


def test_a_verification_moves_the_due_date(world):
    world.connection()
    meter = Meter.objects.get()

    assert post(world.leader, "meter_detail", meter.pk, on_date="2026-08-01").status_code == 403
    post(world.clerk, "meter_detail", meter.pk, on_date="2026-08-01")

    meter.refresh_from_db()
    assert meter.verification_due_date == date(2031, 8, 1)


@pytest.mark.parametrize("name", ["round_list", "review_list", "route_list", "meter_list"])
def test_every_list_goes_out_as_a_sheet(world, round_of_june, name):
    house = world.connection()
    world.read(house, date(2026, 6, 20), 900)

    answer = page(world.clerk, name, export="csv", period="2026-06")

    assert house.code in b"".join(answer.streaming_content).decode() or name in {"round_list", "route_list"}


def test_lists_ask_a_fixed_number_of_queries(world, round_of_june, django_assert_max_num_queries):
    for number in range(6):
        house = world.connection()
        world.months(house, 10, 20)
        world.read(house, date(2026, 6, 20), 900 if number % 2 else 30)
    client = browser(world.clerk)
    for name, *args in [
        ("round_list",), ("round_detail", round_of_june.pk), ("review_list",), ("route_list",), ("meter_list",),
        ("route_detail", world.route.code),
    ]:  # fmt: skip
        address = reverse(f"customers:{name}", args=args)
        client.get(address)
        with django_assert_max_num_queries(20 if name == "round_detail" else 15):
            assert client.get(address, {"period": "2026-06"}).status_code == 200


def test_a_photo_is_only_for_who_serves_the_connection_or_walks_its_route(world):
    from machnuoc.core import files

    house = world.connection()
    photo = files.store(_png(), name="a.png", by=world.reader, kinds=frozenset({"png"}))
    reading = world.read(house, date(2026, 6, 20), 10, photo=photo).reading

    assert page(world.clerk, "reading_photo", reading.pk).status_code == 200
    assert page(world.reader, "reading_photo", reading.pk).status_code == 200
    assert page(world.agency, "reading_photo", reading.pk).status_code in {403, 404}


def _png() -> bytes:
    from machnuoc.customers.tests.fixtures_requests import png

    return png()
