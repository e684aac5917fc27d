"""Devices, channels and readings as sheets: previews, errors by cell, taking them, streaming long ones."""

import io
from datetime import datetime, timedelta

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.core.tests.test_workbooks import charts_alone
from machnuoc.indicators import sheets as workbooks
from machnuoc.telemetry import device_sheets, history, store
from machnuoc.telemetry.models import AlarmRule, Channel, Device, DeviceImport
from machnuoc.telemetry.tests.desk import STATION, person, sign_in
from machnuoc.telemetry.tests.desk import station as station

pytestmark = pytest.mark.django_db


def upload(kind: str, text: str, by: str = "qn.khkt") -> DeviceImport:
    return device_sheets.receive_sheet(text.encode(), kind=kind, name="tep.csv", by=person(by), now=timezone.now())


def test_the_command_writes_a_workbook_for_each_kind():
    for name in ("devices", "channels", "readings"):
        assert name in workbooks.list_templates()
        book = openpyxl.load_workbook(io.BytesIO(workbooks.template_bytes(name)))
        assert device_sheets.GUIDE in book.sheetnames


def test_devices_are_previewed_by_cell_and_the_good_rows_taken(station):
    text = (
        "Mã thiết bị;Tên;Công trình;Loại;Đường truyền\n"
        f"bc-10;Bộ ghi 10;{STATION};Bộ ghi dữ liệu;HTTP, theo lô\n"
        f"BC 11;;{STATION};;\n"
        "bc-12;;Trạm không có;;\n"
        f"bc-13;;{STATION};Máy xay;\n"
    )

    batch = upload("DEVICES", text)

    assert (batch.received, batch.stored, batch.rejected) == (4, 1, 3)
    assert not Device.objects.filter(code="bc-10").exists()
    problems = {row[0]: row[2][0] for row in batch.found["problems"]}
    assert problems[3][0] == "A3"
    assert "không dùng được" in problems[3][1]
    assert "Không tìm thấy đúng một công trình" in problems[4][1]
    assert problems[5][0] == "D5"
    with pytest.raises(workbooks.SheetError, match="còn lỗi"):
        device_sheets.apply(batch, mode="ALL", by=person("qn.khkt"), now=timezone.now())
    device_sheets.apply(batch, mode="GOOD", by=person("qn.khkt"), now=timezone.now())
    assert Device.objects.get(code="bc-10").protocol == "HTTP"
    again = upload("DEVICES", text)
    assert (again.stored, again.duplicate) == (0, 1)


def test_channels_come_with_their_rules(station):
    head = "Mã thiết bị,Khóa,Đại lượng,Đơn vị,Tin được từ"
    text = f"{head}\n{station.code},clo,Clo dư tự do,mg/L,0\n{station.code},p2,Áp lực,hp,\n"

    batch = upload("CHANNELS", text)
    device_sheets.apply(batch, mode="GOOD", by=person("qn.khkt"), now=timezone.now())

    assert (batch.stored, batch.rejected) == (1, 1)
    channel = Channel.objects.get(key="clo")
    assert AlarmRule.objects.filter(channel=channel).exists()


def test_readings_are_filled_in_counted_and_the_bad_rows_named(station):
    now = timezone.localtime().replace(microsecond=0)
    old = now - timedelta(days=20)
    lines = ["Thiết bị;Kênh;Thời điểm;Giá trị"]
    lines += [f"{station.code};flow;{old + timedelta(minutes=5 * n):%d/%m/%Y %H:%M};10,{n}" for n in range(9)]
    lines += [
        f"{station.code};flow;hôm qua;1,5", f"{station.code};la;{old:%Y-%m-%d %H:%M};1,5",
        f"{station.code};flow;{now + timedelta(days=2):%Y-%m-%d %H:%M};1,5", f"{station.code};flow;{old:%d/%m/%Y};ba",
        f"{station.code};flow;{old:%d/%m/%Y %H:%M};10,0",
    ]  # fmt: skip

    batch = upload("READINGS", "\n".join(lines), by="qn.binhchanh")
    assert (batch.received, batch.stored, batch.rejected) == (14, 10, 4)
    device_sheets.apply(batch, mode="GOOD", by=person("qn.binhchanh"), now=timezone.now())

    assert (batch.stored, batch.duplicate, batch.rejected) == (9, 1, 4)
    assert {row[2][0][0] for row in batch.found["problems"]} == {"C11", "A12", "C13", "D14"}
    channel = Channel.objects.get(key="flow")
    first = datetime(old.year, old.month, old.day, old.hour, old.minute, tzinfo=old.tzinfo)
    found = history.read_raw(channel.pk, round(first.timestamp() * 1000), round(first.timestamp() * 1000) + 3_600_000)
    assert found.value.tolist() == [10 + n / 10 for n in range(9)]
    assert (found.quality & store.FROM_FILE).all()
    stored = store.query("SELECT sum(received) - sum(stored + corrected + duplicate + rejected) FROM telemetry_ledger")
    assert stored[0][0] == 0
    assert upload("READINGS", "\n".join(lines), by="cb.capnuoc").rejected == 14


@pytest.mark.parametrize(("text", "dot_is_decimal", "value"), [
    ("1.288,5", False, 1288.5), ("1.288", False, 1288.0), ("12.5", False, 12.5), ("0.169", False, 0.169),
    ("1,288.5", True, 1288.5), ("1.288", True, 1.288), ("12,5", True, 12.5), ("-1.600.000", False, -1_600_000.0),
    ("1.5e-3", True, 0.0015), ("1.2.3", False, None), ("1,2,3", True, None), ("ba", False, None),
])  # fmt: skip
def test_a_fraction_in_the_other_style_is_never_read_tenfold(text, dot_is_decimal, value):
    assert device_sheets._value(text, dot_is_decimal) == value


@pytest.mark.parametrize(("text", "wrong"), [
    ("a;b\n1;2\n", "Không tìm thấy đủ các cột"), ("Thiết bị;Kênh;Thời điểm;Giá trị\n", "chỉ có tiêu đề"),
    ("Thiết bị;Thiết bị;Kênh;Thời điểm;Giá trị\n", "có hai lần"),
])  # fmt: skip
def test_a_file_that_is_wrong_as_a_whole_is_refused_in_words(station, text, wrong):
    with pytest.raises(workbooks.SheetError, match=wrong):
        upload("READINGS", text)


def test_a_long_file_is_taken_in_the_background_with_its_counts(station):
    start = timezone.localtime().replace(microsecond=0, second=0) - timedelta(days=40)
    count = device_sheets.LONG_ROWS + 500
    lines = ["Thiết bị,Kênh,Thời điểm,Giá trị"]
    lines += [f"{station.code},flow,{start + timedelta(minutes=n):%Y-%m-%d %H:%M},{n}.25" for n in range(count)]
    client = sign_in("qn.binhchanh")
    sent = {"kind": "READINGS", "file": SimpleUploadedFile("dai.csv", "\n".join(lines).encode())}

    preview = client.post(reverse("telemetry:sheet_imports"), sent)
    batch = DeviceImport.objects.get()
    assert preview["Location"] == reverse("telemetry:sheet_import", args=[batch.pk])
    client.post(preview["Location"], {"mode": "ALL"})
    assert "Đang nhập ở chế độ nền" in client.get(preview["Location"]).content.decode()
    while Job.objects.filter(state="QUEUED").exists() and jobs.run_next(timezone.now()):
        pass

    batch.refresh_from_db()
    assert (batch.stored, batch.rejected) == (count, 0)
    assert "2.500" in client.get(preview["Location"]).content.decode()
    assert sign_in("qn.khkt").get(preview["Location"]).status_code == 404


def test_a_large_file_is_read_for_its_preview_in_the_background(station, monkeypatch):
    monkeypatch.setattr(device_sheets, "LONG_BYTES", 2_000)
    start = timezone.localtime().replace(microsecond=0, second=0) - timedelta(days=40)
    lines = ["Thiết bị,Kênh,Thời điểm,Giá trị"]
    lines += [f"{station.code},flow,{start + timedelta(minutes=n):%Y-%m-%d %H:%M},{n}.25" for n in range(100)]
    lines += [f"{station.code},sai,{start:%Y-%m-%d %H:%M},1.5"]
    client = sign_in("qn.binhchanh")
    sent = {"kind": "READINGS", "file": SimpleUploadedFile("lon.csv", "\n".join(lines).encode())}

    preview = client.post(reverse("telemetry:sheet_imports"), sent)["Location"]

    batch = DeviceImport.objects.get()
    assert batch.received == 0
    assert "đang đọc ở chế độ nền" in client.get(preview).content.decode()
    assert "Chưa đọc xong" in client.get(reverse("telemetry:sheet_imports")).content.decode()
    client.post(preview, {"mode": "GOOD"})
    with pytest.raises(workbooks.SheetError, match="chưa đọc xong"):
        device_sheets.apply(batch, mode="GOOD", by=person("qn.binhchanh"), now=timezone.now())
    while Job.objects.filter(state="QUEUED").exists() and jobs.run_next(timezone.now()):
        pass
    batch.refresh_from_db()
    assert (batch.received, batch.stored, batch.rejected, batch.applied_at) == (101, 100, 1, None)
    assert "không có kênh" in client.get(preview).content.decode()
    client.post(preview, {"mode": "GOOD"})
    batch.refresh_from_db()
    assert batch.applied_at is not None and batch.stored == 100


def test_a_large_file_that_is_wrong_as_a_whole_says_so_on_its_page(station, monkeypatch):
    monkeypatch.setattr(device_sheets, "LONG_BYTES", 10)
    client = sign_in("qn.binhchanh")
    sent = {"kind": "READINGS", "file": SimpleUploadedFile("lon.csv", b"a;b\n1;2\n3;4\n")}

    preview = client.post(reverse("telemetry:sheet_imports"), sent)["Location"]
    while Job.objects.filter(state="QUEUED").exists() and jobs.run_next(timezone.now()):
        pass

    page = client.get(preview).content.decode()
    assert "Không đọc được tệp" in page and "Không tìm thấy đủ các cột" in page
    assert 'name="mode"' not in page


def test_a_workbook_of_readings_is_read_too(station):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Số đọc"
    sheet.append(["Thiết bị", "Kênh", "Thời điểm", "Giá trị"])
    sheet.append([station.code, "flow", datetime(2026, 2, 3, 7, 0), 12.5])  # noqa: DTZ001 - as sheets have it
    file = io.BytesIO()
    book.save(file)

    batch = device_sheets.receive_sheet(
        file.getvalue(), kind="READINGS", name="so-doc.xlsx", by=person("qn.binhchanh"), now=timezone.now()
    )
    device_sheets.apply(batch, mode="ALL", by=person("qn.binhchanh"), now=timezone.now())

    assert batch.stored == 1


def test_a_workbook_of_charts_alone_is_refused_in_words(station):
    with pytest.raises(workbooks.SheetError, match="chỉ có trang biểu đồ"):
        device_sheets.receive_sheet(
            charts_alone(), kind="READINGS", name="so-doc.xlsx", by=person("qn.binhchanh"), now=timezone.now()
        )


def test_only_those_who_enter_or_manage_come_in(station):
    assert sign_in("doitac").get(reverse("telemetry:sheet_imports")).status_code == 403
    page = sign_in("qn.binhchanh").get(reverse("telemetry:sheet_imports")).content.decode()
    assert 'value="DEVICES"' not in page
