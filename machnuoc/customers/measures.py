"""Figures that the records of customers give the indicators: connections, households, meters and requests by work."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlencode

import numpy as np
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.customers import counting
from machnuoc.customers.models import Connection
from machnuoc.indicators import providers
from machnuoc.indicators.aggregation import StateRank

Counts = Mapping[tuple[int, bool], int]
"""By work and whether what is counted is simulated."""


def provided(counts: Counts) -> providers.Provided:
    """Return counts as the arrays that the indicators take: a work with anything simulated is simulated."""
    numbers: dict[int, int] = {}
    simulated: set[int] = set()
    for (work, is_simulated), number in counts.items():
        numbers[work] = numbers.get(work, 0) + number
        if is_simulated:
            simulated.add(work)
    works = sorted(numbers)
    return providers.Provided(
        np.array(works, np.int64),
        np.array([numbers[work] for work in works], np.int64),
        np.array([StateRank.SIMULATED if work in simulated else StateRank.MEASURED for work in works], np.int16),
    )


Read = Callable[[Period], Counts]


def stocks_of(period: Period) -> counting.Stocks:
    """Return what was in use at the end of the period, or is in use now while it runs."""
    before = counting.end_of(period, timezone.localdate())
    return providers.shared(("customers.stocks", before), lambda: counting.read_stocks(before))


def _meters(period: Period) -> dict[tuple[int, bool], tuple[int, int]]:
    before = counting.end_of(period, timezone.localdate())
    return providers.shared(("customers.meters", before), lambda: counting.count_meters(before))


def _priority(period: Period) -> Counts:
    before = counting.end_of(period, timezone.localdate())
    found: dict[tuple[int, bool], int] = dict.fromkeys(stocks_of(period), 0)
    return found | providers.shared(("customers.priority", before), lambda: counting.count_priority(before))


def _new(period: Period) -> Counts:
    """Return the new connections; 0 of a work that has connections and none new."""
    found: dict[tuple[int, bool], int] = dict.fromkeys(stocks_of(period), 0)
    return found | counting.count_new(period)


def _requests(period: Period) -> dict[int, counting.Answers]:
    now = timezone.now()
    return providers.shared(("customers.requests", period), lambda: counting.count_requests(period, now))


def _of_requests(part: Callable[[counting.Answers], int]) -> Read:
    def read(period: Period) -> Counts:
        return {(work, found.simulated > 0): part(found) for work, found in _requests(period).items()}

    return read


def _tenths_of_hours(found: counting.Answers) -> int:
    return round(found.hours / timedelta(hours=1) * 10)


# --- where a number comes from ----------------------------------------------------------------------------------------


def link(name: str, **asked: object) -> str:
    return f"{reverse(name)}?{urlencode(asked)}"


def _simulated_words(rows: object) -> str:
    return ", mô phỏng" if rows else ""


def _explain_connections(work: int, period: Period) -> list[providers.Source]:
    before = counting.end_of(period, timezone.localdate())
    found = []
    for (its_work, simulated), stock in sorted(stocks_of(period).items()):
        if its_work == work:
            found.append(
                providers.Source(
                    text=f"Hồ sơ khách hàng{_simulated_words(simulated)}: {format_number(stock.connections)} đấu nối "
                    f"đang sử dụng, {format_number(stock.households)} hộ dân, đến hết ngày "
                    f"{format_date(before - timedelta(days=1))}",
                    url=link("customers:connection_list", work=work),
                )
            )
    return found


def _explain_new(work: int, period: Period) -> list[providers.Source]:
    return [
        providers.Source(
            text=f"Đấu nối phát triển mới trong kỳ{_simulated_words(simulated)}: {format_number(count)}; "
            "không kể đấu nối tiếp nhận cùng công trình",
            url=link("customers:connection_list", work=work, origin=Connection.Origin.NEW),
        )
        for (its_work, simulated), count in sorted(counting.count_new(period).items())
        if its_work == work
    ] or _explain_connections(work, period)


def _explain_meters(work: int, period: Period) -> list[providers.Source]:
    return [
        providers.Source(
            text=f"Hồ sơ đồng hồ{_simulated_words(simulated)}: {format_number(hung)} đồng hồ đang lắp, "
            f"{format_number(overdue)} quá hạn kiểm định theo hạn đang ghi",
            url=link("customers:meter_list", work=work, due="past"),
        )
        for (its_work, simulated), (hung, overdue) in sorted(_meters(period).items())
        if its_work == work
    ]


def _explain_requests(work: int, period: Period) -> list[providers.Source]:
    found = _requests(period).get(work)
    if found is None:
        return []
    last_day = period.end_date - timedelta(days=1)
    of = f"{counting.OUTSIDE}{found.of}" if found.of is not None else str(work)
    unclear = " không rõ công trình" if found.of is not None else ""
    what = f"Phản ánh, yêu cầu{unclear}{_simulated_words(found.simulated)}"
    return [
        providers.Source(
            text=f"{what}: {format_number(found.received)} tiếp nhận trong kỳ, "
            f"{format_number(found.answered)} đã trả lời ({format_number(found.in_time)} trong hạn)",
            url=link(
                "customers:request_list", work=of, state="all", from_date=period.start_date.isoformat(),
                to_date=last_day.isoformat(),
            ),
        ),
        providers.Source(
            text=f"{format_number(found.open)} chưa trả lời khi hết kỳ",
            url=link("customers:request_list", work=of),
        ),
    ]  # fmt: skip


# --- the measures -----------------------------------------------------------------------------------------------------


def _register(metric_key: str, read: Read, explain: Callable[[int, Period], Sequence[providers.Source]]) -> None:
    def provide(period: Period) -> providers.Provided:
        return provided(read(period) if period.start_date <= timezone.localdate() else {})

    providers.register(metric_key, provide, explain)


CONNECTIONS = ("customers.connections", "customers.households", "customers.new_connections",
               "customers.priority_customers")  # fmt: skip
METERS = ("customers.meters", "customers.meters_overdue")
REQUESTS = ("requests.received", "requests.answered", "requests.answered_limited", "requests.answered_in_time",
            "requests.answer_hours", "requests.open")  # fmt: skip

_register(
    "customers.connections",
    lambda period: {key: stock.connections for key, stock in stocks_of(period).items()},
    _explain_connections,
)
_register(
    "customers.households",
    lambda period: {key: stock.households for key, stock in stocks_of(period).items()},
    _explain_connections,
)
_register("customers.new_connections", _new, _explain_new)
_register("customers.priority_customers", _priority, _explain_connections)
_register("customers.meters", lambda period: {key: hung for key, (hung, _) in _meters(period).items()}, _explain_meters)
_register(
    "customers.meters_overdue",
    lambda period: {key: overdue for key, (_, overdue) in _meters(period).items()},
    _explain_meters,
)
_register("requests.received", _of_requests(lambda found: found.received), _explain_requests)
_register("requests.answered", _of_requests(lambda found: found.answered), _explain_requests)
_register("requests.answered_limited", _of_requests(lambda found: found.limited), _explain_requests)
_register("requests.answered_in_time", _of_requests(lambda found: found.in_time), _explain_requests)
_register("requests.answer_hours", _of_requests(_tenths_of_hours), _explain_requests)
_register("requests.open", _of_requests(lambda found: found.open), _explain_requests)
