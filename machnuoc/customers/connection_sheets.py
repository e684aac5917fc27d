"""Connections and poverty lists as sheets: the template, the reading of what comes back, its taking and its undoing.

A file is read row by row, 500 at a time, and never held whole: a million connections come in as CSV. It is read
twice, once to say by cell what is wrong and once to take it; a chunk is checked and stored in one transaction, so that
the one writer of an embedded database is free again within a second. A job that was killed begins anew and finds what
it had stored. What a page keeps of a file (`found`) names rows by code and never repeats personal data.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from typing import Any, BinaryIO, ClassVar

import openpyxl
import xlsxwriter
from django.db import transaction
from django.db.models import PROTECT, ManyToOneRel
from openpyxl.utils import get_column_letter

from machnuoc.core import audit, files, folding, jobs, vietnamese, workbooks
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.customers import connection_operations, consumption, meters, privacy, visibility
from machnuoc.customers.connection_forms import communes, works_of
from machnuoc.customers.connection_operations import RecordError
from machnuoc.customers.connection_queries import folded_text
from machnuoc.customers.models import (
    Connection,
    ConnectionEvent,
    ConnectionImport,
    Contract,
    Customer,
    Fitting,
    Group,
    Meter,
    NormPersons,
    PovertyYear,
    Reading,
    Route,
)
from machnuoc.indicators import sheets
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access
from machnuoc.works.models import Work

AT_ONCE = 500  # rows a transaction: the one writer of an embedded database is held well below a second
LONG_ROWS = 2_000  # from here on a job takes the sheet
LONG_BYTES = 512 * 1024  # from here on a job reads it
MOST_ROWS = 2_000_000
MOST_XLSX_ROWS = 50_000  # a workbook is slow to read: larger lists come as CSV
KEEP_DAYS = 30  # how long an uploaded list of people is kept: longer than the longest import, and no longer
_HEAD_WITHIN = 10
_SHOWN_PROBLEMS = 200
_SHOWN_ROWS = 20
Kind = ConnectionImport.Kind
Progress = Callable[[int, int], None]
Row = tuple[int, list[str]]

# Name of the column → its titles (the first is written, all are read), whether it must be there, how it is filled in.
_Columns = dict[str, tuple[tuple[str, ...], bool, str]]
COLUMNS: dict[str, _Columns] = {
    Kind.CONNECTIONS: {
        "work": (("Công trình", "Mã công trình", "Trạm"), True, "Mã hoặc tên công trình trong hệ thống."),
        "code": (("Mã đấu nối", "Mã khách hàng nước"), True, "Chữ không dấu, số, «-», «.», «_». Mã đã có: bỏ qua."),
        "customer": (("Mã khách hàng",), False, "Một khách hàng nhiều đấu nối: ghi cùng mã. Để trống: lấy mã đấu nối."),
        "name": (("Họ tên, tên đơn vị", "Họ tên", "Tên khách hàng"), True, ""),
        "kind": (("Loại khách hàng",), False, f"Một trong: {', '.join(map(str, Customer.Kind.labels))}."),
        "priority": (("Khách hàng ưu tiên",), False, "Trạm y tế, Bệnh viện, Trường học, Nhà cao tầng."),
        "phone": (("Điện thoại", "Số điện thoại"), False, "Ghi dạng văn bản để giữ số 0 ở đầu."),
        "email": (("Thư điện tử", "Email"), False, ""),
        "identity": (("Số định danh cá nhân", "CCCD"), False, "12 chữ số."),
        "tax": (("Mã số thuế",), False, ""),
        "address": (("Địa chỉ đấu nối", "Địa chỉ"), True, ""),
        "place": (("Xã, phường", "Xã"), False, "Tên xã, phường hiện nay."),
        "group": (("Đối tượng",), False, f"Mã hoặc tên: {', '.join(Group.values)}. Để trống: SH."),
        "households": (("Số hộ",), False, "Để trống: 1."),
        "persons": (("Số người",), False, "Số người tính định mức."),
        "status": (("Tình trạng",), False, "Đang sử dụng (mặc định), Tạm ngừng theo yêu cầu, Đã chấm dứt."),
        "origin": (("Nguồn gốc",), False, f"Một trong: {', '.join(map(str, Connection.Origin.labels))}."),
        "connected": (("Ngày đấu nối",), True, "Ngày/tháng/năm."),
        "closed": (("Ngày chấm dứt",), False, "Cho đấu nối đã chấm dứt."),
        "contract": (("Số hợp đồng",), False, ""),
        "signed": (("Ngày ký hợp đồng",), False, "Để trống: ngày đấu nối."),
        "route": (("Mã tuyến", "Tuyến"), False, "Tuyến ghi chỉ số đã lập của công trình."),
        "order": (("Thứ tự",), False, "Trên tuyến."),
        "meter": (("Số sê-ri đồng hồ", "Số đồng hồ"), False, "Đồng hồ đang lắp."),
        "digits": (("Số chữ số đồng hồ",), False, "Số chữ số đen (m³). Để trống: 5."),
        "verified": (("Kiểm định ngày",), False, ""),
        "fitted": (("Ngày lắp đồng hồ",), False, "Để trống: ngày đấu nối."),
        "index": (("Chỉ số khi lắp (m³)", "Chỉ số đầu (m³)"), False, "Để trống: 0."),
        "note": (("Ghi chú",), False, ""),
    },
    Kind.POVERTY: {
        "code": (("Mã đấu nối",), True, "Đấu nối đã có trong hệ thống."),
        "year": (("Năm",), True, ""),
        "kind": (("Diện",), True, f"Một trong: {', '.join(map(str, PovertyYear.Kind.labels))}."),
        "decision": (("Quyết định",), False, "Số, ngày của quyết định công nhận."),
    },
}  # fmt: skip
_SHEETS = {Kind.CONNECTIONS: "Đấu nối", Kind.POVERTY: "Hộ nghèo, cận nghèo"}
TEMPLATES = {"dau-noi": Kind.CONNECTIONS, "ho-ngheo": Kind.POVERTY}


def template(kind: str) -> bytes:
    """Return the workbook to fill in."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    wrap, text = book.add_format({"text_wrap": True, "valign": "top"}), book.add_format({"num_format": "@"})
    sheet, guide = book.add_worksheet(_SHEETS[Kind(kind)]), book.add_worksheet("Hướng dẫn")
    sheet.freeze_panes(1, 0)
    guide.set_column(0, 0, 28)
    guide.set_column(1, 1, 100, wrap)
    for position, (titles, is_required, how) in enumerate(COLUMNS[kind].values()):
        sheet.set_column(position, position, 20, text)
        sheet.write_string(0, position, f"{titles[0]} *" if is_required else titles[0], bold)
        guide.write_string(position, 0, titles[0], bold)
        guide.write_string(position, 1, f"{'Bắt buộc. ' if is_required else ''}{how}")
    book.close()
    return file.getvalue()


sheets.register_template("connections", lambda: template(Kind.CONNECTIONS))
sheets.register_template("poverty", lambda: template(Kind.POVERTY))


# --- reading rows


def _stream(stored: StoredFile, name: str, kind: str) -> Iterator[tuple[int, Sequence[Any]]]:
    """Give the rows of a file that are not empty with their numbers, as they come."""
    try:
        opened = files.open_file(stored)
    except files.LostFile:
        raise SheetError(
            f"Nội dung của tệp {name} không còn được giữ (quá {KEEP_DAYS} ngày). Tải tệp lên lại."
        ) from None
    with opened as file:
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
            found = workbooks.find_sheet(book, _SHEETS[Kind(kind)])
            if found is None:
                raise SheetError(f"Tệp {name} không có trang tính nào. {workbooks.WITHOUT_CELLS}")
            found.reset_dimensions()
            for number, cells in enumerate(found.iter_rows(max_col=60, values_only=True), start=1):
                if number > MOST_XLSX_ROWS + _HEAD_WITHIN:
                    raise SheetError(
                        f"Tệp {name} có hơn {vietnamese.format_number(MOST_XLSX_ROWS)} dòng. "
                        "Lưu thành CSV (UTF-8) rồi tải lên: tệp lớn được đọc nhanh và chắc hơn."
                    )
                if any(cell is not None for cell in cells):
                    yield number, cells
        finally:
            book.close()


def _plain(cell: object) -> str:
    return folding.fold(cell) if isinstance(cell, str) else ""


def _find_columns(rows: Iterator[tuple[int, Sequence[Any]]], kind: str, name: str) -> dict[str, int]:
    known = {folding.fold(title): column for column, (titles, _, _) in COLUMNS[kind].items() for title in titles}
    needed = {column for column, (_, is_required, _) in COLUMNS[kind].items() if is_required}
    for number, cells in islice(rows, _HEAD_WITHIN):
        columns: dict[str, int] = {}
        for position, cell in enumerate(cells):
            column = known.get(_plain(cell))
            if column in columns:
                raise SheetError(f"Ô {cell_name(position, number)}: cột «{cell}» có hai lần. Xóa bớt một cột.")
            if column is not None:
                columns[column] = position
        if needed <= columns.keys():
            return columns
    wanted = ", ".join(f"«{COLUMNS[kind][column][0][0]}»" for column in COLUMNS[kind] if column in needed)
    raise SheetError(
        f"Không tìm thấy đủ các cột {wanted} trong {_HEAD_WITHIN} dòng đầu của tệp {name}. "
        "Tải tệp mẫu về, chép số liệu sang rồi tải lên lại."
    )


def cell_name(position: int, number: int) -> str:
    return f"{get_column_letter(position + 1)}{number}"


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    return " ".join(str(cell).split())


@dataclass
class Read:
    """One row as it was understood. problems: (column, text). what: NEW, SAME, or empty if it is bad."""

    number: int
    said: dict[str, str]
    problems: list[tuple[str, str]] = field(default_factory=list)
    what: str = "NEW"
    value: dict[str, Any] = field(default_factory=dict)

    def wrong(self, column: str, text: str) -> None:
        self.problems.append((column, text))
        self.what = ""


class _Labels:
    """Choices by their key or their label, folded."""

    def __init__(self, choices: Iterable[tuple[str, str]]) -> None:
        self.known = {folding.fold(text): key for key, label in choices if key for text in (key, str(label))}

    def find(self, row: Read, column: str, default: str) -> str:
        text = row.said.get(column, "")
        if not text:
            return default
        found = self.known.get(folding.fold(text))
        if found is None:
            row.wrong(column, f"«{text[:30]}» không có trong danh sách. Xem trang Hướng dẫn của tệp mẫu.")
        return found or default


def _whole(row: Read, column: str, default: int, most: int, least: int = 0) -> int:
    try:
        number = vietnamese.parse_number(row.said.get(column, ""), integer=True)
    except vietnamese.NotANumber as reason:
        row.wrong(column, f"{reason}.")
        return default
    if number is None:
        return default
    if number != number.to_integral_value() or not least <= number <= most:
        row.wrong(column, f"phải là số nguyên từ {least} đến {vietnamese.format_number(most)}.")
        return default
    return int(number)


def _day(row: Read, column: str, today: date) -> date | None:
    try:
        day = vietnamese.parse_date(row.said.get(column, ""))
    except vietnamese.NotADate as reason:
        row.wrong(column, f"{reason}.")
        return None
    if day is not None and day > today:
        row.wrong(column, "ngày ở tương lai.")
    return day


# --- what a kind of sheet means


class _Connections:
    """Sheets of connections: a code that is there already is left alone if it is the same one, else refused."""

    label: ClassVar[str] = "code"

    def __init__(self, batch: ConnectionImport, by: Person, now: datetime) -> None:
        self.batch, self.by, self.now, self.today = batch, by, now, local_date(now)
        works = works_of(by, "serve").select_related("subject", "operator")
        self.works: dict[str, Work] = {}
        for work in works:
            self.works[work.subject.key] = self.works[folding.fold(work.subject.name)] = work
        self.places: dict[str, int] = {}
        twice = set()
        for pk, name in communes(works).values_list("pk", "name"):
            key = folding.fold(name)
            if self.places.setdefault(key, pk) != pk:
                twice.add(key)
        for key in twice:
            del self.places[key]
        self.routes = {
            (work_id, code.upper()): pk
            for pk, work_id, code in Route.objects.filter(work__in=works).values_list("pk", "work_id", "code")
        }
        self.kinds, self.groups = _Labels(Customer.Kind.choices), _Labels(Group.choices)
        self.priorities = _Labels([one for one in Customer.Priority.choices if one[0]])
        allowed = ("ACTIVE", "SUSPENDED", "CLOSED")
        self.statuses = _Labels([one for one in Connection.Status.choices if one[0] in allowed])
        self.origins = _Labels(Connection.Origin.choices)
        self.seen: set[int] = set()  # hashes of what may stand once in a file: eight bytes a row, not a text
        self.names: dict[int, int] = {}  # of customer codes that were written down: the hash of whose they are
        self.due_dates: dict[date | None, date | None] = {None: None}

    def check(self, rows: list[Read]) -> None:
        """Say what is wrong with these rows, or what they would do."""
        for row in rows:
            self._check_alone(row)
        codes = [row.value["code"] for row in rows if row.what]
        there = {
            one.code: one
            for one in Connection.objects.filter(code__in=codes)
            .select_related("customer")
            .only("code", "work_id", "imported_in_id", "customer__name")
        }
        numbers = [row.value["contract"] for row in rows if row.what and row.value["contract"]]
        contracts = dict(Contract.objects.filter(number__in=numbers).values_list("number", "connection__code"))
        operators = {row.value["work"].operator_id for row in rows if row.what}
        customers = {
            (one.operator_id, one.code): one
            for one in Customer.objects.filter(
                operator_id__in=operators, code__in={row.value["customer"] for row in rows if row.what}
            )
        }
        serials = [row.value["meter"] for row in rows if row.what and row.value["meter"]]
        known_meters = {
            (operator, serial): pk
            for operator, serial, pk in Meter.objects.filter(operator_id__in=operators, serial__in=serials).values_list(
                "operator_id", "serial", "pk"
            )
        }
        for row in rows:
            if not row.what:
                continue
            value = row.value
            one = there.get(value["code"])
            if one is not None:
                is_ours = self.batch.pk is not None and one.imported_in_id == self.batch.pk
                if is_ours or (one.work_id == value["work"].pk and one.customer.name == value["name"]):
                    row.what = "OURS" if is_ours else "SAME"
                else:
                    row.wrong("code", "mã này đã thuộc đấu nối khác trong hệ thống.")
                continue
            if value["contract"] in contracts:
                row.wrong("contract", f"số hợp đồng này đã ghi cho đấu nối {contracts[value['contract']]}.")
            owner = customers.get((value["work"].operator_id, value["customer"]))
            if owner is not None and (owner.name != value["name"] or owner.erased_at is not None):
                row.wrong("customer", "mã này đã thuộc khách hàng khác trong hệ thống.")
            if (value["work"].operator_id, value["meter"]) in known_meters:
                row.wrong("meter", "đồng hồ này đã có trong hệ thống.")
            value["owner"] = owner

    def _once(self, row: Read, column: str, *parts: Any) -> None:
        key = hash((column, *parts))
        if key in self.seen:
            row.wrong(column, "ghi hai lần trong tệp. Giữ lại một dòng.")
        self.seen.add(key)

    def _check_alone(self, row: Read) -> None:
        said, value = row.said, row.value
        work = self.works.get(said["work"]) or self.works.get(folding.fold(said["work"]))
        if work is None:
            row.wrong("work", "không có công trình này trong phạm vi bạn phục vụ. Ghi mã công trình.")
        elif work.operator_id is None:
            row.wrong("work", "công trình chưa có đơn vị vận hành.")
        try:
            value["code"] = connection_operations.clean_code(said["code"], "Mã đấu nối")
        except RecordError as reason:
            row.wrong("code", str(reason))
        value["work"] = work
        value["kind"] = self.kinds.find(row, "kind", Customer.Kind.HOUSEHOLD)
        self._check_party(row)
        value["group"] = self.groups.find(row, "group", Group.SH)
        value["status"] = self.statuses.find(row, "status", Connection.Status.ACTIVE)
        value["origin"] = self.origins.find(row, "origin", Connection.Origin.EXISTING)
        value["households"] = _whole(row, "households", 1, 100_000, 1)
        value["persons"] = _whole(row, "persons", 0, 999)
        value["order"] = _whole(row, "order", 0, 1_000_000)
        value["connected"] = _day(row, "connected", self.today)
        value["closed"] = _day(row, "closed", self.today)
        value["signed"] = _day(row, "signed", self.today) or value["connected"]
        if value["connected"] is None and not any(column == "connected" for column, _ in row.problems):
            row.wrong("connected", "chưa ghi ngày đấu nối.")
        is_closed = value["status"] == Connection.Status.CLOSED
        if is_closed != (value["closed"] is not None):
            row.wrong("closed", "ghi ngày chấm dứt cho đấu nối đã chấm dứt, và chỉ cho đấu nối đó.")
        elif is_closed and value["connected"] and value["closed"] < value["connected"]:
            row.wrong("closed", "trước ngày đấu nối.")
        if not said["address"]:
            row.wrong("address", "chưa ghi địa chỉ.")
        value["address"] = said["address"][:300]
        value["contract"] = said.get("contract", "")[:60]
        value["note"] = said.get("note", "")[:300]
        value["place"] = None
        if said.get("place"):
            value["place"] = self.places.get(folding.fold(said["place"]))
            if value["place"] is None:
                row.wrong("place", "không có xã, phường tên này (hoặc có nhiều nơi cùng tên) trong tỉnh.")
        value["route"] = None
        if said.get("route") and work is not None:
            value["route"] = self.routes.get((work.pk, said["route"].upper()))
            if value["route"] is None:
                row.wrong("route", "công trình này không có tuyến mang mã đó. Lập tuyến trước.")
        self._check_meter(row)
        if row.what and work is not None:
            if value["customer"]:
                key = hash((work.operator_id, value["customer"]))
                if self.names.setdefault(key, hash(value["name"])) != hash(value["name"]):
                    row.wrong("customer", "mã này ghi cho hai khách hàng khác tên trong tệp.")
            value["customer"] = value["customer"] or value["code"]
            self._once(row, "code", value["code"])
            if value["contract"]:
                self._once(row, "contract", value["contract"])
            if value["meter"]:
                self._once(row, "meter", work.operator_id, value["meter"])

    def _check_party(self, row: Read) -> None:
        said, value = row.said, row.value
        value["name"] = said["name"]
        if not said["name"] or len(said["name"]) > 160:
            row.wrong("name", "phải có, nhiều nhất 160 ký tự.")
        value["priority"] = self.priorities.find(row, "priority", "")
        value["customer"] = ""
        if said.get("customer"):
            try:
                value["customer"] = connection_operations.clean_code(said["customer"], "Mã khách hàng")
            except RecordError as reason:
                row.wrong("customer", str(reason))
        for column, words in (
            ("phone", "không phải số điện thoại: 9 đến 11 chữ số, bắt đầu bằng 0. Định dạng cột thành văn bản."),
            ("email", "không phải địa chỉ thư điện tử."),
            ("identity", "phải gồm 12 chữ số (hoặc 9 chữ số của giấy cũ)."),
            ("tax", "phải gồm 10, 12 hoặc 13 chữ số."),
        ):
            try:
                value[column] = self._personal(column, said.get(column, ""))
            except RecordError:
                row.wrong(column, words)

    @staticmethod
    def _personal(column: str, text: str) -> str:
        if column == "phone":
            return connection_operations.read_phone(text)
        if column == "email":
            if text and (text.count("@") != 1 or len(text) > 254 or " " in text or "." not in text.partition("@")[2]):
                raise RecordError("no address")
            return text.lower()
        named = {"identity": "identity_number", "tax": "tax_code"}[column]
        facts = connection_operations.CustomerFacts("A", **{named: text})
        return str(getattr(connection_operations.clean_customer(facts), named))

    def _check_meter(self, row: Read) -> None:
        value = row.value
        value["meter"] = row.said.get("meter", "").upper()[:40]
        value["digits"] = _whole(row, "digits", 5, 9, 3)
        value["index_l"] = _whole(row, "index", 0, 10**10) * 1_000
        value["verified"] = _day(row, "verified", self.today)
        value["fitted"] = _day(row, "fitted", self.today) or value["connected"]
        if not value["meter"]:
            if value["index_l"]:
                row.wrong("index", "có chỉ số mà chưa ghi số sê-ri đồng hồ.")
        elif value["status"] == Connection.Status.CLOSED:
            row.wrong("meter", "đấu nối đã chấm dứt không còn đồng hồ.")
        elif value["index_l"] >= consumption.capacity_l(value["digits"]):
            row.wrong("index", f"lớn hơn đồng hồ {value['digits']} chữ số ghi được.")

    def store(self, rows: list[Read]) -> None:
        """Put good rows in: customers, connections, contracts, norms, meters. In the caller's transaction."""
        now, by = self.now, self.by
        new: dict[tuple[int, str], Customer] = {}
        for row in rows:
            value = row.value
            if value["owner"] is None:
                key = (value["work"].operator_id, value["customer"])
                value["owner"] = new.setdefault(
                    key,
                    Customer(
                        operator_id=key[0], code=key[1], name=value["name"], kind=value["kind"],
                        priority=value["priority"], phone=value["phone"], email=value["email"],
                        identity_number=value["identity"], tax_code=value["tax"], created_at=now,
                    ),
                )  # fmt: skip
        Customer.objects.bulk_create(new.values())
        made = [
            Connection(
                code=value["code"], work=value["work"], customer=value["owner"], place_id=value["place"],
                address=value["address"], group=value["group"], households=value["households"],
                persons=value["persons"], status=value["status"], origin=value["origin"],
                connected_date=value["connected"], closed_date=value["closed"], route_id=value["route"],
                route_order=value["order"], note=value["note"], imported_in=self.batch,
                folded=folded_text(value["code"], value["name"], value["address"]),
            )
            for value in (row.value for row in rows)
        ]  # fmt: skip
        Connection.objects.bulk_create(made)
        pairs = [(one, row.value) for one, row in zip(made, rows, strict=True)]
        Contract.objects.bulk_create([
            Contract(
                connection=one, customer=value["owner"], number=value["contract"], signed_date=value["signed"],
                ended_date=value["closed"], end_reason="Chấm dứt" if value["closed"] else "",
            )
            for one, value in pairs if value["contract"]
        ])  # fmt: skip
        NormPersons.objects.bulk_create([
            NormPersons(connection=one, persons=value["persons"], valid_from=value["connected"], decided_by=by)
            for one, value in pairs if value["persons"]
        ])  # fmt: skip
        ConnectionEvent.objects.bulk_create([
            ConnectionEvent(
                connection=one, kind=ConnectionEvent.Kind.CREATED, on_date=self.today, at=now, by=by,
                text=f"Nhập từ tệp số {self.batch.pk}",
            )
            for one, value in pairs
        ])  # fmt: skip
        self._hang_meters([pair for pair in pairs if pair[1]["meter"]])

    def _hang_meters(self, pairs: list[tuple[Connection, dict[str, Any]]]) -> None:
        for _, value in pairs:
            day = value["verified"]
            if day not in self.due_dates:
                self.due_dates[day] = meters.due_date(Meter.Kind.MECHANICAL, day)
        hung = Meter.objects.bulk_create([
            Meter(
                operator_id=value["work"].operator_id, serial=value["meter"], digits=value["digits"],
                verified_date=value["verified"], verification_due_date=self.due_dates[value["verified"]],
            )
            for _, value in pairs
        ])  # fmt: skip
        fittings = Fitting.objects.bulk_create([
            Fitting(
                connection=one, meter=meter, installed_at=_start_of(value["fitted"]),
                installed_index_l=value["index_l"], fitted_by=self.by,
            )
            for meter, (one, value) in zip(hung, pairs, strict=True)
        ])  # fmt: skip
        Reading.objects.bulk_create([
            Reading(
                connection=one, fitting=fitting, kind=Reading.Kind.INITIAL, source=Reading.Source.SHEET,
                read_at=fitting.installed_at, index_l=value["index_l"], read_by=self.by, received_at=self.now,
            )
            for fitting, (one, value) in zip(fittings, pairs, strict=True)
        ])  # fmt: skip


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), LOCAL_ZONE)


class _Poverty:
    """Poverty lists of a year: a household that is on it in the same way is left alone, else brought to the list."""

    label: ClassVar[str] = "code"

    def __init__(self, batch: ConnectionImport, by: Person, now: datetime) -> None:
        self.batch, self.by = batch, by
        self.kinds = _Labels(PovertyYear.Kind.choices)
        self.seen: set[int] = set()

    def check(self, rows: list[Read]) -> None:
        codes = {row.said["code"].upper() for row in rows}
        served = visibility.list_connections(self.by, "serve").filter(code__in=codes).select_related("customer")
        there = {one.code: one.customer for one in served}
        on_lists = {
            (one.customer_id, one.year): one
            for one in PovertyYear.objects.filter(customer__in=[one.pk for one in there.values()])
        }
        for row in rows:
            customer = there.get(row.said["code"].upper())
            year = _whole(row, "year", 0, 2100, 2000)
            kind = self.kinds.find(row, "kind", "")
            if customer is None:
                row.wrong("code", "không có đấu nối mang mã này trong phạm vi bạn phục vụ.")
            elif customer.kind != Customer.Kind.HOUSEHOLD:
                row.wrong("code", "khách hàng này không phải hộ gia đình.")
            if not row.said.get("year"):
                row.wrong("year", "chưa ghi năm.")
            if not row.said.get("kind"):
                row.wrong("kind", "chưa ghi diện.")
            if not row.what or customer is None:
                continue
            key = hash((customer.pk, year))
            if key in self.seen:
                row.wrong("code", "hộ này ghi hai lần cho một năm trong tệp. Giữ lại một dòng.")
                continue
            self.seen.add(key)
            decision = row.said.get("decision", "")[:120]
            row.value = {"customer": customer, "year": year, "kind": kind, "decision": decision}
            known = on_lists.get((customer.pk, year))
            if known is not None:
                if known.imported_in_id == self.batch.pk and self.batch.pk:
                    row.what = "OURS"
                elif (known.kind, known.decision) == (kind, decision):
                    row.what = "SAME"
                else:
                    row.wrong(
                        "kind", f"hộ này đã ghi «{known.get_kind_display()}» cho năm {year}. Sửa ở trang đấu nối."
                    )

    def store(self, rows: list[Read]) -> None:
        PovertyYear.objects.bulk_create([PovertyYear(imported_in=self.batch, **row.value) for row in rows])


_HANDLERS: dict[str, type[_Connections] | type[_Poverty]] = {Kind.CONNECTIONS: _Connections, Kind.POVERTY: _Poverty}


# --- going through a file


@dataclass
class _Tally:
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    problems: list[list[Any]] = field(default_factory=list)
    good: list[list[Any]] = field(default_factory=list)

    def add(self, rows: list[Read], columns: dict[str, int], label: str) -> None:
        for row in rows:
            self.received += 1
            shown = row.said.get(label, "")[:30]
            if not row.what:
                self.rejected += 1
                if len(self.problems) < _SHOWN_PROBLEMS:
                    cells = [
                        [cell_name(columns[name], row.number) if name in columns else f"dòng {row.number}", text]
                        for name, text in row.problems
                    ]
                    self.problems.append([row.number, shown, cells])
            elif row.what == "SAME":
                self.duplicate += 1
            else:
                self.stored += 1
                if len(self.good) < _SHOWN_ROWS:
                    self.good.append([row.number, shown])

    def write(self, batch: ConnectionImport) -> None:
        batch.received, batch.stored = self.received, self.stored
        batch.duplicate, batch.rejected = self.duplicate, self.rejected
        batch.found = {"problems": self.problems, "good": self.good}


def _chunks(batch: ConnectionImport) -> Iterator[tuple[list[Read], dict[str, int]]]:
    """Give the rows of a file 500 at a time with where its columns stand. Raises SheetError."""
    rows = _stream(batch.file, batch.file_name, batch.kind)
    columns = _find_columns(rows, batch.kind, batch.file_name)
    total = 0
    first = next(rows, None)
    if first is None:
        raise SheetError(f"Tệp {batch.file_name} chỉ có tiêu đề. Điền các dòng rồi tải lên lại.")
    rows = chain([first], rows)
    while part := list(islice(rows, AT_ONCE)):
        total += len(part)
        if total > MOST_ROWS:
            raise SheetError(f"Tệp {batch.file_name} có hơn {vietnamese.format_number(MOST_ROWS)} dòng. Chia nhỏ tệp.")
        yield (
            [
                Read(number, {name: _text(cells[at]) if at < len(cells) else "" for name, at in columns.items()})
                for number, cells in part
            ],
            columns,
        )


def receive_sheet(content: BinaryIO | bytes, *, kind: str, name: str, by: Person, now: datetime) -> ConnectionImport:
    """Keep an uploaded sheet; a short one is read at once, a long one by a job. Nothing of it is taken yet.

    Raises files.RefusedFile, SheetError, PermissionDenied.
    """
    access.require(by, "serve")
    stored = files.store(content, name=name, by=by, kinds=sheets.KINDS)
    batch = ConnectionImport(kind=kind, file=stored, file_name=files.clean_name(name), uploaded_by=by, uploaded_at=now)
    if stored.size_bytes <= LONG_BYTES:
        preview(batch, by, now)
        return batch
    with transaction.atomic():
        batch.save()
        batch.job = jobs.enqueue("customers.preview_sheet", by=by, batch_id=batch.pk, person_id=by.pk)
        batch.save(update_fields=["job"])
    return batch


def preview(batch: ConnectionImport, by: Person, now: datetime, progress: Progress | None = None) -> ConnectionImport:
    """Read the whole file and write down what it holds. Raises SheetError."""
    handler = _HANDLERS[batch.kind](batch, by, now)
    tally = _Tally()
    for rows, columns in _chunks(batch):
        handler.check(rows)
        tally.add(rows, columns, handler.label)
        if progress is not None:
            progress(tally.received, 0)
    tally.write(batch)
    batch.save()
    return batch


def apply(
    batch: ConnectionImport, *, mode: str, by: Person, now: datetime, progress: Progress | None = None
) -> ConnectionImport:
    """Take the sheet. mode: ALL takes nothing if any row is bad, GOOD leaves the bad ones out.

    Run again after a kill it goes on where it stopped. Raises SheetError, PermissionDenied.
    """
    access.require(by, "serve")
    batch.refresh_from_db()
    if batch.applied_at is not None:
        raise SheetError(f"Tệp {batch.file_name} đã được nhập.")
    if mode not in {"ALL", "GOOD"}:
        raise SheetError("Chọn nhập tất cả, hoặc chỉ các dòng hợp lệ.")
    if mode == "ALL":
        preview(batch, by, now)  # the world may have changed since the file was shown
        if batch.rejected:
            raise _still_bad(batch.rejected, batch)
    handler = _HANDLERS[batch.kind](batch, by, now)
    tally = _Tally()
    for rows, columns in _chunks(batch):
        with transaction.atomic():
            handler.check(rows)
            handler.store([row for row in rows if row.what == "NEW"])
        tally.add(rows, columns, handler.label)
        if mode == "ALL" and tally.rejected:
            _remove_rows(batch)
            raise _still_bad(tally.rejected, batch)
        if progress is not None:
            progress(tally.received, batch.received)
    with transaction.atomic():
        locked = ConnectionImport.objects.select_for_update().get(pk=batch.pk)
        if locked.applied_at is not None:
            raise SheetError(f"Tệp {batch.file_name} đã được nhập.")
        tally.write(batch)
        batch.applied_at = now
        batch.save()
        audit.record(
            "customers.sheet.taken", actor=by, target=batch, count=batch.stored, kind=batch.kind,
            duplicate=batch.duplicate, rejected=batch.rejected,
        )  # fmt: skip
    return batch


def _still_bad(count: int, batch: ConnectionImport) -> SheetError:
    return SheetError(
        f"Không nhập dòng nào: {vietnamese.format_number(count)} dòng của tệp {batch.file_name} còn lỗi. "
        "Sửa tệp rồi tải lên lại, hoặc chọn chỉ nhập các dòng hợp lệ."
    )


# --- undoing


def undo(batch: ConnectionImport, *, by: Person, now: datetime, progress: Progress | None = None) -> ConnectionImport:
    """Take back all that a sheet brought, as long as nothing has been built on any of it.

    Raises SheetError, PermissionDenied.
    """
    access.require(by, "serve")
    batch.refresh_from_db()
    if batch.applied_at is None or batch.undone_at is not None:
        raise SheetError(f"Tệp {batch.file_name} chưa nhập, hoặc đã hoàn tác.")
    used = _used(batch)
    if used:
        raise SheetError(
            f"Không hoàn tác được tệp {batch.file_name}: {used} Sửa hoặc chấm dứt từng đấu nối ở trang của nó."
        )
    _remove_rows(batch, progress)
    with transaction.atomic():
        batch.undone_at = now
        batch.save(update_fields=["undone_at"])
        audit.record("customers.sheet.undone", actor=by, target=batch, count=batch.stored, kind=batch.kind)
    return batch


def _used(batch: ConnectionImport) -> str:
    """Return why an import cannot be taken back; empty if it can."""
    rows = Connection.objects.filter(imported_in=batch)
    changed = rows.filter(version__gt=1).first()
    if changed is not None:
        return f"đấu nối {changed.code} đã được sửa."
    read = Reading.objects.filter(connection__imported_in=batch).exclude(kind=Reading.Kind.INITIAL).first()
    if read is not None:
        return f"đấu nối {read.connection.code} đã có chỉ số."
    swapped = Fitting.objects.filter(connection__imported_in=batch, removed_at__isnull=False).first()
    if swapped is not None:
        return f"đấu nối {swapped.connection.code} đã thay đồng hồ."
    # Bills, payments, requests, readings from afar: whatever must not lose it, also what has no name for its way back.
    for relation in (*Connection._meta.get_fields(include_hidden=True), *Fitting._meta.get_fields(include_hidden=True)):
        if not isinstance(relation, ManyToOneRel) or relation.on_delete is not PROTECT:
            continue
        model: Any = relation.related_model
        if model in {Reading, Fitting}:
            continue
        way = relation.field.name if relation.model is Connection else f"{relation.field.name}__connection"
        found = model._default_manager.filter(**{f"{way}__imported_in": batch})
        code = found.values_list(f"{way}__code", flat=True).first()
        if code is not None:
            return f"đấu nối {code} đã có hóa đơn, khoản thu, hồ sơ hoặc phản ánh."
    return ""


def _remove_rows(batch: ConnectionImport, progress: Progress | None = None) -> None:
    """Remove what a sheet brought, 500 rows a transaction."""
    PovertyYear.objects.filter(imported_in=batch).delete()
    done = 0
    while True:
        ids = list(Connection.objects.filter(imported_in=batch).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            return
        with transaction.atomic():
            owners = set(Connection.objects.filter(pk__in=ids).values_list("customer_id", flat=True))
            hung = list(Fitting.objects.filter(connection__in=ids).values_list("meter_id", flat=True))
            Reading.objects.filter(connection__in=ids).delete()
            Fitting.objects.filter(connection__in=ids).delete()
            Meter.objects.filter(pk__in=hung, fittings__isnull=True).delete()
            Connection.objects.filter(pk__in=ids).delete()
            Customer.objects.filter(
                pk__in=owners, connections__isnull=True, contracts__isnull=True, created_at__gte=batch.uploaded_at
            ).delete()  # fmt: skip
        done += len(ids)
        if progress is not None:
            progress(done, batch.stored)


def forget_files(now: datetime) -> int:
    """Delete the bytes of lists that were uploaded long ago, and return how many; what became of their rows stays.

    They hold personal data of many people, which no erasure of one of them could reach.
    """
    since = now - timedelta(days=KEEP_DAYS)
    old = ConnectionImport.objects.filter(uploaded_at__lt=since).exclude(file__name=privacy.ERASED_FILE)
    recent = ConnectionImport.objects.filter(uploaded_at__gte=since)  # the same list came again
    done = 0
    for batch in old.select_related("file"):
        if recent.filter(file=batch.file).exists() or privacy.is_kept_elsewhere(batch.file, but=ConnectionImport):
            continue
        StoredFile.objects.filter(pk=batch.file_id).update(name=privacy.ERASED_FILE)
        files.path_of(batch.file).unlink(missing_ok=True)
        done += 1
    return done


def outcome(batch: ConnectionImport) -> str:
    """Return what became of a sheet, in words."""
    number = vietnamese.format_number
    return f"{number(batch.stored)} lưu, {number(batch.duplicate)} đã có, {number(batch.rejected)} bị loại"


audit.describe("customers.sheet.taken", "nhập tệp {target}: {count} dòng")
audit.describe("customers.sheet.undone", "hoàn tác tệp {target}: {count} dòng")
