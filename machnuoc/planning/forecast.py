"""What a series comes to by a day: point, 80 % interval, how. Numbers in, numbers out.

The method, its sources and worked figures: docs/algorithms/forecast.md. How well it does: `machnuoc bench forecasts`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Step = Literal["M", "Q", "H", "Y"]
Method = Literal["season", "trend", "short", "constant", "path"]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Series = Sequence[tuple[date, Decimal]]

MIN_POINTS = 6
SEASON_CYCLES = 2
LONG_MONTHS = 24
RECENT_MONTHS = 3
_MONTHS: dict[Step, int] = {"M": 1, "Q": 3, "H": 6, "Y": 12}
_KEPT_STEPS = 120  # what is older says little and costs time
_NEAREST = 12  # steps that may be looked ahead however short the history is

# Chosen on the CHOOSING set of machnuoc/bench/forecasts.py, never on what that benchmark reports.
_SHARPNESS, _EVIDENCE = 6.0, 8.0  # how much more better rules count; from how many past steps on they count half of it
_NEIGHBOURS = 0.7  # how far errors at one horizon speak for another, in logarithms
_SEASON_DOUBT = 2.0  # a season is believed as far as it exceeds twice what chance would show
_SPIKE = 5.0  # spreads off the neighbours
_USUAL_GROWTH, _GROWTH_WEIGHT = 0.6, 20.0  # power by which spread grows with the horizon; of a running sum 0.4 more
_NORMAL_80, _NORMAL_WEIGHT = 1.2816, 10.0
_WIDEN, _WIDEN_FEW, _WIDEN_SEASON = 1.1, 2.5, 1.2  # misses of the past are smaller than those to come


@dataclass(frozen=True)
class Steps:
    """Forecasts of the steps after the last known one: shape (steps,) each, in the unit of the series."""

    point: Numbers
    low: Numbers
    high: Numbers
    method: Method
    points: int  # known
    gaps: int  # missing between them
    spikes: int  # set aside as typing errors
    season_share: float  # 0-1, how far the season was believed


@dataclass(frozen=True)
class Forecast:
    """The figure to be expected on a day, in the unit of the history; low to high holds it 8 times in 10.

    low and high are None where only the path speaks. speed_a_month: what was added a month in the last months seen.
    """

    point: Decimal
    low: Decimal | None
    high: Decimal | None
    method: Method
    points: int
    gaps: int = 0
    spikes: int = 0
    has_season: bool = False
    speed_a_month: Decimal | None = None
    speed_months: int = 0


def forecast(
    history: Sequence[tuple[date, Decimal | float]],
    *,
    until: date,
    step: Step = "M",
    path: Series | None = None,
    lower: float | None = None,
    upper: float | None = None,
    is_cumulative: bool | None = None,
) -> Forecast | None:
    """Return what is to be expected on the day `until`, or None where nothing sound can be said.

    history: (last day of a period, what is reached by then); of several in one step the latest counts; steps without a
    figure are missing, never zero. step: the grid. path: what the plan asks for by day; with fewer than 6 figures the
    forecast follows it from where the series stands. lower, upper: what cannot be passed (0 and 100 for a per cent).
    is_cumulative: counted up, what was added stays; None: judged by the history. None is returned for a day that is
    not after the history, and for one more than twice as far ahead as the history is long (never under 12 steps).
    """
    found = _on_grid(history, step)
    if found is None:
        return None
    numbers, last_index, (last_day, last) = found
    if until <= last_day:
        return None
    speed, months = _recent_speed(numbers, step)
    ahead = _steps_ahead(last_index, until, step)
    count = int(np.isfinite(numbers).sum())
    whole = math.ceil(ahead)
    steps = None
    if whole <= max(_NEAREST, 2 * len(numbers)):
        steps = forecast_steps(numbers, max(whole, 1), step=step, lower=lower, upper=upper, is_cumulative=is_cumulative)
    if steps is None:
        return _along_path(last_day, last, until, path, lower, upper, count, speed, months)
    point, low, high = (
        _decimal(_between(float(numbers[-1]), line, ahead)) for line in (steps.point, steps.low, steps.high)
    )
    return Forecast(
        point, low, high, steps.method, steps.points, steps.gaps, steps.spikes, steps.season_share > 0, speed, months
    )


def forecast_steps(
    numbers: Numbers,
    count: int,
    *,
    step: Step = "M",
    lower: float | None = None,
    upper: float | None = None,
    is_cumulative: bool | None = None,
) -> Steps | None:
    """Return the next `count` steps of a series, or None with fewer than 6 known ones or fewer than every second one.

    numbers: shape (n,), one a step, NaN is missing; the steps are counted from the last known one.
    """
    known = np.flatnonzero(np.isfinite(numbers))
    if len(known) < MIN_POINTS:
        return None
    numbers = np.asarray(numbers[known[0] : known[-1] + 1], float)[-_KEPT_STEPS:]
    held = np.isfinite(numbers)
    points, gaps = int(held.sum()), int((~held).sum())
    if points < MIN_POINTS or gaps > points:
        return None
    numbers = np.interp(np.arange(len(numbers)), np.flatnonzero(held), numbers[held])
    if np.ptp(numbers) == 0:
        same = np.clip(np.full(count, numbers[0]), lower, upper)
        return Steps(same, same, same, "constant", points, gaps, 0, 0.0)
    if is_cumulative is None:
        is_cumulative = bool(np.all(np.diff(numbers) >= 0))
    if is_cumulative:  # what was counted is there, however much it was: no spikes
        worked, held, spikes = np.diff(numbers), held[1:], 0
    else:
        worked, spikes = _without_spikes(numbers)
    cycle = 12 // _MONTHS[step]
    season, share = np.zeros(cycle), 0.0
    if cycle > 1 and len(worked) >= SEASON_CYCLES * cycle:
        season, share = _season(worked, cycle)
    places = np.arange(len(worked) + count) % cycle
    point, spread = _project(worked - season[places[: len(worked)]], held, count, is_cumulative)
    ahead = season[places[len(worked) :]]
    point = point + (numbers[-1] + np.cumsum(ahead) if is_cumulative else ahead)
    spread *= _WIDEN + _WIDEN_FEW / points + _WIDEN_SEASON * share * cycle / len(numbers)
    if is_cumulative:
        lower = float(numbers[-1]) if lower is None else max(lower, float(numbers[-1]))
    point, low, high = (np.clip(line, lower, upper) for line in (point, point - spread, point + spread))
    method: Method = "season" if share else "trend" if len(numbers) * _MONTHS[step] >= LONG_MONTHS else "short"
    return Steps(point, low, high, method, points, gaps, spikes, share)


def _without_spikes(numbers: Numbers) -> tuple[Numbers, int]:
    """Return the series with lone values that stand far off their neighbours put back among them.

    The last two are left: what begins there may be a change of level.
    """
    if len(numbers) < 8:
        return numbers, 0
    before = (numbers[:-4] + numbers[1:-3]) / 2
    after = (numbers[3:-1] + numbers[4:]) / 2
    inner = numbers[2:-2]
    middle = np.median(np.stack([numbers[:-4], numbers[1:-3], numbers[3:-1], numbers[4:]]), axis=0)
    spread = 1.4826 * float(np.median(np.abs(inner - middle))) or float(np.mean(np.abs(inner - middle)))
    # off what came before and off what came after: at a change of level it is near one of them
    far = np.minimum(np.abs(inner - before), np.abs(inner - after)) > _SPIKE * spread
    if not far.any():
        return numbers, 0
    cleaned = numbers.copy()
    cleaned[2:-2] = np.where(far, middle, inner)
    return cleaned, int(far.sum())


def _season(numbers: Numbers, cycle: int) -> tuple[Numbers, float]:
    """Return what each place in the cycle adds, shape (cycle,), and how far that is believed, 0-1.

    Season-trend decomposition by LOESS (Cleveland et al. 1990, statsmodels). Its seasonal figures are drawn towards 0
    the more, the more of them chance alone would explain.
    """
    from statsmodels.tsa.seasonal import STL  # takes a second to import: only where it is needed

    count = len(numbers)
    parts = STL(numbers, period=cycle, seasonal=10 * count + 1, seasonal_deg=0).fit()
    season = np.array([parts.seasonal[place::cycle].mean() for place in range(cycle)])
    season -= season.mean()
    cycles = count / cycle
    chance = float(np.var(parts.resid)) / (cycles - 1)
    seen = float(np.var(season))
    if seen == 0:
        return np.zeros(cycle), 0.0
    share = max(0.0, 1 - _SEASON_DOUBT * chance / seen)
    return share * season, share


def _rules() -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return the smoothing rules as columns: level gain (0: mean of all), trend gain, damping, share of drift."""
    rows = [(0.0, 0.0, 0.0, 0.0)]
    for alpha in (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0):
        rows.append((alpha, 0.0, 0.0, 0.0))
        rows += [(alpha, 0.0, 1.0, share) for share in (0.5, 1.0)]
        rows += [(alpha, beta, damping, 0.0) for beta in (0.05, 0.15, 0.3) for damping in (0.85, 0.95)]
    table = np.array(rows)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


_ALPHA, _BETA, _DAMPING, _DRIFT = _rules()
_IS_DRIFT, _IS_MEAN = _DRIFT > 0, _ALPHA == 0


def _prior(levels: float, drifts: float, damped: float, steadiness: float) -> Numbers:
    """Return what each rule counts for before anything is seen: a share for each family, less for quick rules."""
    is_damped = _BETA > 0
    counted = np.exp(-steadiness * _ALPHA)
    for family, share in ((~is_damped & ~_IS_DRIFT, levels), (_IS_DRIFT, drifts), (is_damped, damped)):
        counted[family] *= share / int(family.sum())
    return counted


_PRIOR = _prior(1.0, 0.5, 0.5, 0.0)
_PRIOR_SUMMED = _prior(1.0, 0.02, 0.01, 5.0)  # the pace of what is counted up seldom has a trend that lasts


def _smooth(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Return level and trend after each step by each rule, shape (n, rules) each."""
    count = len(numbers)
    at = np.arange(count)
    mean_at, mean = at / 2, np.cumsum(numbers) / (at + 1)
    # slope of the least-squares line through all steps so far, held back while there are few
    cross = np.cumsum(at * numbers) / (at + 1) - mean_at * mean
    slope = np.zeros(count)
    slope[2:] = cross[2:] / ((at[2:] + 1.0) ** 2 - 1) * 12 * (at[2:] / (at[2:] + 3))
    levels, trends = np.empty((count, len(_ALPHA))), np.zeros((count, len(_ALPHA)))
    level, trend = np.full(len(_ALPHA), numbers[0]), np.zeros(len(_ALPHA))
    levels[0] = level
    for now in range(1, count):
        carried = _DAMPING * trend
        miss = np.where(_IS_MEAN, 1 / (now + 1), _ALPHA) * (numbers[now] - level - carried)
        level = level + carried + miss
        trend = np.where(_IS_DRIFT, _DRIFT * slope[now], carried + _BETA * miss)
        levels[now], trends[now] = level, trend
    return levels, trends


def _project(numbers: Numbers, held: Flags, count: int, is_summed: bool) -> tuple[Numbers, Numbers]:
    """Return point and half width of the 80 % interval of the next `count` steps (is_summed: of their running sum).

    Every rule forecasts from every step of the past; those that were nearer at a horizon count more there, and how far
    the weighted forecast was off is the spread.
    """
    levels, trends = _smooth(numbers)
    length = len(numbers)
    warm = max(2, min(12, length // 3))
    seen = max(1, min(count, length - warm - 1))
    reach = np.cumsum(_DAMPING ** np.arange(1, max(seen, count) + 1)[:, None], axis=0)
    origins = np.arange(warm, length - 1)
    ahead = origins[:, None] + np.arange(1, seen + 1)
    there = ahead < length
    ahead = np.minimum(ahead, length - 1)
    there &= held[ahead]  # what was filled in is no evidence
    came = numbers[ahead]
    said = levels[origins][:, None, :] + trends[origins][:, None, :] * reach[:seen]
    future = levels[-1] + trends[-1] * reach[:count]
    if is_summed:
        came, said, future = np.cumsum(came, axis=1), np.cumsum(said, axis=1), np.cumsum(future, axis=0)
    misses = np.where(there[:, :, None], came[:, :, None] - said, 0.0)
    backing = there.sum(axis=0).astype(float)  # never 0: the last step is known
    mean_miss = np.abs(misses).sum(axis=0) / backing[:, None]
    middle = np.median(mean_miss, axis=1, keepdims=True)
    scaled = np.divide(mean_miss, middle, out=np.ones_like(mean_miss), where=middle > 0)
    horizon = np.log(np.arange(1, count + 1))
    nearness = backing * np.exp(-((horizon[:, None] - horizon[None, :seen]) ** 2) / (2 * _NEIGHBOURS**2))
    nearness = np.maximum(nearness, 1e-12 * backing)
    nearness /= nearness.sum(axis=1, keepdims=True)
    pooled = nearness @ scaled
    sharpness = _SHARPNESS * len(origins) / (len(origins) + _EVIDENCE)
    weights = (_PRIOR_SUMMED if is_summed else _PRIOR) * np.maximum(pooled, 1e-3) ** -sharpness
    weights /= weights.sum(axis=1, keepdims=True)
    point = (future * weights).sum(axis=1)
    off = np.where(there, (misses * weights[:seen]).sum(axis=2), np.nan)
    return point, _half_width(off, backing, count, is_summed)


def _half_width(off: Numbers, backing: Numbers, count: int, is_summed: bool) -> Numbers:
    """Return the half width at each horizon from past misses, shape (origins, seen), NaN where none.

    The spread grows as a power of the horizon, fitted to what was seen and held near a usual one; its share of the
    interval is the miss that 80 % of the past ones stayed under, held near that of the normal distribution.
    """
    spread = np.sqrt(np.nanmean(off**2, axis=0))
    floor = 1e-9 + 1e-3 * float(spread.max())
    x, y = np.log(np.arange(1, len(spread) + 1)), np.log(np.maximum(spread, floor))
    usual = _USUAL_GROWTH + (0.4 if is_summed else 0.0)
    middle_x, middle_y = np.average(x, weights=backing), np.average(y, weights=backing)
    apart = x - middle_x
    power = (np.sum(backing * apart * (y - middle_y)) + usual * _GROWTH_WEIGHT) / (
        np.sum(backing * apart**2) + _GROWTH_WEIGHT
    )
    power = float(np.clip(power, 0.3, 1.5) if is_summed else np.clip(power, 0.0, 1.0))
    fitted = np.exp(middle_y + power * (np.log(np.arange(1, count + 1)) - middle_x))
    share = float(np.nanquantile(np.abs(off) / fitted[: off.shape[1]], 0.8))
    trust = len(off) / (len(off) + _NORMAL_WEIGHT)
    half: Numbers = fitted * (trust * share + (1 - trust) * _NORMAL_80)
    return half


def _index(day: date, step: Step) -> int:
    return (day.year * 12 + day.month - 1) // _MONTHS[step]


def _end_of(index: int, step: Step) -> date:
    after = (index + 1) * _MONTHS[step]
    return date(after // 12, after % 12 + 1, 1) - timedelta(days=1)


def _on_grid(
    history: Sequence[tuple[date, Decimal | float]], step: Step
) -> tuple[Numbers, int, tuple[date, Decimal | float]] | None:
    """Return the series one a step (NaN is missing), the index of its last step, and its last point."""
    told = sorted((pair for pair in history if math.isfinite(pair[1])), key=lambda pair: pair[0])
    if not told:
        return None
    first, last = _index(told[0][0], step), _index(told[-1][0], step)
    numbers = np.full(last - first + 1, np.nan)
    for day, number in told:
        numbers[_index(day, step) - first] = float(number)
    return numbers, last, told[-1]


def _steps_ahead(last_index: int, until: date, step: Step) -> float:
    """Return how many steps lie between the end of the last known one and the day; parts of a step by days."""
    index = _index(until, step)
    begun, end = _end_of(index - 1, step), _end_of(index, step)
    return index - 1 - last_index + (until - begun).days / (end - begun).days


def _between(last: float, line: Numbers, ahead: float) -> float:
    """Return the figure `ahead` steps after the last one, straight between whole steps."""
    whole = np.concatenate([[last], line])
    return float(np.interp(ahead, np.arange(len(whole)), whole))


def _recent_speed(numbers: Numbers, step: Step) -> tuple[Decimal | None, int]:
    known = np.flatnonzero(np.isfinite(numbers))
    if len(known) < 2:
        return None, 0
    wanted = known[-1] - -(-RECENT_MONTHS // _MONTHS[step])
    earlier = known[known <= wanted]
    start = int(earlier[-1]) if len(earlier) else int(known[0])
    months = (int(known[-1]) - start) * _MONTHS[step]
    return _decimal((numbers[-1] - numbers[start]) / months), months


def _along_path(
    last_day: date, last: Decimal | float, until: date, path: Series | None, lower: float | None, upper: float | None,
    points: int, speed: Decimal | None, months: int,
) -> Forecast | None:  # fmt: skip
    """Return what the path still asks for, added to where the series stands."""
    steps = sorted(path or ())
    if len(steps) < 2 or last_day < steps[0][0] or until > steps[-1][0]:
        return None
    days = [day.toordinal() for day, _ in steps]
    asked = [float(amount) for _, amount in steps]
    now, then = np.interp([last_day.toordinal(), until.toordinal()], days, asked)
    point = float(np.clip(float(last) + then - now, lower, upper))
    return Forecast(_decimal(point), None, None, "path", points, speed_a_month=speed, speed_months=months)


def _decimal(number: float) -> Decimal:
    """Return the number to six decimals: more is noise, and the same on every machine."""
    return Decimal(repr(round(float(number), 6)))
