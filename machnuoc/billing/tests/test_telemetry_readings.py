"""Meters that send their own readings: linked, read at each closing day, ended; what is missing is said."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from machnuoc.billing import remote_jobs, telemetry_readings
from machnuoc.billing.models import RemoteMeter
from machnuoc.billing.tests.world import JULY, JUNE, make_person, make_work, read_at
from machnuoc.customers.models import Reading, Route
from machnuoc.places.models import Grant
from machnuoc.telemetry import device_operations, payloads, receive
from machnuoc.telemetry.models import Channel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_store")]
LINKED_AT = datetime(2026, 7, 3, 2, 0, tzinfo=UTC)
CLOSING = date(2026, 7, 20)  # the route is read on the 20th
AFTER_CLOSING = datetime(2026, 7, 20, 17, 40, tzinfo=UTC)  # 00:40 of the 21st here


def make_channel(work, code: str = "dh-01") -> Channel:
    device, _ = device_operations.put_device(
        code=code, name="Đồng hồ truyền xa", kind="METER", protocol="MQTT", by=None, now=LINKED_AT, work=work
    )
    channel, _ = device_operations.put_channel(
        device, key="total", name="Số tổng", quantity="volume", by=None, now=LINKED_AT
    )
    return channel


def send(channel: Channel, at: datetime, total_m3: float) -> None:
    code = channel.device.code
    text = f'{{"t": {payloads.to_ms(at)}, "v": {{"total": {total_m3}}}}}'
    receive.take(
        [payloads.Message(f"machnuoc/v1/{code}/up", text.encode(), payloads.to_ms(at), code)], payloads.to_ms(at)
    )


@pytest.fixture
def connection(world):
    route = Route.objects.create(code="T1", name="Tuyến 1", work=world.work, read_day=20)
    made = world.connection({JUNE: 120}, route=route)
    return made


def test_the_last_total_of_the_closing_day_becomes_the_reading_of_the_month(world, connection):
    channel = make_channel(world.work)
    telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)
    send(channel, read_at(CLOSING, 8), 130.5)
    send(channel, read_at(CLOSING, 23), 131.25)
    send(channel, read_at(CLOSING + timedelta(days=1), 0), 131.5)  # of the next day

    counts = telemetry_readings.take_due(AFTER_CLOSING)

    reading = Reading.objects.get(connection=connection, source=Reading.Source.TELEMETRY)
    assert counts == {"STORED": 1}
    assert (reading.index_l, reading.period_start_date, reading.state) == (131_250, JULY, "ACCEPTED")
    assert reading.read_at == read_at(CLOSING, 23)
    assert "131 m³" in RemoteMeter.objects.get().message


def test_a_closing_day_is_taken_once_however_often_the_job_runs(world, connection):
    channel = make_channel(world.work)
    telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)
    send(channel, read_at(CLOSING, 20), 131)

    telemetry_readings.take_due(AFTER_CLOSING)
    send(channel, read_at(CLOSING, 22), 132)  # late: the month has its reading
    again = telemetry_readings.take_due(AFTER_CLOSING + timedelta(days=2))

    assert again == {}
    assert Reading.objects.filter(source=Reading.Source.TELEMETRY).count() == 1


def test_a_meter_that_is_silent_is_said_so_and_read_as_soon_as_its_total_arrives(world, connection):
    channel = make_channel(world.work)
    row = telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)
    send(channel, read_at(CLOSING - timedelta(days=9)), 126)

    silent = telemetry_readings.take_due(AFTER_CLOSING)
    row.refresh_from_db()
    send(channel, read_at(CLOSING, 22), 131)
    late = telemetry_readings.take_due(AFTER_CLOSING + timedelta(days=1))

    assert (silent, late) == ({"MISSING": 1}, {"STORED": 1})
    assert "Đọc tại chỗ" in row.message


def test_the_dial_may_differ_from_the_total_and_rolls_over_with_the_meter(world, connection):
    channel = make_channel(world.work)
    send(channel, LINKED_AT - timedelta(hours=1), 5)
    telemetry_readings.link(connection, channel, dial_m3=125, by=world.clerk, now=LINKED_AT)
    send(channel, read_at(CLOSING, 22), 16)

    telemetry_readings.take_due(AFTER_CLOSING)

    assert Reading.objects.get(source=Reading.Source.TELEMETRY).index_l == 136_000
    row = RemoteMeter.objects.get()
    send(channel, read_at(date(2026, 7, 25)), 99_900)
    shown = telemetry_readings.latest(row, read_at(date(2026, 7, 26)))
    assert shown is not None
    assert shown.index_l == 20_000  # 99,900 + 120 of five digits


def test_an_implausible_total_waits_for_a_person_like_any_reading(world, connection):
    channel = make_channel(world.work)
    telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)
    send(channel, read_at(CLOSING, 22), 12)  # far below the 120 m³ of June

    assert telemetry_readings.take_due(AFTER_CLOSING) == {"SUSPECT": 1}


def test_a_meter_taken_down_ends_its_link(world, connection):
    channel = make_channel(world.work)
    row = telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)
    connection.fittings.update(removed_at=read_at(date(2026, 7, 10)), removed_index_l=125_000)

    assert telemetry_readings.take_due(AFTER_CLOSING) == {"ENDED": 1}
    row.refresh_from_db()
    assert row.ended_at is not None


def test_a_channel_speaks_for_one_meter_of_its_own_work(world, connection):
    channel = make_channel(world.work)
    other = world.connection({JUNE: 10})
    far = make_channel(make_work(world.operator, "work.xa", "Trạm xa"), "dh-02")
    telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)

    with pytest.raises(telemetry_readings.RemoteMeterError, match="đã nối với đồng hồ khác"):
        telemetry_readings.link(other, channel, by=world.clerk, now=LINKED_AT)
    with pytest.raises(telemetry_readings.RemoteMeterError, match="không phải số tổng của công trình này"):
        telemetry_readings.link(other, far, by=world.clerk, now=LINKED_AT)
    with pytest.raises(telemetry_readings.RemoteMeterError, match="đã nối với một kênh"):
        telemetry_readings.link(connection, make_channel(world.work, "dh-03"), by=world.clerk, now=LINKED_AT)
    with pytest.raises(PermissionDenied):
        stranger = make_person("nguoi.la", Grant.Role.PARTNER, world.operator.subject)
        telemetry_readings.link(other, make_channel(world.work, "dh-04"), by=stranger, now=LINKED_AT)


def test_the_page_links_shows_and_ends(world, connection):
    channel = make_channel(world.work)
    client = Client()
    client.force_login(world.station, backend="django.contrib.auth.backends.ModelBackend")
    address = f"/dong-ho/tu-xa/{connection.code}/"

    empty = client.get(address).content.decode()
    linked = client.post(address, {"channel": str(channel.pk)})
    page = client.get(address).content.decode()
    panel = client.get(reverse("customers:connection_later", args=[connection.code])).content.decode()
    ended = client.post(f"{address}ngung/")

    assert "Nối kênh" in empty
    assert (linked.status_code, ended.status_code) == (302, 302)
    assert "Kênh không có số trong ba ngày qua" in page
    assert "Xem kênh đọc từ xa" in panel
    assert RemoteMeter.objects.get().ended_at is not None
    assert client.post(address, {"channel": "999999"}).status_code == 422


def test_the_job_says_what_it_took(world, connection):
    channel = make_channel(world.work)
    telemetry_readings.link(connection, channel, by=world.clerk, now=LINKED_AT)

    assert remote_jobs.take_remote_readings(None) == "Đồng hồ đến ngày chốt: không có số 1."
