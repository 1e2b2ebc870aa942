"""The names of an artifact's inputs and outputs, in the order in which the runtime holds them."""

from __future__ import annotations

from ..model.spec import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES

INPUTS = (VALUES, TIME, SERIES)
OUTPUTS = (FORECAST, LOWER, UPPER)


def position(name: str) -> int:
    """Return the place in INPUTS of an artifact's input; the one input of another name is that of a file of format 1.

    >>> position("time"), position("window")
    (1, 0)
    """
    return INPUTS.index(name) if name in INPUTS else 0
