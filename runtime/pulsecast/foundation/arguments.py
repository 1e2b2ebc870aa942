"""Checks of what an app passes where type checkers do not look: each returns the value, or raises UsageError."""

from __future__ import annotations

import operator
from typing import SupportsIndex, cast

from ..errors import UsageError


def whole_number(name: str, value: object, *, least: int = 1) -> int:
    """Return `value` as an int of at least `least`.

    >>> whole_number("threads", 2)
    2
    """
    try:
        number = operator.index(cast("SupportsIndex", value))
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise UsageError(f"{name} is {_shown(value)}; expected a whole number of at least {least}")
    if number < least:
        raise UsageError(f"{name} is {number}; expected at least {least}")
    return number


def fraction(name: str, value: object, *, such_as: float) -> float:
    """Return `value`, a number between 0 and 1 and neither of them.

    >>> fraction("interval", 0.9, such_as=0.9)
    0.9
    """
    try:
        number = float(cast("float", value)) if not isinstance(value, str | bytes | bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < 1:
        raise UsageError(f"{name} is {_shown(value)}; expected a number between 0 and 1, such as {such_as:g}")
    return number


def flag(name: str, value: object) -> bool:
    """Return `value`, which is True or False: a word such as "no" would count as true.

    >>> flag("trust_code", False)
    False
    """
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {_shown(value)}; expected True or False")
    return value


def _shown(value: object) -> str:
    return repr(value)[:60]
