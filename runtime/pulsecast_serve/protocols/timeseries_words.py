"""Forecasts in the words of the time-series API."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.intervals import bounds, radius_at, split_interval
from pulsecast.foundation.arguments import shown
from pulsecast.model.radii import SplitConformal
from pulsecast.model.series import POOL_ROW
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from ..models.served import Served
from ..refusal import BAD_REQUEST, RefusedError
from .bodies import shortest
from .series_names import row_named
from .timeseries_request import Asked, Window, window_of

_DIGITS = 9  # of a level: 2 * 0.95 - 1 is 0.8999999999999999
_TYPE = "time_series_forecast"
_NO_FORECAST = "there is no finite forecast: a value or the time lies outside what the model takes"


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is answered to one series; `error` says why there is no forecast."""

    document: Mapping[str, object]
    error: RefusedError | None = None


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A forecast (horizon,), and whether its window lies far outside what training saw.

    interval   (lower, upper) at the manifest's level, whole numbers where the values are counts; None without one
    quantiles  of those that were asked for, never rounded: rounded ones might fall on the wrong side of the forecast
    """

    forecast: NDArray[np.float32]
    interval: tuple[NDArray[np.floating], NDArray[np.floating]] | None
    quantiles: Mapping[float, NDArray[np.floating]]
    outside: bool


@dataclass(frozen=True, kw_only=True)
class _Read:
    """An input that can be forecast: its place in the request, its window, its row in the table of series."""

    place: int
    window: Window
    row: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What can be forecast of a request: `windows` of the inputs in `good`, None if there is none; and what cannot."""

    asked: Asked
    horizon: int
    levels: Mapping[float, float]
    good: list[_Read]
    windows: Windows | None
    outputs: dict[int, Output]


def prepare(served: Served, asked: Asked) -> Prepared:
    """Return the windows that a request asks for.

    Raises RefusedError if the horizon or a quantile is none of the model's.
    """
    manifest = served.model.manifest
    horizon = _horizon(asked.horizon, manifest.spec.horizon)
    levels = _levels(asked.quantiles, manifest.intervals)
    outputs: dict[int, Output] = {}
    good = []
    for place, given in enumerate(asked.inputs):
        try:
            good.append(_Read(place=place, window=window_of(given, served.model), row=row_of(served, given)))
        except RefusedError as error:
            outputs[place] = _failed(given, place, error)
    windows = _windows(served, good) if good else None
    return Prepared(asked=asked, horizon=horizon, levels=levels, good=good, windows=windows, outputs=outputs)


def _windows(served: Served, good: list[_Read]) -> Windows:
    model, spec = served.model, served.model.manifest.spec
    return Windows(
        values=np.stack([one.window.values for one in good]),  # (batch, context, measured)
        time=np.array([one.window.time for one in good], np.int64) if spec.timed else None,
        series=None if model.series is None else np.array([one.row for one in good], np.int64),
    )


def worded(served: Served, prepared: Prepared, found: NDArray[np.float32] | None) -> list[Output]:
    """Return one output for each input, in their order, of the forecasts (batch, horizon) of `prepared.windows`.

    One that cannot be forecast says why.
    """
    outputs = prepared.outputs
    if found is not None and prepared.windows is not None:
        answered = _answered(served, prepared, prepared.windows, found)
        outputs |= zip([one.place for one in prepared.good], answered, strict=True)
    return [outputs[place] for place in range(len(prepared.asked.inputs))]


def _horizon(asked: int | None, most: int) -> int:
    if asked is not None and asked > most:
        raise RefusedError(
            BAD_REQUEST, f"horizon is {shown(asked)}; this model forecasts {most} steps ahead", param="horizon"
        )
    return most if asked is None else asked


def _levels(quantiles: tuple[float, ...], split: SplitConformal | None) -> dict[float, float]:
    """Return the level of the interval that each quantile is a bound of; 0 for the median.

    Raises RefusedError if the model has no such interval.
    """
    levels = {quantile: round(abs(2 * quantile - 1), _DIGITS) for quantile in quantiles}
    known = () if split is None else split.levels
    if any(level and level not in known for level in levels.values()):
        have = sorted({0.5, *(round((1 + side * level) / 2, _DIGITS) for level in known for side in (-1, 1))})
        raise RefusedError(
            BAD_REQUEST, f"this model has the quantiles {', '.join(f'{one:g}' for one in have)}", param="quantiles"
        )
    return levels


def row_of(served: Served, given: Mapping[str, Any]) -> int:
    """Return the row of a series in the table, by its name; raises RefusedError."""
    table, name = served.model.series, given.get("name")
    if name is not None and not isinstance(name, str):
        raise RefusedError(BAD_REQUEST, f"name is {shown(name)}; expected text", param="name")
    return POOL_ROW if table is None else row_named(table, name, param="name")


def _answered(served: Served, prepared: Prepared, windows: Windows, found: NDArray[np.float32]) -> Iterator[Output]:
    """Yield the output of each of `prepared.good`."""
    model, manifest = served.model, served.model.manifest
    steps = slice(prepared.horizon)
    outside = model.outside(windows)
    own = None
    if manifest.intervals is not None and manifest.level is not None:
        own = split_interval(manifest.intervals, found, manifest.level, model.series, windows.series)
    quantiles = {q: _quantile(q, level, served, found, windows) for q, level in prepared.levels.items()}
    for i, read in enumerate(prepared.good):
        made = _Made(
            forecast=found[i, steps],
            interval=None if own is None else (own.lower[i, steps], own.upper[i, steps]),
            quantiles={q: numbers[i, steps] for q, numbers in quantiles.items()},
            outside=bool(outside[i]),
        )
        given = prepared.asked.inputs[read.place]
        if np.isfinite(made.forecast).all():
            yield _completed(read.place, _content(given, made, manifest.level) | _times(given, read, manifest.spec))
        else:
            yield _failed(given, read.place, RefusedError(BAD_REQUEST, _NO_FORECAST, param="series"))


def _quantile(
    quantile: float, level: float, served: Served, found: NDArray[np.float32], windows: Windows
) -> NDArray[np.floating]:
    """Return a quantile of each forecast (batch, horizon): the bound of the interval that it is the end of."""
    split = served.model.manifest.intervals
    if not level or split is None:  # the median
        return found
    radius = radius_at(split, level, served.model.series, windows.series)
    interval = bounds(found.astype(np.float64), radius, split.scale, counts=False)
    return interval.lower if quantile < 0.5 else interval.upper


def _content(given: Mapping[str, Any], made: _Made, level: float | None) -> dict[str, object]:
    """Return the numbers of one forecast."""
    content: dict[str, object] = {
        "type": given["type"],
        "name": given.get("name"),
        "mean_forecast": shortest(made.forecast),
        "statistic": "median",
        "outside_training_range": made.outside,
    }
    if made.quantiles:
        content["quantiles"] = {str(q): finite(numbers) for q, numbers in made.quantiles.items()}
    if made.interval is not None:
        lower, upper = made.interval
        content["interval"] = {"level": level, "lower": finite(lower), "upper": finite(upper)}
    return content


def finite(numbers: NDArray[np.floating]) -> list[float | None]:
    """Return bounds (n,) as JSON has them: null for one that is infinite."""
    return [one if abs(one) != np.inf else None for one in shortest(numbers)]


def _times(given: Mapping[str, Any], read: _Read, spec: ModelSpec) -> dict[str, object]:
    """Return when the forecast begins, and its step."""
    last = read.window.time
    first = None if last is None else datetime.datetime.fromtimestamp(last + spec.step_s, datetime.UTC).isoformat()
    return {"frequency": given["frequency"], "start_timestamp": first and first.replace("+00:00", "Z")}


def _completed(place: int, content: Mapping[str, object]) -> Output:
    document = {"type": _TYPE, "id": f"output-{place}", "status": "completed", "content": [content], "error": None}
    return Output(document=document)


def _failed(given: Mapping[str, Any], place: int, error: RefusedError) -> Output:
    name = given.get("name")
    whose = f" ({shown(name)})" if isinstance(name, str) else ""
    said = RefusedError(BAD_REQUEST, f"inputs[{place}]{whose}: {error}", param=error.param)
    words = {"message": str(said), "type": "invalid_request_error", "param": said.param}
    document = {"type": _TYPE, "id": f"output-{place}", "status": "error", "content": [], "error": words}
    return Output(document=document, error=said)
