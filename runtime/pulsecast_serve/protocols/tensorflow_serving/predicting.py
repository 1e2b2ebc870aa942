"""Named tensors in, named tensors out: what a SavedModel of the model computes, by the forecaster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.intervals import split_interval
from pulsecast.model.series import POOL_ROW
from pulsecast.model.windows import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES, Windows

from ...models.served import Served
from ...refusal import BAD_REQUEST, RefusedError
from ...serving import Serving
from .signature import WINDOW, TensorInfo, Tensors

Outputs = Mapping[str, NDArray[np.float32]]


def windows_of(serving: Serving, inputs: Mapping[str, TensorInfo], given: Tensors, *, pinned: bool) -> Windows:
    """Return the windows in tensors of all inputs, each of its type.

    Raises RefusedError: 400 (shapes that do not fit), 413 (too many, and they may be one number in memory).

    TensorFlow would reshape or broadcast some of the others, and so forecast other windows than were meant.

    pinned  the number of the version is named: only then is it known whose rows `series` means, except that of the pool
    """
    arrays = {name: _fitting(name, info, given[name]) for name, info in inputs.items()}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        said = " and ".join(f"{name} has {count:,}" for name, count in counts.items())
        raise RefusedError(BAD_REQUEST, f"the inputs are of different batches: {said} rows; expected as many of each")
    serving.refuse_more(max(counts.values()))
    if not pinned and SERIES in arrays and (arrays[SERIES] != POOL_ROW).any():
        raise RefusedError(
            BAD_REQUEST,
            "series are rows, and the next version may have another series there: name the number of the version, as "
            "in /v1/models/NAME/versions/1:predict or in model_spec",
            param=SERIES,
        )
    values = arrays[WINDOW if WINDOW in arrays else VALUES]
    return Windows(values=values, time=arrays.get(TIME), series=arrays.get(SERIES))


def _fitting(name: str, info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
    """Return a tensor in the shape of its input; one measured column may come without its axis: (batch, context)."""
    if array.shape[1:] == info.shape[1:] and array.ndim == len(info.shape):
        return array
    if info.shape[2:] == (1,) and array.shape[1:] == info.shape[1:2]:
        return array[..., np.newaxis]
    raise RefusedError(
        BAD_REQUEST, f"{name} has the shape {_shape(array.shape)}; expected {_shape(info.shape)}, -1 is any number",
        param=name,
    )  # fmt: skip


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


async def predict(serving: Serving, served: Served, windows: Windows) -> Outputs:
    """Return the outputs (batch, horizon) by name.

    A row that cannot be forecast is NaN throughout, in each output, and the others have their numbers: its values are
    not finite or outside what the artifact takes, the calendar does not know its time, or there is no such series.
    """
    manifest, table, rows = served.model.manifest, served.model.series, windows.series
    if not len(windows):
        names = (FORECAST,) if manifest.level is None else (FORECAST, LOWER, UPPER)
        return {name: np.zeros((0, manifest.spec.horizon), np.float32) for name in names}
    if rows is None or table is None:
        forecast = await serving.predict(served, windows)
    else:
        known = (rows >= 0) & (rows < len(table))
        rows = np.where(known, rows, POOL_ROW)
        asked = Windows(values=windows.values, time=windows.time, series=rows)
        forecast = np.where(known[:, np.newaxis], await serving.predict(served, asked), np.float32(np.nan))
    if manifest.intervals is None or manifest.level is None:
        return {FORECAST: forecast}
    found = split_interval(manifest.intervals, forecast, manifest.level, table, rows)
    return {FORECAST: forecast, LOWER: found.lower.astype(np.float32), UPPER: found.upper.astype(np.float32)}
