"""Calendar features from timestamps, by the formula of `pulsecast.model.spec.Calendar`."""

from __future__ import annotations

import datetime
import itertools
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, InputError, TimeError, WindowLengthError
from ..foundation.arguments import shown
from ..foundation.masked import read_array, unreadable
from ..model.spec import DAY_S, YEAR_1, YEAR_10000, Calendar, Holidays, ModelSpec
from ..model.windows import Windows

# years 1 to 9999, of which Python has dates; milliseconds that are taken for seconds lie beyond
_FIRST_S, _LAST_S = YEAR_1, YEAR_10000 - 1
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def unix_seconds(timestamps: object) -> NDArray[np.int64]:
    """Return `timestamps` as int64 seconds of the same shape: datetime64 or numbers of unix seconds, in UTC.

    Objects of `datetime` (and of pandas) are taken in any zone, if they have one: Python reads one without a zone as
    the machine's local time, pandas as UTC. datetime64, and the columns that pandas and polars make of it, have no zone
    of their own and are UTC.

    Every value is taken exactly or refused: none is rounded, cut or wrapped. Raises DtypeError for anything else, for
    NaT and NaN, and for a fraction of a second; TimeError outside the years 1 to 9999, for masked cells, and for a
    datetime without a zone.
    """
    try:
        array, masked = read_array(timestamps)
    except (ValueError, OverflowError) as error:
        raise DtypeError("timestamps are ragged; every step of every window needs its time") from error
    except Exception as error:  # an object's own methods, or more elements than memory holds
        said = unreadable("timestamps", timestamps, error)
        raise DtypeError(f"{said}; expected an array of times") from None
    if masked:
        raise TimeError("timestamps have masked cells; every step needs its time")
    if array.dtype.kind == "O":
        array = _seconds_of_datetimes(array)
    kind = array.dtype.kind
    if kind not in "Miuf":
        raise DtypeError(
            f"timestamps are {array.dtype}; expected datetime64 or numbers of unix seconds, in UTC, or datetimes that "
            "have a zone"
        )
    if kind == "M" and np.isnat(array).any():
        raise DtypeError("timestamps hold NaT; every step needs its time")
    if kind == "f" and not np.isfinite(array).all():
        raise DtypeError("timestamps are not all finite; every step needs its time")
    if kind == "f":  # as the smallest float that the limits fit into; a longer one is compared as it is
        array = array.astype(np.promote_types(array.dtype, np.float64))
    if kind != "M" and ((array < _FIRST_S) | (array > _LAST_S)).any():
        raise _outside()
    seconds = _whole_seconds(array) if kind == "M" else array.astype(np.int64)
    if kind == "f" and (seconds != array).any():
        raise _fraction()
    return seconds


def _seconds_of_datetimes(array: NDArray[np.object_]) -> NDArray[np.generic]:
    """Return an array of `datetime` objects as int64 seconds; the array itself if it holds anything else.

    Raises TimeError for one without a zone, DtypeError for a fraction of a second and for NaT, which pandas makes.
    """
    if not array.size or not all(isinstance(one, datetime.datetime) for one in array.flat):
        return array
    seconds = np.empty(array.shape, np.int64)
    for at, one in enumerate(array.flat):
        try:
            seconds.flat[at] = _second(cast("datetime.datetime", one))
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError, AttributeError) as error:  # NaT, or a class of an app's own
            raise DtypeError(f"timestamps hold {shown(one)}; every step needs its time") from error
    return seconds


def _second(time: datetime.datetime) -> int:
    if time.utcoffset() is None:
        raise TimeError(
            f"timestamps hold {shown(time)}, which has no zone; expected one: "
            "time.replace(tzinfo=datetime.UTC), or the zone of its clock, such as ZoneInfo('Europe/Berlin')"
        )
    since = time - _EPOCH
    if since.microseconds or getattr(since, "nanoseconds", 0):
        raise _fraction()
    return since.days * DAY_S + since.seconds


def _whole_seconds(array: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return datetime64 `array` as seconds; raises DtypeError or TimeError unless it is these seconds exactly."""
    try:
        whole = array.astype("datetime64[s]")
        seconds = whole.astype(np.int64)
        same = whole.astype(array.dtype) == array
    except (OverflowError, ValueError) as error:  # some versions of numpy refuse, others wrap
        raise _outside() from error
    inside = (seconds >= _FIRST_S) & (seconds <= _LAST_S)
    if not inside.all():
        raise _outside()
    if not same.all():  # a fraction; or a day or year so far away that its seconds wrapped
        raise _fraction()
    return seconds


def _fraction() -> DtypeError:
    return DtypeError("timestamps hold fractions of a second; round them to whole seconds: steps are whole seconds")


def _outside() -> TimeError:
    return TimeError(
        "timestamps lie beyond the years 1 to 9999; expected unix seconds, so divide milliseconds by 1,000"
    )


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
        return np.asarray(is_weekend(t), np.float64)
    angle = (2 * np.pi / calendar.period_s) * (t % calendar.period_s).astype(np.float64)
    wave: NDArray[np.float64] = np.sin(angle) if calendar.function == "sin" else np.cos(angle)
    return wave


@overload
def is_weekend(seconds: int) -> bool: ...
@overload
def is_weekend(seconds: NDArray[np.int64]) -> NDArray[np.bool_]: ...
def is_weekend(seconds: int | NDArray[np.int64]) -> bool | NDArray[np.bool_]:
    """Return whether unix seconds, one or any number, are of a Saturday or a Sunday in UTC.

    >>> is_weekend(0), is_weekend(2 * 86400)
    (False, True)
    """
    weekday = (seconds // DAY_S + 3) % 7  # unix time began on a Thursday; Monday is 0
    return weekday >= 5


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


def step_times(spec: ModelSpec, time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unix seconds of every step, (batch, context), for those of each window's last one (batch,)."""
    return time[:, np.newaxis] + spec.step_s * np.arange(1 - spec.context, 1, dtype=np.int64)


def known_times(spec: ModelSpec) -> tuple[int, int]:
    """Return (first, last): the last step of a window lies between them, or its calendar is unknown.

    The years are 1 to 9999, so that milliseconds taken for seconds fall outside. Holidays are known for some years.
    """
    first, last = YEAR_1, YEAR_10000 - 1
    for feature in spec.features:
        calendar = feature.calendar
        if calendar is not None and calendar.holidays is not None:
            start, stop = calendar.holidays.known
            first = max(first, start + (spec.context - 1 - calendar.ahead_steps) * spec.step_s)
            last = min(last, stop - (calendar.ahead_steps + 1) * spec.step_s)
    return first, last


def require_known(spec: ModelSpec, time: NDArray[np.int64]) -> None:
    """Raise TimeError unless every one of `time`, of last steps (batch,), is among the `known_times`."""
    first, last = known_times(spec)
    outside = (time < first) | (time > last)
    if not outside.any():
        return
    row = int(np.flatnonzero(outside)[0])
    found = int(time[row])
    if not YEAR_1 <= found < YEAR_10000:
        raise TimeError(
            f"window {row}: time {shown(found)} lies beyond the years 1 to 9999; expected unix seconds, so divide "
            "milliseconds by 1,000"
        )
    regions = {c.holidays.region for f in spec.features if (c := f.calendar) and c.holidays}
    raise TimeError(
        f"window {row}: holidays of {', '.join(sorted(regions))} are known for windows that end from {utc_text(first)} "
        f"to {utc_text(last)}, and this one ends at {utc_text(found)}; train again on a log that covers it"
    )


def last_times(spec: ModelSpec, seconds: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    """Return the times of the last steps, (batch,), from those of the last or of all steps of `batch` windows.

    seconds  (batch,) or (batch, context); for one window also () and (context,)

    Raises WindowLengthError for another shape, TimeError if steps are not `step_s` apart or a time is not known.
    """
    if batch == 1:
        seconds = seconds[np.newaxis] if seconds.ndim == 0 or seconds.shape == (spec.context,) else seconds
    if seconds.shape == (batch, spec.context) and seconds.ndim == 2:
        apart = np.diff(seconds, axis=1)
        if (apart != spec.step_s).any():
            row, step = np.argwhere(apart != spec.step_s)[0]
            raise TimeError(
                f"window {row}: step {step + 1} comes {apart[row, step]} s after step {step}; "
                f"this model takes one step every {spec.step_s} s"
            )
        seconds = seconds[:, -1]
    if seconds.shape != (batch,):
        raise WindowLengthError(
            f"timestamps have shape {seconds.shape}; expected ({batch},), the last step of each window, or "
            f"({batch}, {spec.context}), every step"
        )
    time = np.ascontiguousarray(seconds)
    require_known(spec, time)
    return time


def complete(spec: ModelSpec, windows: Windows) -> NDArray[np.floating]:
    """Return all columns (batch, context, features) of `windows`, in the dtype of their values.

    A window whose time is not among the `known_times` is NaN throughout.
    """
    if windows.time is None:
        return windows.values
    first, last = known_times(spec)
    if first > last:  # no time has holidays for a whole window
        return np.full((len(windows), spec.context, len(spec.features)), np.nan, windows.values.dtype)
    known = (windows.time >= first) & (windows.time <= last)
    seconds = step_times(spec, np.where(known, windows.time, first))
    columns = with_calendar(spec, windows.values, seconds)
    columns[~known] = np.nan
    return columns
