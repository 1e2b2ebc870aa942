"""Calendar features from timestamps, by the formula of `pulsecast.model.spec.Calendar`."""

from __future__ import annotations

import datetime
import itertools

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, InputError
from ..model.spec import DAY_S, Calendar, Holidays, ModelSpec

_LIMIT_S = 2.0**62  # larger floats do not fit int64


def unix_seconds(timestamps: object) -> NDArray[np.int64]:
    """Return `timestamps` (datetime64, or numbers of unix seconds; UTC) as int64 seconds of the same shape.

    Raises DtypeError for anything else, and for NaT.
    """
    try:
        array = np.asarray(timestamps)
    except ValueError as error:
        raise DtypeError("timestamps are ragged; every step of every window needs its time") from error
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise DtypeError("timestamps hold NaT; every step needs its time")
        return array.astype("datetime64[s]").astype(np.int64)
    if array.dtype.kind in "iu" or (array.dtype.kind == "f" and (np.abs(array) < _LIMIT_S).all()):
        return array.astype(np.int64)
    raise DtypeError(f"timestamps are {array.dtype}; expected datetime64 or numbers of unix seconds, in UTC")


def utc_text(seconds: int) -> str:
    """Return unix seconds as text in UTC.

    >>> utc_text(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def calendar_values(calendar: Calendar, seconds: NDArray[np.int64], step_s: int) -> NDArray[np.float64]:
    """Return the feature's value for each of `seconds` (unix seconds, any shape).

    >>> calendar_values(Calendar(function="weekend", period_s=604800, ahead_steps=0), np.array([0, 2 * 86400]), 3600)
    array([0., 1.])

    Raises InputError for times outside the bundle's known holidays.
    """
    t = seconds + calendar.ahead_steps * step_s
    if calendar.holidays is not None:
        return _holiday_share(calendar.holidays, t, step_s)
    if calendar.function == "weekend":
        weekday = (t // DAY_S + 3) % 7  # unix time began on a Thursday; Monday is 0
        return (weekday >= 5).astype(np.float64)
    angle = (2 * np.pi / calendar.period_s) * (t % calendar.period_s).astype(np.float64)
    wave: NDArray[np.float64] = np.sin(angle) if calendar.function == "sin" else np.cos(angle)
    return wave


def _holiday_share(holidays: Holidays, t: NDArray[np.int64], step_s: int) -> NDArray[np.float64]:
    """Return which part of each step [t, t + step_s) is a holiday; raises InputError outside the known time."""
    first, stop = holidays.known
    outside = (t < first) | (t + step_s > stop)
    if outside.any():
        raise InputError(
            f"holidays of {holidays.region} are known from {utc_text(first)} to {utc_text(stop)}, and "
            f"{np.datetime64(int(t[outside].flat[0]), 's')}Z is needed; train again on a log that covers it"
        )
    # seconds of holidays before each edge: between two edges they grow by every second, or not at all
    edges = np.array([first, *itertools.chain.from_iterable(holidays.spans), stop])
    lengths = np.diff(edges)
    lengths[::2] = 0
    passed = np.concatenate(([0], np.cumsum(lengths)))
    share: NDArray[np.float64] = (np.interp(t + step_s, edges, passed) - np.interp(t, edges, passed)) / step_s
    return share


def with_calendar(spec: ModelSpec, measured: NDArray[np.floating], seconds: NDArray[np.int64]) -> NDArray[np.floating]:
    """Append the calendar features to `measured` (..., measured); `seconds` has this shape without its last axis."""
    columns = [
        calendar_values(feature.calendar, seconds, spec.step_s)[..., np.newaxis]
        for feature in spec.features
        if feature.calendar is not None
    ]
    return np.concatenate([measured, *columns], axis=-1, dtype=measured.dtype)  # (..., features)
