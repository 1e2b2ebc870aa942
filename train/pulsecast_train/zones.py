"""Time zones by their names."""

from __future__ import annotations

import datetime
import zoneinfo

from pulsecast.errors import UsageError


def check_zone(what: str, name: str) -> datetime.tzinfo:
    """Return the zone; raises UsageError, which names `what`, if the zone is unknown or this system has no zones."""
    if name == "UTC":
        return datetime.UTC  # every system has it
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # also one with an extra slash or a NUL in it
        problem = f"{what} is {name!r}"
    if not zoneinfo.available_timezones():
        raise UsageError(f"{problem}, and this system has no time zones to look it up in: pip install tzdata")
    raise UsageError(f"{problem}; expected a name such as UTC or Europe/Berlin")
