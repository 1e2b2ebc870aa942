"""A held-out window of the bundle as a request, and the answer that it must get: what `README.md` shows."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Artifact
from pulsecast.computing.intervals import split_interval
from pulsecast.model.windows import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES

REQUEST = "request.json"
_FREQUENCIES = {604_800: "week", 86_400: "day", 3600: "hour", 60: "minute", 1: "second"}  # of the time-series API


@dataclass(frozen=True, kw_only=True)
class Example:
    """One golden window and the reference's answer, in raw units.

    name     of its series, or where the bundle is of one, of its first column
    step_s   seconds from one step to the next
    values   (context, measured), oldest step first
    time     unix seconds (UTC) of the last step; None for a model without a calendar
    row      of the window's series in the table; None where the bundle is of one series
    series   the name of that series
    answer   output -> (horizon), by the reference
    limit    by how much an answer may differ from it
    """

    name: str
    step_s: int
    values: Sequence[Sequence[float]]
    time: int | None
    row: int | None
    series: str | None
    answer: dict[str, tuple[float, ...]]
    limit: float


def example_of(bundle: Bundle, artifact: Artifact) -> Example:
    """Return the first golden window, of a named series where the bundle has several."""
    golden, manifest = bundle.golden(), bundle.manifest
    rows = golden.windows.series
    first = 0 if rows is None else int(np.flatnonzero(rows > 0)[0])
    window = golden.windows.take([first])
    reference = golden.reference[[first]]
    answer: dict[str, NDArray[np.floating]] = {FORECAST: reference}
    if manifest.intervals is not None and manifest.level is not None:
        interval = split_interval(manifest.intervals, reference, manifest.level, bundle.series, window.series)
        answer |= {LOWER: interval.lower, UPPER: interval.upper}
    row = None if window.series is None else int(window.series[0])
    names = bundle.series_names
    series = None if row is None or names is None else str(names.name(row))
    return Example(
        name=series or manifest.spec.features[0].name,
        step_s=manifest.spec.step_s,
        values=tuple(tuple(map(_short, step)) for step in window.values[0]),
        time=None if window.time is None else int(window.time[0]),
        row=row,
        series=series,
        answer={name: tuple(map(float, values[0])) for name, values in answer.items()},
        limit=artifact.tolerance.max_abs * float(golden.unit[first]),
    )


def tensors(example: Example, *, rows: bool, batch: bool = False) -> list[dict[str, Any]]:
    """Return the inputs of an Open Inference request.

    rows   the series by its row, not by its name
    batch  every input has a second dimension, as Triton demands of models that it makes batches for
    """
    steps, columns = len(example.values), len(example.values[0])
    flat = [value for step in example.values for value in step]
    one = [1, 1] if batch else [1]
    found: list[dict[str, Any]] = [{"name": VALUES, "datatype": "FP32", "shape": [1, steps, columns], "data": flat}]
    if example.time is not None:
        found.append({"name": TIME, "datatype": "INT64", "shape": one, "data": [example.time]})
    if example.row is not None and rows:
        found.append({"name": SERIES, "datatype": "INT64", "shape": one, "data": [example.row]})
    elif example.series is not None:
        found.append({"name": SERIES, "datatype": "BYTES", "shape": one, "data": [example.series]})
    return found


def infer_body(example: Example, *, rows: bool, batch: bool = False) -> str:
    """Return the JSON of an Open Inference request."""
    return json.dumps({"inputs": tensors(example, rows=rows, batch=batch)}) + "\n"


def predict_body(example: Example) -> str:
    """Return the JSON of a request of TensorFlow Serving."""
    window: dict[str, Any] = {VALUES: [list(step) for step in example.values]}
    window |= {} if example.time is None else {TIME: example.time}
    window |= {} if example.row is None else {SERIES: example.row}
    return json.dumps({"instances": [window]}) + "\n"


def series_body(example: Example, model: str) -> str:
    """Return the JSON of a request of KServe's time-series API, which `pulsecast serve` answers."""
    columns = len(example.values[0])
    steps = [step[0] for step in example.values] if columns == 1 else [list(step) for step in example.values]
    unit, word = next((seconds, word) for seconds, word in _FREQUENCIES.items() if example.step_s % seconds == 0)
    series: dict[str, Any] = {
        "type": "univariate_time_series" if columns == 1 else "multivariate_time_series",
        "name": example.name,
        "series": steps,
        "frequency": word,
    }
    if unit != example.step_s:
        series["step_seconds"] = example.step_s
    if example.time is not None:
        first = example.time - (len(steps) - 1) * example.step_s
        series["start_timestamp"] = datetime.datetime.fromtimestamp(first, datetime.UTC).isoformat()
    return json.dumps({"model": model, "inputs": [series]}) + "\n"


def _short(value: np.float32) -> float:
    """Return the shortest decimal that is this float32."""
    return float(str(value))
