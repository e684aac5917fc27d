"""Lines of loggers, in one of two forms, UTF-8.

    2026-11-22 07:00:00;flow;12.5            one reading a line: time;key;value, a header line is allowed
    time,flow,pressure                       a header, then one instant a line; an empty cell is no reading
    2026-11-22T00:00:00Z,12.5,31

Times carry an offset, or are read with the offset of the device's clock (UTC unless the device says otherwise); whole
milliseconds since 1970 also do. Decimals have a point: «12,5» is refused, nobody knows what the comma means.
Lines that begin with # are remarks.
"""

import re

from machnuoc.telemetry import payloads
from machnuoc.telemetry.payloads import Decoded, DecodeError, Refused

KEY = "CSV"
TOPIC = "machnuoc/v1/+/csv"

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_MAX_COLUMNS = 200


def find_sender(topic: str) -> str | None:
    parts = topic.split("/")
    return parts[2] if len(parts) == 4 and parts[:2] == ["machnuoc", "v1"] and parts[3] == "csv" else None


def decode(payload: bytes, clock_offset_min: int) -> Decoded:
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DecodeError("không phải văn bản UTF-8") from None
    if "\0" in text:
        raise DecodeError("có ký tự NUL: không phải văn bản")
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise DecodeError("không có dòng nào")
    found = Decoded([], [], [], [])
    if lines[0].count(";") == 2:
        has_header = lines[0].split(";")[0].strip().lower() == "time"
        _read_single(lines[1:] if has_header else lines, clock_offset_min, found)
    else:
        _read_columns(lines, clock_offset_min, found)
    return found


def _read_single(lines: list[str], clock_offset_min: int, found: Decoded) -> None:
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split(";")]
        if len(cells) != 3:
            raise DecodeError(f"dòng {number} không có dạng thời điểm;khóa;giá trị: {payloads.shown('dòng', line)}")
        time, key, sent = cells
        at = payloads.instant_of(_time_of(time), clock_offset_min)
        _add(found, at, time, key, sent)


def _read_columns(lines: list[str], clock_offset_min: int, found: Decoded) -> None:
    header = [cell.strip() for cell in lines[0].split(",")]
    keys = header[1:]
    if header[0].lower() != "time" or not keys or not all(keys) or len(set(keys)) < len(keys):
        raise DecodeError("dòng đầu không có dạng time,khóa1,khóa2… với các khóa khác nhau")
    if len(keys) > _MAX_COLUMNS:
        raise DecodeError(f"nhiều hơn {_MAX_COLUMNS} cột")
    for number, line in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(header):
            raise DecodeError(f"dòng {number} có {len(cells)} ô, tiêu đề có {len(header)}")
        at = payloads.instant_of(_time_of(cells[0]), clock_offset_min)
        for key, sent in zip(keys, cells[1:], strict=True):
            if sent:
                _add(found, at, cells[0], key, sent)


def _time_of(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else text


def _add(found: Decoded, at: int | str, time: str, key: str, sent: str) -> None:
    if isinstance(at, str):
        found.refused.append(Refused(at, payloads.shown(key, sent, time)))
    elif _NUMBER.fullmatch(sent) is None:
        found.refused.append(Refused(payloads.NOT_A_NUMBER, payloads.shown(key, sent, time)))
    else:
        found.keys.append(key)
        found.at.append(at)
        found.value.append(float(sent))
