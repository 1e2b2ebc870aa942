"""Forecasts for series that were read from a log: after the last step or after every one, exact and corrected."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.intervals import split_interval
from pulsecast.errors import DataError, InputError, RangeWarning, UsageError
from pulsecast.forecasting.corrector import Correctors, replayed
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.series import Pool, scaling_of
from pulsecast.model.windows import FORECAST, LOWER, UPPER, Windows

from ..series import Series

BATCH = 256  # windows of one call
BOUNDS = LOWER, UPPER
ADAPTED = "adapted"
Asked = str | Pool | None  # which series of a bundle a series is forecast as; None where it is of one
Answers = dict[str, NDArray[np.floating]]  # name -> (windows, horizon)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a series: bounds at a level, forecasts after every step, and corrected ones as well."""

    level: float | None
    every: bool = False
    adapt: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the answers."""
        bounds = () if self.level is None else BOUNDS
        return FORECAST, *bounds, *((ADAPTED, *(f"{ADAPTED}_{name}" for name in bounds)) if self.adapt else ())


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesForecasts:
    """The forecasts of one series.

    last     (windows,) int64, unix seconds of the last step before each forecast
    answers  by the names of `Wanted.columns`, raw units, each (windows, horizon); an engine's -0 is 0 here
    far      how many of these windows lie far outside what training saw
    """

    name: str
    last: NDArray[np.int64]
    answers: Answers
    far: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LastWindow:
    """The window after which a series is forecast: (context, measured) raw, the time of its last step, and as what."""

    name: str
    values: NDArray[np.float64]
    time: int
    known_as: Asked


def bounds_level(manifest: Manifest, interval: float | None) -> float | None:
    """Return the coverage of the bounds: `interval`, else the bundle's own; None where it has no intervals.

    In format 1 the level is not written down. Raises UsageError if the bundle has no radii for `interval`.
    """
    if interval is None:
        own = manifest.intervals
        return manifest.level if manifest.level is not None or own is None else own.default_level
    if manifest.intervals is None:
        raise UsageError("this bundle has no intervals; leave interval out, or train and export its model again")
    manifest.intervals.at(interval)
    return interval


def last_window(model: Forecaster, series: Series, known_as: Asked) -> LastWindow:
    """Return the last window of `series`; raises DataError if its last stretch is too short."""
    context = model.manifest.spec.context
    stop = int(window_ends(series, context, every=False)[0])
    values = series.values[stop - context : stop].copy()  # the series itself is not kept
    return LastWindow(name=series.name, values=values, time=int(series.timestamps_s()[stop - 1]), known_as=known_as)


def forecast_last(
    model: Forecaster, windows: Sequence[LastWindow], level: float | None
) -> list[SeriesForecasts | InputError]:
    """Return for each of `windows` its forecast, all made in one call; or why there is none."""
    stacked = Windows(
        values=np.stack([one.values for one in windows]), time=np.array([one.time for one in windows], np.int64)
    )
    known_as = None if model.series is None else [one.known_as for one in windows]
    answers, far = _predicted(model, stacked, known_as, level, lenient=True)
    return [
        SeriesForecasts(
            name=one.name,
            last=np.array([one.time], np.int64),
            answers={name: answer[i : i + 1] + 0.0 for name, answer in answers.items()},
            far=int(far[i]),
        )
        if np.isfinite(answers[FORECAST][i]).all()
        else _refusal(model, stacked.take([i]), one.known_as)
        for i, one in enumerate(windows)
    ]


def _refusal(model: Forecaster, window: Windows, known_as: Asked) -> InputError:
    """Return what `predict` says about a window that has no forecast."""
    try:
        model.predict(window, series=known_as)
    except InputError as error:
        return error
    return InputError("its forecast is not finite beside other windows, and finite alone; forecast it alone")


def forecast_series(model: Forecaster, series: Series, known_as: Asked, wanted: Wanted) -> SeriesForecasts:
    """Return what is `wanted` of one series, its windows in batches.

    Raises DataError if a stretch is too short, InputError for a window that cannot be forecast.
    """
    spec = model.manifest.spec
    if not wanted.every:
        window_ends(series, spec.context, every=False)  # refuses a log whose last stretch is too short
    # where each window ends: the index after its last step, (windows,)
    ends = window_ends(series, spec.context, every=wanted.every or wanted.adapt)
    answers, far = _answers(model, series, ends, known_as, wanted.level)
    if wanted.adapt:
        answers |= _adapted(model, series, ends, known_as, answers[FORECAST], wanted.level)
    shown = slice(None) if wanted.every else slice(-1, None)
    return SeriesForecasts(
        name=series.name,
        last=series.timestamps_s()[ends - 1][shown],
        answers={name: answer[shown] + 0.0 for name, answer in answers.items()},
        far=int(far[shown].sum()),
    )


def far_words(found: SeriesForecasts) -> str:
    """Return what to say of windows far outside, after the name of the series."""
    return (
        f"{found.far:,} of {len(found.last):,} windows lie far outside what training saw, so do not trust their "
        "forecasts: the units may be others, or the series"
    )


def _answers(
    model: Forecaster, series: Series, ends: NDArray[np.int64], known_as: Asked, level: float | None
) -> tuple[Answers, NDArray[np.bool_]]:
    """Return forecasts, and bounds where there is a level, and which windows lie far outside (windows,)."""
    stamps, context, parts = series.timestamps_s(), model.manifest.spec.context, []
    for first in range(0, len(ends), BATCH):
        steps = ends[first : first + BATCH, np.newaxis] - np.arange(context, 0, -1)  # (batch, context)
        windows = Windows(values=series.values[steps], time=stamps[steps[:, -1]])
        parts.append(_predicted(model, windows, known_as, level, lenient=False))
    answers = {name: np.concatenate([part[name] for part, _ in parts]) for name in parts[0][0]}
    return answers, np.concatenate([far for _, far in parts])


def _predicted(
    model: Forecaster, windows: Windows, known_as: object, level: float | None, *, lenient: bool
) -> tuple[Answers, NDArray[np.bool_]]:
    """Return the answers of one call, and which windows (batch,) lie far outside what training saw."""
    values, time, bad = windows.values, windows.time, "nan" if lenient else "raise"
    far = model.outside(windows, series=known_as)
    options: dict[str, object] = {"timestamps": time, "series": known_as, "bad": bad}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)  # told of all windows at once
        if level is None:
            return {FORECAST: model.predict(values, **options)}, far  # type: ignore[call-overload]
        found = model.predict(values, **options, interval=level)  # type: ignore[call-overload]
    return found._asdict(), far


def _adapted(
    model: Forecaster, series: Series, ends: NDArray[np.int64], known_as: Asked, exact: NDArray[np.floating],
    level: float | None,
) -> Answers:  # fmt: skip
    """Return the forecasts of a stream that adapts, and their bounds: name -> (windows, horizon)."""
    table = model.series
    rows = None if table is None else np.array(table.names.rows(known_as, 1), np.int64)
    spec, scaler = model.manifest.spec, model.manifest.scaler
    correctors = Correctors(spec, scaling_of(scaler, table), rows, 1)
    found = replayed(correctors, series.values, series.timestamps_s(), dict(zip(ends.tolist(), exact, strict=True)))
    adapted = np.stack([found[end] for end in ends.tolist()]).astype(np.float32)
    if level is None or model.manifest.intervals is None:
        return {ADAPTED: adapted}
    every = None if rows is None else np.repeat(rows, len(ends))
    _, lower, upper = split_interval(model.manifest.intervals, adapted, level, table, every)
    return {ADAPTED: adapted, f"{ADAPTED}_{LOWER}": lower, f"{ADAPTED}_{UPPER}": upper}


def window_ends(series: Series, context: int, *, every: bool) -> NDArray[np.int64]:
    """Return the index after the last step of each window (windows,); raises DataError if there is none."""
    whole = [(start, stop) for start, stop in series.segments if stop - start >= context]
    last_start, last_stop = series.segments[-1]
    if not whole or (not every and last_stop - last_start < context):
        raise DataError(
            f"series {series.name} ends with {last_stop - last_start} unbroken steps; this model takes {context}: "
            "bring a longer log, or fill longer gaps with --max-gap"
        )
    if not every:
        return np.array([last_stop])
    return np.concatenate([np.arange(start + context, stop + 1) for start, stop in whole])
