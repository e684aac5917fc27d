"""Pages of devices: what they show, what they do, and for whom."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.places.models import Subject
from machnuoc.telemetry import device_operations, device_queries, history, payloads, receive, store
from machnuoc.telemetry.models import AlarmRule, Channel, Device, QualityLimit
from machnuoc.telemetry.tests.desk import make_alarm, person, send, sign_in
from machnuoc.telemetry.tests.desk import station as station

pytestmark = pytest.mark.django_db


def at(name: str, *args: object) -> str:
    return reverse(f"telemetry:{name}", args=args)


def _run_jobs() -> None:
    while Job.objects.filter(state="QUEUED").exists() and jobs.run_next(timezone.now()):
        pass


DEVICE = {
    "code": "bc-02", "name": "Bộ ghi mới", "kind": "LOGGER", "protocol": "MQTT", "clock_offset_min": "0",
}  # fmt: skip


def test_a_device_is_entered_changed_and_taken_off(station):
    client = sign_in("qn.khkt")
    said = {**DEVICE, "work": station.work_id}

    assert client.post(at("device_add"), said).status_code == 302
    device = Device.objects.get(code="bc-02")
    again = client.post(at("device_add"), said)
    assert again.status_code == 422
    assert "Đã có thiết bị mang mã bc-02" in again.content.decode()
    client.post(at("device_edit", "bc-02"), {**said, "name": "Tên khác", "version": device.version})
    stale = client.post(at("device_edit", "bc-02"), {**said, "name": "Tên nữa", "version": device.version})
    assert stale.status_code == 409
    now = f"{timezone.localtime():%Y-%m-%dT%H:%M}"
    client.post(at("device_remove", "bc-02"), {"at": now, "reason": "Hỏng"})

    device.refresh_from_db()
    assert device.name == "Tên khác"
    assert device.removed_at is not None


@pytest.mark.parametrize("code", ["Bc 01", "machnuoc-x", "-a", "a/b", "ă", "x" * 49])
def test_a_code_that_cannot_be_a_topic_is_refused(station, code):
    with pytest.raises(device_operations.DeviceError, match="không dùng được"):
        device_operations.put_device(
            **{**DEVICE, "code": code, "clock_offset_min": 0}, work=station.work, by=None, now=timezone.now()
        )


def test_a_device_says_how_it_is(station):
    page = sign_in("qn.binhchanh").get(at("device_detail", station.code)).content.decode()

    assert "Bình thường" in page
    assert "61 %" in page
    assert "Cấp mã truy cập" not in page  # a station reads; who manages it makes secrets
    listed = sign_in("qn.lanhdao").get(at("device_list")).content.decode()
    assert "bc-01" in listed
    assert "bc-01" in sign_in("qn.lanhdao").get(at("device_health")).content.decode()


@pytest.mark.parametrize(("query", "is_there"), [("?health=ok", True), ("?health=silent", False), ("?q=BC-01", True),
                                                  ("?protocol=HTTP", False), ("?work=0", True)])  # fmt: skip
def test_the_list_is_filtered_by_health_and_protocol(station, query, is_there):
    page = sign_in("qn.lanhdao").get(at("device_list") + query).content.decode()

    assert (at("device_detail", "bc-01") in page) == is_there


def test_a_device_that_says_nothing_for_long_is_silent(station):
    now = timezone.now() + timedelta(hours=2)
    rows = list(device_queries.with_intervals(Device.objects.filter(pk=station.pk)))

    assert device_queries.read_health(rows, now=now)[station.pk].state == "silent"


def test_a_stranger_does_not_find_the_device(station):
    client = sign_in("cb.capnuoc")

    assert client.get(at("device_detail", station.code)).status_code == 404
    assert "bc-01" not in client.get(at("device_list")).content.decode()
    assert "bc-01" not in client.get(at("ledger")).content.decode()


def test_a_secret_is_shown_once_with_what_to_type_into_the_device(station):
    client = sign_in("qn.khkt")

    answer = client.post(at("credential_issue", station.code), {"days": "365"})
    page = answer.content.decode()

    secret = page.split('id="new-secret"')[1].split('value="')[1].split('"')[0]
    assert len(secret) > 30
    assert f"machnuoc/v1/{station.code}/up" in page
    assert "no-store" in answer["Cache-Control"]
    assert secret not in client.get(at("device_detail", station.code)).content.decode()
    made = station.credentials.get()
    client.post(at("credential_issue", station.code), {"days": "0", "replaces": "on"})
    made.refresh_from_db()
    assert made.revoked_at is not None
    live = station.credentials.get(revoked_at=None)
    client.post(at("credential_revoke", station.code, live.pk))
    assert not station.credentials.filter(revoked_at=None).exists()
    assert sign_in("qn.binhchanh").post(at("credential_issue", station.code), {"days": "0"}).status_code == 403


def test_a_new_channel_gets_the_span_of_its_quantity_and_its_rules(station):
    client = sign_in("qn.khkt")
    said = {"key": "chlorine", "name": "Clo dư", "quantity": "chlorine", "point": "OUTLET", "role": "QUALITY",
            "expected_interval_s": "300", "is_active": "on"}  # fmt: skip

    assert client.post(at("channel_add", station.code), said).status_code == 302

    channel = Channel.objects.get(key="chlorine")
    assert (channel.low, channel.high) == (0, 10)
    assert AlarmRule.objects.filter(channel=channel, kind="SILENCE").exists()
    wrong = client.post(at("channel_add", station.code), {**said, "key": "x", "quantity": "flow"})
    assert "không dùng được cho" in wrong.content.decode()
    edited = {**said, "name": "Clo dư sau xử lý", "sent_unit": "mg/L"}
    assert client.post(at("channel_edit", station.code, channel.pk), edited).status_code == 302
    channel.refresh_from_db()
    assert channel.name == "Clo dư sau xử lý"


def test_a_back_dated_calibration_corrects_what_is_stored_and_says_why(station):
    client, channel = sign_in("qn.khkt"), Channel.objects.get(key="flow")
    since = timezone.localtime() - timedelta(hours=1)
    before = history.read_raw(channel.pk, 0, payloads.to_ms(timezone.now()))
    said = {"valid_from": f"{since:%Y-%m-%dT%H:%M}", "factor": "1,1", "offset": "0,5", "note": "Biên bản 12"}

    assert client.post(at("channel_calibrate", station.code, channel.pk), said).status_code == 302
    _run_jobs()
    _run_jobs()
    jobs.enqueue("telemetry.recalibrate", **Job.objects.filter(task="telemetry.recalibrate").first().arguments)
    _run_jobs()  # twice does no harm

    after = history.read_raw(channel.pk, 0, payloads.to_ms(timezone.now()))
    assert len(after) == len(before)
    assert after.value[0] == pytest.approx(12.5)
    assert after.value[-1] == pytest.approx(12.5 * 1.1 + 0.5)
    page = client.get(at("device_detail", station.code)).content.decode()
    assert "hiệu chuẩn lại từ" in page
    assert store.query("SELECT count(*) FROM telemetry_dirty_hour WHERE channel = ?", [channel.pk])[0][0] > 0


def test_a_limit_needs_its_document_to_be_called_verified(station):
    client = sign_in("qn.khkt")
    said = {"subject": station.work_id, "quantity": "chlorine", "low": "0,2", "high": "1,0", "standard": "QCĐP thử",
            "source": "Bảng 1", "confidence": "VERIFIED"}  # fmt: skip

    assert client.post(at("limit_add"), said).status_code == 422
    assert client.post(at("limit_add"), {**said, "confidence": "RECALLED"}).status_code == 302
    limit = QualityLimit.objects.get(standard="QCĐP thử")
    page = client.get(at("limit_list")).content.decode()
    assert "chưa đối chiếu văn bản" in page
    assert client.post(at("limit_edit", limit.pk), {**said, "confidence": "RECALLED", "high": "0,9"}).status_code == 302
    with pytest.raises(PermissionDenied):
        device_operations.put_limit(
            subject=Subject.objects.get(kind="COUNTRY"), quantity="ph", low=6.0, high=8.5, standard="x", source="y",
            confidence="RECALLED", by=person("qn.khkt"), now=timezone.now(),
        )  # fmt: skip


def test_the_ledger_closes_and_names_what_was_refused(station):
    send(station, '{"t": 1, "v": {"flow": 1}}', timezone.now())
    send(station, f'{{"t": {payloads.to_ms(timezone.now())}, "v": {{"la": 1}}}}', timezone.now())
    client = sign_in("qn.binhchanh")

    page = client.get(at("ledger")).content.decode()
    by_hour = client.get(at("ledger") + f"?unit=hour&device={station.code}").content.decode()

    assert "✓ sổ khép" in page
    assert "không khép" not in page
    assert receive.REASONS["unknown_channel"] in page
    assert receive.REASONS["unknown_channel"] in by_hour
    text = b"".join(client.get(at("ledger") + "?export=csv").streaming_content).decode()
    assert "bc-01" in text
    assert "Không có thiết bị này" in client.get(at("ledger") + "?device=cua-nguoi-khac").content.decode()


def test_what_nobody_can_read_is_looked_at_safely_and_dismissed(station):
    send(station, "<script>alert(1)</script>{", timezone.now())
    send(station, "{", timezone.now())
    client = sign_in("qn.khkt")
    found = device_queries.list_quarantine(person("qn.khkt"))
    assert len(found) == 2

    page = client.get(at("quarantine_item", found[1].id)).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert f"Số {found[0].id}" in client.get(at("quarantine_list")).content.decode()
    client.post(at("quarantine_replay", found[0].id))
    assert device_queries.get_quarantined(person("qn.khkt"), found[0].id).state == "NEW"
    assert client.post(at("quarantine_dismiss", found[0].id), {"reason": ""}).status_code == 422
    client.post(at("quarantine_dismiss", found[0].id), {"reason": "Thử máy"})
    assert device_queries.get_quarantined(person("qn.khkt"), found[0].id).state == "DISMISSED"
    assert sign_in("cb.capnuoc").get(at("quarantine_item", found[1].id)).status_code == 404
    assert sign_in("qn.binhchanh").post(at("quarantine_replay", found[1].id)).status_code == 403


def test_binary_is_shown_as_hexadecimal():
    assert device_queries.show_payload(b"\xff\x00\xfe\x01\x02\x03\x04\x05") == ("ff 00 fe 01 02 03 04 05", False)
    assert device_queries.show_payload("Trạm \x07".encode()) == ("Trạm ·", True)


def test_lists_of_devices_and_limits_go_out_as_files(station):
    client = sign_in("qn.lanhdao")

    text = b"".join(client.get(at("device_list") + "?export=csv").streaming_content).decode()
    assert "bc-01" in text
    assert client.get(at("limit_list") + "?export=xlsx").status_code == 200


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "qn.binhchanh"])
@pytest.mark.parametrize(
    "name", ["device_list", "device_health", "device_detail", "alarm_list", "alarm_history", "alarm_detail",
             "alarm_statistics", "rule_list", "rule_detail", "ledger", "quarantine_list", "limit_list"],
)  # fmt: skip
def test_a_page_with_rows_asks_the_database_seldom(station, username, name, django_assert_max_num_queries):
    alarm = make_alarm(station, timezone.now())
    args = {"device_detail": [station.code], "alarm_detail": [alarm.pk], "rule_detail": [alarm.rule_id]}.get(name, [])
    client, address = sign_in(username), at(name, *args)
    client.get(address)

    with django_assert_max_num_queries(15):
        assert client.get(address).status_code == 200


def test_a_calibration_says_in_which_unit_it_counts_and_the_device_what_it_sends(station):
    client = sign_in("qn.khkt")
    channel = Channel.objects.get(key="pressure")
    device_operations.put_channel(
        station, channel=channel, key="pressure", name="Áp lực", quantity="pressure", sent_unit="bar", minimum=6.0,
        role="CONTINUITY", by=None, now=timezone.now(),
    )  # fmt: skip
    device_operations.calibrate(
        channel, valid_from=timezone.now(), factor=1.1, offset=-0.5, note="BB", by=None, now=timezone.now()
    )

    form = client.get(at("channel_calibrate", station.code, channel.pk)).content.decode()
    page = client.get(at("device_detail", station.code)).content.decode()

    assert "Độ lệch (m cột nước)" in form
    assert "giá trị gửi (bar) đổi sang m cột nước × hệ số + độ lệch" in form
    assert "× 1,1 − 0,5 m cột nước" in form and "× 1,1 − 0,5 m cột nước" in page
    assert "đơn vị bar" in page


@pytest.mark.parametrize(("drift_ms", "said", "state"), [
    (-16 * 60_000, "chạy nhanh 16 phút", "drift"), (16 * 60_000, "chạy chậm 16 phút", "drift"),
    (4 * 60_000, "không thấy lệch", "ok"), (-90_000, "không thấy lệch", "ok"),
    (-129_602_167_000, "không thấy lệch", "ok"),
])  # fmt: skip
def test_how_a_clock_goes_is_said_in_words(station, drift_ms, said, state):
    with store.transaction() as cursor:
        sql = "UPDATE telemetry_device_state SET drift_ms = ?, battery = NULL, received_at = ?"
        cursor.execute(store.adapt(sql), (drift_ms, payloads.to_ms(timezone.now())))
    client = sign_in("qn.lanhdao")

    pages = [client.get(at("device_detail", station.code)), client.get(at("device_health"))]

    assert all(said in page.content.decode() for page in pages)
    rows = list(device_queries.with_intervals(Device.objects.filter(pk=station.pk)))
    assert device_queries.read_health(rows, now=timezone.now())[station.pk].state == state


def test_a_corrected_reading_shows_the_old_value_and_the_new_one_each_time_it_changed(station):
    now = timezone.now()
    for value in (10, 11, 12):
        text = f'{{"t": {payloads.to_ms(now) - 60_000}, "v": {{"flow": {value}}}}}'
        send(station, text, now + timedelta(seconds=value))

    page = sign_in("qn.khkt").get(at("device_detail", station.code)).content.decode()

    assert "11,0 → 12,0 m³/giờ" in page and "10,0 → 11,0 m³/giờ" in page


def test_what_was_refused_or_unreadable_is_told_in_words_and_local_time(station):
    send(station, '{"t": 1795389832719, "v": {"flow": "abc"}}', timezone.now())
    now_ms = payloads.to_ms(timezone.now())
    receive.take([payloads.Message("", b"abc", now_ms, station.code, "MQTT")], now_ms)
    client = sign_in("qn.khkt")

    device, ledger, waiting = (
        client.get(address).content.decode()
        for address in (at("device_detail", station.code), at("ledger"), at("quarantine_list"))
    )
    item = client.get(at("quarantine_item", device_queries.list_quarantine(person("qn.khkt"))[0].id)).content.decode()

    for page in (device, ledger):
        assert "flow = abc, đo lúc 06:23:52 23/11/2026" in page and "@ 17953" not in page
    for page in (waiting, item):
        assert "ký tự không hợp lệ ở ký tự thứ 1" in page and "http:MQTT" not in page
    assert "HTTP, dạng JSON, mã truy cập của thiết bị bc-01" in item
