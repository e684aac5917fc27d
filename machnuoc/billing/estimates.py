"""Estimated months that were read by now: what each should have been, and adjusting as many as somebody ticks.

A run adjusts them by itself with the bills of its month; this is for those that should not wait for it. Each becomes a
wish like any other, with its reason, and a bill of its own once somebody who may approve has ordered it: who asked
waits for somebody else. Done twice, or taken up after a kill, it finds only what is not adjusted yet.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from machnuoc.billing import corrections
from machnuoc.billing.corrections import Due, Facts
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, Correction
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.customers import reading_queries
from machnuoc.customers.errors import CustomersError

TASK = "billing.adjust_estimates"
MOST = 5_000  # adjustments of one order
_CONNECTIONS_MOST = 50_000  # with estimated months, that are looked at
_AT_ONCE = 1_000

audit.describe("billing.estimates.adjusted", "điều chỉnh {made} hóa đơn tạm tính, gửi duyệt {waiting}")


class TooMany(BillingError):
    """More than one look, or one order, takes."""


@dataclass(frozen=True)
class Proposal:
    """What an estimated bill lacks, or was billed too much, now that its months were read. wish: one that waits."""

    due: Due
    wish: Correction | None

    @property
    def bill(self) -> Bill:
        return self.due.bill

    @property
    def was_l(self) -> int:
        return self.due.volume_l - self.due.difference_l

    @property
    def size_l(self) -> int:
        return abs(self.due.difference_l)


def list_proposals(month: date, work_ids: Collection[int] | None) -> list[Proposal]:
    """Return what is to be adjusted of estimated months that readings up to a month tell by now; nothing is written.

    month: first day of the month whose readings count. work_ids: None for all works. Raises BillingError, TooMany.
    """
    rows = Bill.objects.filter(is_estimated=True, state=Bill.State.ISSUED).order_by("connection_id")
    if work_ids is not None:
        rows = rows.filter(connection__work_id__in=work_ids)
    ids = list(rows.values_list("connection_id", flat=True).distinct()[: _CONNECTIONS_MOST + 1])
    if len(ids) > _CONNECTIONS_MOST:
        raise TooMany(f"Hơn {_CONNECTIONS_MOST} đấu nối có kỳ tạm tính. Chọn một trạm để xem.")
    return _proposals(month, ids)


def _proposals(month: date, connection_ids: Sequence[int]) -> list[Proposal]:
    dues: list[Due] = []
    for first in range(0, len(connection_ids), _AT_ONCE):
        part = connection_ids[first : first + _AT_ONCE]
        chains = reading_queries.read_chains(part)
        true_ups = reading_queries.usages(month, part, chains=chains).true_ups
        dues += corrections.list_due(true_ups, part, run=None, chains=chains)
    wishes: dict[int, Correction] = {}
    pks = [due.bill.pk for due in dues]
    for first in range(0, len(pks), _AT_ONCE):
        open_ones = Correction.objects.filter(
            bill_id__in=pks[first : first + _AT_ONCE], state=Correction.State.REQUESTED
        ).select_related("requested_by")  # fmt: skip
        wishes |= {wish.bill_id: wish for wish in open_ones}
    return [Proposal(due, wishes.get(due.bill.pk)) for due in dues]


@dataclass
class Adjusted:
    """How many bills were made, wait for somebody else, and were left alone since they are no more as they were."""

    made: int = 0
    waiting: int = 0
    left: int = 0
    why_left: str = ""


def adjust(
    month: date, ordered: Sequence[tuple[int, int]], *, by: Person, now: datetime,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Adjusted:  # fmt: skip
    """Adjust the estimated bills of an order, each in transactions of its own; return what became of them.

    ordered: (bill, difference in đồng as it was shown). What comes to another difference by now is left alone.
    """
    found = Adjusted()
    owners = dict(Bill.objects.filter(pk__in=[pk for pk, _ in ordered]).values_list("pk", "connection_id"))
    for done, (pk, total_vnd) in enumerate(ordered, start=1):
        try:
            of_it = [one for one in _proposals(month, [owners[pk]]) if one.bill.pk == pk] if pk in owners else []
            if of_it and of_it[0].due.total_vnd == total_vnd:
                made = _adjust_one(of_it[0], by, now)
                found.made, found.waiting = found.made + made, found.waiting + (not made)
            elif of_it:
                raise BillingError(f"Chênh lệch của hóa đơn {of_it[0].bill.name} vừa thay đổi.")
        except (BillingError, CustomersError) as reason:
            found.left, found.why_left = found.left + 1, found.why_left or str(reason)
        progress(done, len(ordered))
    if found.made or found.waiting:
        audit.record(
            "billing.estimates.adjusted", actor=by, period=f"{month:%m/%Y}", made=found.made, waiting=found.waiting
        )
    return found


def _adjust_one(one: Proposal, by: Person, now: datetime) -> bool:
    """Ask for the adjustment and approve it if the person may; return whether there is a bill of it."""
    wish = one.wish
    if wish is None:
        before = corrections.facts_of(one.bill)
        facts = Facts(one.due.volume_l, before.group, before.households, before.persons)
        wish = corrections.ask(
            one.bill, way=Correction.Way.ADJUST, facts=facts, reason=corrections.TRUE_UP_REASON, by=by, now=now
        )
    elif wish.way != Correction.Way.ADJUST or wish.said["volume_l"] != one.due.volume_l:
        raise corrections.AlreadyCorrected(
            f"Hóa đơn {one.bill.name} đang có đề nghị sửa khác chờ duyệt. Duyệt hoặc từ chối nó trước."
        )
    if corrections.may_decide(by, wish):
        return False
    corrections.approve(wish, by=by, now=now)
    return True
