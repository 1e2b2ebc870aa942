"""Instants and values to an unbroken grid of steps: finding the spacing, bucketing, edges, and short gaps.

Two ways in. Samples of a regular series are first snapped to their grid; its phase is the median offset of the samples,
so jitter around a full minute neither merges nor loses any. Steps coarser than the samples then add up or average whole
grid points. Events are counted in the step in which they fall.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pulsecast.errors import DataError

from .config import step_text
from .looking.choices import Reading, undecided
from .text.calendar_months import refuse_calendar_months

MICROS = 1_000_000
MODE_TOLERANCE = 0.1  # spacings within 10 % of the usual one are that spacing, jittered
MODE_SHARE = 0.8  # the least share of spacings that makes a clear mode
ROUND_TOLERANCE = 0.001  # a spacing of 299.8 s is five minutes
ENOUGH_SAMPLES = 0.75  # a count over this share of its samples is scaled up; over fewer it is missing
EDGE_TOLERANCE = 0.01  # an event log covers a step if at most this share of it lies outside the first and last event
MAX_STEPS = 20_000_000  # 38 years of minutes; more is one stray timestamp
_PHASE_BINS = 64
_WEEK_S = 604_800
_MONDAY_S = 4 * 86_400  # unix time began on a Thursday
_MINUTES_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
_ROUND_STEPS_S = (*_MINUTES_S, 7200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400, _WEEK_S)
Kind = Literal["count", "gauge", "counter"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Buckets:
    """Values per step, NaN where missing, and how many steps (`merged`: samples) each policy touched.

    start_s, step_s   unix seconds of the first step, seconds per step
    values            float64 (steps, metrics)
    edges_dropped     first and last steps that the log covers only partly
    estimated         counts scaled up from at least 75 % of their samples
    thin              means over fewer than 75 % of their samples
    merged            samples beyond one per grid point, added up (count), averaged (gauge) or the last one (counter)
    spread            grid points without a reading of a counter; its rise was spread evenly over them
    """

    start_s: int
    step_s: int
    values: Floats
    edges_dropped: int = 0
    estimated: int = 0
    thin: int = 0
    merged: int = 0
    spread: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """`values` (steps, metrics) with short gaps closed, which steps were; numbers of those trimmed and left in gaps."""

    values: Floats
    trimmed_start: int
    trimmed_end: int
    filled: Integers
    gaps: int
    gap_steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The category of each event, out of `count`: `codes` (events,); -1 is none."""

    codes: Integers
    count: int


def aggregate_events(
    times_us: Integers, values: Floats | None, *, kind: Kind, step_s: int, labels: Labels | None = None
) -> Buckets:
    """Count events, or add up (count) or average (gauge) their `values` (events, metrics), per step.

    With `labels` the events of each category are counted as well, as further metrics.

    `times_us` (events,) is sorted, in microseconds UTC. A step without an event is 0 for a count and missing for a
    gauge; a first or last step is dropped if more than 1 % of it lies outside the first and last event.
    """
    origin, step = _origin_us(step_s), step_s * MICROS
    first, last = int(times_us[0] - origin) // step, int(times_us[-1] - origin) // step
    steps = _checked_steps(last - first + 1, step_s)
    begins = (first + np.arange(steps + 1)) * step + origin  # searched for: a division for each event takes longer
    rows = np.diff(np.searchsorted(times_us, begins))  # (steps,)
    if values is None:
        grid = rows.astype(np.float64)[:, np.newaxis]
    else:
        total, present = _totals(np.repeat(np.arange(steps), rows), values, steps)
        grid = np.where(present > 0, total / np.maximum(present, 1) if kind == "gauge" else total, np.nan)
        if kind == "count":
            grid[rows == 0] = 0.0
    if labels is not None:
        of = labels.codes >= 0
        cells = np.repeat(np.arange(steps), rows)[of] * labels.count + labels.codes[of]
        counts = np.bincount(cells, minlength=steps * labels.count).reshape(steps, labels.count)
        grid = np.concatenate([grid, counts], axis=1)
    allowed = EDGE_TOLERANCE * step
    head = int(times_us[0] - (first * step + origin) > allowed)
    tail = int((first + steps) * step + origin - times_us[-1] > allowed)
    start_s = (first + head) * step_s + origin // MICROS
    return Buckets(
        start_s=start_s, step_s=step_s, values=grid[head : max(steps - tail, head)], edges_dropped=head + tail
    )


def aggregate_samples(
    times_us: Integers, values: Floats, *, kind: Kind, step_s: int | None, max_gap: int = 0
) -> Buckets:
    """Bring samples of a regular series, `values` (samples, metrics), to steps of `step_s` (None: their own spacing).

    The readings of a counter never fall; its rise from one reading to the next is counted at the earlier one. Over up
    to `max_gap` steps without a reading the rise is spread evenly; in a longer gap the steps are missing.

    `times_us` (samples,) is sorted, in microseconds UTC. Where the step is the spacing, the series keeps the phase of
    its timestamps; coarser steps begin at multiples of the step (weeks on Monday), all in UTC.

    Raises DataError if the spacing is not clear, or does not fit the step.
    """
    refuse_calendar_months(times_us)
    spacing = usual_spacing_us(times_us)
    if step_s is None:
        step_s = _inferred_step_s(times_us, spacing)
    if spacing is None:
        if kind == "counter":
            return _read_between(times_us, values, step_s=step_s, max_gap=max_gap)
        if kind == "count":
            raise DataError(
                f"samples are irregularly spaced ({_spacings_text(times_us)}), so a sum over {step_text(step_s)} may "
                "be incomplete; use --events if every row is an event, or --kind gauge"
            )
        return aggregate_events(times_us, values, kind=kind, step_s=step_s)
    per_step = _samples_per_step(spacing, step_s, kind)
    if abs(per_step - round(per_step)) <= 0.01 * per_step:
        per_step = round(per_step)
        spacing = step_s * MICROS // per_step
    if kind == "counter":
        return _regular_counter(times_us, values, step_s=step_s, spacing=spacing, max_gap=max_gap)
    return _regular(times_us, values, kind, step_s, spacing)


def usual_spacing_us(times_us: Integers) -> int | None:
    """Return the usual spacing of sorted `times_us` in microseconds, or None if under 80 % are within 10 % of the mode.

    The mode is the spacing with most others within 10 %; their median is returned, or a usual step within 0.1 %.
    """
    spacings = np.sort(_spacings(times_us))
    if len(spacings) == 0:
        return None
    candidates, counts = np.unique(spacings, return_counts=True)
    low = np.searchsorted(spacings, candidates * (1 - MODE_TOLERANCE), side="left")
    high = np.searchsorted(spacings, candidates * (1 + MODE_TOLERANCE), side="right")
    best = int(np.lexsort((counts, high - low))[-1])
    if high[best] - low[best] < MODE_SHARE * len(spacings):
        return None
    typical = float(np.median(spacings[low[best] : high[best]]))
    usual = min(_ROUND_STEPS_S, key=lambda step_s: abs(step_s * MICROS - typical)) * MICROS
    # Jitter averages out over the whole log; a clock that changes twice a year does not move the median.
    long_run = float(spacings.sum() / np.maximum(np.rint(spacings / typical), 1).sum())
    if min(abs(usual - typical), abs(usual - long_run)) <= ROUND_TOLERANCE * usual:
        return usual
    return round(typical / MICROS) * MICROS if typical >= 60 * MICROS else max(round(typical), 1)


def fill_gaps(values: Floats, max_gap: int) -> Filled:
    """Trim missing steps at both ends of `values` (steps, metrics) and fill up to `max_gap` missing ones in a row.

    Filling is linear interpolation, per metric; a step that still lacks one metric afterwards is NaN in all.
    """
    whole = np.flatnonzero(np.isfinite(values).all(axis=1))
    if len(whole) == 0:
        return Filled(values=values[:0], trimmed_start=len(values), trimmed_end=0, filled=whole, gaps=0, gap_steps=0)
    start, stop = int(whole[0]), int(whole[-1]) + 1
    grid = np.array(values[start:stop])
    lacking = np.isnan(grid).any(axis=1)  # (steps,)
    for metric in range(grid.shape[1]):
        grid[:, metric] = _interpolated(grid[:, metric], max_gap)
    left = np.isnan(grid).any(axis=1)
    grid[left] = np.nan
    return Filled(
        values=grid,
        trimmed_start=start,
        trimmed_end=len(values) - stop,
        filled=np.flatnonzero(lacking & ~left),
        gaps=len(_runs(left)),
        gap_steps=int(left.sum()),
    )


def _interpolated(column: Floats, max_gap: int) -> Floats:
    missing = np.isnan(column)  # (steps,)
    at = np.arange(len(column))
    filled = np.interp(at, at[~missing], column[~missing])
    for start, stop in _runs(missing):
        if stop - start > max_gap:
            filled[start:stop] = np.nan
    return filled


def _runs(flags: ArrayLike) -> Integers:
    """Return (start, stop) of every stretch of True in `flags` (steps,): int64 (runs, 2)."""
    edges = np.flatnonzero(np.diff(np.pad(np.asarray(flags, dtype=np.int8), 1)))
    return edges.reshape(-1, 2).astype(np.int64)


def _regular(times_us: Integers, values: Floats, kind: Kind, step_s: int, spacing: int) -> Buckets:
    """Snap to grid points `spacing` apart, then add up or average the points of every step."""
    slots, phase = _snapped(times_us, spacing)  # (samples,) number of each one's grid point
    first, count = int(slots[0]), _checked_steps(int(slots[-1] - slots[0]) + 1, spacing / MICROS)
    total, present = _totals(slots - first, values, count)
    means = total / np.maximum(present, 1)
    points = np.where(present > 0, total if kind == "count" else means, np.nan)  # (points, metrics)
    merged = len(slots) - int(np.count_nonzero(np.bincount(slots - first)))
    buckets = _stepped(points, first * spacing + phase, kind, step_s, spacing)
    return replace(buckets, merged=merged)


def _stepped(points: Floats, start_us: int, kind: Kind, step_s: int, spacing: int) -> Buckets:
    """Bring `points` (points, metrics), `spacing` apart from `start_us` on, to steps."""
    if spacing == step_s * MICROS:
        return Buckets(start_s=round(start_us / MICROS), step_s=step_s, values=points)
    point_us = start_us + np.arange(len(points), dtype=np.int64) * spacing
    index = (point_us - _origin_us(step_s)) // (step_s * MICROS)  # (points,) the step of each grid point
    return _coarsened(index, points, kind, step_s, per_step=step_s * MICROS // spacing)


def _regular_counter(times_us: Integers, values: Floats, *, step_s: int, spacing: int, max_gap: int) -> Buckets:
    """Snap readings to grid points, the last one of each, and add up the rises between them."""
    slots, phase = _snapped(times_us, spacing)
    first, count = int(slots[0]), _checked_steps(int(slots[-1] - slots[0]) + 1, spacing / MICROS)
    total = np.full((count, values.shape[1]), np.nan)  # (points, metrics)
    for metric in range(values.shape[1]):
        finite = np.isfinite(values[:, metric])
        total[slots[finite] - first, metric] = values[finite, metric]  # times are sorted: the last one stays
    if count < 2:
        raise DataError("a counter needs two readings at different times; bring a longer log")
    longest = max(max_gap * step_s * MICROS // spacing, 0) + 1
    rises = [_rises(column, longest) for column in total.T]
    points = np.stack([rise for rise, _ in rises], axis=1)  # (points - 1, metrics)
    merged = len(slots) - int(np.count_nonzero(np.bincount(slots - first)))
    buckets = _stepped(points, first * spacing + phase, "count", step_s, spacing)
    return replace(buckets, merged=merged, spread=max(spread for _, spread in rises))


def _rises(column: Floats, longest: int) -> tuple[Floats, int]:
    """Return a counter's rise from each point to the next, and the number of points without a reading that share a
    rise. The counter is (points,) with NaN for no reading; a stretch of more than `longest` points between readings is
    NaN.
    """
    rises = np.full(len(column) - 1, np.nan)
    known = np.flatnonzero(np.isfinite(column))
    lengths = np.diff(known)  # (readings - 1,)
    each = np.where(lengths <= longest, np.diff(column[known]) / lengths, np.nan)
    if len(known):
        rises[known[0] : known[-1]] = np.repeat(each, lengths)
    return rises, int((lengths[lengths <= longest] - 1).sum())


def _read_between(times_us: Integers, values: Floats, *, step_s: int, max_gap: int) -> Buckets:
    """Return a counter's value at every step's beginning, by linear interpolation between irregular readings."""
    origin, step = _origin_us(step_s), step_s * MICROS
    first, last = -((origin - times_us[0]) // step), (times_us[-1] - origin) // step
    steps = _checked_steps(max(int(last - first), 0), step_s)
    bounds = (first + np.arange(steps + 1, dtype=np.int64)) * step + origin  # (steps + 1,)
    grid = np.full((steps, values.shape[1]), np.nan)
    for metric in range(values.shape[1]):
        finite = np.isfinite(values[:, metric])
        known = times_us[finite]
        if len(known) < 2:
            continue
        at = np.interp(bounds, known, values[finite, metric], left=np.nan, right=np.nan)
        grid[:, metric] = np.diff(at)
        wide = np.flatnonzero(np.diff(known) > (max_gap + 1) * step)
        for start, stop in zip(known[wide], known[wide + 1], strict=True):
            grid[(bounds[1:] > start) & (bounds[:-1] < stop), metric] = np.nan
    return Buckets(start_s=int(bounds[0] // MICROS), step_s=step_s, values=grid)


def _coarsened(index: Integers, points: Floats, kind: Kind, step_s: int, *, per_step: int) -> Buckets:
    first, steps = int(index[0]), int(index[-1] - index[0]) + 1
    expected = np.bincount(index - first, minlength=steps)  # (steps,) grid points, with or without a sample
    total, present = _totals(index - first, points, steps)
    share = present / np.maximum(expected, 1)[:, np.newaxis]  # (steps, metrics)
    if kind == "count":
        grid = np.where(share >= ENOUGH_SAMPLES, total / np.maximum(share, ENOUGH_SAMPLES), np.nan)
        grid = np.where(share == 1, total, grid)
    else:
        grid = np.where(present > 0, total / np.maximum(present, 1), np.nan)
    head, tail = int(expected[0] < per_step), int(steps > 1 and expected[-1] < per_step)
    kept = slice(head, steps - tail)
    part = ((share < 1) & np.isfinite(grid))[kept]
    thin = part & (share[kept] < ENOUGH_SAMPLES)
    return Buckets(
        start_s=(first + head) * step_s + _origin_us(step_s) // MICROS,
        step_s=step_s,
        values=grid[kept],
        edges_dropped=head + tail,
        estimated=int(part.any(axis=1).sum()) if kind == "count" else 0,
        thin=int(thin.any(axis=1).sum()),
    )


def _snapped(times_us: Integers, spacing: int) -> tuple[Integers, int]:
    """Return each sample's grid point and the grid's phase, the median offset; pairs beside a hole are pulled apart."""
    offsets = times_us % spacing
    bins = np.bincount(offsets * _PHASE_BINS // spacing, minlength=_PHASE_BINS)
    centre = int(np.argmax(bins)) * spacing // _PHASE_BINS  # offsets lie on a circle: cut it opposite their centre
    centred = (offsets - centre + spacing // 2) % spacing - spacing // 2
    phase = (centre + int(np.median(centred))) % spacing
    slots = (times_us - phase + spacing // 2) // spacing
    later = np.flatnonzero(np.diff(slots) == 0) + 1  # the second of a pair moves on if the next point is free
    after = np.append(slots, slots[-1] + 2)[later + 1]
    slots[later[after > slots[later] + 1]] += 1
    earlier = np.flatnonzero(np.diff(slots) == 0)  # else the first one moves back if the point before is free
    before = np.insert(slots, 0, slots[0] - 2)[earlier]
    slots[earlier[before < slots[earlier] - 1]] -= 1
    return slots, phase


def _totals(index: Integers, values: Floats, length: int) -> tuple[Floats, Integers]:
    """Return sum and number of the finite `values` (rows, metrics) per `index` (rows,): two (length, metrics)."""
    total = np.zeros((length, values.shape[1]))
    present = np.zeros((length, values.shape[1]), dtype=np.int64)
    for metric in range(values.shape[1]):
        finite = np.isfinite(values[:, metric])
        total[:, metric] = np.bincount(index[finite], weights=values[finite, metric], minlength=length)
        present[:, metric] = np.bincount(index[finite], minlength=length)
    return total, present


def _inferred_step_s(times_us: Integers, spacing: int | None) -> int:
    if spacing is None:
        proposed = Reading(words=f"steps of {(step := _round_step(times_us))}", changes={"step": step})
        raise undecided(
            f"the step cannot be inferred: {_spacings_text(times_us)}; choose --step, such as 1h", [proposed]
        )
    if spacing % MICROS:
        raise DataError(
            f"samples are {step_text(spacing / MICROS)} apart, not whole seconds; choose --step, such as 1m"
        )
    return spacing // MICROS


def _round_step(times_us: Integers) -> str:
    """Return the least usual step that is not finer than the median spacing."""
    typical = float(np.median(_spacings(times_us))) / MICROS if len(times_us) > 1 else 3600.0
    return step_text(next((step_s for step_s in _ROUND_STEPS_S if step_s >= typical), _WEEK_S))


def _samples_per_step(spacing: int, step_s: int, kind: Kind) -> float:
    per_step = step_s * MICROS / spacing
    apart = step_text(spacing / MICROS)
    if per_step < 0.99:
        raise DataError(
            f"a step of {step_text(step_s)} is finer than the samples, which are {apart} apart; raise --step"
        )
    if kind != "gauge" and abs(per_step - round(per_step)) > 0.01 * per_step:
        raise DataError(
            f"a step of {step_text(step_s)} holds {per_step:.2f} samples, which are {apart} apart; "
            "choose a whole multiple as --step"
        )
    return per_step


def _spacings(times_us: Integers) -> Integers:
    distinct = np.unique(times_us)
    return distinct[1:] - distinct[:-1]


def _spacings_text(times_us: Integers) -> str:
    spacings, counts = np.unique(_spacings(times_us), return_counts=True)
    if len(spacings) == 0:
        return "there is only one timestamp"
    order = np.lexsort((spacings, -counts))[:3]
    usual = ", ".join(f"{step_text(spacings[i] / MICROS)} ({counts[i] / counts.sum():.0%})" for i in order)
    return f"the most frequent spacings are {usual}"


def _origin_us(step_s: int) -> int:
    return _MONDAY_S * MICROS if step_s % _WEEK_S == 0 else 0


def _checked_steps(steps: int, step_s: float) -> int:
    if steps > MAX_STEPS:
        raise DataError(
            f"first and last timestamp are {steps:,} steps of {step_text(step_s)} apart, more than {MAX_STEPS:,}; "
            "look for a stray timestamp or choose a coarser --step"
        )
    return steps
