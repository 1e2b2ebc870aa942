"""A sum of floats that does not depend on their order, kept as a few numbers (Shewchuk 1997, as in `math.fsum`)."""

from __future__ import annotations

import math

Parts = tuple[float, ...]


def added(parts: Parts, value: float) -> Parts:
    """Return parts that add up to exactly those of `parts` and `value`; none overlaps another.

    >>> added(added(added((), 1e100), 1.0), -1e100)
    (1.0,)
    """
    found: list[float] = []
    for part in parts:
        large, small = (value, part) if abs(value) >= abs(part) else (part, value)
        value = large + small
        if rest := small - (value - large):
            found.append(rest)
    return (*found, value) if value or not found else tuple(found)


def total(parts: Parts) -> float:
    """Return the float nearest to the exact sum."""
    return math.fsum(parts)
