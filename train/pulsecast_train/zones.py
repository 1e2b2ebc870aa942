"""Time zones by their names, and the names of days."""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from collections.abc import Callable, Set

from pulsecast.errors import UsageError

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check_zone(what: str, name: str) -> datetime.tzinfo:
    """Return the zone; raises UsageError, which names `what`, if the zone is unknown or this system has no zones."""
    if name == "UTC":
        return datetime.UTC  # every system has it
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # also one with an extra slash or a NUL in it
        problem = f"{what} is {name!r}"
    if not known_zones():
        raise UsageError(f"{problem}, and this system has no time zones to look it up in: pip install tzdata")
    raise UsageError(f"{problem}; expected a name such as UTC or Europe/Berlin")


def known_zones() -> Set[str]:
    """Return the names of this system's zones, none where it has no database of them.

    To list them takes 9 ms, and every configuration of a log asks: a database is listed once.
    """
    return _listed(zoneinfo.available_timezones, zoneinfo.TZPATH)


@functools.lru_cache(maxsize=1)
def _listed(find: Callable[[], set[str]], places: tuple[str, ...]) -> frozenset[str]:
    del places  # another path is another database
    return frozenset(find())
