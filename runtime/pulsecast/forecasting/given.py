"""What an app passes to `predict`: read as windows of float32, or refused with one error for each defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..computing.calendars import last_times, require_known, unix_seconds
from ..errors import (
    DtypeError,
    EmptyInputError,
    FeatureCountError,
    InputError,
    NonFiniteError,
    UsageError,
    WindowLengthError,
)
from ..foundation.masked import has_masked, read_array, unreadable

if TYPE_CHECKING:
    from ..model.spec import ModelSpec

NO_TIME = -(2**63)  # beyond every calendar: a backend gives NaN for it


def real_numbers(values: object, *, fill: bool = False) -> NDArray[np.float32]:
    """Return `values` as float32; `fill` takes masked cells as NaN. Raises InputError."""
    try:
        array, masked = read_array(values)
        if masked and fill:
            array, masked = np.ma.array(values, dtype=np.float64).filled(np.nan), False
    except ValueError as error:
        raise DtypeError("values are ragged; every window needs the same number of steps and features") from error
    except Exception as error:  # an object's own methods
        raise DtypeError(f"{unreadable('values', values, error)}; expected an array of real numbers") from None
    if masked:
        raise NonFiniteError("values have masked cells; fill or drop these windows")
    if array.size == 0:
        raise EmptyInputError(f"values are empty (shape {array.shape}); pass at least one window")
    if array.dtype.kind not in "iuf":
        raise DtypeError(f"values are {array.dtype}; expected real numbers (float32 is used without a copy)")
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused
        return array.astype(np.float32, copy=False)


def as_batch(array: NDArray[np.float32], context: int, features: int, *, hint: str) -> NDArray[np.float32]:
    """Return `array` as (batch, context, features), reading the shorter shapes that `predict` documents."""
    shape = array.shape
    if array.ndim == 1 and features == 1:
        array = array.reshape(1, -1, 1)
    elif array.ndim == 2:
        as_window = features > 1 or (shape[1] == 1 and context > 1)
        array = array[np.newaxis] if as_window else array[:, :, np.newaxis]
    if array.ndim != 3:
        raise FeatureCountError(f"values have shape {shape}; this model takes (batch, {context}, {features}){hint}")
    if array.shape[2] != features:
        raise FeatureCountError(
            f"steps have {array.shape[2]} features; this model takes {features} (manifest: features){hint}"
        )
    if array.shape[1] != context:
        raise WindowLengthError(f"windows have {array.shape[1]} steps; this model takes {context} (manifest: context)")
    return np.ascontiguousarray(array)


def times_where_known(spec: ModelSpec, timestamps: object, batch: int) -> NDArray[np.int64]:
    """Return the times of the last steps, (batch,), and NO_TIME for a window whose own times are refused.

    Raises what `last_times` raises where it cannot be said which time belongs to which window.
    """
    try:
        return last_times(spec, unix_seconds(timestamps), batch)
    except InputError:
        if batch == 1:
            return np.array([NO_TIME])
        if not isinstance(timestamps, np.ndarray | list | tuple) or len(timestamps) != batch:
            raise
    return np.array([_time_or_none(spec, one) for one in timestamps])


def _time_or_none(spec: ModelSpec, timestamps: object) -> int:
    try:
        return int(last_times(spec, unix_seconds(timestamps), 1)[0])
    except WindowLengthError:  # of all windows alike
        raise
    except InputError:
        return NO_TIME


def refuse_non_finite(windows: NDArray[np.float32]) -> None:
    """Raise NonFiniteError that names the first value of (batch, context, features) that is NaN or infinite, if any."""
    bad = np.argwhere(~np.isfinite(windows))
    if len(bad):
        row, step, feature = bad[0]
        raise NonFiniteError(
            f"{len(bad)} values are NaN or infinite in float32, first in window {row}, step {step}, feature {feature}; "
            'fill or drop these windows, or pass bad="nan" for forecasts of the others'
        )


def refuse_outside_domain(forecasts: NDArray[np.float32], spec: ModelSpec, time: NDArray[np.int64] | None) -> None:
    """Raise NonFiniteError, or TimeError, where forecasts (batch, horizon) are not finite."""
    rows = np.flatnonzero(~np.isfinite(forecasts).all(axis=1))
    if not len(rows):
        return
    if time is not None:
        require_known(spec, time)
    raise NonFiniteError(
        f"{len(rows)} windows have no finite forecast, first window {rows[0]}: "
        "its values lie outside what the model's scaler, or an 8-bit input, can take"
    )


def without_bad(forecasts: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return forecasts (batch, horizon) with NaN throughout for a window that is not finite, or has no forecast."""
    whole, known = np.isfinite(windows).all(axis=(1, 2)), np.isfinite(forecasts).all(axis=1)  # (batch,)
    kept = np.logical_and(whole, known).reshape(-1, 1)
    return np.where(kept, forecasts, np.float32(np.nan))


def checked_rows(series: NDArray[np.int64], count: int, rows: int) -> NDArray[np.int64]:
    """Return the rows of windows (count,) in a table; raises UsageError unless each is one of its `rows`."""
    given = np.asarray(series)
    if given.dtype.kind not in "iu" or given.shape != (count,):
        raise UsageError(f"series of the windows is {given.dtype}{given.shape}; expected whole numbers ({count},)")
    if given is not series and has_masked(series):
        raise UsageError("series of the windows has masked cells; expected the row of each window")
    if not ((given >= 0) & (given < rows)).all():
        raise UsageError(f"series of the windows holds a row that is not in the table, whose rows are 0 to {rows - 1}")
    return np.ascontiguousarray(given, np.int64)
