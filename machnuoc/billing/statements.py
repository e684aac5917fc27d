"""Bank statements: kept as the bank gave them, read by confirmed columns, each transfer once, matched to who paid.

received = stored + duplicate + rejected, always. What a person confirmed wrongly is undone by reversing the payment.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, BinaryIO

import openpyxl
from django.db import IntegrityError, transaction

from machnuoc.billing import debt_queries, ledger, matching, payments, reference, statement_columns
from machnuoc.billing.errors import BillingError
from machnuoc.billing.matching import Debtor, Debtors, KnownBill
from machnuoc.billing.models import BankLine, BankStatement, Bill, Payment, PaymentReversal
from machnuoc.billing.statement_columns import Layout, Line
from machnuoc.core import audit, files, workbooks
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.customers.models import Connection, Customer
from machnuoc.places.models import Organisation
from machnuoc.works.models import Work

KINDS = frozenset({"csv", "xlsx"})
ROWS_MOST = 50_000
_CELLS_MOST = 60  # of a row
_CHUNK = 500
AT_ONCE = 2_000  # lines a transaction
_TRIES = 3
_NAME_MOST = 18  # characters of an account's name that stand before its references
_PROBLEMS_KEPT = 200
Match = BankLine.Match
WAITING = (Match.REFERENCE, Match.PROPOSED, Match.NONE)


class StatementError(BillingError):
    """The file, or the line, is not fit for what was asked."""


# --- the file ---------------------------------------------------------------------------------------------------------


def receive(
    content: BinaryIO | bytes, *, name: str, bank: str, operator: Organisation, by: Person, now: datetime
) -> BankStatement:
    """Keep a file. If its columns are those confirmed for this bank, it is read at once; else its layout stays empty.

    Raises files.RefusedFile, StatementError, statement_columns.ChangedColumns (the file is kept then too: `layout_of`).
    """
    bank = " ".join(bank.split())[:40]
    if not bank:
        raise StatementError("Chọn hoặc ghi tên ngân hàng của sao kê.")
    stored = files.store(content, name=name, by=by, kinds=KINDS)
    read_table(stored)  # raises before anything is written, if it cannot be read at all
    with transaction.atomic():
        made = BankStatement.objects.create(operator=operator, file=stored, bank=bank, imported_at=now, imported_by=by)
        audit.record("billing.statement.received", actor=by, target=made)
    return made


def remembered_layout(operator: Organisation, bank: str) -> Layout | None:
    """Return the columns that were last confirmed for a bank."""
    rows = BankStatement.objects.filter(operator=operator, bank=bank).exclude(layout={})
    last = rows.order_by("-imported_at", "-id").values_list("layout", flat=True).first()
    return Layout.load(last) if last else None


def read_table(stored: StoredFile) -> list[list[Any]]:
    """Return the cells of the first sheet. Raises StatementError."""
    is_csv = stored.media_type == files.MEDIA_TYPES["csv"]  # its name is that of whoever first brought these bytes
    try:
        rows = _read_csv(stored) if is_csv else _read_xlsx(stored)
    except (ValueError, LookupError, OSError, csv.Error) as reason:
        raise StatementError(f"Không đọc được tệp {stored.name}: {reason}. Tải lại sao kê từ ngân hàng.") from None
    if len(rows) > ROWS_MOST:
        raise StatementError(
            f"Tệp {stored.name} có hơn {format_number(ROWS_MOST)} dòng. Xuất sao kê theo khoảng ngày ngắn hơn."
        )
    return rows


def _read_csv(stored: StoredFile) -> list[list[Any]]:
    path = files.path_of(stored)
    text = path.read_text(encoding=files.detect_csv_encoding(path, stored.name), errors="strict")
    head = text[:20_000]
    delimiter = max(",;\t|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [row[:_CELLS_MOST] for row in islice(reader, ROWS_MOST + 1)]


def _read_xlsx(stored: StoredFile) -> list[list[Any]]:
    with files.open_file(stored) as content:
        book = openpyxl.load_workbook(content, read_only=True, data_only=True, keep_links=False)
        rows: list[list[Any]] = []
        sheet = workbooks.find_sheet(book)
        if sheet is None:
            raise StatementError(f"Tệp {stored.name} không có trang tính nào. {workbooks.WITHOUT_CELLS}")
        sheet.reset_dimensions()  # what a file says of its own size may be anything
        for row in sheet.iter_rows(max_col=_CELLS_MOST, values_only=True):
            rows.append(list(row))
            if len(rows) > ROWS_MOST + statement_columns.LOOK_AT_ROWS:
                break
        book.close()
    return rows


def import_lines(statement: BankStatement, layout: Layout, *, now: datetime, by: Person | None) -> BankStatement:
    """Read the file by a confirmed layout and store its transfers, each once. Raises CannotRead, StatementError.

    Transfers are stored some at a time, so that the one writer of an embedded database is soon free again. An import
    that was broken off has no layout yet: done again it goes on where it stopped.
    """
    rows = read_table(statement.file)
    found = statement_columns.up_to(statement_columns.read(rows, layout), local_date(now))
    place, _ = statement_columns.locate(rows, layout)
    layout = Layout(**layout.columns(), headings=tuple(statement_columns.heading(cell) for cell in rows[place]))
    _drop_misread(statement, found.lines)
    stored = duplicate = 0
    problems = [{"row": one.row, "why": one.why} for one in found.problems]
    for start in range(0, len(found.lines), AT_ONCE):
        fresh, known, twice, wrong = _store_some(statement, found.lines[start : start + AT_ONCE])
        stored, duplicate, problems = stored + fresh + known, duplicate + twice, problems + wrong
    with transaction.atomic():
        held = _lock_unread(statement)
        if held.lines.count() != stored:
            raise StatementError(f"Sao kê #{held.pk} vừa được người khác nạp cùng lúc. Mở lại sao kê rồi nạp lại.")
        held.layout, held.received, held.stored = layout.stored(), found.received, stored
        held.duplicate, held.rejected, held.problems = duplicate, len(problems), problems[:_PROBLEMS_KEPT]
        held.save(update_fields=["layout", "received", "stored", "duplicate", "rejected", "problems"])
        audit.record(
            "billing.statement.imported", actor=by, target=held, count=stored, duplicate=duplicate,
            rejected=len(problems),
        )  # fmt: skip
    return held


def _lock_unread(statement: BankStatement) -> BankStatement:
    held = BankStatement.objects.select_for_update().get(pk=statement.pk)
    if held.layout:
        raise StatementError(f"Sao kê #{held.pk} đã được nạp trước đó.")
    return held


def _drop_misread(statement: BankStatement, lines: Sequence[Line]) -> None:
    """Remove what a broken-off import stored by other columns than those confirmed now."""
    wanted = {line.row: (_stored_reference(statement.bank, line.reference), *_said(line)) for line in lines}
    there = statement.lines.values_list("pk", "row", "bank_reference", "amount_vnd", "text", "booked_at")
    wrong = [
        pk for pk, row, name, amount_vnd, text, booked_at in there
        if wanted.get(row) != (name, amount_vnd, text, local_date(booked_at))
    ]  # fmt: skip
    for start in range(0, len(wrong), _CHUNK):
        with transaction.atomic():
            _lock_unread(statement).lines.filter(pk__in=wrong[start : start + _CHUNK]).delete()


def _store_some(statement: BankStatement, lines: Sequence[Line]) -> tuple[int, int, int, list[dict[str, Any]]]:
    """Store those of the lines that are new; return how many are, how many were stored by an import broken off before,
    how many are known from elsewhere, and those that reuse the number of another."""
    for _ in range(_TRIES):
        try:
            with transaction.atomic():
                held = _lock_unread(statement)
                fresh, known, duplicate, problems = _sort_out(held, lines)
                BankLine.objects.bulk_create(
                    BankLine(
                        statement=held, operator_id=held.operator_id, row=line.row, booked_at=line.booked_at,
                        amount_vnd=line.amount_vnd,
                        text=line.text.replace("\0", ""), bank_reference=_stored_reference(held.bank, line.reference),
                        match=Match.IGNORED if line.amount_vnd < 0 else Match.NONE,
                    )
                    for line in fresh
                )  # fmt: skip
        except IntegrityError:  # another file with the same transfers is stored at this moment: look again
            continue
        return len(fresh), known, duplicate, problems
    raise StatementError(f"Sao kê #{statement.pk} trùng giao dịch với tệp khác đang được nạp. Nạp lại sau ít phút.")


def _stored_reference(bank: str, text: str) -> str:
    """Return a reference with the account that it is of, by its name; of a long name the beginning and a digest."""
    if len(bank) > _NAME_MOST:
        bank = f"{bank[:9]}~{hashlib.sha256(bank.encode()).hexdigest()[:8]}"
    return f"{bank}:{text}"[:80]


def _former_reference(bank: str, text: str) -> str:
    """Return what a reference was stored as before: two accounts with one beginning were not told apart."""
    return f"{bank[:_NAME_MOST]}:{text}"[:80]


def _said(line: Line) -> tuple[int, str, date]:
    return line.amount_vnd, line.text.replace("\0", ""), local_date(line.booked_at)


def _sort_out(held: BankStatement, lines: Sequence[Line]) -> tuple[list[Line], int, int, list[dict[str, Any]]]:
    """Return the transfers that are new, how many of this file are stored already, how many are known from elsewhere,
    and those that reuse the number of another."""
    there: dict[str, tuple[tuple[int, str, date], tuple[int, int]]] = {}
    names = [_stored_reference(held.bank, line.reference) for line in lines]
    now_called = {_former_reference(held.bank, line.reference): name for name, line in zip(names, lines, strict=True)}
    elsewhere = _under_other_names(held, lines)
    columns = ("bank_reference", "amount_vnd", "text", "booked_at", "statement_id", "row")
    for start in range(0, len(names), _CHUNK):
        rows = BankLine.objects.filter(
            operator_id=held.operator_id, bank_reference__in=names[start : start + _CHUNK]
        )  # fmt: skip
        if len(held.bank) > _NAME_MOST:
            former = [_former_reference(held.bank, line.reference) for line in lines[start : start + _CHUNK]]
            rows |= BankLine.objects.filter(
                operator_id=held.operator_id, bank_reference__in=former, statement__bank=held.bank
            )
        for name, amount_vnd, text, booked_at, statement_id, row in rows.values_list(*columns):
            there[now_called.get(name, name)] = (amount_vnd, text, local_date(booked_at)), (statement_id, row)
    fresh, known, duplicate, problems = [], 0, 0, []
    for name, line in zip(names, lines, strict=True):
        if name not in there and (bank := elsewhere.get((line.reference, *_said(line)[::2]))):
            problems.append({
                "row": line.row,
                "why": f"giao dịch {line.reference} cùng ngày, cùng số tiền đã nạp dưới tên ngân hàng «{bank}»: dùng "
                "lại đúng tên đó, để một giao dịch không thành hai khoản thu",
            })  # fmt: skip
            continue
        if name not in there:
            there[name] = _said(line), (0, 0)
            fresh.append(line)
            continue
        said, place = there[name]
        if place == (held.pk, line.row):
            known += 1
        elif said == _said(line):
            duplicate += 1
        else:
            problems.append({
                "row": line.row,
                "why": f"số tham chiếu {line.reference} đã có với số tiền, ngày hoặc nội dung khác: "
                "đối chiếu với ngân hàng",
            })  # fmt: skip
    return fresh, known, duplicate, problems


def _under_other_names(held: BankStatement, lines: Sequence[Line]) -> dict[tuple[str, int, date], str]:
    """Return transfers of these lines that the operator has under another name of a bank, and that name.

    References count once a bank; of one bank that is called now this way and now that way each would count twice.
    """
    statements = BankStatement.objects.filter(operator_id=held.operator_id).exclude(bank=held.bank)
    banks = list(statements.values_list("bank", flat=True).order_by("bank").distinct())
    found: dict[tuple[str, int, date], str] = {}
    for bank in banks:
        names = {
            name(bank, line.reference): line.reference
            for line in lines
            for name in (_stored_reference, _former_reference)
        }
        keys = list(names)
        for start in range(0, len(keys), _CHUNK):
            rows = BankLine.objects.filter(
                bank_reference__in=keys[start : start + _CHUNK], operator_id=held.operator_id, statement__bank=bank
            )
            for name, amount_vnd, booked_at in rows.values_list("bank_reference", "amount_vnd", "booked_at"):
                found[names[name], amount_vnd, local_date(booked_at)] = bank
    return found


# --- whose it is ------------------------------------------------------------------------------------------------------


def match_lines(statement: BankStatement, *, now: datetime, by: Person | None) -> dict[str, int]:
    """Match what nobody has looked at yet; certain ones become payments. Returns how many of each kind.

    May be run again: only lines without a match are looked at, each in a transaction of its own.
    """
    lines = list(statement.lines.filter(match=Match.NONE, payment__isnull=True).order_by("row"))
    named = {line.pk: reference.find(line.text) for line in lines}
    bills = _known_bills(statement.operator_id, {pk for ids in named.values() for pk in ids})
    debtors = _debtors(statement.operator_id, now)
    former = _former_holders(debtors)
    counts: dict[str, int] = {}
    for line in lines:
        own = [bills[pk] for pk in named[line.pk] if pk in bills]
        found = matching.match(line.amount_vnd, line.text, own, debtors)
        kind = found.kind
        if kind == matching.EXACT and found.connection_id is not None:
            connection = Connection.objects.select_related("customer").get(pk=found.connection_id)
            try:
                _take(line, connection, found.bill_ids, Match.EXACT, found.why, now=now, by=by)
            except BillingError as reason:
                kind = matching.REFERENCE
                found = matching.Found(kind, found.connection_id, found.bill_ids, str(reason)[:200])
            else:  # what it paid is open no more, for the next line that names it
                for pk in found.bill_ids:
                    bills[pk] = KnownBill(pk, connection.pk, 0)
        if kind != matching.EXACT:
            BankLine.objects.filter(pk=line.pk, payment__isnull=True, match=Match.NONE).update(
                match=kind, proposed_id=found.connection_id, proposed_why=found.why[:200],
                proposed_customer_id=found.customer_id if found.customer_id in former else None,
            )  # fmt: skip
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _known_bills(operator_id: int, ids: set[int]) -> dict[int, KnownBill]:
    found: dict[int, KnownBill] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        part = ordered[start : start + _CHUNK]
        owners = dict(Bill.objects.filter(pk__in=part, operator_id=operator_id).values_list("pk", "connection_id"))
        open_vnd = ledger.open_amounts(list(owners))
        found |= {pk: KnownBill(pk, owner, max(0, open_vnd[pk])) for pk, owner in owners.items()}
    return found


def _debtors(operator_id: int, now: datetime) -> Debtors:
    works = set(Work.objects.filter(operator_id=operator_id).values_list("pk", flat=True))
    debts = debt_queries.list_debts(works, today=local_date(now))
    open_bills: dict[tuple[int, int], list[int]] = {}
    codes: dict[int, str] = {}
    names: dict[int, str] = {}
    ids = [debt.connection_id for debt in debts]
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        for bill in ledger.list_open_bills(part):
            open_bills.setdefault((bill.connection_id, bill.customer_id), []).append(bill.open_vnd)
        codes |= dict(Connection.objects.filter(pk__in=part).values_list("pk", "code"))
    owing = sorted({debt.customer_id for debt in debts})
    for start in range(0, len(owing), _CHUNK):
        names |= dict(Customer.objects.filter(pk__in=owing[start : start + _CHUNK]).values_list("pk", "name"))
    return Debtors.of(
        Debtor(debt.connection_id, codes[debt.connection_id], names[debt.customer_id], debt.total_vnd,
               tuple(open_bills[debt.connection_id, debt.customer_id]), debt.customer_id)
        for debt in debts
        if debt.connection_id in codes and (debt.connection_id, debt.customer_id) in open_bills
    )  # fmt: skip


def _former_holders(debtors: Debtors) -> set[int]:
    """Return the customers among the debtors who do not hold their connection any more."""
    owing = {(one.connection_id, one.customer_id) for rows in debtors.by_amount.values() for one in rows}
    ids = sorted({pk for pk, _ in owing})
    now: dict[int, int] = {}
    for start in range(0, len(ids), _CHUNK):
        now |= dict(Connection.objects.filter(pk__in=ids[start : start + _CHUNK]).values_list("pk", "customer_id"))
    return {customer_id for pk, customer_id in owing if customer_id is not None and now.get(pk) != customer_id}


@transaction.atomic
def _take(
    line: BankLine, connection: Connection, bill_ids: Sequence[int], match: str, why: str, *, now: datetime,
    by: Person | None, customer: Customer | None = None,
) -> None:  # fmt: skip
    held = BankLine.objects.select_for_update().select_related("statement").get(pk=line.pk)
    if held.payment_id is not None or held.match == Match.SETTLED:
        raise StatementError(f"Giao dịch dòng {held.row} đã được ghi nhận bởi người khác.")
    if held.amount_vnd <= 0:
        raise StatementError(f"Giao dịch dòng {held.row} là tiền ra, không ghi thành khoản thu được.")
    if connection.customer.operator_id != held.statement.operator_id:
        raise StatementError(f"Đấu nối {connection.code} thuộc đơn vị cấp nước khác, không nhận tiền của sao kê này.")
    earlier = Payment.objects.filter(
        operator_id=held.operator_id, method="BANK", external_id__startswith=held.bank_reference[:70]
    )
    again = earlier.filter(
        external_id__in=[held.bank_reference, *[f"{held.bank_reference[:70]}#{n}" for n in range(2, 99)]]
    )
    count = again.count()
    paid = payments.record_payment(
        connection=connection, amount_vnd=held.amount_vnd, method=payments.Method.BANK, received_at=held.booked_at,
        now=now, by=by, external_id=f"{held.bank_reference[:70]}#{count + 1}" if count else held.bank_reference,
        bill_ids=bill_ids, note=held.text[:300], customer=customer,
    )  # fmt: skip
    held.match, held.payment, held.proposed, held.proposed_why = match, paid, connection, why[:200]
    if match == Match.CONFIRMED:
        held.confirmed_by, held.confirmed_at = by, now
    held.save(update_fields=["match", "payment", "proposed", "proposed_why", "confirmed_by", "confirmed_at"])


def confirm_line(
    line: BankLine, connection: Connection, *, now: datetime, by: Person, customer: Customer | None = None
) -> None:
    """Record a transfer as the payment of a connection that a person chose. Raises BillingError.

    customer: a former holder of the connection whose bills it is for; None: as its text says, else who holds it now.
    """
    own = Bill.objects.filter(pk__in=reference.find(line.text), connection=connection).values_list("pk", flat=True)
    _take(line, connection, list(own), Match.CONFIRMED, line.proposed_why, now=now, by=by, customer=customer)
    audit.record("billing.statement.confirmed", actor=by, target=line, connection=connection.pk)


@transaction.atomic
def ignore_line(line: BankLine, *, by: Person) -> None:
    """Mark a transfer as none for water. Raises StatementError if it became a payment."""
    held = BankLine.objects.select_for_update().get(pk=line.pk)
    if held.payment_id is not None or held.match == Match.SETTLED:
        raise StatementError(f"Giao dịch dòng {held.row} đã được ghi nhận. Hoàn tác ghi nhận trước.")
    held.match = Match.IGNORED
    held.save(update_fields=["match"])
    audit.record("billing.statement.ignored", actor=by, target=held)


@transaction.atomic
def undo_line(line: BankLine, *, reason: str, now: datetime, by: Person) -> None:
    """Take a match back: its payment is reversed, the transfer waits again. Raises BillingError."""
    held = BankLine.objects.select_for_update(of=("self",)).select_related("payment").get(pk=line.pk)
    if held.payment is not None:
        if not PaymentReversal.objects.filter(payment=held.payment).exists():  # or from the payment's own page
            payments.reverse_payment(held.payment, reason=reason, now=now, by=by)
    elif held.match != Match.IGNORED or held.amount_vnd < 0:
        raise StatementError(f"Giao dịch dòng {held.row} chưa được ghi nhận nên không có gì để hoàn tác.")
    held.payment = held.confirmed_by = held.confirmed_at = None
    held.match = Match.PROPOSED if held.proposed_id else Match.NONE
    held.save(update_fields=["payment", "match", "confirmed_by", "confirmed_at"])
    audit.record("billing.statement.undone", actor=by, target=held)


audit.describe("billing.statement.received", "tải lên sao kê {target}")
audit.describe("billing.statement.imported", "nạp {count} giao dịch của sao kê {target}")


def _codes(ids: set[str]) -> dict[str, str]:
    return {str(pk): code for pk, code in Connection.objects.filter(pk__in=ids).values_list("pk", "code")}


audit.describe("billing.statement.confirmed", "ghi nhận giao dịch {target} cho đấu nối {connection}", connection=_codes)
audit.describe("billing.statement.ignored", "bỏ qua giao dịch {target}")
audit.describe("billing.statement.undone", "hoàn tác ghi nhận giao dịch {target}")
