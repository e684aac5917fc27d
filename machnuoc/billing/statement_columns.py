"""The rows of a bank's statement: which column is which, as a person confirmed it, and what each row says.

Nothing is guessed while reading: a column that is gone, or is there twice, stops the reading by name. No Django import.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import Any

from machnuoc.core import folding, vietnamese
from machnuoc.core.periods import LOCAL_ZONE

LOOK_AT_ROWS = 40  # a bank prints its address and the account above the table
AMOUNT_MOST_VND = 10**13
ROLES = {
    "date": "Ngày giao dịch", "credit": "Số tiền ghi có (tiền vào)", "debit": "Số tiền ghi nợ (tiền ra)",
    "text": "Nội dung chuyển khoản", "reference": "Số tham chiếu của ngân hàng",
}  # fmt: skip
OPTIONAL = frozenset({"debit"})
# Words of the headings that banks print, for a proposal that a person looks at; never used without being confirmed.
_HINTS = {
    "date": ("ngay giao dich", "ngay gd", "ngay hieu luc", "transaction date", "ngay"),
    "credit": ("ghi co", "so tien ghi co", "tien vao", "phat sinh co", "credit", "so tien", "amount"),
    "debit": ("ghi no", "so tien ghi no", "tien ra", "phat sinh no", "debit"),
    "text": ("noi dung", "dien giai", "mo ta", "description", "remark"),
    "reference": ("so tham chieu", "ma giao dich", "so but toan", "so ct", "reference", "so gd", "tham chieu"),
}  # fmt: skip
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([.,\s])\d{3})(?:\1\d{3})*(?:(?!\1)[.,]0{1,2})?")
_PLAIN = re.compile(r"[+-]?\d+(?:[.,]0{1,2})?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")

Cells = Sequence[Any]


class CannotRead(ValueError):
    """A cell, or the table, is not what it should be; the text says why, in Vietnamese."""


class ChangedColumns(CannotRead):
    """The columns are not those that were confirmed for this bank. gone, new: their headings."""

    def __init__(self, gone: Sequence[str], new: Sequence[str]) -> None:
        self.gone, self.new = list(gone), list(new)
        more = f" Cột mới trong tệp: {', '.join(f'«{one}»' for one in new)}." if new else ""
        super().__init__(
            f"Tệp không còn cột {', '.join(f'«{one}»' for one in gone)} như các lần trước.{more} "
            "Chỉ lại cột nào là cột nào; chưa dòng nào được ghi."
        )


@dataclass(frozen=True)
class Layout:
    """Which heading holds what; debit empty: one signed column of amounts. headings: all of the file, as confirmed."""

    date: str
    credit: str
    text: str
    reference: str
    debit: str = ""
    headings: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        return asdict(self) | {"headings": list(self.headings)}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> "Layout":
        return cls(**{**stored, "headings": tuple(stored.get("headings", ()))})

    def columns(self) -> dict[str, str]:
        return {role: getattr(self, role) for role in ROLES if getattr(self, role)}


@dataclass(frozen=True)
class Line:
    """One transfer. row: as a spreadsheet counts. amount_vnd: đồng, negative for money out."""

    row: int
    booked_at: datetime
    amount_vnd: int
    text: str
    reference: str


@dataclass(frozen=True)
class Problem:
    row: int
    why: str


@dataclass(frozen=True)
class Read:
    """received: rows that hold anything; each is a line or a problem."""

    received: int
    lines: list[Line]
    problems: list[Problem]


def heading(cell: Any) -> str:
    return " ".join(str(cell).split()) if cell is not None else ""


def find_headings(rows: Sequence[Cells]) -> tuple[int, list[str]]:
    """Return (place, headings) of the first row that looks like headings: for a proposal. Raises CannotRead."""
    for place, cells in enumerate(rows[:LOOK_AT_ROWS]):
        texts = [heading(cell) for cell in cells]
        if sum(bool(text) and not any(char.isdigit() for char in text) for text in texts) >= 4:
            return place, texts
    raise CannotRead("Không thấy dòng tiêu đề (ít nhất bốn cột có tên) trong 40 dòng đầu của tệp.")


def propose(headings: Sequence[str]) -> dict[str, str]:
    """Return {role: heading} as their names suggest, for a person to confirm; not every role may have one."""
    folded = {text: folding.fold(text) for text in headings if text}
    found: dict[str, str] = {}
    for role in ("debit", "credit", "reference", "text", "date"):
        for hint in _HINTS[role]:
            fitting = [text for text, name in folded.items() if hint in name and text not in found.values()]
            if fitting:
                found[role] = fitting[0]
                break
    return found


def locate(rows: Sequence[Cells], layout: Layout) -> tuple[int, dict[str, int]]:
    """Return (place of the headings, {role: column}). Raises ChangedColumns, CannotRead."""
    wanted = layout.columns()
    best: list[str] = []
    for place, cells in enumerate(rows[:LOOK_AT_ROWS]):
        texts = [heading(cell) for cell in cells]
        if all(name in texts for name in wanted.values()):
            doubled = [name for name in wanted.values() if texts.count(name) > 1]
            if doubled:
                raise CannotRead(
                    f"Cột «{doubled[0]}» có hai lần trong tệp, không biết lấy cột nào. Sửa tệp rồi nạp lại."
                )
            return place, {role: texts.index(name) for role, name in wanted.items()}
        if sum(text in texts for text in layout.headings if text) > sum(
            text in best for text in layout.headings if text
        ):
            best = texts
    if not best:
        try:
            _, best = find_headings(rows)
        except CannotRead:
            best = []
    gone = [name for name in wanted.values() if name not in best]
    raise ChangedColumns(gone, [text for text in best if text and text not in layout.headings])


def read(rows: Sequence[Cells], layout: Layout) -> Read:
    """Return the lines of a table by its confirmed layout. Raises ChangedColumns, CannotRead."""
    place, columns = locate(rows, layout)
    lines: list[Line] = []
    problems: list[Problem] = []
    received = 0
    for number, cells in enumerate(rows[place + 1 :], place + 2):
        if not any(heading(cell) for cell in cells):
            continue
        received += 1
        try:
            lines.append(_read_line(number, cells, columns))
        except ValueError as reason:
            problems.append(Problem(number, str(reason)))
    return Read(received, lines, problems)


def up_to(found: Read, day: date) -> Read:
    """Return the same without the lines of days that are still to come: there the bank wrote the month first."""
    lines: list[Line] = []
    problems = list(found.problems)
    for line in found.lines:
        booked_date = line.booked_at.astimezone(LOCAL_ZONE).date()
        if booked_date <= day:
            lines.append(line)
            continue
        why = f"ngày giao dịch {booked_date:%d/%m/%Y} chưa đến: xem lại thứ tự ngày, tháng trong tệp của ngân hàng"
        problems.append(Problem(line.row, why))
    return Read(found.received, lines, problems)


def _read_line(number: int, cells: Cells, columns: dict[str, int]) -> Line:
    def cell(role: str) -> Any:
        place = columns[role]
        return cells[place] if place < len(cells) else None

    booked_at = read_moment(cell("date"))
    credit_vnd = read_amount(cell("credit"))
    amount_vnd = credit_vnd
    if "debit" in columns:
        debit_vnd = read_amount(cell("debit"))
        if credit_vnd and debit_vnd:
            raise CannotRead("có cả tiền vào và tiền ra trong một dòng")
        # Banks print what went out with a minus or without; a minus among what came in takes a transfer back.
        amount_vnd = credit_vnd or -abs(debit_vnd)
    if not amount_vnd:
        raise CannotRead("không có số tiền")
    reference = heading(cell("reference"))[:60]
    if not reference:
        raise CannotRead("thiếu số tham chiếu của ngân hàng, nên không biết có bị nạp trùng không")
    return Line(number, booked_at, amount_vnd, heading(cell("text"))[:500], reference)


def read_amount(cell: Any) -> int:
    """Return whole đồng; 0 for an empty cell. Raises CannotRead.

    >>> [read_amount(cell) for cell in ("1.250.000", "1,250,000.00", "+105000", "-5,000", 105000.0, None, "105 021 đ")]
    [1250000, 1250000, 105000, -5000, 105000, 0, 105021]
    """
    if cell is None or cell == "":
        return 0
    if isinstance(cell, bool):
        raise CannotRead("số tiền không phải là số")
    if isinstance(cell, int | float):
        if cell != int(cell):
            raise CannotRead(f"số tiền {cell} có phần lẻ của đồng")
        amount_vnd = int(cell)
    else:
        text = re.sub(r"(?i)\s*(vnd|vnđ|đ|₫)$", "", " ".join(str(cell).replace("\u00a0", " ").split()))
        if text in {"", "-"}:
            return 0
        if not (_GROUPED.fullmatch(text) or _PLAIN.fullmatch(text)):
            raise CannotRead(f"số tiền «{text[:40]}» không đọc được")
        amount_vnd = int(re.sub(r"[.,\s]", "", re.sub(r"[.,]0{1,2}$", "", text)))
    if abs(amount_vnd) > AMOUNT_MOST_VND:
        raise CannotRead(f"số tiền «{cell}» quá lớn")
    return amount_vnd


def read_moment(cell: Any) -> datetime:
    """Return when it was booked, in Viet Nam's time; midnight if only a day is told. Raises CannotRead.

    >>> read_moment("15/08/2026 10:22:33").isoformat(), read_moment("2026-08-15").isoformat()
    ('2026-08-15T10:22:33+07:00', '2026-08-15T00:00:00+07:00')
    """
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=LOCAL_ZONE) if cell.tzinfo is None else cell
    if isinstance(cell, date):
        return datetime.combine(cell, time(), LOCAL_ZONE)
    text = heading(cell)
    clock = _CLOCK.search(text)
    try:
        day = vietnamese.parse_date(_CLOCK.sub("", text).strip(" -,T") if clock else text)
        at = time(int(clock[1]), int(clock[2]), int(clock[3] or 0)) if clock else time()
    except ValueError:
        day = None
        at = time()
    if day is None:
        raise CannotRead(f"ngày giao dịch «{text[:40]}» không đọc được")
    return datetime.combine(day, at, LOCAL_ZONE)
