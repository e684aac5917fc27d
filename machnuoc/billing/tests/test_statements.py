"""Bank statements: nothing guessed, nothing twice, nothing lost; and whose each transfer is."""

import io
import threading
from datetime import date, datetime, timedelta

import openpyxl
import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing import ledger, matching, payments, reference, statement_columns, statement_views, statements
from machnuoc.billing.errors import BillingError
from machnuoc.billing.matching import Debtor, Debtors, KnownBill
from machnuoc.billing.models import BankLine, BankStatement, Payment, TillSession
from machnuoc.billing.statement_columns import CannotRead, ChangedColumns, Layout
from machnuoc.billing.tests.fixtures_money import assert_every_dong_has_its_place, issue, pay
from machnuoc.billing.tests.world import NOW, make_person, make_world
from machnuoc.core import files
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.tests.test_workbooks import charts_alone
from machnuoc.customers.models import Connection, Customer

HEADINGS = ["Ngày giao dịch", "Số tham chiếu", "Ghi nợ", "Ghi có", "Số dư", "Nội dung"]
LAYOUT = Layout(
    date="Ngày giao dịch", credit="Ghi có", debit="Ghi nợ", text="Nội dung", reference="Số tham chiếu",
    headings=tuple(HEADINGS),
)  # fmt: skip


def table(*rows, headings=HEADINGS):
    return [["NGÂN HÀNG THỬ"], ["Số tài khoản", "0123456789"], list(headings), *[list(row) for row in rows]]


def row(reference_text, amount, text, *, day="15/07/2025 09:30:00", debit=""):
    return [day, reference_text, debit, amount, "1.000.000", text]


def as_xlsx(rows):
    book = openpyxl.Workbook()
    for cells in rows:
        book.active.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_csv(rows):
    return "\n".join(";".join(str(cell) for cell in cells) for cells in rows).encode("utf-8-sig")


def bring(world, *rows, name="sao-ke.csv", layout=LAYOUT, headings=HEADINGS):
    content = (
        as_csv(table(*rows, headings=headings)) if name.endswith("csv") else as_xlsx(table(*rows, headings=headings))
    )
    statement = statements.receive(
        content, name=name, bank="Ngân hàng thử", operator=world.operator, by=world.clerk, now=NOW
    )
    return statements.import_lines(statement, layout, now=NOW, by=world.clerk)


def kinds(statement):
    return list(statement.lines.order_by("row").values_list("match", flat=True))


# --- columns ----------------------------------------------------------------------------------------------------------


def test_a_table_is_read_below_what_the_bank_prints_above_it():
    found = statement_columns.read(table(row("FT1", "105.000", "MN1"), row("FT2", "", "phí", debit="11.000")), LAYOUT)

    assert found.received == 2
    assert [(line.row, line.amount_vnd, line.reference) for line in found.lines] == [
        (4, 105_000, "FT1"),
        (5, -11_000, "FT2"),
    ]
    assert found.lines[0].booked_at == datetime(2025, 7, 15, 9, 30, tzinfo=LOCAL_ZONE)


def test_a_transfer_that_the_bank_takes_back_is_no_money_that_came_in():
    found = statement_columns.read(
        table(row("FT1", "-105.000", "hoàn"), row("FT2", "", "phí", debit="-11.000")), LAYOUT
    )

    assert [line.amount_vnd for line in found.lines] == [-105_000, -11_000]


def test_a_changed_column_is_told_by_name_and_nothing_is_guessed():
    renamed = [text if text != "Số tham chiếu" else "Mã giao dịch" for text in HEADINGS]

    with pytest.raises(ChangedColumns, match=r"«Số tham chiếu».*Cột mới trong tệp: «Mã giao dịch»") as told:
        statement_columns.read(table(headings=renamed), LAYOUT)
    assert (told.value.gone, told.value.new) == (["Số tham chiếu"], ["Mã giao dịch"])


def test_columns_may_change_places_and_others_may_join():
    order = ["Chi nhánh", *reversed(HEADINGS)]
    cells = ["CN1", "MN1", "9", "105000", "", "FT1", "15/07/2025"]

    (line,) = statement_columns.read(table(cells, headings=order), LAYOUT).lines
    assert (line.amount_vnd, line.reference, line.text) == (105_000, "FT1", "MN1")


def test_a_column_that_is_there_twice_is_refused():
    with pytest.raises(CannotRead, match="hai lần"):
        statement_columns.read(table(headings=[*HEADINGS, "Ghi có"]), LAYOUT)


def test_columns_are_proposed_by_their_names():
    assert statement_columns.propose(HEADINGS) == LAYOUT.columns()


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (row("", "105.000", "x"), "thiếu số tham chiếu"),
        (row("FT", "", "x"), "không có số tiền"),
        (row("FT", "105.5", "x"), "không đọc được"),
        (row("FT", "12,5", "x"), "không đọc được"),
        (row("FT", "1.05.000", "x"), "không đọc được"),
        (row("FT", "105.000", "x", debit="5.000"), "cả tiền vào và tiền ra"),
        (row("FT", "105.000", "x", day="08/15/2026"), "ngày giao dịch"),
        (row("FT", "105.000", "x", day="tổng cộng"), "ngày giao dịch"),
        (row("FT", 105000.5, "x"), "phần lẻ"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_reason(cells, why):
    found = statement_columns.read(table(cells), LAYOUT)

    assert found.lines == []
    assert why in found.problems[0].why
    assert found.problems[0].row == 4


@given(st.integers(-(10**12), 10**12))
def test_an_amount_is_read_in_every_way_that_banks_print_it(amount_vnd):
    for text in (
        str(amount_vnd), f"{amount_vnd:,}", f"{amount_vnd:,}".replace(",", "."), f"{amount_vnd:,}.00",
        f"{amount_vnd:,}".replace(",", ".") + ",00", f"{amount_vnd:,}".replace(",", " "), f"{amount_vnd} VND",
        amount_vnd,
    ):  # fmt: skip
        assert statement_columns.read_amount(text) == amount_vnd


# --- whose it is ------------------------------------------------------------------------------------------------------

DEBTORS = Debtors.of([
    Debtor(1, "QN-BC-0001", "Nguyễn Văn Thử", 105_000, (105_000,)),
    Debtor(2, "QN-BC-0002", "Nguyễn Văn Thử", 90_000, (40_000, 50_000)),
    Debtor(3, "QN-BC-0003", "Phạm Thị Ánh", 77_777, (77_777,)),
    Debtor(4, "QN-BC-00011", "Lê Hòa", 90_000, (90_000,)),
])  # fmt: skip


@pytest.mark.parametrize(
    ("amount_vnd", "text", "kind", "owner"),
    [
        (1, "ct tien nuoc qn bc 0001 thang 8", "PROPOSED", 1),
        (1, "QNBC0001", "PROPOSED", 1),
        (1, "QNBC00011", "PROPOSED", 4),  # not the shorter code inside it
        (1, "QN-BC-0001 va QN-BC-0002", "NONE", None),
        (105_000, "NGUYEN VAN THU chuyen tien", "PROPOSED", 1),  # two of the name: the amount decides
        (50_000, "nguyen van thu tien nuoc", "PROPOSED", 2),
        (1_000, "nguyen van thu tien nuoc", "NONE", None),
        (1_000, "PHAM THI ANH tt", "PROPOSED", 3),
        (77_777, "thanh toan tien nuoc", "PROPOSED", 3),
        (77_777, "mua hang", "NONE", None),
        (90_000, "tien nuoc", "NONE", None),  # two owe as much
    ],
)
def test_a_transfer_without_a_reference_is_proposed_only_if_one_alone_fits(amount_vnd, text, kind, owner):
    found = matching.match(amount_vnd, text, [], DEBTORS)

    assert (found.kind, found.connection_id) == (kind, owner)


def test_only_a_reference_with_its_very_amount_is_certain():
    bill, other = KnownBill(9, 1, 105_000), KnownBill(10, 2, 40_000)

    assert matching.match(105_000, "", [bill], DEBTORS).kind == matching.EXACT
    for amount_vnd, why in ((104_999, "thiếu 1 đồng"), (105_001, "thừa 1 đồng")):
        found = matching.match(amount_vnd, "", [bill], DEBTORS)
        assert found.kind == matching.REFERENCE
        assert why in found.why
    assert matching.match(105_000, "", [KnownBill(9, 1, 0)], DEBTORS).why == "Đúng mã, nhưng hóa đơn đã được trả"
    assert matching.match(145_000, "", [bill, other], DEBTORS).kind == matching.NONE
    assert matching.match(145_000, "", [bill, KnownBill(11, 1, 40_000)], DEBTORS).kind == matching.EXACT


# --- in the database --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_number_that_the_bank_gives_again_on_another_day_is_told_and_not_taken_for_the_same(world):
    bring(world, row("1", "105.000", "tien nuoc"))

    again = bring(world, row("1", "105.000", "tien nuoc", day="15/09/2026 09:30:00"))

    assert (again.stored, again.duplicate, again.rejected) == (0, 0, 1)
    assert "ngày" in again.problems[0]["why"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["sao-ke.csv", "sao-ke.xlsx"])
def test_received_is_stored_duplicate_and_rejected(world, name):
    rows = [
        row("FT1", "105.000", "tiền nước"), row("FT2", "50.000", "a"), row("FT2", "50.000", "a"),
        row("FT2", "60.000", "khác"), row("", "1.000", "thiếu mã"), row("FT3", "", "phí", debit="11.000"),
    ]  # fmt: skip

    first = bring(world, *rows, name=name)
    again = bring(world, *rows, row("FT4", "9.000", "mới"), name=name)

    assert (first.received, first.stored, first.duplicate, first.rejected) == (6, 3, 1, 2)
    assert (again.received, again.stored, again.duplicate, again.rejected) == (7, 1, 4, 2)
    assert [problem["row"] for problem in first.problems] == [8, 7]
    assert BankLine.objects.get(amount_vnd=-11_000).match == "IGNORED"


@pytest.mark.django_db
def test_a_day_that_is_still_to_come_is_refused_as_day_and_month_may_have_changed_places(world):
    brought = bring(
        world, row("FT1", "105.000", "tiền nước", day="12/11/2026"), row("FT2", "7.000", "x", day="01/08/2026 23:59:00")
    )

    assert (brought.received, brought.stored, brought.rejected) == (2, 1, 1)
    assert "ngày giao dịch 12/11/2026 chưa đến" in brought.problems[0]["why"]


@pytest.mark.django_db
def test_a_file_of_nothing_but_rows_is_refused_before_it_fills_the_memory(world, monkeypatch):
    monkeypatch.setattr(statements, "ROWS_MOST", 50)

    with pytest.raises(BillingError, match="có hơn 50 dòng"):
        statements.receive(
            b"\n" * 3_000_000, name="a.csv", bank="Thử", operator=world.operator, by=world.clerk, now=NOW
        )


@pytest.mark.django_db
def test_what_was_confirmed_for_a_bank_is_remembered_and_a_changed_file_stores_nothing(world):
    bring(world, row("FT1", "105.000", "a"))
    assert statements.remembered_layout(world.operator, "Ngân hàng thử") == LAYOUT
    assert statements.remembered_layout(world.operator, "Ngân hàng khác") is None

    renamed = [text if text != "Nội dung" else "Diễn giải" for text in HEADINGS]
    with pytest.raises(ChangedColumns):
        bring(world, row("FT2", "5.000", "a"), headings=renamed)
    assert BankLine.objects.count() == 1


@pytest.mark.django_db
def test_a_workbook_of_charts_alone_is_refused_in_words(world):
    with pytest.raises(BillingError, match="chỉ có trang biểu đồ"):
        statements.receive(
            charts_alone(), name="sao-ke.xlsx", bank="Ngân hàng thử", operator=world.operator, by=world.clerk, now=NOW
        )


def _kept(world, *rows):
    return statements.receive(
        as_csv(table(*rows)), name="sao-ke.csv", bank="Ngân hàng thử", operator=world.operator, by=world.clerk, now=NOW
    )


def _break_off_after(monkeypatch, chunks):
    """Let the import die after so many chunks, as a stopped server would."""
    store, left = statements._store_some, [chunks]

    def stop(*arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return store(*arguments)

    monkeypatch.setattr(statements, "_store_some", stop)


TEN = [row(f"FT{number}", "105.000", f"chuyen tien {number}") for number in range(9)] + [
    row("FT3", "105.000", "chuyen tien 3")
]


def test_a_long_statement_is_stored_some_at_a_time(world, monkeypatch):
    monkeypatch.setattr(statements, "AT_ONCE", 4)
    sizes, create = [], BankLine.objects.bulk_create
    monkeypatch.setattr(BankLine.objects, "bulk_create", lambda rows: sizes.append(len(made := create(rows))) or made)

    done = bring(world, *TEN)

    assert sizes == [4, 4, 1]
    assert (done.received, done.stored, done.duplicate, done.rejected) == (10, 9, 1, 0)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_an_import_that_was_broken_off_goes_on_and_counts_the_same(world, monkeypatch, chunks):
    monkeypatch.setattr(statements, "AT_ONCE", 4)
    statement = _kept(world, *TEN)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _break_off_after(patch, chunks)
        if chunks == 3:
            patch.setattr(statements.audit, "record", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)
    statement.refresh_from_db()
    assert not statement.layout and statement.lines.count() == min(9, 4 * chunks)

    done = statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)

    assert (done.received, done.stored, done.duplicate, done.rejected) == (10, 9, 1, 0)
    assert done.lines.count() == 9
    with pytest.raises(BillingError, match="đã được nạp"):
        statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)


def test_what_a_broken_off_import_read_by_other_columns_is_dropped(world, monkeypatch):
    monkeypatch.setattr(statements, "AT_ONCE", 4)
    statement = _kept(world, *TEN)
    wrong = Layout(date="Ngày giao dịch", credit="Số dư", debit="", text="Nội dung", reference="Số tham chiếu")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _break_off_after(patch, 1)
        statements.import_lines(statement, wrong, now=NOW, by=world.clerk)
    assert set(statement.lines.values_list("amount_vnd", flat=True)) == {1_000_000}

    done = statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)

    assert (done.stored, done.duplicate) == (9, 1)
    assert set(done.lines.values_list("amount_vnd", flat=True)) == {105_000}


def test_transfers_of_an_import_that_was_broken_off_are_on_no_page_yet(world, monkeypatch):
    statement = _kept(world, *TEN)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(statements.audit, "record", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)

    assert statement.lines.exists()
    assert not statement_views._lines(world.clerk).exists()


def test_transfers_find_their_bills(world):
    homes = [world.connection() for _ in range(4)]
    bills = [issue(world, home, 105_000 + number) for number, home in enumerate(homes)]
    statement = bring(
        world, row("FT1", "105.000", f"MBVCB {reference.make(bills[0].pk)} nguyen van a"),
        row("FT2", "105.000", f"{reference.make(bills[1].pk)}"), row("FT3", "5.000", f"tien nuoc {homes[2].code}"),
        row("FT4", "105.003", "chuyen tien"), row("FT5", "105.000", f"{reference.make(bills[0].pk)} lan hai"),
    )  # fmt: skip

    counts = statements.match_lines(statement, now=NOW, by=world.clerk)

    assert kinds(statement) == ["EXACT", "REFERENCE", "PROPOSED", "NONE", "REFERENCE"]
    assert counts == {"EXACT": 1, "REFERENCE": 2, "PROPOSED": 1, "NONE": 1}
    assert ledger.owed_by_bill(bills[0]) == 0
    assert Payment.objects.count() == 1  # the rest waits for a person
    assert statements.match_lines(statement, now=NOW, by=world.clerk) == {"NONE": 1}
    assert_every_dong_has_its_place(*homes)


@pytest.mark.django_db
def test_a_person_confirms_and_takes_a_wrong_one_back(world):
    right, wrong = world.connection(), world.connection()
    bill = issue(world, right, 105_000)
    line = bring(world, row("FT1", "105.000", "khong ro")).lines.get()

    statements.confirm_line(line, wrong, now=NOW, by=world.clerk)
    assert ledger.balance_of(wrong.pk).advance_vnd == 105_000
    statements.undo_line(line, reason="Nhầm người", now=NOW, by=world.clerk)
    line.refresh_from_db()
    assert (line.match, line.payment) == ("PROPOSED", None)
    statements.confirm_line(line, right, now=NOW, by=world.clerk)

    assert ledger.owed_by_bill(bill) == 0
    assert list(Payment.objects.order_by("pk").values_list("external_id", flat=True)) == [
        "Ngân hàng thử:FT1", "Ngân hàng thử:FT1#2",
    ]  # fmt: skip
    assert_every_dong_has_its_place(right, wrong)
    with pytest.raises(BillingError, match="đã được ghi nhận"):
        statements.confirm_line(line, right, now=NOW, by=world.clerk)


@pytest.mark.django_db
def test_money_out_and_another_operators_connection_take_no_payment(world):
    other = make_world("khac")
    other.made = 500
    home = world.connection()
    lines = bring(world, row("FT1", "105.000", "a"), row("FT2", "", "b", debit="5.000")).lines.order_by("row")

    with pytest.raises(BillingError, match="đơn vị cấp nước khác"):
        statements.confirm_line(lines[0], other.connection(), now=NOW, by=world.clerk)
    with pytest.raises(BillingError, match="tiền ra"):
        statements.confirm_line(lines[1], home, now=NOW, by=world.clerk)
    statements.ignore_line(lines[0], by=world.clerk)
    assert statements.match_lines(lines[0].statement, now=NOW, by=world.clerk) == {}
    statements.undo_line(lines[0], reason="", now=NOW, by=world.clerk)
    assert not Payment.objects.exists()


@pytest.mark.django_db
def test_a_bill_of_another_operator_is_not_found_by_its_reference(world):
    other = make_world("khac")
    other.made = 500
    foreign = issue(other, other.connection(), 105_000)
    statement = bring(world, row("FT1", "105.000", reference.make(foreign.pk)))

    assert statements.match_lines(statement, now=NOW, by=world.clerk) == {"NONE": 1}


@pytest.mark.django_db(transaction=True)
def test_two_clerks_who_confirm_one_transfer_at_once_make_one_payment():
    world = make_world()
    homes = [world.connection(), world.connection()]
    line = bring(world, row("FT1", "105.000", "khong ro")).lines.get()
    start, told = threading.Barrier(2), []

    def confirm(home):
        start.wait()
        try:
            statements.confirm_line(BankLine.objects.get(pk=line.pk), home, now=NOW, by=world.clerk)
            told.append("ghi")
        except (BillingError, payments.AlreadyRecorded) as reason:
            told.append(str(reason))
        connections.close_all()

    threads = [threading.Thread(target=confirm, args=[home]) for home in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(text == "ghi" for text in told) == [False, True]
    assert Payment.objects.count() == 1
    assert_every_dong_has_its_place(*homes)


@pytest.mark.django_db
def test_a_transfer_that_pays_a_bill_already_paid_becomes_an_advance_only_by_a_person(world):
    home = world.connection()
    bill = issue(world, home, 105_000)
    pay(home, 105_000, now=NOW - timedelta(days=1))
    statement = bring(world, row("FT1", "105.000", reference.make(bill.pk)))
    statements.match_lines(statement, now=NOW, by=world.clerk)
    line = statement.lines.get()

    assert line.match == "REFERENCE"
    statements.confirm_line(line, home, now=NOW, by=world.clerk)
    assert ledger.balance_of(home.pk).advance_vnd == 105_000


@pytest.mark.django_db
def test_a_transfer_whose_payment_was_taken_back_on_its_own_page_can_be_recorded_again(world):
    home = world.connection()
    line = bring(world, row("FT1", "105.000", "khong ro")).lines.get()
    statements.confirm_line(line, home, now=NOW, by=world.clerk)
    payments.reverse_payment(Payment.objects.get(), reason="Nhầm", now=NOW, by=world.clerk)

    statements.undo_line(line, reason="", now=NOW, by=world.clerk)
    statements.confirm_line(line, home, now=NOW, by=world.clerk)

    assert Payment.objects.filter(reversal__isnull=True).count() == 1
    assert_every_dong_has_its_place(home)


def test_who_bills_one_station_alone_sees_no_statement_and_no_drawer_of_the_whole_operator(world):
    stored = files.store(b"a,b\n1,2\n", name="sao-ke.csv", by=world.clerk, kinds=statements.KINDS)
    statement = BankStatement.objects.create(
        operator=world.operator, file=stored, bank="VCB", imported_at=NOW, layout={"text": "a"}
    )
    line = BankLine.objects.create(
        statement=statement,
        operator=world.operator,
        row=1,
        booked_at=NOW,
        amount_vnd=9_000,
        text="x",
        bank_reference="VCB:1",
    )
    drawer = TillSession.objects.create(operator=world.operator, person=world.clerk, opened_at=NOW)
    of_one_station = make_person("lap.tram", "DEPARTMENT", world.work.subject)
    client = Client()

    for person, status in ((of_one_station, 404), (world.clerk, 200)):
        client.force_login(person)
        assert client.get(reverse("billing:statement_detail", args=[statement.pk])).status_code == status
        assert client.get(reverse("billing:till_detail", args=[drawer.pk])).status_code == status
        listed = client.get(reverse("billing:statement_list")).content.decode()
        assert (reverse("billing:statement_detail", args=[statement.pk]) in listed) is (status == 200)
        assert (world.operator.subject.name in listed) is (status == 200)  # nor may they give one in
    client.force_login(of_one_station)
    assert client.post(reverse("billing:line_act", args=[line.pk, "bo-qua"])).status_code == 404


def test_a_transfer_that_was_read_under_another_name_of_the_bank_does_not_count_twice(world):
    bring(world, row("FT1", "105.000", "tien nuoc"))
    content = as_csv(table(row("FT1", "105.000", "tien nuoc"), row("FT2", "50.000", "khac")))
    again = statements.receive(
        content, name="sao-ke-2.csv", bank="NH Thử", operator=world.operator, by=world.clerk, now=NOW
    )

    again = statements.import_lines(again, LAYOUT, now=NOW, by=world.clerk)

    assert (again.received, again.stored, again.duplicate, again.rejected) == (2, 1, 0, 1)
    assert "đã nạp dưới tên ngân hàng «Ngân hàng thử»" in again.problems[0]["why"]
    assert [line.bank_reference for line in again.lines.all()] == ["NH Thử:FT2"]


def test_the_banks_of_two_operators_may_give_the_same_number_and_each_counts_once(world):
    other = make_world("khac")
    first = issue(world, world.connection(), 105_000)
    home = Connection.objects.create(
        customer=Customer.objects.create(operator=other.operator, code="KHX", name="Lê Văn Khác", created_at=NOW),
        work=other.work, group="SH", code="DNX", status="ACTIVE", connected_date=date(2025, 1, 1),
    )  # fmt: skip
    second = issue(other, home, 88_000)

    own = bring(world, row("FT1", "105.000", reference.make(first.pk)))
    theirs = bring(other, row("FT1", "88.000", reference.make(second.pk)))
    for statement, of in ((own, world), (theirs, other)):
        statements.match_lines(statement, now=NOW, by=of.clerk)
    again = bring(other, row("FT1", "88.000", reference.make(second.pk)))

    assert [(one.stored, one.duplicate, one.rejected) for one in (own, theirs, again)] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
    ]
    assert (ledger.owed_by_bill(first), ledger.owed_by_bill(second)) == (0, 0)
    assert set(Payment.objects.values_list("operator_id", "external_id")) == {
        (world.operator.pk, "Ngân hàng thử:FT1"), (other.operator.pk, "Ngân hàng thử:FT1"),
    }  # fmt: skip
    assert ledger.verify().problems == []


def test_two_accounts_of_one_operator_whose_names_begin_alike_have_numbers_of_their_own(world):
    def bring_of(bank, *rows):
        statement = statements.receive(
            as_csv(table(*rows)), name="sao-ke.csv", bank=bank, operator=world.operator, by=world.clerk, now=NOW
        )
        return statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)

    first = bring_of("Ngân hàng Ngoại thương 0001", row("FT1", "105.000", "một"))
    second = bring_of("Ngân hàng Ngoại thương 0002", row("FT1", "", "chuyển sang", debit="105.000"))
    again = bring_of("Ngân hàng Ngoại thương 0001", row("FT1", "105.000", "một"))

    assert [(one.stored, one.duplicate, one.rejected) for one in (first, second, again)] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
    ]


def test_a_transfer_stored_under_the_former_short_name_of_its_account_is_recognised(world):
    bank = "Ngân hàng Ngoại thương 0001"
    stored = files.store(b"a,b\n1,2\n", name="cu.csv", by=world.clerk, kinds=statements.KINDS)
    old = BankStatement.objects.create(
        operator=world.operator, file=stored, bank=bank, imported_at=NOW, layout={"text": "a"}
    )
    BankLine.objects.create(
        statement=old, operator=world.operator, row=1, booked_at=datetime(2025, 7, 15, 9, 30, tzinfo=LOCAL_ZONE),
        amount_vnd=105_000, text="một", bank_reference=f"{bank[:18]}:FT1",
    )  # fmt: skip
    statement = statements.receive(
        as_csv(table(row("FT1", "105.000", "một"))), name="sao-ke.csv", bank=bank, operator=world.operator,
        by=world.clerk, now=NOW,
    )  # fmt: skip

    done = statements.import_lines(statement, LAYOUT, now=NOW, by=world.clerk)

    assert (done.stored, done.duplicate, done.rejected) == (0, 1, 0)
