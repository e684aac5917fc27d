"""Devices, channels and readings as sheets: the templates, the reading of what comes back, the taking of it.

Sheets of devices and channels are tried row by row as they would be taken, and taken back again, so that the preview
says what the operations would say. Files of readings are streamed: 100,000 rows are a year of one logger.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import openpyxl
import xlsxwriter
from django.core.exceptions import PermissionDenied
from django.db import transaction
from openpyxl.utils import get_column_letter

from machnuoc.core import audit, files, folding, vietnamese, workbooks
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.indicators import sheets
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access
from machnuoc.telemetry import device_operations, device_queries, receive, store
from machnuoc.telemetry.device_operations import DeviceError
from machnuoc.telemetry.judging import FUTURE_MS, REASONS, YEAR_2000_MS
from machnuoc.telemetry.models import Channel, Device, DeviceImport
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work

LONG_ROWS = 2_000  # from here on a job takes the sheet
LONG_BYTES = 2 * 1024 * 1024  # from here on a job reads a file of readings for its preview
MOST_ROWS = 2_000  # of devices or channels
MOST_READINGS = 2_000_000
GUIDE = "Hướng dẫn"
_HEAD_WITHIN = 10
_AT_ONCE = 20_000
_SHOWN_PROBLEMS = 200
_SHOWN_ROWS = 20
_EVIDENCE = 5_000
_BYTES_A_ROW = 40  # about: how far a preview has come
Progress = Callable[[int, int], None]
_DEVICES, _CHANNELS, _READINGS = DeviceImport.Kind.DEVICES, DeviceImport.Kind.CHANNELS, DeviceImport.Kind.READINGS

# Name of the column → its titles (the first is written, all are read), whether it must be there, how it is filled in.
COLUMNS: dict[str, dict[str, tuple[tuple[str, ...], bool, str]]] = {
    _DEVICES: {
        "code": (("Mã thiết bị", "Thiết bị"), True, "Chữ thường không dấu, số, «-», «_». Mã đã có: cập nhật thiết bị."),
        "name": (("Tên",), False, "Để trống: lấy mã."),
        "work": (("Mã công trình", "Công trình"), True, "Mã hoặc tên công trình trong hệ thống."),
        "kind": (("Loại",), False, f"Một trong: {', '.join(str(one) for one in Device.Kind.labels)}."),
        "protocol": (("Đường truyền",), False, f"Một trong: {', '.join(str(one) for one in Device.Protocol.labels)}."),
        "sender_id": (("Mã trên mạng gửi", "DevEUI"), False, "DevEUI của LoRaWAN."),
        "place_note": (("Vị trí lắp đặt",), False, ""),
        "make": (("Hãng, kiểu",), False, ""),
        "serial": (("Số sê-ri",), False, ""),
        "installed_at": (("Lắp lúc",), False, "Ngày/tháng/năm, có thể kèm giờ; giờ Việt Nam."),
        "clock_offset_min": (("Đồng hồ lệch UTC (phút)",), False, "0: UTC; 420: giờ Việt Nam."),
        "note": (("Ghi chú",), False, ""),
    },
    _CHANNELS: {
        "device": (("Mã thiết bị", "Thiết bị"), True, "Thiết bị đã khai."),
        "key": (("Khóa", "Kênh"), True, "Đúng như thiết bị gửi, ví dụ flow."),
        "name": (("Tên",), False, "Để trống: tên đại lượng."),
        "quantity": (("Đại lượng",), True, "Tên hoặc khóa của một đại lượng."),
        "sent_unit": (("Đơn vị thiết bị gửi", "Đơn vị"), False, "Để trống: đơn vị lưu của đại lượng."),
        "point": (("Điểm đo",), False, f"Một trong: {', '.join(str(one) for one in Channel.Point.labels)}."),
        "role": (("Dùng cho",), False, f"Một trong: {', '.join(str(one) for one in Channel.Role.labels)}."),
        "expected_interval_s": (("Chu kỳ gửi (giây)",), False, "Để trống: 300."),
        "low": (("Tin được từ",), False, "Theo đơn vị lưu."),
        "high": (("Tin được đến",), False, "Theo đơn vị lưu."),
        "minimum": (("Mức tối thiểu",), False, "mH₂O, cho thời gian cấp nước."),
        "capacity_m3": (("Dung tích đầy bể (m³)",), False, ""),
        "full_at": (("Đầy bể tại (m)",), False, ""),
        "rolls_over_at": (("Quay vòng tại",), False, "Đồng hồ đếm."),
    },
    _READINGS: {
        "device": (("Thiết bị", "Mã thiết bị"), True, "Thiết bị đã khai."),
        "key": (("Kênh", "Khóa"), True, "Khóa của kênh."),
        "at": (("Thời điểm", "Lúc đo"), True, "Giờ Việt Nam, trừ khi ghi múi giờ: 2026-11-22T07:00:00+07:00."),
        "value": (("Giá trị",), True, "Theo đơn vị lưu của kênh (xem trang thiết bị)."),
    },
}  # fmt: skip
_SHEETS = {_DEVICES: "Thiết bị", _CHANNELS: "Kênh", _READINGS: "Số đọc"}


def template(kind: str) -> bytes:
    """Return the workbook to fill in."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    sheet, guide = book.add_worksheet(_SHEETS[DeviceImport.Kind(kind)]), book.add_worksheet(GUIDE)
    sheet.freeze_panes(1, 0)
    guide.set_column(0, 0, 28)
    guide.set_column(1, 1, 100, wrap)
    for position, (column, (titles, is_required, how)) in enumerate(COLUMNS[kind].items()):
        sheet.set_column(position, position, 22)
        sheet.write_string(0, position, f"{titles[0]} *" if is_required else titles[0], bold)
        guide.write_string(position, 0, titles[0], bold)
        if column == "quantity":
            how = f"Một trong: {', '.join(one.name for one in QUANTITIES.values())}."
        guide.write_string(position, 1, f"{'Bắt buộc. ' if is_required else ''}{how}")
    book.close()
    return file.getvalue()


for _name, _kind in (("devices", _DEVICES), ("channels", _CHANNELS), ("readings", _READINGS)):
    sheets.register_template(_name, lambda kind=_kind: template(kind))  # type: ignore[misc]


# --- finding columns and cells


def _plain(cell: object) -> str:
    return " ".join(folding.fold(cell).split()).rstrip(" *") if isinstance(cell, str) else ""


def _find_columns(head: Iterator[tuple[int, Sequence[Any]]], kind: str, name: str) -> tuple[int, dict[str, int]]:
    known = {_plain(title): column for column, (titles, _, _) in COLUMNS[kind].items() for title in titles}
    needed = {column for column, (_, is_required, _) in COLUMNS[kind].items() if is_required}
    for number, cells in islice(head, _HEAD_WITHIN):
        columns: dict[str, int] = {}
        for position, cell in enumerate(cells):
            column = known.get(_plain(cell))
            if column in columns:
                raise SheetError(f"Ô {_cell(position, number)}: cột «{cell}» có hai lần. Xóa bớt một cột.")
            if column is not None:
                columns[column] = position
        if needed <= columns.keys():
            return number, columns
    wanted = ", ".join(f"«{COLUMNS[kind][column][0][0]}»" for column in COLUMNS[kind] if column in needed)
    raise SheetError(
        f"Không tìm thấy đủ các cột {wanted} trong {_HEAD_WITHIN} dòng đầu của tệp {name}. "
        "Tải tệp mẫu về, chép số liệu sang rồi tải lên lại."
    )


def _cell(position: int, number: int) -> str:
    return f"{get_column_letter(position + 1)}{number}"


def _cut(text: object) -> str:
    return str(text) if len(str(text)) <= 40 else str(text)[:40] + "…"


_MOMENT = re.compile(
    r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})/(\d{1,2})/(\d{4}))(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?"
)


def read_moment(cell: object) -> datetime | None:
    """Return an aware instant, of local time unless the text says another offset; None if it is none.

    >>> read_moment("22/11/2026 07:30").isoformat()
    '2026-11-22T07:30:00+07:00'
    >>> read_moment("2026-11-22T00:30:00Z") == read_moment("2026-11-22 07:30")
    True
    >>> read_moment("hôm qua") is None
    True
    """
    if isinstance(cell, datetime):
        moment = cell.replace(microsecond=round(cell.microsecond, -3) % 1_000_000)
        return moment if moment.tzinfo else moment.replace(tzinfo=LOCAL_ZONE)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day, tzinfo=LOCAL_ZONE)
    match = _MOMENT.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if match is None:
        return None
    year, month, day = (match[1], match[2], match[3]) if match[1] else (match[6], match[5], match[4])
    zone: Any = LOCAL_ZONE
    if match[10]:
        text = match[10].replace(":", "")
        minutes = 0 if text == "Z" else int(text[1:3]) * 60 + int(text[3:5])
        if minutes >= 24 * 60:
            return None
        zone = UTC if text == "Z" else timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes))
    try:
        return datetime(
            int(year), int(month), int(day), int(match[7] or 0), int(match[8] or 0), int(match[9] or 0), tzinfo=zone
        )
    except ValueError:
        return None


# --- devices and channels


@dataclass
class Row:
    """One row. said: by column. problems: (cell, text)."""

    number: int
    said: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    what: str = ""  # thêm, sửa, or nothing for no change


_NUMBERS = {"low", "high", "minimum", "capacity_m3", "full_at", "rolls_over_at"}
_WHOLE = {"clock_offset_min", "expected_interval_s"}
_CHOICES: dict[str, Any] = {
    "kind": Device.Kind,
    "protocol": Device.Protocol,
    "point": Channel.Point,
    "role": Channel.Role,
}
_LONGEST = {"name": 120, "place_note": 200, "make": 120, "serial": 60, "sender_id": 64, "note": 2_000}


def _read_rows(stored: StoredFile, name: str, kind: str) -> tuple[list[Row], dict[str, int]]:
    table = sheets.read_table(stored, name, _SHEETS[DeviceImport.Kind(kind)])
    head, columns = _find_columns(iter(table.rows), kind, name)
    body = [(number, cells) for number, cells in table.rows if number > head]
    if not body:
        raise SheetError(f"Tệp {name} chỉ có tiêu đề. Điền số liệu rồi tải lên lại.")
    if len(body) > MOST_ROWS:
        raise SheetError(f"Tệp {name} có hơn {MOST_ROWS} dòng. Chia thành nhiều tệp rồi nhập lần lượt.")
    return [_read_row(number, cells, columns, kind) for number, cells in body], columns


def _read_row(number: int, cells: Sequence[Any], columns: dict[str, int], kind: str) -> Row:
    row = Row(number)
    for column, position in columns.items():
        cell = cells[position] if position < len(cells) else None
        where = _cell(position, number)
        if isinstance(cell, sheets.Formula | sheets.Broken):
            row.problems.append((where, "là công thức hoặc ô lỗi. Dán dạng giá trị (Paste Values) trước khi tải lên."))
            continue
        try:
            row.said[column] = _understand(column, cell)
        except ValueError as reason:
            row.problems.append((where, str(reason)))
            continue
        if COLUMNS[kind][column][1] and row.said[column] in (None, ""):
            row.problems.append((where, f"thiếu «{COLUMNS[kind][column][0][0]}»."))
    return row


def _understand(column: str, cell: Any) -> Any:
    if column in _NUMBERS or column in _WHOLE:
        if cell is None:
            return None
        number = vietnamese.parse_number(cell, integer=column in _WHOLE)
        return None if number is None else int(number) if column in _WHOLE else float(number)
    if column == "installed_at":
        if cell is None:
            return None
        moment = read_moment(cell)
        if moment is None:
            raise ValueError(f"“{_cut(cell)}” không phải ngày giờ. Ghi như 22/11/2026 07:30.")
        return moment
    text = (
        "" if cell is None else str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    )
    if column in _CHOICES:
        found = {folding.fold(str(word)): value for value, label in _CHOICES[column].choices for word in (value, label)}
        if text and folding.fold(text) not in found:
            raise ValueError(f"không có lựa chọn “{_cut(text)}”. Xem trang «{GUIDE}» của tệp mẫu.")
        return found.get(folding.fold(text), "") if text else ""
    if column == "quantity":
        words = {folding.fold(word): one.key for one in QUANTITIES.values() for word in (one.key, one.name)}
        if folding.fold(text) not in words:
            raise ValueError(f"không có đại lượng “{_cut(text)}”. Xem trang «{GUIDE}» của tệp mẫu.")
        return words[folding.fold(text)]
    if len(text) > _LONGEST.get(column, 120):
        raise ValueError(f"dài {len(text)} ký tự, tối đa {_LONGEST.get(column, 120)}.")
    return text


class _TakeBack(Exception):
    """Ends a trial."""


def _take_rows(
    rows: list[Row], columns: dict[str, int], kind: str, by: Person, now: datetime, *, is_trial: bool
) -> None:
    """Take the rows without problems, each by itself; write down what the operation says against them."""
    take = _Devices(by, now) if kind == _DEVICES else _Channels(by, now, with_rules=not is_trial)
    first = columns["code" if kind == _DEVICES else "device"]
    for row in rows:
        if row.problems:
            continue
        try:
            with transaction.atomic():
                row.what = take.take(row.said)
        except (DeviceError, PermissionDenied) as reason:
            row.problems.append((_cell(first, row.number), str(reason)))


class _Devices:
    def __init__(self, by: Person, now: datetime) -> None:
        self.by, self.now = by, now
        works = Work.objects.select_related("subject")
        if not access.sees_everything(by, "manage"):
            works = works.filter(pk__in=access.visible_subject_ids(by, "manage"))
        self.works: dict[str, Work | None] = {}
        for work in works:
            folded = folding.fold(work.subject.name)
            self.works[folded] = None if folded in self.works else work
            self.works[work.subject.key] = work
        self.there = {device.code: device for device in Device.objects.select_related("work")}
        self.seen: set[str] = set()

    def take(self, said: dict[str, Any]) -> str:
        code = said["code"]
        if code in self.seen:
            raise DeviceError(f"Mã thiết bị {code} ghi hai lần trong tệp. Giữ lại một dòng.")
        self.seen.add(code)
        work = self.works.get(said["work"]) or self.works.get(folding.fold(said["work"]))
        if work is None:
            raise DeviceError(
                f"Không tìm thấy đúng một công trình “{_cut(said['work'])}” mà bạn quản lý. Ghi mã công trình."
            )
        device = self.there.get(code)
        kept = {
            name: getattr(device, name) if device else default
            for name, default in (("kind", Device.Kind.LOGGER), ("protocol", Device.Protocol.MQTT), ("name", code),
                                  ("clock_offset_min", 0), ("sender_id", ""), ("place_note", ""), ("make", ""),
                                  ("serial", ""), ("note", ""), ("latitude", None), ("longitude", None))
        }  # fmt: skip
        given = {
            name: value for name, value in said.items() if name not in {"work", "code"} and value not in ("", None)
        }
        _, is_changed = device_operations.put_device(
            code=code, work=work, device=device, by=self.by, now=self.now, **{**kept, **given}
        )
        return ("sửa" if device else "thêm") if is_changed else ""


class _Channels:
    def __init__(self, by: Person, now: datetime, *, with_rules: bool) -> None:
        self.by, self.now, self.with_rules = by, now, with_rules
        self.devices = {device.code: device for device in device_queries.list_devices(by, "manage")}
        self.seen: set[tuple[str, str]] = set()

    def take(self, said: dict[str, Any]) -> str:
        pair = (said["device"], said["key"])
        if pair in self.seen:
            raise DeviceError(f"Kênh {pair[1]} của thiết bị {pair[0]} ghi hai lần trong tệp. Giữ lại một dòng.")
        self.seen.add(pair)
        device = self.devices.get(said["device"])
        if device is None:
            raise DeviceError(f"Không có thiết bị “{_cut(said['device'])}” mà bạn quản lý. Khai thiết bị trước.")
        channel = Channel.objects.filter(device=device, key=said["key"]).first()
        given = {name: value for name, value in said.items() if name not in {"device"} and value not in ("", None)}
        if channel is not None:
            kept = ("name", "sent_unit", "low", "high", "point", "role", "expected_interval_s", "minimum")
            given = {**{name: getattr(channel, name) for name in kept}, **given}
        given.setdefault("name", QUANTITIES[said["quantity"]].name)
        _, is_changed = device_operations.put_channel(
            device, channel=channel, by=self.by, now=self.now, with_rules=self.with_rules, **given
        )
        return ("sửa" if channel else "thêm") if is_changed else ""


# --- readings


def _stream(stored: StoredFile, name: str) -> Iterator[tuple[int, Sequence[Any]]]:
    """Give the rows of a file as they come, never all at once."""
    with files.open_file(stored) as file:
        if stored.media_type == files.MEDIA_TYPES["csv"]:
            encoding = files.detect_csv_encoding(files.path_of(stored), name)
            text = io.TextIOWrapper(file, encoding=encoding, newline="")
            head = text.readline()
            text.seek(0)
            reader = csv.reader(text, delimiter=max(";,\t", key=head.count))
            try:
                yield from ((number, cells) for number, cells in enumerate(reader, start=1) if any(cells))
            except csv.Error:
                raise SheetError(f"Tệp {name} không phải văn bản CSV hợp lệ. Xuất lại dạng CSV (UTF-8).") from None
            return
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except Exception as error:  # openpyxl lets through whatever its parsers raise
            raise SheetError(f"Không đọc được tệp {name}. Lưu lại dạng .xlsx rồi tải lên.") from error
        try:
            sheet = workbooks.find_sheet(book, _SHEETS[_READINGS])
            if sheet is None:
                raise SheetError(f"Tệp {name} không có trang tính nào. {workbooks.WITHOUT_CELLS}")
            sheet.reset_dimensions()
            rows = sheet.iter_rows(max_col=20, values_only=True)
            yield from (
                (number, cells) for number, cells in enumerate(rows, start=1) if any(c is not None for c in cells)
            )
        finally:
            book.close()


@dataclass
class Chunk:
    """Readings that are understood. Lists of one length."""

    channel: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass
class Reading:
    """What a file of readings holds; `take` gets each chunk as it is understood."""

    received: int = 0
    bad: int = 0  # rows that say nothing that could be taken
    refused: int = 0  # rows whose time cannot be: the receiver counts them as rejected
    problems: list[list[Any]] = field(default_factory=list)
    good: list[list[Any]] = field(default_factory=list)
    channels: set[int] = field(default_factory=set)


def read_readings(stored: StoredFile, name: str, by: Person, now: datetime, take: Callable[[Chunk], None]) -> Reading:
    """Read a file of readings row by row. Raises SheetError if the file as a whole is wrong."""
    columns: dict[str, int] = {}
    rows = _stream(stored, name)
    head, columns = _find_columns(rows, _READINGS, name)
    found, chunk = Reading(), Chunk()
    channels = _channels_of(by)
    dot_is_decimal = _dot_is_decimal(stored, name, head, columns["value"])
    now_ms = round(now.timestamp() * 1000)
    names = ("device", "key", "at", "value")
    places = [columns[one] for one in names]
    widest = max(places)
    for number, cells in rows:
        found.received += 1
        if found.received > MOST_READINGS:
            raise SheetError(f"Tệp {name} có hơn {MOST_READINGS} dòng. Chia thành nhiều tệp.")
        if len(cells) <= widest:
            cells = [*cells, *[None] * (widest + 1 - len(cells))]
        code, key, when, cell = (cells[place] for place in places)
        channel = channels.get((str(code).strip(), str(key).strip()))
        moment = read_moment(when)
        value = _value(cell, dot_is_decimal)
        wrong = ""
        if channel is None:
            place, wrong = 0, f"không có kênh “{_cut(key)}” của thiết bị “{_cut(code)}” mà bạn nhập số được."
        elif moment is None:
            place, wrong = 2, f"“{_cut(when)}” không phải ngày giờ. Ghi như 22/11/2026 07:30."
        elif value is None:
            place, wrong = 3, f"“{_cut(cell)}” không phải là số."
        if wrong:
            found.bad += 1
            if len(found.problems) < _SHOWN_PROBLEMS:
                found.problems.append([number, f"{_cut(code)} · {_cut(key)}", [[_cell(places[place], number), wrong]]])
            continue
        assert channel is not None and moment is not None and value is not None  # noqa: S101 - said above
        at = round(moment.timestamp() * 1000)
        if at > now_ms + FUTURE_MS or at < YEAR_2000_MS:
            found.refused += 1
            if len(found.problems) < _SHOWN_PROBLEMS:
                why = REASONS["future_clock" if at > now_ms else "before_2000"]
                found.problems.append([number, f"{_cut(code)} · {_cut(key)}", [[_cell(places[2], number), why]]])
        elif len(found.good) < _SHOWN_ROWS:
            found.good.append([number, f"{code} · {key}", f"{moment.astimezone(LOCAL_ZONE):%d/%m/%Y %H:%M:%S}", value])
        found.channels.add(channel)
        chunk.channel.append(channel)
        chunk.at.append(at)
        chunk.value.append(value)
        if len(chunk.at) >= _AT_ONCE:
            take(chunk)
            chunk = Chunk()
    if chunk.at:
        take(chunk)
    if not found.received:
        raise SheetError(f"Tệp {name} chỉ có tiêu đề. Điền số đọc rồi tải lên lại.")
    return found


def _channels_of(by: Person) -> dict[tuple[str, str], int]:
    rows = Channel.objects.filter(is_active=True)
    if not access.sees_everything(by, "enter"):
        rows = rows.filter(device__work_id__in=access.visible_subject_ids(by, "enter"))
    return {(code, key): pk for pk, code, key in rows.values_list("pk", "device__code", "key")}


def _dot_is_decimal(stored: StoredFile, name: str, head: int, place: int) -> bool:
    """Return how the file writes fractions, by its first rows: 12.5 or 12,5. Loggers write dots; people commas."""
    texts = [
        cells[place]
        for number, cells in islice(_stream(stored, name), head + _EVIDENCE)
        if number > head and len(cells) > place and isinstance(cells[place], str)
    ]
    found = vietnamese.detect_dot_decimal(texts)
    return not any("," in text for text in texts) if found is None else found


def _value(cell: object, dot_is_decimal: bool) -> float | None:
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, int | float):
        return float(cell) if np.isfinite(cell) else None
    text = str(cell).strip().replace(" ", "")
    group, point = (",", ".") if dot_is_decimal else (".", ",")
    if re.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(\{group}\d{{3}})+(\{point}\d+)?", text):
        text = text.replace(group, "")
    text = text.replace(",", ".")  # what groups nothing is a fraction: 12.5 among 12,5 is never 125
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", text):
        return None
    number = float(text)
    return number if np.isfinite(number) else None


# --- receiving and taking


def receive_sheet(content: BinaryIO | bytes, *, kind: str, name: str, by: Person, now: datetime) -> DeviceImport:
    """Keep an uploaded sheet with what it was seen to hold. Nothing of it is taken yet.

    A long file of readings is only kept: call preview_readings, in the background. Raises files.RefusedFile,
    SheetError, PermissionDenied.
    """
    access.require(by, "enter" if kind == _READINGS else "manage")
    stored = files.store(content, name=name, by=by, kinds=sheets.KINDS)
    shown = files.clean_name(name)
    batch = DeviceImport(kind=kind, file=stored, file_name=shown, uploaded_by=by, uploaded_at=now)
    if kind == _READINGS and stored.size_bytes > LONG_BYTES:
        batch.found = {"is_unread": True}
    elif kind == _READINGS:
        _say_readings(batch, read_readings(stored, shown, by, now, lambda chunk: None))
    else:
        rows, columns = _read_rows(stored, shown, kind)
        try:
            with transaction.atomic():
                _take_rows(rows, columns, kind, by, now, is_trial=True)
                raise _TakeBack
        except _TakeBack:
            pass
        _count_rows(batch, rows)
    batch.save()
    return batch


def preview_readings(batch: DeviceImport, *, by: Person, now: datetime, progress: Progress | None = None) -> None:
    """Read a long file of readings and keep what it was seen to hold. Raises SheetError, PermissionDenied."""
    access.require(by, "enter")
    seen = 0

    def count(chunk: Chunk) -> None:
        nonlocal seen
        seen += len(chunk.at)
        if progress is not None:
            progress(seen, max(seen, batch.file.size_bytes // _BYTES_A_ROW))

    _say_readings(batch, read_readings(batch.file, batch.file_name, by, now, count))
    batch.save(update_fields=["received", "stored", "rejected", "found"])


def _say_readings(batch: DeviceImport, found: "Reading") -> None:
    batch.received, batch.rejected = found.received, found.bad + found.refused
    batch.stored = found.received - batch.rejected
    batch.found = {"problems": found.problems, "good": found.good, "channels": len(found.channels)}


def _count_rows(batch: DeviceImport, rows: list[Row]) -> None:
    def label(row: Row) -> str:
        return " · ".join(str(row.said.get(name, "")) for name in ("code", "device", "key") if row.said.get(name))

    good = [row for row in rows if not row.problems and row.what]
    bad = [row for row in rows if row.problems]
    batch.received, batch.stored, batch.rejected = len(rows), len(good), len(bad)
    batch.duplicate = len(rows) - len(good) - len(bad)
    batch.found = {
        "problems": [[row.number, label(row), [list(one) for one in row.problems]] for row in bad[:_SHOWN_PROBLEMS]],
        "good": [[row.number, label(row), str(row.said.get("name") or ""), row.what] for row in good[:_SHOWN_ROWS]],
    }


def apply(
    batch: DeviceImport, *, mode: str, by: Person, now: datetime, progress: Progress | None = None
) -> DeviceImport:
    """Take the sheet. mode: ALL refuses if any row is bad, GOOD leaves the bad ones out.

    Raises SheetError, PermissionDenied.
    """
    access.require(by, "enter" if batch.kind == _READINGS else "manage")
    if batch.applied_at is not None:
        raise SheetError(f"Tệp {batch.file_name} đã được nhập.")
    if batch.found.get("is_unread"):
        raise SheetError(f"Tệp {batch.file_name} chưa đọc xong để xem trước. Đợi đọc xong rồi nhập.")
    if mode not in {"ALL", "GOOD"}:
        raise SheetError("Chọn nhập tất cả, hoặc chỉ các dòng hợp lệ.")
    if batch.kind == _READINGS:
        return _apply_readings(batch, mode, by, now, progress)
    rows, columns = _read_rows(batch.file, batch.file_name, batch.kind)
    with transaction.atomic():
        _lock(batch)
        _take_rows(rows, columns, batch.kind, by, now, is_trial=False)
        bad = sum(1 for row in rows if row.problems)
        if mode == "ALL" and bad:
            raise _still_bad(bad, batch)
        _count_rows(batch, rows)
        _finish(batch, by, now)
    return batch


def _still_bad(count: int, batch: DeviceImport) -> SheetError:
    return SheetError(
        f"Không nhập dòng nào: {count} dòng của tệp {batch.file_name} còn lỗi. "
        "Sửa tệp rồi tải lên lại, hoặc chọn chỉ nhập các dòng hợp lệ."
    )


def _lock(batch: DeviceImport) -> None:
    if DeviceImport.objects.select_for_update().get(pk=batch.pk).applied_at is not None:
        raise SheetError(f"Tệp {batch.file_name} đã được nhập.")


def _finish(batch: DeviceImport, by: Person, now: datetime) -> None:
    batch.applied_at = now
    batch.save()
    audit.record(
        "telemetry.sheet.taken", actor=by, target=batch, count=batch.stored + batch.corrected, kind=batch.kind,
        rejected=batch.rejected,
    )  # fmt: skip


def _apply_readings(
    batch: DeviceImport, mode: str, by: Person, now: datetime, progress: Progress | None
) -> DeviceImport:
    if mode == "ALL" and batch.rejected:
        raise _still_bad(batch.rejected, batch)
    now_ms = round(now.timestamp() * 1000)
    total, done = receive.Counts(), 0

    def take(chunk: Chunk) -> None:
        nonlocal total, done
        channel, at, value = np.array(chunk.channel), np.array(chunk.at, np.int64), np.array(chunk.value)
        for one in np.unique(channel).tolist():
            which = channel == one
            total = total.plus(
                receive.put_readings(
                    one,
                    at[which],
                    value[which],
                    store.FROM_FILE,
                    reason=f"nạp từ tệp {batch.file_name}"[:200],
                    now_ms=now_ms,
                    is_receipt=True,
                )
            )
        done += len(chunk.at)
        if progress is not None:
            progress(done, max(done, batch.received))

    found = read_readings(batch.file, batch.file_name, by, now, take)
    with transaction.atomic():
        _lock(batch)
        batch.received, batch.stored, batch.corrected = found.received, total.stored, total.corrected
        batch.duplicate, batch.rejected = total.duplicate, total.rejected + found.bad
        batch.found = {"problems": found.problems, "good": found.good, "channels": len(found.channels)}
        _finish(batch, by, now)
    return batch


def outcome(batch: DeviceImport) -> str:
    """Return what became of a sheet, in words."""
    words = [f"{vietnamese.format_number(batch.stored)} lưu"]
    if batch.kind == _READINGS:
        words.append(f"{vietnamese.format_number(batch.corrected)} sửa")
    words += [
        f"{vietnamese.format_number(batch.duplicate)} không có gì mới",
        f"{vietnamese.format_number(batch.rejected)} bị loại",
    ]
    return ", ".join(words)


audit.describe("telemetry.sheet.taken", "nhập tệp {target}: {count} dòng")
