"""Labelled values: frames and series of pandas, polars or pyarrow. Their columns are taken by name, never by place.

None of these is imported: a frame is known by what it has, its columns and their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, FeatureCountError, InputError, NonFiniteError, TimeError
from ..foundation.arguments import shown
from ..foundation.masked import read_array
from .calendars import unix_seconds

_SHOWN = 12  # names in a message
_NO_INDEX = object()


def unlabelled(what: str, given: object, names: Sequence[str]) -> object:
    """Return `given` with an array, of the columns `names` in this order, in the place of every frame and series in it.

    what   what an app calls it, for messages
    given  a frame (steps, columns) or a series, or lists of them; anything else is returned as it is

    Other columns of a frame are not read. Raises FeatureCountError that lists both where a name is missing or stands
    twice, or the labels have another order of axes; DtypeError for a column that does not hold real numbers.
    """
    if isinstance(given, np.ndarray | float | int):
        return given
    try:
        return _unlabelled(what, given, names)
    except InputError:
        raise
    except Exception as error:  # an object's own methods
        raise DtypeError(f"{what} of type {type(given).__name__} cannot be read by the names of its columns") from error


def numbers_of(step: object, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the numbers of one step that a stream has taken, (columns,): those of `names` first, in this order."""
    return np.asarray(unlabelled("steps", step, names), np.float64).reshape(-1)


def first_number(step: object, names: Sequence[str]) -> float:
    """Return the first of the `numbers_of` a step."""
    return float(numbers_of(step, names)[0])


def index_times(given: object, step_s: int) -> tuple[NDArray[np.int64], bool] | None:
    """Return the times in the index of a frame or series, (steps,), and whether the index has a zone.

    None where there is no index of times, as in polars. Raises TimeError unless the times are `step_s` apart.
    """
    if isinstance(given, np.ndarray | float | int | list | tuple):
        return None
    try:
        index = _attribute(given, "index")
        zone = getattr(index, "tz", _NO_INDEX)
    except Exception:  # an object's own methods
        return None
    if zone is _NO_INDEX:
        return None
    seconds = unix_seconds(index)
    apart = np.diff(seconds)
    if (apart != step_s).any():
        step = int(np.argmax(apart != step_s))
        raise TimeError(
            f"by the frame's index step {step + 1} comes {apart[step]} s after step {step}; this model takes one step "
            f"every {step_s} s, the oldest first: sort it, and fill its gaps"
        )
    return seconds, zone is not None


def _unlabelled(what: str, given: object, names: Sequence[str]) -> object:
    if isinstance(given, list | tuple):
        if not given or isinstance(given[0], float | int):
            return given
        found = [_unlabelled(what, one, names) for one in given]
        return found if any(new is not old for new, old in zip(found, given, strict=True)) else given
    if isinstance(given, np.ndarray):
        return given
    if (columns := _column_names(given)) is not None:
        return _by_name(what, columns, names, lambda name: given[name])  # type: ignore[index]
    if hasattr(given, "to_frame") and hasattr(given, "name"):
        return _of_series(what, given, names)
    if hasattr(given, "dims") and hasattr(given, "coords"):  # xarray: its axes have names too, in any order
        raise FeatureCountError(
            f"{what} of type {type(given).__name__} have named axes {shown(_attribute(given, 'dims'))}; expected an "
            "array: transpose it to (batch, steps, features) and pass .values"
        )
    return given


def _attribute(given: object, name: str) -> Any:
    """Return an attribute that holds something; a method of that name is another thing."""
    found = getattr(given, name, None)
    return None if callable(found) else found


def _column_names(given: object) -> list[object] | None:
    """Return the names of a frame's columns, None for anything else; in pyarrow `columns` are not names."""
    found = _attribute(given, "column_names")
    found = _attribute(given, "columns") if found is None else found
    return None if found is None or not hasattr(given, "__getitem__") else list(found)


def _of_series(what: str, series: Any, names: Sequence[str]) -> object:
    """Return a series as an array: one column, whose name must be that feature's, or one step, labelled by features."""
    own = series.name
    if len(names) == 1 and own == names[0]:
        return _numbers(what, names[0], series)
    index = _attribute(series, "index")
    labels = [] if index is None else list(index)
    if labels and all(isinstance(label, str) for label in labels):
        return _by_name(what, labels, names, lambda name: series[name])
    if own is None or own == "" or own in names:
        return _numbers(what, str(own or "series"), series)
    raise _other_names(what, [own], names)


def _by_name(
    what: str, columns: Sequence[object], names: Sequence[str], column: Callable[[str], object]
) -> NDArray[np.generic]:
    """Return (steps, names) of a frame, (names,) of a step."""
    if any(list(columns).count(name) != 1 for name in names):
        raise _other_names(what, columns, names)
    return np.stack([_numbers(what, name, column(name)) for name in names], axis=-1)


def _numbers(what: str, name: str, column: object) -> NDArray[np.generic]:
    array, masked = read_array(column)
    if masked:
        raise NonFiniteError(f"{what}: column {name!r} has masked cells; fill or drop them")
    if array.dtype.kind not in "iuf":
        raise DtypeError(
            f"{what}: column {name!r} is {array.dtype}; expected real numbers, and NaN for a missing one, as of "
            "astype('float64')"
        )
    return array


def _other_names(what: str, columns: Sequence[object], names: Sequence[str]) -> FeatureCountError:
    return FeatureCountError(
        f"{what} have columns {_listed(columns)}; this model takes {_listed(names)}, each once, by name: rename them, "
        "or pass an array (.to_numpy()) whose columns are in this order"
    )


def _listed(names: Sequence[object]) -> str:
    left = len(names) - _SHOWN
    return ", ".join([*map(shown, names[:_SHOWN]), *([f"and {left:,} more"] if left > 0 else [])])
