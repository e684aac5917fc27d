"""Sheets of connections: what is said by cell, what is taken, what a kill leaves, how a whole sheet goes back."""

import tracemalloc
from datetime import timedelta

import pytest

from machnuoc.core import files
from machnuoc.core.models import AuditEntry
from machnuoc.core.tests.test_workbooks import charts_alone
from machnuoc.customers import connection_operations, connection_sheets
from machnuoc.customers.connection_operations import ConnectionFacts
from machnuoc.customers.models import Connection, Contract, Customer, Fitting, Meter, PovertyYear, Reading, Route
from machnuoc.customers.tests.world import NOW
from machnuoc.indicators.sheets import SheetError

pytestmark = pytest.mark.django_db
HEAD = (
    "Công trình,Mã đấu nối,Họ tên,Điện thoại,Địa chỉ,Ngày đấu nối,"
    "Số người,Số hợp đồng,Mã tuyến,Số đồng hồ,Chỉ số khi lắp (m³)"
)
GOOD = "work.thu.binh-chanh,BC-1,Nguyễn Văn An,0905123456,Thôn 1,01/02/2025,4,1/HĐ,BC-T1,A001,12"


def csv_of(*rows: str, head: str = HEAD) -> bytes:
    return "\n".join([head, *rows]).encode()


def receive(centre, *rows: str, kind: str = "CONNECTIONS", by=None, head: str = HEAD):
    return connection_sheets.receive_sheet(
        csv_of(*rows, head=head), kind=kind, name="danh-sach.csv", by=by or centre.clerk, now=NOW
    )


@pytest.fixture
def route(centre) -> Route:
    return Route.objects.create(code="BC-T1", name="Tuyến 1", work=centre.binh_chanh)


def test_a_good_row_becomes_customer_connection_contract_norm_and_meter(centre, route):
    batch = receive(centre, GOOD, "Trạm Nghĩa Phú,NP-1,UBND xã Nghĩa Phú,,Thôn 2,2025-03-01,,,,,")
    assert (batch.received, batch.stored, batch.duplicate, batch.rejected) == (2, 2, 0, 0)
    assert not Connection.objects.exists()

    connection_sheets.apply(batch, mode="ALL", by=centre.clerk, now=NOW)

    one = Connection.objects.get(code="BC-1")
    assert (one.customer.name, one.customer.phone, one.persons) == ("Nguyễn Văn An", "0905123456", 4)
    assert (one.status, one.origin, one.route) == ("ACTIVE", "EXISTING", route)
    assert Contract.objects.get().number == "1/HĐ"
    assert Fitting.objects.get().installed_index_l == 12_000
    assert Reading.objects.get().kind == "INITIAL"
    assert AuditEntry.objects.filter(action="customers.sheet.taken", count=2).exists()


def test_each_wrong_cell_is_named_and_nothing_personal_is_kept(centre, route):
    batch = receive(
        centre,
        "Trạm không có,BC-2,Người Hai,0905123456,Thôn 1,01/02/2025,,,,,",
        "work.thu.binh-chanh,mã sai!,Người Ba,12345,Thôn 1,32/02/2025,x,,,,",
        "work.thu.binh-chanh,BC-4,,,,,,,T-KHÔNG,,5",
        "work.thu.khac,BC-5,Người Năm,,Thôn 1,01/02/2025,,,,,",
        GOOD, GOOD,
    )  # fmt: skip

    assert (batch.received, batch.stored, batch.rejected) == (6, 1, 5)
    cells = [[cell for cell, _ in problems] for _, _, problems in batch.found["problems"]]
    assert cells == [["A2"], ["B3", "D3", "G3", "F3"], ["C4", "F4", "E4", "I4", "K4"], ["A5"], ["B7", "H7", "J7"]]
    text = str(batch.found)
    assert "Người" not in text and "0905123456" not in text and "12345" not in text


@pytest.mark.parametrize(
    ("index", "reads_l"), [("1.234", 1_234_000), ("12.0", 12_000), ("12.5", None), ("1,234", None)]
)
def test_an_index_with_a_fraction_is_refused_and_not_read_tenfold(centre, route, index, reads_l):
    batch = receive(centre, f'work.thu.binh-chanh,BC-9,Người Chín,,Thôn 1,01/02/2025,,HĐ-9,,M-9,"{index}"')

    if reads_l is None:
        assert [cell for _, _, problems in batch.found["problems"] for cell, _ in problems] == ["K2"]
        return
    connection_sheets.apply(batch, mode="ALL", by=centre.clerk, now=NOW)
    assert Fitting.objects.get().installed_index_l == reads_l


def test_all_or_nothing_takes_nothing_and_good_rows_leave_the_bad_ones_out(centre, route):
    batch = receive(centre, GOOD, "work.thu.binh-chanh,BC-4,,,,,,,,,")

    with pytest.raises(SheetError, match="Không nhập dòng nào"):
        connection_sheets.apply(batch, mode="ALL", by=centre.clerk, now=NOW)
    assert not Connection.objects.exists() and not Customer.objects.exists()

    connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW)
    assert (batch.received, batch.stored, batch.duplicate, batch.rejected) == (2, 1, 0, 1)
    with pytest.raises(SheetError, match="đã được nhập"):
        connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW)


def test_what_is_there_already_is_left_alone_and_another_under_its_code_is_refused(centre, route):
    connection_sheets.apply(receive(centre, GOOD), mode="ALL", by=centre.clerk, now=NOW)

    again = receive(centre, GOOD, GOOD.replace("An", "Bê").replace("1/HĐ", "2/HĐ").replace("A001", "A002"))

    assert (again.received, again.stored, again.duplicate, again.rejected) == (2, 0, 1, 1)


def test_a_killed_import_goes_on_where_it_stopped(centre, route, monkeypatch):
    monkeypatch.setattr(connection_sheets, "AT_ONCE", 2)
    rows = [f"work.thu.binh-chanh,BC-{n},Người {n},,Thôn 1,01/02/2025,,HĐ-{n},,M-{n},0" for n in range(7)]
    batch = receive(centre, *rows)

    class Killed(BaseException):
        pass

    def kill(done: int, total: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW, progress=kill)
    assert Connection.objects.count() == 4

    batch = connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW)
    assert Connection.objects.count() == Customer.objects.count() == Meter.objects.count() == 7
    assert (batch.received, batch.stored, batch.duplicate, batch.rejected) == (7, 7, 0, 0)


def test_a_whole_sheet_goes_back_unless_something_was_built_on_it(centre, route):
    batch = connection_sheets.apply(receive(centre, GOOD), mode="ALL", by=centre.clerk, now=NOW)
    one = Connection.objects.get()
    connection_operations.edit_connection(
        one, ConnectionFacts("Thôn 9", route=one.route), version=None, by=centre.clerk, now=NOW
    )
    with pytest.raises(SheetError, match="BC-1 đã được sửa"):
        connection_sheets.undo(batch, by=centre.clerk, now=NOW)

    Connection.objects.update(version=1)
    connection_sheets.undo(batch, by=centre.clerk, now=NOW)
    for model in (Connection, Customer, Contract, Meter, Fitting, Reading):
        assert not model.objects.exists(), model
    with pytest.raises(SheetError, match="đã hoàn tác"):
        connection_sheets.undo(batch, by=centre.clerk, now=NOW)


def test_a_poverty_list_of_a_year_marks_households_and_goes_back(centre):
    one = centre.connection(code="BC-1")
    centre.connection("Trường học", code="BC-2", kind="AGENCY")
    rows = ("BC-1,2026,Hộ nghèo,12/QĐ-UBND", "BC-2,2026,Hộ nghèo,", "BC-9,2026,Hộ nghèo,", "BC-1,2026,Hộ cận nghèo,")
    batch = receive(centre, *rows, kind="POVERTY", head="Mã đấu nối,Năm,Diện,Quyết định")
    assert (batch.stored, batch.rejected) == (1, 3)

    batch = connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW)
    assert one.customer.poverty_years.get().kind == "POOR"
    connection_sheets.undo(batch, by=centre.clerk, now=NOW)
    assert not PovertyYear.objects.exists()


def test_a_station_brings_in_its_own_connections_alone(centre, route):
    batch = receive(
        centre, GOOD, "work.thu.nghia-phu,NP-1,Người Hai,,Thôn 2,01/02/2025,,,,,", by=centre.station
    )  # fmt: skip
    assert (batch.stored, batch.rejected) == (1, 1)


def test_a_long_file_is_never_held_whole(centre, monkeypatch):
    """Ten times the rows take no more memory than their hashes: the rows themselves pass through."""

    def peak_of(count: int) -> int:
        rows = (f"work.thu.binh-chanh,X-{n},Người {n},,Thôn {n} xã,01/02/2025,,,,," for n in range(count))
        content = csv_of(*rows)
        monkeypatch.setattr(connection_sheets, "LONG_BYTES", 10**9)
        tracemalloc.start()
        connection_sheets.receive_sheet(content, kind="CONNECTIONS", name="dai.csv", by=centre.clerk, now=NOW)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak_of(2_000), peak_of(20_000)
    assert (large - small) / 18_000 < 300  # bytes a row


def test_the_pages_take_a_sheet_from_upload_to_undo(centre, route, browser_of):
    from django.core.files.uploadedfile import SimpleUploadedFile

    browser = browser_of(centre.clerk)
    upload = SimpleUploadedFile("danh-sach.csv", csv_of(GOOD), "text/csv")
    shown = browser.post("/khach-hang/nhap-tep/", {"kind": "CONNECTIONS", "file": upload}, follow=True)
    address = shown.redirect_chain[-1][0]
    assert "Nhập tất cả 1 dòng" in shown.content.decode()

    assert "1 lưu" in browser.post(address, {"mode": "ALL"}, follow=True).content.decode()
    assert Connection.objects.count() == 1
    assert 'data-dialog="undo"' in browser.get(address).content.decode()  # asked before it is done
    assert "Đã hoàn tác" in browser.post(f"{address}hoan-tac/", follow=True).content.decode()
    assert not Connection.objects.exists()
    assert browser_of(centre.agency).get("/khach-hang/nhap-tep/").status_code == 403
    assert browser_of(centre.station).get(address).status_code == 404


def test_an_uploaded_list_is_forgotten_after_thirty_days(centre, route):
    batch = receive(centre, GOOD)
    path = files.path_of(batch.file)

    assert connection_sheets.forget_files(NOW + timedelta(days=30)) == 0
    assert connection_sheets.forget_files(NOW + timedelta(days=31)) == 1
    assert connection_sheets.forget_files(NOW + timedelta(days=32)) == 0
    assert not path.exists()
    with pytest.raises(SheetError, match="Tải tệp lên lại"):
        connection_sheets.apply(batch, mode="GOOD", by=centre.clerk, now=NOW)


def test_a_list_that_somebody_else_keeps_as_a_paper_is_not_forgotten(centre):
    batch, one = receive(centre, GOOD), centre.connection()
    contract = Contract.objects.create(
        connection=one, customer=one.customer, number="HD-TEP", signed_date=NOW.date(),
        paper=batch.file,
    )  # fmt: skip

    assert connection_sheets.forget_files(NOW + timedelta(days=31)) == 0
    assert files.path_of(batch.file).exists()
    Contract.objects.filter(pk=contract.pk).update(paper=None)
    assert connection_sheets.forget_files(NOW + timedelta(days=31)) == 1


def test_a_workbook_of_charts_alone_is_refused_in_words(centre):
    with pytest.raises(SheetError, match="chỉ có trang biểu đồ"):
        connection_sheets.receive_sheet(
            charts_alone(), kind="CONNECTIONS", name="danh-sach.xlsx", by=centre.clerk, now=NOW
        )


def test_the_templates_name_every_column(centre, browser_of):
    from machnuoc.indicators import sheets

    for name in ("connections", "poverty"):
        assert sheets.template_bytes(name)[:2] == b"PK"
    assert browser_of(centre.station).get("/khach-hang/nhap-tep/mau/dau-noi/").status_code == 200
