"""Masked arrays of numpy: a hidden cell still holds a number, which must not be used as if it were measured."""

from __future__ import annotations

import sys


def has_masked(given: object) -> bool:
    """Return whether cells are masked in `given`, an array or a list of arrays, of plain numbers or times.

    `np.asarray` drops the mask. numpy imports `numpy.ma` when it is first used: before that there are no masked arrays.
    """
    ma = sys.modules.get("numpy.ma")
    if ma is None:
        return False
    arrays = given if isinstance(given, (list, tuple)) else (given,)
    return any(isinstance(array, ma.MaskedArray) and bool(ma.is_masked(array)) for array in arrays)
