"""The daily and the weekly cycle of a series: how strong, how sure, and at which hours and on which days.

Values become levels: the mean of each hour (or step, if that is longer), as log1p if no value is negative, because
engagement changes by factors. Three measures answer three questions:

* strength: the cycle's share of the values without trend. 1 - var(rest) / var(cycle + rest), never below 0, of an
  MSTL decomposition (statsmodels) whose cycles do not change over time (Wang, Smith and Hyndman, 2006).
* p: how sure it is. Days, in groups of three, are rotated by a random number of hours (each week by days), and the
  variance of the mean day is compared with the true one's: noise that is correlated from hour to hour stays as it is, a
  rhythm is lost. p is (1 + rotated logs at least as rhythmic) / (1 + TURNS).
* the share of resampled logs (whole days or weeks drawn with replacement) whose peak is in the same place.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.calendars import utc_text
from pulsecast.errors import DataError
from pulsecast.foundation.arguments import instance, text, whole_number
from pulsecast.model.spec import DAY_S, WEEK_S

from ..series import Series
from ..zones import check_zone

HOUR_S = 3600
SLOTS_S = tuple(hours * HOUR_S for hours in (1, 2, 3, 4, 6, 8, 24))  # they divide a day
SHORTEST_DAYS, SHORTEST_WEEKS = 7, 4  # with fewer, no p could fall to SURE
# Days that follow each other are alike at all hours. When days are rotated one by one, noise without any rhythm (a
# random walk) gets p <= 0.01 in 3 % of logs; in threes, in 1.3 %.
DAYS_TOGETHER, WEEKS_TOGETHER = 3, 1
TURNS, DRAWS = 999, 500
SURE = 0.01
STRONG, CLEAR = 0.6, 0.3
FILLED_SLOTS = 2  # a day that lacks more slots in a row is left out
DECOMPOSED_S = 26 * WEEK_S  # MSTL uses the latest half year, which shows the present rhythm


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One cycle; None if the log is too short.

    periods   whole days or weeks that were seen
    sure      p is at most SURE
    peak, quiet          slots of the profile: hours of the day or days of the week (Monday is 0) at which each begins
    peak_sure            share of resampled logs with the same peak or one in the slot beside it (week: the same)
    profile   level at each slot in multiples of the typical one (differences from it, if values may be negative)
    """

    name: str
    periods: int
    strength: float | None
    p: float | None
    sure: bool
    profile: tuple[float, ...]
    peak: int | None
    quiet: int | None
    peak_sure: float | None


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """All findings in one series; `week_profile` is over day (Monday first) and slot, None if unseen.

    slot_s    seconds of a slot of the day
    factors   profiles are multiples of the typical level, else differences from it
    """

    series: str
    zone: str
    first: str
    last: str
    slot_s: int
    factors: bool
    day: Cycle
    week: Cycle
    week_profile: tuple[tuple[float | None, ...], ...]


def find_rhythm(series: Series, *, zone: str = "UTC", seed: int = 7) -> Rhythm:
    """Return the rhythm of the first metric of `series`, by the clock of `zone`.

    Raises DataError if the steps are longer than a day, UsageError for an unknown zone.
    """
    instance("series", series, Series)
    zone, seed = text("zone", zone), whole_number("seed", seed, least=0)
    if series.step_s > DAY_S:
        raise DataError(
            f"series {series.name} has steps of {series.step_s} s; a rhythm shows in steps of a day or less"
        )
    slot_s = next(slot for slot in SLOTS_S if slot >= series.step_s)
    grid = _clock_grid(series, slot_s, zone)
    rng = np.random.default_rng(seed)
    strengths = _strengths(grid)
    day = _day_cycle(grid, strengths.get("day"), rng)
    week = _week_cycle(grid, strengths.get("week"), rng)
    stamps = series.timestamps_s()
    return Rhythm(
        series=series.name,
        zone=zone,
        first=utc_text(int(stamps[0])),
        last=utc_text(int(stamps[-1])),
        slot_s=slot_s,
        factors=grid.factors,
        day=day,
        week=week,
        week_profile=_week_profile(grid),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    """Levels by local day and slot of the day (days, slots), NaN if unknown; `first_weekday` of day 0."""

    levels: NDArray[np.float64]
    first_weekday: int
    factors: bool

    def relative(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return differences of levels as factors, or unchanged."""
        return np.exp(levels) if self.factors else levels


def check_clock(zone: str) -> datetime.tzinfo | None:
    """Return the rule of a clock in `zone`, None for UTC; raises UsageError for an unknown zone."""
    return None if zone == "UTC" else check_zone("clock", zone)


def _clock_grid(series: Series, slot_s: int, zone: str) -> _Grid:
    values = series.values[:, 0]
    local = local_seconds(series.timestamps_s(), zone)
    known = np.isfinite(values)
    days = local // DAY_S
    slots = DAY_S // slot_s
    index = ((days - days[0]) * slots + local % DAY_S // slot_s)[known]
    size = int(days[-1] - days[0] + 1) * slots
    counts = np.bincount(index, minlength=size)
    with np.errstate(invalid="ignore"):
        means = np.bincount(index, weights=values[known], minlength=size) / np.where(counts > 0, counts, np.nan)
    factors = bool((values[known] >= 0).all())
    levels = np.log1p(means) if factors else means
    return _Grid(levels=levels.reshape(-1, slots), first_weekday=int((days[0] + 3) % 7), factors=factors)


def local_seconds(seconds: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Return the time on a clock in `zone`, as seconds since 1970-01-01T00:00 on that clock."""
    if (rule := check_clock(zone)) is None:
        return seconds
    quarters, back = np.unique(seconds // 900, return_inverse=True)  # every offset changes at a quarter of an hour
    offsets = [datetime.datetime.fromtimestamp(int(q) * 900, rule).utcoffset() for q in quarters]
    found: NDArray[np.int64] = np.array([o.total_seconds() if o else 0 for o in offsets], np.int64)
    return seconds + found[back]


def _detrended(levels: NDArray[np.float64], length: int, *, hold: bool = False) -> NDArray[np.float64]:
    """Return `levels` (days, slots) minus their centred moving average over `length` slots; NaN if there is none.

    With `hold` the first and last average reach to the ends, half a cycle on each side.
    """
    flat = levels.reshape(-1)
    weights = np.ones(length) / length
    if length % 2 == 0:
        weights = np.convolve(weights, [0.5, 0.5])  # an even window has no middle; half a slot more on each side has
    known = np.isfinite(flat)
    average = np.full(len(flat), np.nan)
    if len(flat) >= len(weights):
        half = len(weights) // 2
        total = np.convolve(np.where(known, flat, 0.0), weights, "valid")
        share = np.convolve(known.astype(np.float64), weights, "valid")
        enough = share > 0.9
        average[half : half + len(total)] = np.where(enough, total / np.where(enough, share, 1.0), np.nan)
    there = np.flatnonzero(np.isfinite(average))
    if hold and len(there):
        average[: there[0]], average[there[-1] + 1 :] = average[there[0]], average[there[-1]]
    found: NDArray[np.float64] = (flat - average).reshape(levels.shape)
    return found


def _whole(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return `rows` (days, slots) with short gaps filled linearly, and which rows are then whole."""
    flat = rows.reshape(-1).copy()
    known = np.flatnonzero(np.isfinite(flat))
    if len(known):
        gap = np.diff(known) - 1
        for i in np.flatnonzero((gap > 0) & (gap <= FILLED_SLOTS)):
            at = np.arange(known[i] + 1, known[i + 1])
            flat[at] = np.interp(at, known[i : i + 2], flat[known[i : i + 2]])
    filled: NDArray[np.float64] = flat.reshape(rows.shape)
    return filled, np.asarray(np.isfinite(filled).all(axis=1))


def _day_cycle(grid: _Grid, strength: float | None, rng: np.random.Generator) -> Cycle:
    slots = grid.levels.shape[1]
    rows, whole = _whole(_detrended(grid.levels, slots))
    days = rows[whole]  # (periods, slots)
    if slots < 3 or len(days) < SHORTEST_DAYS:
        return _unseen("day", len(days) if slots >= 3 else 0)
    return _cycle("day", days[:, :, np.newaxis], strength, grid, rng, together=DAYS_TOGETHER)


def _week_cycle(grid: _Grid, strength: float | None, rng: np.random.Generator) -> Cycle:
    slots = grid.levels.shape[1]
    rows, whole = _whole(_detrended(grid.levels, 7 * slots, hold=True))  # half a week at each end is too much to lose
    weeks, day = [], 0
    while day + 7 <= len(rows):  # weeks that follow each other without a gap, from any weekday
        if whole[day : day + 7].all():
            weeks.append(np.roll(rows[day : day + 7], (grid.first_weekday + day) % 7, axis=0))
            day += 7
        else:
            day += 1
    if len(weeks) < SHORTEST_WEEKS:
        return _unseen("week", len(weeks))
    found = np.stack(weeks)  # (periods, 7, slots), Monday first
    found = found - found.mean(axis=(0, 1))  # without the mean day
    return _cycle("week", found, strength, grid, rng, together=WEEKS_TOGETHER)


def _unseen(name: str, periods: int) -> Cycle:
    return Cycle(
        name=name, periods=periods, strength=None, p=None, sure=False, profile=(), peak=None, quiet=None, peak_sure=None
    )


def _cycle(
    name: str,
    periods: NDArray[np.float64],
    strength: float | None,
    grid: _Grid,
    rng: np.random.Generator,
    *,
    together: int,
) -> Cycle:
    """Judge detrended `periods` (periods, slots of the cycle, parts of a slot)."""
    profile = periods.mean(axis=(0, 2))  # (slots of the cycle,)
    profile = profile - profile.mean()
    p = _turned_p(periods, together, rng)
    peak, quiet = int(np.argmax(profile)), int(np.argmin(profile))
    return Cycle(
        name=name,
        periods=len(periods),
        strength=strength,
        p=p,
        sure=p <= SURE,
        profile=tuple(float(v) for v in grid.relative(profile)),
        peak=peak,
        quiet=quiet,
        peak_sure=_peak_share(periods.mean(axis=2), peak, 1 if name == "day" else 0, rng),
    )


def _turned_p(periods: NDArray[np.float64], together: int, rng: np.random.Generator) -> float:
    count, slots, _ = periods.shape
    true = float(np.square(periods.mean(axis=0)).sum())
    at_least = 0
    for _turn in range(TURNS):
        turns = np.repeat(rng.integers(0, slots, -(-count // together)), together)[:count]
        turn = (np.arange(slots) + turns[:, np.newaxis]) % slots  # (periods, slots)
        mean = periods[np.arange(count)[:, np.newaxis], turn].mean(axis=0)
        at_least += float(np.square(mean).sum()) >= true * (1 - 1e-12)
    return (1 + at_least) / (1 + TURNS)


def _peak_share(periods: NDArray[np.float64], peak: int, beside: int, rng: np.random.Generator) -> float:
    count, slots = periods.shape
    drawn = rng.integers(0, count, (DRAWS, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in drawn]) / count  # (draws, periods)
    away = np.abs(np.argmax(weights @ periods, axis=1) - peak)
    return float((np.minimum(away, slots - away) <= beside).mean())


def _strengths(grid: _Grid) -> dict[str, float]:
    """Return the strength of each cycle that occurs at least twice in the log, by MSTL."""
    from statsmodels.tsa.seasonal import MSTL

    slots = grid.levels.shape[1]
    flat = grid.levels.reshape(-1)[-DECOMPOSED_S // DAY_S * slots :]
    known = np.flatnonzero(np.isfinite(flat))
    flat = np.interp(np.arange(known[0], known[-1] + 1), known, flat[known])
    cycles = {"day": slots, "week": 7 * slots}
    cycles = {name: length for name, length in cycles.items() if length > 2 and len(flat) > 2 * length}
    if not cycles or np.ptp(flat) == 0:
        return dict.fromkeys(cycles, 0.0)
    unchanging = 10 * len(flat) + 1  # a smoothing window wider than the log
    found = MSTL(
        flat, periods=tuple(cycles.values()), windows=(unchanging,) * len(cycles), stl_kwargs={"seasonal_deg": 0}
    ).fit()
    seasonal = np.asarray(found.seasonal).reshape(len(flat), -1)
    rest = np.asarray(found.resid)
    strengths = {}
    for i, name in enumerate(cycles):
        both = float(np.var(seasonal[:, i] + rest))
        strengths[name] = max(0.0, 1.0 - float(np.var(rest)) / both) if both > 0 else 0.0
    return strengths


def _week_profile(grid: _Grid) -> tuple[tuple[float | None, ...], ...]:
    """Return the mean level of each weekday and slot beside the typical one."""
    days, slots = grid.levels.shape
    weekday = (grid.first_weekday + np.arange(days)) % 7
    centre = float(np.nanmean(grid.levels))
    table = np.full((7, slots), np.nan)
    for day in range(7):
        rows = grid.levels[weekday == day]
        seen = np.isfinite(rows).any(axis=0) if len(rows) else np.zeros(slots, bool)
        table[day, seen] = np.nanmean(rows[:, seen], axis=0) - centre
    return tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in grid.relative(table))
