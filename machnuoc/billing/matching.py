"""Whose transfer it is: by the reference of a bill, else by code, name or amount. No Django import.

Only a reference with the very amount is certain. All else is proposed to a person, with the reason in words.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from machnuoc.core.folding import fold

EXACT, REFERENCE, PROPOSED, NONE = "EXACT", "REFERENCE", "PROPOSED", "NONE"
_WORDS_MOST = 8  # of a name or a code
_NAME_WORDS_LEAST = 2


@dataclass(frozen=True)
class KnownBill:
    """A bill that a reference may name. open_vnd: what is open of it; 0 if it is paid."""

    bill_id: int
    connection_id: int
    open_vnd: int


@dataclass(frozen=True)
class Debtor:
    """A connection that owes. owed_vnd: in all; bills_vnd: what is open of each bill."""

    connection_id: int
    code: str
    name: str
    owed_vnd: int
    bills_vnd: tuple[int, ...] = ()
    customer_id: int | None = None  # who owes it: a former holder too


@dataclass(frozen=True)
class Found:
    """kind: EXACT, REFERENCE, PROPOSED or NONE. bill_ids: named by the transfer. why: in Vietnamese."""

    kind: str
    connection_id: int | None = None
    bill_ids: tuple[int, ...] = ()
    why: str = ""
    customer_id: int | None = None  # of the debtor that was found


@dataclass
class Debtors:
    """Who owes, to be looked up by code, name and amount."""

    by_code: dict[str, Debtor] = field(default_factory=dict)
    by_name: dict[str, list[Debtor]] = field(default_factory=lambda: defaultdict(list))
    by_amount: dict[int, list[Debtor]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, debtors: Iterable[Debtor]) -> "Debtors":
        made = cls()
        for one in debtors:
            made.by_code["".join(fold(one.code).split())] = one
            name = fold(one.name)
            if name.count(" ") + 1 >= _NAME_WORDS_LEAST:
                made.by_name[name].append(one)
            for amount_vnd in {one.owed_vnd, *one.bills_vnd}:
                made.by_amount[amount_vnd].append(one)
        return made


def by_reference(amount_vnd: int, bills: Sequence[KnownBill]) -> Found | None:
    """Judge the bills that a transfer names; None if it names none."""
    if not bills:
        return None
    owners = {bill.connection_id for bill in bills}
    ids = tuple(bill.bill_id for bill in bills)
    if len(owners) > 1:
        return Found(NONE, None, ids, "Nội dung nêu mã hóa đơn của nhiều đấu nối")
    (owner,) = owners
    open_vnd = sum(bill.open_vnd for bill in bills)
    if open_vnd == amount_vnd:
        return Found(EXACT, owner, ids, "Đúng mã hóa đơn và số tiền")
    if open_vnd == 0:
        return Found(REFERENCE, owner, ids, "Đúng mã, nhưng hóa đơn đã được trả")
    difference_vnd = amount_vnd - open_vnd
    word = "thừa" if difference_vnd > 0 else "thiếu"
    return Found(REFERENCE, owner, ids, f"Đúng mã, {word} {_dong(abs(difference_vnd))}")


def propose(amount_vnd: int, text: str, debtors: Debtors) -> Found:
    """Return whose transfer it may be by what stands in it; nobody if two fit as well."""
    words = fold(text).split()
    runs = [words[i : i + n] for n in range(1, _WORDS_MOST + 1) for i in range(len(words) - n + 1)]
    fitting = {one.connection_id: one for run in runs if (one := debtors.by_code.get("".join(run)))}
    if len(fitting) == 1:
        (one,) = fitting.values()
        return Found(PROPOSED, one.connection_id, (), f"Có mã đấu nối {one.code}{_amount_words(one, amount_vnd)}")
    if len(fitting) > 1:
        return Found(NONE, None, (), "Nội dung nêu nhiều mã đấu nối")
    named = {
        (one.connection_id, one.customer_id): one for run in runs if len(run) >= _NAME_WORDS_LEAST
        for one in debtors.by_name.get(" ".join(run), ())
    }  # fmt: skip
    owing = [one for one in named.values() if amount_vnd in {one.owed_vnd, *one.bills_vnd}]
    if len(owing) == 1:
        (one,) = owing
        return Found(PROPOSED, one.connection_id, (), "Trùng tên khách hàng và số tiền nợ", one.customer_id)
    if len(named) == 1:
        (one,) = named.values()
        why = f"Trùng tên khách hàng{_amount_words(one, amount_vnd)}"
        return Found(PROPOSED, one.connection_id, (), why, one.customer_id)
    if len(named) > 1:
        return Found(NONE, None, (), "Nhiều khách hàng trùng tên")
    alike = {one.connection_id for one in debtors.by_amount.get(amount_vnd, ())}
    if len(alike) == 1 and "nuoc" in words:
        return Found(PROPOSED, alike.pop(), (), "Chỉ một đấu nối nợ đúng số tiền này")
    return Found(NONE)


def match(amount_vnd: int, text: str, bills: Sequence[KnownBill], debtors: Debtors) -> Found:
    """Return whose transfer it is. bills: those whose reference the text holds."""
    return by_reference(amount_vnd, bills) or propose(amount_vnd, text, debtors)


def _amount_words(one: Debtor, amount_vnd: int) -> str:
    if amount_vnd in {one.owed_vnd, *one.bills_vnd}:
        return ", đúng số tiền nợ"
    return f", khác số tiền nợ ({_dong(one.owed_vnd)})"


def _dong(amount_vnd: int) -> str:
    return f"{amount_vnd:,} đồng".replace(",", ".")
