"""Own quantities: what may be kept, who keeps the catalogue, and that everything works with one."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import AuditEntry
from machnuoc.telemetry import device_operations, device_sheets, payloads, quantity_operations, rollups, store
from machnuoc.telemetry.models import AlarmRule, Channel, OwnQuantity
from machnuoc.telemetry.quantities import BUILT_IN, QUANTITIES, Catalogue, ChannelKind, Quantity, list_limited
from machnuoc.telemetry.quantity_operations import InUse, QuantityError, put_quantity
from machnuoc.telemetry.tests.desk import person, send, sign_in
from machnuoc.telemetry.tests.desk import station as station

NITRATE = {
    "key": "nitrate", "name": "Nitrat", "unit": "mg/L", "low": 0.0, "high": 500.0, "decimals": 1,
    "accepted_units": ["ug/L"],
}  # fmt: skip


@pytest.fixture
def admin(demo_data, db):
    yield person("quantri")
    QUANTITIES.forget()


@pytest.fixture
def nitrate(admin):
    return put_quantity(**NITRATE, by=admin)


@pytest.fixture
def channel(station, nitrate):
    made, _ = device_operations.put_channel(
        station, key="no3", name="Nitrat đầu ra", quantity="nitrate", sent_unit="ug/L", point="OUTLET",
        by=person("qn.khkt"), now=timezone.now(),
    )  # fmt: skip
    return made


# --- the catalogue


def test_built_in_quantities_stand_and_own_ones_come_behind_them():
    own = Quantity("nitrate", "Nitrat", "mg/L", ChannelKind.INSTANT, 0, 500, 1, is_own=True)
    twin = Quantity("flow", "Mưa", "mm", ChannelKind.INSTANT, 0, 1, 1, is_own=True)
    catalogue = Catalogue()
    assert list(catalogue) == list(BUILT_IN)
    catalogue.extend(lambda: [own, twin])

    assert (catalogue["nitrate"], catalogue["flow"], len(catalogue)) == (own, BUILT_IN["flow"], len(BUILT_IN) + 1)
    assert list(catalogue)[-1] == "nitrate"
    assert catalogue.get("rain") is None and "rain" not in catalogue


def test_another_process_learns_of_a_quantity_by_its_key_at_once_and_of_a_change_within_seconds(monkeypatch):
    stored = {}
    reads = []

    def load():
        reads.append(1)
        return list(stored.values())

    def put(name):
        stored["nitrate"] = Quantity("nitrate", name, "mg/L", ChannelKind.INSTANT, 0, 500, 1, is_own=True)

    first, second = Catalogue(), Catalogue()
    for each in (first, second):
        each.extend(load)
        assert "nitrate" not in each
    put("Nitrat")
    assert (first["nitrate"].name, second["nitrate"].name) == ("Nitrat", "Nitrat")
    before = len(reads)
    put("Nitrat (NO₃⁻)")
    assert second["nitrate"].name == "Nitrat" and len(reads) == before  # read a moment ago
    monkeypatch.setattr("machnuoc.telemetry.quantities.REREAD_S", 0.0)
    assert second["nitrate"].name == "Nitrat (NO₃⁻)"
    stored.clear()
    assert "nitrate" not in second


def test_the_built_in_quantities_need_no_database():
    code = (
        "from machnuoc.telemetry.quantities import QUANTITIES; import sys; "
        "print(len(QUANTITIES), 'django' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["14", "False"]


# --- what may be kept


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "flow"}, "đã có"), ({"key": "Có dấu"}, "Khóa"), ({"key": "x" * 17}, "Khóa"), ({"key": ""}, "Khóa"),
        ({"key": "9a"}, "Khóa"), ({"name": ""}, "Tên"), ({"name": "x" * 81}, "Tên"), ({"name": "Áp  LỰC"}, "pressure"),
        ({"name": "flow"}, "flow"), ({"name": "a\x00b"}, "Tên"), ({"unit": "stone"}, "stone"), ({"unit": ""}, "đơn vị"),
        ({"accepted_units": ["m"]}, "đổi"), ({"accepted_units": ["mg/L"]}, "khác"), ({"accepted_units": ["?"]}, "?"),
        ({"accepted_units": ["ug/L", "ug/L"]}, "hai lần"), ({"unit": "mgN/L"}, "ug/L"), ({"kind": "SOME"}, "INSTANT"),
        ({"low": 5.0, "high": 5.0}, "Khoảng"), ({"low": float("nan")}, "Khoảng"), ({"high": float("inf")}, "Khoảng"),
        ({"high": 1e13}, "Khoảng"), ({"decimals": 7}, "lẻ"), ({"decimals": -1}, "lẻ"),
        ({"description": "x" * 301}, "300"),
        ({"definition": "không phải địa chỉ"}, "URI"), ({"definition": "http://" + "x" * 300}, "URI"),
        ({"definition": "urn:machnuoc:quantity:flow"}, "đại lượng khác"),
    ],
)  # fmt: skip
def test_a_quantity_that_cannot_be_kept_is_said(admin, change, said):
    with pytest.raises(QuantityError) as refused:
        put_quantity(**{**NITRATE, **change}, by=admin)

    assert said in str(refused.value)
    assert not OwnQuantity.objects.exists()


@pytest.mark.parametrize("username", ["qn.lanhdao", "qn.khkt", "qn.binhchanh", "doitac", "cb.capnuoc", "qn.thungan"])
def test_only_who_administers_the_country_keeps_the_catalogue(nitrate, username):
    by = person(username)
    with pytest.raises(PermissionDenied):
        put_quantity(**{**NITRATE, "key": "nitrite", "name": "Nitrit"}, by=by)
    with pytest.raises(PermissionDenied):
        put_quantity(**{**NITRATE, "high": 9.0}, row=nitrate, by=by)
    with pytest.raises(PermissionDenied):
        quantity_operations.delete_quantity(nitrate, by=by)


def test_a_quantity_is_changed_and_deleted_until_a_channel_has_it(nitrate, admin):
    put_quantity(**{**NITRATE, "unit": "mgN/L", "accepted_units": [], "kind": "STATE"}, row=nitrate, by=admin)
    assert QUANTITIES["nitrate"].unit == "mgN/L"
    before = AuditEntry.objects.count()
    put_quantity(**{**NITRATE, "unit": "mgN/L", "accepted_units": [], "kind": "STATE"}, row=nitrate, by=admin)
    assert AuditEntry.objects.count() == before  # nothing changed
    quantity_operations.delete_quantity(nitrate, by=admin)
    assert "nitrate" not in QUANTITIES
    assert {"telemetry.quantity.saved", "telemetry.quantity.deleted"} <= set(
        AuditEntry.objects.filter(actor=admin).values_list("action", flat=True)
    )


def test_unit_kind_and_units_sent_stand_once_a_channel_has_them(channel, nitrate, admin):
    for change in ({"unit": "ug/L", "accepted_units": []}, {"kind": "TOTAL"}, {"accepted_units": []}):
        with pytest.raises(InUse):
            put_quantity(**{**NITRATE, **change}, row=nitrate, by=admin)
    with pytest.raises(InUse, match="kênh đo"):
        quantity_operations.delete_quantity(nitrate, by=admin)
    put_quantity(**{**NITRATE, "name": "Nitrat (NO₃⁻)", "high": 250.0}, row=nitrate, by=admin)
    assert channel.get_quantity_display() == "Nitrat (NO₃⁻)"


def test_a_quantity_that_was_deleted_a_moment_ago_takes_no_channel(station, nitrate):
    assert "nitrate" in QUANTITIES  # read a moment ago
    OwnQuantity.objects.filter(pk=nitrate.pk).delete()

    with pytest.raises(device_operations.DeviceError, match="nitrate"):
        device_operations.put_channel(
            station, key="no3", name="", quantity="nitrate", by=person("qn.khkt"), now=timezone.now()
        )


# --- everything works with one


def test_readings_of_an_own_quantity_are_converted_judged_and_rolled_up(channel, station):
    now = timezone.now()
    hour = payloads.to_ms(now) // store.HOUR_MS * store.HOUR_MS - store.HOUR_MS
    for minute, sent in ((0, 12_000), (5, 14_000), (10, 900_000)):
        send(station, f'{{"t": {hour + minute * 60_000}, "v": {{"no3": {sent}}}}}', now)

    rows = store.query("SELECT value, quality FROM telemetry_reading WHERE channel = ? ORDER BY at", [channel.pk])
    assert [(value, quality & store.OUT_OF_RANGE) for value, quality in rows] == [(12, 0), (14, 0), (900, 1)]
    for _ in range(50):
        if not rollups.run_once(payloads.to_ms(now)):
            break
    (row,) = store.query("SELECT low, high FROM telemetry_rollup_hour WHERE channel = ?", [channel.pk])
    assert tuple(row) == (12, 14)


def test_a_channel_of_an_own_quantity_has_the_alarms_of_a_level(channel, station, admin):
    assert set(AlarmRule.objects.filter(channel=channel).values_list("kind", flat=True)) == {"SILENCE", "STUCK"}
    assert "nitrate" in {each.key for each in list_limited()}
    device_operations.put_limit(
        subject=station.work.subject, quantity="nitrate", low=None, high=50.0, standard="QCVN thử", source="thử",
        confidence="RECALLED", by=admin, now=timezone.now(),
    )  # fmt: skip
    second, _ = device_operations.put_channel(
        station, key="no3b", name="Nitrat nguồn", quantity="nitrate", by=admin, now=timezone.now()
    )
    limit = AlarmRule.objects.get(channel=second, kind="THRESHOLD")
    assert (limit.parameters["high"], limit.parameters["basis"]) == (50.0, "QCVN thử")
    put_quantity(**{**NITRATE, "key": "doses", "name": "Số liều", "kind": "TOTAL"}, by=admin)
    third, _ = device_operations.put_channel(
        station, key="doses", name="", quantity="doses", by=admin, now=timezone.now()
    )
    assert set(AlarmRule.objects.filter(channel=third).values_list("kind", flat=True)) == {"SILENCE"}


def test_pages_api_and_sheets_speak_of_an_own_quantity(channel, station):
    now = timezone.now()
    send(station, f'{{"t": {payloads.to_ms(now - timedelta(minutes=2))}, "v": {{"no3": 12500}}}}', now)
    client = sign_in("qn.khkt")

    for address in (
        reverse("telemetry:channel", args=[channel.pk]), reverse("telemetry:device_detail", args=[station.code]),
        reverse("telemetry:station", args=[station.work.subject.key]),
        reverse("telemetry:channel_edit", args=[station.code, channel.pk]), reverse("telemetry:limit_add"),
        reverse("telemetry:rule_list"), reverse("telemetry:wall"), reverse("telemetry:online"),
    ):  # fmt: skip
        assert client.get(address).status_code == 200, address
    assert "Nitrat" in client.get(reverse("telemetry:channel_add", args=[station.code])).content.decode()
    shown = client.get(reverse("telemetry:channel", args=[channel.pk])).content.decode()
    assert "12,5" in shown and "mg/L" in shown
    assert client.get(reverse("telemetry:channel_data", args=[channel.pk])).status_code == 200
    latest = client.get(f"/api/v1/telemetry/latest?device_code={station.code}").json()["items"]
    assert {row["unit"] for row in latest if row["key"] == "no3"} == {"mg/L"}
    sheet = f"Mã thiết bị;Khóa;Đại lượng\n{station.code};no3c;Nitrat\n{station.code};no3d;nitrate\n"
    found = device_sheets.receive_sheet(sheet.encode(), kind="CHANNELS", name="kenh.csv", by=person("qn.khkt"), now=now)
    assert (found.stored, found.rejected) == (2, 0)
    assert device_sheets.template("CHANNELS")


# --- the page


FORM = {**NITRATE, "low": "0", "high": "500,5", "kind": "INSTANT", "definition": "", "description": "Của nitơ"}


def test_a_quantity_is_added_changed_and_deleted_on_the_page(admin):
    client = sign_in("quantri")
    listed = reverse("telemetry:quantity_list")

    assert client.post(reverse("telemetry:quantity_add"), FORM).status_code == 302
    row = OwnQuantity.objects.get(key="nitrate")
    assert (row.high, row.accepted_units, row.unit) == (500.5, ["ug/L"], "mg/L")
    page = client.get(listed).content.decode()
    assert "tự thêm" in page and "Của nitơ" in page and "µg/L" in page
    edit = reverse("telemetry:quantity_edit", args=["nitrate"])
    assert 'name="key"' not in client.get(edit).content.decode()
    assert client.post(edit, {**FORM, "name": "Nitrat khác", "key": "doi"}).status_code == 302
    assert OwnQuantity.objects.get().name == "Nitrat khác"
    assert client.post(edit, {**FORM, "high": "-1"}).status_code == 422
    export = client.get(listed, {"export": "csv"})
    assert "Nitrat khác" in b"".join(export).decode("utf-8-sig")
    remove = reverse("telemetry:quantity_delete", args=["nitrate"])
    assert client.get(remove).status_code == 200
    assert client.post(remove).status_code == 302
    assert not OwnQuantity.objects.exists()
    assert client.get(remove).status_code == 404


def test_a_built_in_quantity_has_no_page_to_change_it(admin):
    client = sign_in("quantri")
    for name in ("quantity_edit", "quantity_delete"):
        assert client.post(reverse(f"telemetry:{name}", args=["flow"]), FORM).status_code == 404


def test_a_used_quantity_says_why_it_is_not_deleted(channel):
    response = sign_in("quantri").post(reverse("telemetry:quantity_delete", args=["nitrate"]))

    assert response.status_code == 422
    assert "kênh đo" in response.content.decode()
    assert Channel.objects.filter(quantity="nitrate").exists()


def test_who_does_not_keep_the_catalogue_reads_it(nitrate):
    client = sign_in("qn.khkt")

    page = client.get(reverse("telemetry:quantity_list")).content.decode()
    assert "Nitrat" in page and "Thêm đại lượng" not in page
    assert client.get(reverse("telemetry:quantity_add")).status_code == 403
