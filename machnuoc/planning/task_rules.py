"""What a task's state is made of, when it is late, and when to remind: rules without a database.

A task with several leads is done when each lead has said so. A manager may close it instead, with a reason; then what
units said no longer counts, until it is opened again. Units that cooperate report, but do not move the task.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

NOT_STARTED, DOING, DONE, PAUSED, CANCELLED = "NOT_STARTED", "DOING", "DONE", "PAUSED", "CANCELLED"
STATES = (NOT_STARTED, DOING, DONE, PAUSED, CANCELLED)
OPEN_STATES = frozenset({NOT_STARTED, DOING, PAUSED})
UNIT_STATES = (NOT_STARTED, DOING, PAUSED, DONE)  # what a unit may say of its part; only a manager gives a task up
CLOSED_STATES = (DONE, CANCELLED)

REMIND_DAYS = (7, 3, 1)  # before the due day
DUE_SOON_DAYS = 30


@dataclass(frozen=True)
class Said:
    """What one lead unit said last. share_pct: 0-100, None where it gave none."""

    state: str
    share_pct: int | None = None


def roll_up(leads: Sequence[Said], decided: str | None = None) -> Said:
    """Return the state and the share of the whole task.

    leads: one for each lead unit that the system knows, those that said nothing as NOT_STARTED.
    decided: what a manager decided last (a state of CLOSED_STATES or PAUSED), None if nothing or since reopened.
    Share: the mean over all leads, rounded down, done counting 100 and silence 0; None if no unit gave any.

    >>> roll_up([Said("DONE"), Said("DOING", 40)])
    Said(state='DOING', share_pct=70)
    >>> roll_up([Said("DONE"), Said("DONE")])
    Said(state='DONE', share_pct=100)
    """
    share = _mean_share(leads)
    if decided is not None:
        return Said(decided, 100 if decided == DONE else share)
    states = {lead.state for lead in leads}
    if states == {DONE}:
        return Said(DONE, 100)
    if not states or states == {NOT_STARTED}:
        return Said(NOT_STARTED, share)
    if states <= {PAUSED, NOT_STARTED} or states <= {PAUSED, DONE}:
        return Said(PAUSED, share)
    return Said(DOING, share)


def _mean_share(leads: Sequence[Said]) -> int | None:
    known = [100 if lead.state == DONE else lead.share_pct for lead in leads]
    if all(share is None for share in known):
        return None
    return sum(share or 0 for share in known) // len(known)


def is_overdue(state: str, due_on: date | None, today: date) -> bool:
    """Return whether the last day that counts has passed and the task (or a unit's part) is still open."""
    return state in OPEN_STATES and due_on is not None and due_on < today


def is_due_soon(state: str, due_on: date | None, today: date) -> bool:
    return state in OPEN_STATES and due_on is not None and 0 <= (due_on - today).days <= DUE_SOON_DAYS


def reminder_stage(due_on: date, today: date) -> str | None:
    """Return which reminder is due on a day: «7», «3», «1», «0» before or on the due day, «late-2» in the second week.

    A day on which the job did not run is made up for: between 7 and 3 days before, the stage is still «7». Each stage
    goes out once, so that an overdue task is reminded of weekly.

    >>> reminder_stage(date(2026, 12, 30), date(2026, 12, 25))
    '7'
    >>> reminder_stage(date(2026, 12, 30), date(2027, 1, 7))
    'late-2'
    """
    left = (due_on - today).days
    if left < 0:
        return f"late-{(-left - 1) // 7 + 1}"
    for days in (0, *sorted(REMIND_DAYS)):
        if left <= days:
            return str(days)
    return None


def describe_due(due_on: date | None, today: date) -> str:
    """Return how far the due day is, in Vietnamese: «còn 5 ngày», «đến hạn hôm nay», «quá hạn 12 ngày».

    >>> describe_due(date(2026, 12, 30), date(2026, 12, 25))
    'còn 5 ngày'
    """
    if due_on is None:
        return ""
    left = (due_on - today).days
    if left == 0:
        return "đến hạn hôm nay"
    return f"còn {left} ngày" if left > 0 else f"quá hạn {-left} ngày"


def place_bars(
    spans: Iterable[tuple[date | None, date]], *, first: date, last: date
) -> list[tuple[float, float, bool]]:
    """Return for each (start, end) where its bar begins and how long it is, in percent of the time shown.

    first, last: the days at both ends of the drawing, both shown. A span without start is a point (True) at its end.
    What reaches out of the drawing is cut at its edge.
    """
    days = (last - first).days + 1
    found = []
    for start, end in spans:
        end_at = min(max((end - first).days + 1, 0), days)
        if start is None:
            found.append((round(end_at * 100 / days, 3), 0.0, True))
            continue
        start_at = min(max((start - first).days, 0), end_at)
        found.append((round(start_at * 100 / days, 3), round((end_at - start_at) * 100 / days, 3), False))
    return found
