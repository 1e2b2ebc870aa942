"""Time zones by their names."""

from __future__ import annotations

import zoneinfo


def zone_named(name: str) -> zoneinfo.ZoneInfo | None:
    """Return the zone, None if there is none of that name; one with a slash too many or a NUL in it is none either."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
