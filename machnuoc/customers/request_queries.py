"""What is read about requests and complaints: who may see them, what is open, what was answered in time."""

from collections.abc import Iterable

from django.db.models import Q

from machnuoc.customers.models import Request

OPEN_STATES = (Request.State.NEW, Request.State.ASSIGNED)


def _is_open() -> Q:
    """A request waits for an answer: itself, or through the one that it was merged into."""
    return Q(state__in=OPEN_STATES) | Q(state=Request.State.MERGED, merged_into__state__in=OPEN_STATES)


def has_open_dispute(connection_id: int) -> bool:
    """Return whether a complaint about a bill of the connection waits for its answer: water is not cut off meanwhile.

    Answered, closed and rejected complaints wait no more; a reply to an answer opens it again.
    """
    return bool(connections_in_dispute([connection_id]))


def connections_in_dispute(connection_ids: Iterable[int]) -> set[int]:
    """Return those of the connections whose complaint about a bill waits for its answer, in one query."""
    return set(
        Request.objects.filter(_is_open(), connection_id__in=list(connection_ids), category__is_bill_dispute=True)
        .values_list("connection_id", flat=True)
    )  # fmt: skip
