"""What an app passes as an array. A masked cell still holds a number, which must not be used as if it were measured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .arguments import shown

if TYPE_CHECKING:  # a native library is run without numpy
    from numpy.typing import NDArray


def has_masked(given: object) -> bool:
    """Return whether cells are masked in `given`: an array, or lists of arrays and numbers, however deep.

    `np.asarray` drops the mask. numpy imports `numpy.ma` when it is first used: before that there are no masked arrays.
    """
    ma = sys.modules.get("numpy.ma")
    return ma is not None and _has_masked(given, ma, depth=0)


def _has_masked(given: object, ma: Any, depth: int) -> bool:
    if isinstance(given, list | tuple):  # deeper than any window, or a list that holds itself: not an array
        return depth < 4 and any(type(one) is not float and _has_masked(one, ma, depth + 1) for one in given)
    return isinstance(given, ma.MaskedArray) and bool(ma.is_masked(given))


def read_array(given: object) -> tuple[NDArray[Any], bool]:
    """Return `given` as numpy reads it, and whether cells of it are masked.

    A tensor, or another object that makes an array of itself, may make a masked one. Raises whatever it raises.
    """
    import numpy as np

    if type(given) is np.ndarray:
        return given, False
    if isinstance(given, list | tuple):
        masked = has_masked(given)  # first: numpy warns where a list holds a masked number
        return (np.empty(0) if masked else np.asarray(given)), masked
    found = np.asanyarray(given)
    return np.asarray(found), has_masked(found)


def unreadable(what: str, given: object, error: Exception) -> str:
    """Return why numpy cannot read `given`, for a message: a tensor's own words are the way out.

    A tensor that needs a gradient, or lies on a GPU, says which method makes an array of it.
    """
    try:
        reason = str(error).strip().splitlines()[0][:300]
    except Exception:  # an object's own method, or an error without text
        reason = type(error).__name__
    if hasattr(type(given), "__array__"):  # its text would be its numbers
        return f"{what} of type {type(given).__name__} cannot be read as an array: {reason.rstrip('.')}"
    return f"{what} are {shown(given)}: {reason.rstrip('.')}"
