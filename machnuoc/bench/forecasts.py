"""Forecasts of plan targets on series whose future is known: how often the interval holds, and against plain rules.

Two sets that share nothing: CHOOSING is what the constants of planning/forecast.py were chosen on; what is reported
comes from REPORTING (other seeds, two kinds of series that were never looked at) and from public monthly series.
"""

import argparse
import dataclasses
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machnuoc.bench import common
from machnuoc.bench.common import Result
from machnuoc.planning import forecast

Numbers = NDArray[np.float64]
Maker = Callable[[np.random.Generator, int], Numbers]

HORIZONS = range(1, 13)
LENGTHS = (8, 12, 18, 24, 36, 48, 60)  # months of history before the first origin
CHOOSING_SEED = 4107
REPORTING_SEED = 31_122_026  # drawn after the last change of a constant
NOMINAL = 0.80
TOLERANCE = 0.05
MISSING_SHARE = 0.04
SPIKE_SHARE = 0.01
_FIRST_MONTH = date(2018, 1, 1)


@dataclass(frozen=True)
class Size:
    """series: simulated ones of each kind and length. origins: from which each one is forecast, three months apart.

    every: months between the origins in a public series.
    """

    series: int
    origins: int
    every: int = 10


SIZES = {"full": Size(20, 3), "small": Size(1, 1, 50)}


@dataclass(frozen=True)
class Outcome:
    """One forecast and what came: absolute errors in steps of the series (its mean monthly change, or spread)."""

    kind: str
    length: int
    horizon: int
    is_covered: bool
    error: float
    last_value_error: float
    straight_line_error: float
    recent_pace_error: float
    width: float


def seasonal_demand(draw: np.random.Generator, months: int) -> Numbers:
    """Water produced a month: a summer peak, growth, weather."""
    month = np.arange(months)
    peak, growth = draw.uniform(0.03, 0.2), draw.uniform(-0.002, 0.01)
    shape = 1 + peak * np.sin(2 * np.pi * (month + draw.integers(12)) / 12) + 0.3 * peak * np.cos(np.pi * month / 3)
    weather = _persistent(draw, months, draw.uniform(0, 0.6), draw.uniform(0.01, 0.05))
    return np.round(draw.uniform(5e3, 2e5) * (1 + growth) ** month * shape * (1 + weather))


def growing_connections(draw: np.random.Generator, months: int) -> Numbers:
    """Households added since the start: a pace that drifts, slow rainy months, a campaign now and then."""
    month = np.arange(months)
    pace = draw.uniform(3, 80) * np.exp(_persistent(draw, months, 0.8, 0.15))
    rain = 1 - draw.uniform(0, 0.6) * (((month + draw.integers(12)) % 12) < 4)
    campaign = np.where(draw.random(months) < 0.08, draw.uniform(1.5, 4, months), 1)
    return np.cumsum(draw.poisson(pace * rain * campaign)).astype(float)


def falling_loss(draw: np.random.Generator, months: int) -> Numbers:
    """Loss in per cent: repaired zones bring steps down, leaks creep up between them."""
    steps = np.where(draw.random(months) < 0.08, -draw.uniform(0.3, 2.5, months), 0.0)
    creep = draw.uniform(0, 0.08)
    noise = draw.normal(0, draw.uniform(0.2, 1.2), months)
    level: Numbers = np.clip(draw.uniform(15, 40) + np.cumsum(steps + creep) + noise, 2, 100)
    return level.round(2)


def steady_share(draw: np.random.Generator, months: int) -> Numbers:
    """A share around a level that does not move: samples that pass, works that run."""
    spread = draw.uniform(0.5, 5)
    level: Numbers = np.clip(draw.uniform(70, 97) + _persistent(draw, months, draw.uniform(0, 0.5), spread), 0, 100)
    return level.round(1)


def rare_events(draw: np.random.Generator, months: int) -> Numbers:
    """Works taken over, rows of a plan done: counted up, most months none."""
    sizes = 1 + draw.poisson(draw.uniform(0, 3), months)
    return np.cumsum(np.where(draw.random(months) < draw.uniform(0.15, 0.5), sizes, 0)).astype(float)


def wandering_level(draw: np.random.Generator, months: int) -> Numbers:
    """A level that goes where it goes: debts, stocks, a reservoir between years."""
    level: Numbers = 500 + np.cumsum(draw.normal(draw.uniform(-1, 2), draw.uniform(2, 10), months))
    return level


def saturating_coverage(draw: np.random.Generator, months: int) -> Numbers:
    """Coverage in per cent that nears its ceiling. Never used for choosing."""
    ceiling, start = draw.uniform(75, 99), draw.uniform(20, 60)
    pace = draw.uniform(0.01, 0.06)
    level = ceiling - (ceiling - start) * np.exp(-pace * np.arange(months))
    seen: Numbers = np.clip(level + draw.normal(0, draw.uniform(0.1, 0.8), months), 0, 100)
    return seen.round(2)


def yearly_burst(draw: np.random.Generator, months: int) -> Numbers:
    """Money paid out since the start: little early in a year, most of it at the end. Never used for choosing."""
    month = np.arange(months)
    share = np.exp(draw.uniform(0.5, 2) * (((month + draw.integers(12)) % 12) / 11))
    paid: Numbers = np.cumsum(draw.uniform(50, 900) * share * draw.gamma(6, 1 / 6, months))
    return paid.round()


def _persistent(draw: np.random.Generator, months: int, memory: float, spread: float) -> Numbers:
    """Return deviations from 0 that fade by that memory from month to month, with that spread in the long run."""
    pushes: Numbers = draw.normal(0, spread * math.sqrt(1 - memory**2), months + 24)
    found: Numbers = np.zeros(months + 24)
    for step in range(1, months + 24):
        found[step] = memory * found[step - 1] + pushes[step]
    return found[24:]


CHOOSING: dict[str, Maker] = {
    "seasonal_demand": seasonal_demand, "growing_connections": growing_connections, "falling_loss": falling_loss,
    "steady_share": steady_share, "rare_events": rare_events, "wandering_level": wandering_level,
}  # fmt: skip
REPORTING: dict[str, Maker] = {
    **CHOOSING, "saturating_coverage": saturating_coverage, "yearly_burst": yearly_burst,
}  # fmt: skip
_COUNTED = {"growing_connections", "rare_events", "yearly_burst"}
_PER_CENT = {"falling_loss", "steady_share", "saturating_coverage"}


def simulate(kinds: dict[str, Maker], seed: int, size: Size) -> Iterator[tuple[str, int, Numbers, Numbers]]:
    """Yield (kind, months of history, what is known, what is true) with gaps and typing errors in what is known."""
    for number, (kind, make) in enumerate(kinds.items()):
        for length in LENGTHS:
            draw = np.random.default_rng([seed, number, length])
            for _ in range(size.series):
                months = length + 3 * (size.origins - 1) + HORIZONS[-1]
                true = make(draw, months)
                known = true.copy()
                known[1:-1][draw.random(months - 2) < MISSING_SHARE] = np.nan
                if kind not in _COUNTED:
                    spikes = draw.random(months) < SPIKE_SHARE
                    known[spikes] *= draw.uniform(0.4, 1.8, int(spikes.sum()))
                    if kind in _PER_CENT:
                        known = np.clip(known, 0, 100)
                yield kind, length, known, true


def public_series() -> dict[str, Numbers]:
    """Return monthly series that come with statsmodels, all in the public domain, oldest month first.

    co2: Mauna Loa, weekly averaged to months (Keeling and Whorf, CDIAC 2004). elnino: sea surface temperature,
    Nino 1+2, 1950-2010 (NOAA). elec_equip: turnover of electrical equipment in the EU (Eurostat).
    """
    from statsmodels.datasets import co2, elec_equip, elnino

    weekly = co2.load_pandas().data["co2"]
    temperature = elnino.load_pandas().data.iloc[:, 1:]
    turnover = elec_equip.load_pandas().data.iloc[:, 0]
    return {
        "co2": weekly.groupby(weekly.index.to_period("M")).mean().to_numpy(float),
        "elnino": temperature.to_numpy(float).ravel(),
        "elec_equip": turnover.to_numpy(float),
    }


def month_ends(count: int) -> list[date]:
    starts = [date(_FIRST_MONTH.year + number // 12, number % 12 + 1, 1) for number in range(1, count + 1)]
    return [start - timedelta(days=1) for start in starts]


def backtest_simulated(kinds: dict[str, Maker], seed: int, size: Size) -> list[Outcome]:
    found: list[Outcome] = []
    for kind, length, known, true in simulate(kinds, seed, size):
        upper = 100 if kind in _PER_CENT else None
        guess = partial(forecast.forecast_steps, lower=0, upper=upper, is_cumulative=kind in _COUNTED)
        for number in range(size.origins):
            found += _from_origin(kind, length, known, true, length + 3 * number, guess)
    return found


def backtest_public(series: dict[str, Numbers], every: int) -> list[Outcome]:
    """Forecast each series from every so many months, by histories of each length."""
    found: list[Outcome] = []
    for kind, numbers in series.items():
        for length in LENGTHS:
            for end in range(length, len(numbers) - HORIZONS[-1] + 1, every):
                found += _from_origin(
                    kind, length, numbers[end - length :], numbers[end - length :], length, forecast.forecast_steps
                )
    return found


def _from_origin(
    kind: str, length: int, known: Numbers, true: Numbers, end: int, guess: Callable[..., Any]
) -> list[Outcome]:
    """Forecast months 1 to 12 after the first `end` ones and compare with what came."""
    past = known[:end]
    seen = np.flatnonzero(~np.isnan(past))
    shift = end - 1 - int(seen[-1])  # months from the last one known to the origin
    steps = guess(past, HORIZONS[-1] + shift)
    if steps is None:
        return []
    scale = _step_of(true[:end]) or _step_of(true)
    if not scale:
        return []
    last = past[seen[-1]]
    slope, height = np.polyfit(seen, past[seen], 1)
    pace = (last - past[seen[0]]) / (seen[-1] - seen[0])
    rows = []
    for horizon in HORIZONS:
        came = true[end - 1 + horizon]
        if np.isnan(came):
            continue
        at = horizon + shift - 1
        rows.append(
            Outcome(
                kind, length, horizon, bool(steps.low[at] - 1e-9 <= came <= steps.high[at] + 1e-9),
                abs(steps.point[at] - came) / scale, abs(last - came) / scale,
                abs(height + slope * (end - 1 + horizon) - came) / scale, abs(last + pace * (at + 1) - came) / scale,
                (steps.high[at] - steps.low[at]) / scale,
            )
        )  # fmt: skip
    return rows


def _step_of(numbers: Numbers) -> float:
    """Return the mean change from month to month, so that large and small series count alike."""
    numbers = numbers[~np.isnan(numbers)]
    return float(np.mean(np.abs(np.diff(numbers))))


def summarise(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the share covered and the ratios of mean absolute errors (forecast ÷ plain rule)."""
    error = np.mean([row.error for row in outcomes])
    return {
        "count": len(outcomes),
        "coverage": float(np.mean([row.is_covered for row in outcomes])),
        "vs_last_value": float(error / np.mean([row.last_value_error for row in outcomes])),
        "vs_straight_line": float(error / np.mean([row.straight_line_error for row in outcomes])),
        "vs_mean_pace": float(error / np.mean([row.recent_pace_error for row in outcomes])),
        "width": float(np.mean([row.width for row in outcomes])),
    }


def by(outcomes: Sequence[Outcome], name: str) -> dict[Any, dict[str, float]]:
    """Return the summary of each kind, length or horizon."""
    groups: dict[Any, list[Outcome]] = defaultdict(list)
    for row in outcomes:
        groups[getattr(row, name)].append(row)
    return {key: summarise(rows) for key, rows in sorted(groups.items())}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report of the forecasts alone."""
    size = common.read_size(args.size, SIZES)
    return common.report("forecasts", dataclasses.asdict(size), measure(size))


def measure(size: Size) -> list[Result]:
    """Return how often the interval holds and how the errors compare, on simulated and on public series."""
    results: list[Result] = []
    forecast.forecast_steps(np.tile(np.arange(12.0), 3), 1)  # its library takes a second to import
    begun_s = time.perf_counter()
    simulated = backtest_simulated(REPORTING, REPORTING_SEED, size)
    took_ms = (time.perf_counter() - begun_s) * 1000
    results += _told(simulated, "", f"{len(REPORTING)} kiểu chuỗi mô phỏng, kỳ tới 1–12 tháng")
    public = public_series()
    results += _told(backtest_public(public, size.every), "_public", "chuỗi tháng công khai: " + ", ".join(public))
    results.append(Result("forecast_backtest_ms", took_ms / (len(simulated) / len(HORIZONS)), "ms", note="một chuỗi"))
    return [*results, *_against_ets(public, 2 * size.every)]


def _told(outcomes: Sequence[Outcome], suffix: str, what: str) -> list[Result]:
    told = summarise(outcomes)
    coverage = told["coverage"]
    kinds = by(outcomes, "kind")
    low = min(kinds, key=lambda kind: kinds[kind]["coverage"])
    high = max(kinds, key=lambda kind: kinds[kind]["coverage"])
    note = (
        f"{what}; {len(outcomes)} lần; thấp nhất {low} {kinds[low]['coverage']:.3f}, "
        f"cao nhất {high} {kinds[high]['coverage']:.3f}"
    )
    results = [
        Result(
            f"forecast_coverage_80{suffix}", coverage, "", f"{TOLERANCE:g} lệch khỏi {NOMINAL:g}",
            abs(coverage - NOMINAL) / TOLERANCE, 1.0, note,
        )
    ]  # fmt: skip
    for name, against in (
        ("vs_last_value", "sai số của «giữ giá trị cuối»"),
        ("vs_straight_line", "sai số của đường thẳng bình phương nhỏ nhất"),
        ("vs_mean_pace", "sai số của «giữ tốc độ bình quân từ đầu chuỗi»"),
    ):
        worst = max(kinds, key=lambda kind: kinds[kind][name])
        note = f"kém nhất {worst} {kinds[worst][name]:.3g}"
        limit = None if name == "vs_mean_pace" else 1.0
        results.append(Result(f"forecast_{name}{suffix}", told[name], "", against, told[name], limit, note))
    return results


def _against_ets(series: dict[str, Numbers], every: int) -> list[Result]:
    """Compare with the ETS(A,Ad,A) of statsmodels, its gains found by likelihood, on 48 months of the public series."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    ours, theirs, took_s, count = [], [], 0.0, 0
    for numbers in series.values():
        for end in range(48, len(numbers) - HORIZONS[-1] + 1, every):
            past, came = numbers[end - 48 : end], numbers[end : end + HORIZONS[-1]]
            if np.isnan(past).any() or np.isnan(came).any():
                continue
            steps = forecast.forecast_steps(past, HORIZONS[-1])
            if steps is None:
                continue
            begun_s = time.perf_counter()
            model = ETSModel(past, trend="add", damped_trend=True, seasonal="add", seasonal_periods=12)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says when its search ends early; its answer is taken all the same
                peer = np.asarray(model.fit(disp=False).forecast(HORIZONS[-1]))
            took_s += time.perf_counter() - begun_s
            count += 1
            ours.append(np.mean(np.abs(steps.point - came)) / _step_of(past))
            theirs.append(np.mean(np.abs(peer - came)) / _step_of(past))
    ratio = float(np.mean(ours) / np.mean(theirs))
    against = "sai số của ETS(A,Ad,A) trong statsmodels, 48 tháng"
    return [
        Result("forecast_vs_ets_public", ratio, "", against, ratio, note=f"{count} lần"),
        Result("forecast_ets_ms", took_s / count * 1000, "ms", note="ETS của statsmodels, một chuỗi"),
    ]
