"""What is odd about a reading, told before the reader leaves the door and again when it arrives.

The written rule, with its thresholds, stands in docs/algorithms/readings.md; the field page has the same one.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

SUDDEN_FACTOR = 3  # times the mean daily use of the last three spans
SUDDEN_LEAST_L = 10_000
FIRST_MOST_L = 50_000  # a household and 30 days, of a connection without past use
ZERO_LEAST_L = 1_000  # a month: less than that before, and no use now is nothing new
ROLLOVER_FROM_PCT = 90  # of the capacity, the index before a likely roll-over
ROLLOVER_MOST_PCT = 10  # of the capacity, the use through zero that is still thinkable
BACK_MOST_L = 50_000  # the meter may have run backwards through zero by as much
FAR_M = 300  # from where the connection stands on the map

Confidence = Literal["", "HIGH", "MEDIUM"]


@dataclass(frozen=True)
class Oddity:
    """title: a few words. advice: what to do. holds: the reading waits for a person unless it was confirmed.

    confirmable: whether who reads may say «it is so».
    """

    title: str
    advice: str
    holds: bool
    confirmable: bool


WARNINGS: dict[str, Oddity] = {
    "REVERSED": Oddity(
        "Chỉ số lùi", "Chỉ số thấp hơn lần trước. Đọc lại; nếu đồng hồ đã thay, ghi thay đồng hồ trước.", True, False
    ),
    "ROLLOVER": Oddity(
        "Có thể quay vòng", "Đồng hồ có thể đã qua số cuối và về 0. Xác nhận nếu đúng.", True, True
    ),
    "BACKWARDS": Oddity(
        "Có thể chạy ngược qua 0", "Chỉ số gần số cuối trong khi lần trước gần 0: đồng hồ chạy ngược hoặc lắp ngược.",
        True, True,
    ),
    "SUDDEN": Oddity(
        "Tăng đột biến",
        "Dùng hơn 3 lần mức bình quân của nhà này; nhà chưa có bình quân: hơn 50 m³ mỗi hộ một tháng. "
        "Đọc lại, kiểm tra rò rỉ; xác nhận nếu đúng.",
        True, True,
    ),
    "ZERO": Oddity("Không dùng nước", "Trước có dùng, kỳ này bằng 0: đồng hồ kẹt, khóa, hoặc nhà vắng.", False, True),
    "SWAPPED": Oddity(
        "Có thể lẫn với nhà bên", "Chỉ số này khớp với đồng hồ nhà bên và ngược lại. Đối chiếu số sê-ri.", True, True
    ),
    "OUT_OF_ORDER": Oddity(
        "Không khớp lần đọc sau", "Đã có lần đọc sau với chỉ số thấp hơn. Xem lại ngày đọc.", True, False
    ),
    "LATE": Oddity("Đến sau khi chốt kỳ", "Kỳ đã chốt. Người xem lại quyết định dùng hay không.", True, False),
    "FAR": Oddity("Xa vị trí đấu nối", "Vị trí chụp cách đấu nối hơn 300 m.", False, True),
}  # fmt: skip
UNFIT = frozenset({"REVERSED", "ROLLOVER", "BACKWARDS", "SUDDEN"})
CONFIDENCE_NAMES: dict[str, str] = {"HIGH": "rất có thể", "MEDIUM": "có thể"}


@dataclass(frozen=True)
class Series:
    """What is known of a meter before a reading.

    before_l, before_date: its last real index (or the one at which it was hung). mean: (litres, days) of past spans.
    after_l: the next real index, of a reading that comes late.
    """

    before_l: int
    before_date: date
    capacity_l: int
    mean: tuple[int, int] | None = None
    households: int = 1
    after_l: int | None = None


@dataclass(frozen=True)
class Judgement:
    """volume_l: litres since the reading before, None where the index went back. flags: keys of WARNINGS.

    rolled_l: the litres if it is a roll-over. confidence: how likely that is.
    """

    volume_l: int | None
    flags: tuple[str, ...]
    rolled_l: int | None = None
    confidence: Confidence = ""


def _is_sudden(series: Series, volume_l: int, days: int) -> bool:
    if volume_l <= SUDDEN_LEAST_L:
        return False
    if series.mean is None:
        return volume_l * 30 > FIRST_MOST_L * max(series.households, 1) * max(days, 30)
    litres, of_days = series.mean
    return volume_l * of_days > SUDDEN_FACTOR * litres * days


def judge(series: Series, index_l: int, on_date: date) -> Judgement:
    """Return what is odd about an index that a meter is said to stand at on a day."""
    days = max((on_date - series.before_date).days, 1)
    flags: list[str] = []
    if index_l < series.before_l:
        rolled_l = index_l + series.capacity_l - series.before_l
        is_near_end = series.before_l * 100 >= ROLLOVER_FROM_PCT * series.capacity_l
        is_thinkable = rolled_l * 100 <= ROLLOVER_MOST_PCT * series.capacity_l
        if is_near_end and is_thinkable:
            usual = not _is_sudden(series, rolled_l, days)
            return Judgement(None, ("ROLLOVER",), rolled_l, "HIGH" if usual else "MEDIUM")
        return Judgement(None, ("REVERSED",))
    volume_l = index_l - series.before_l
    if _is_sudden(series, volume_l, days):
        flags.append("SUDDEN")
        if series.capacity_l - volume_l <= BACK_MOST_L:
            flags.append("BACKWARDS")
    elif volume_l == 0 and series.mean is not None and days >= 15:
        litres, of_days = series.mean
        if litres * 30 >= ZERO_LEAST_L * of_days:
            flags.append("ZERO")
    if series.after_l is not None and index_l > series.after_l:
        flags.append("OUT_OF_ORDER")
    return Judgement(volume_l, tuple(flags))


def fits(series: Series, index_l: int, on_date: date) -> bool:
    return not UNFIT & set(judge(series, index_l, on_date).flags)


def are_swapped(one: Series, one_l: int, other: Series, other_l: int, on_date: date) -> bool:
    """Return whether the readings of two neighbours are likely each other's.

    At least one does not fit its own meter, and each fits the other's.
    """
    if fits(one, one_l, on_date) and fits(other, other_l, on_date):
        return False
    return fits(one, other_l, on_date) and fits(other, one_l, on_date)


def closing_month(on_date: date, read_day: int) -> date:
    """Return the first day of the month that a reading of the day closes: that whose reading day is nearest.

    A route read on the 11th or later is read within its month; one read before, at the beginning of the next.
    Of two equally near the earlier month.

    >>> closing_month(date(2026, 11, 28), 20), closing_month(date(2026, 12, 2), 1)
    (datetime.date(2026, 11, 1), datetime.date(2026, 11, 1))
    """
    months = [_month_after(on_date, shift) for shift in (-2, -1, 0, 1)]
    return min(months, key=lambda month: abs((on_date - reading_day(month, read_day)).days))


def reading_day(month: date, read_day: int) -> date:
    """Return the day on which a route is due to be read for a month."""
    if read_day > 10:
        return month.replace(day=min(read_day, 28))
    return _month_after(month, 1).replace(day=max(read_day, 1))


def _month_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)
