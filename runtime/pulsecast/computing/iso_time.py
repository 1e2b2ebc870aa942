"""A time that text says: ISO 8601 with a zone, read strictly."""

from __future__ import annotations

import datetime


def iso_seconds(given: object) -> float:
    """Return the unix seconds (UTC) of a time in text, to the microsecond: finer digits are cut off.

    Raises ValueError with the end of a sentence that begins with the time.

    >>> iso_seconds("2026-01-31T09:00:00.25+01:00")
    1769846400.25
    """
    return _read(given).timestamp()


def iso_whole_seconds(given: object) -> int:
    """Return the unix seconds (UTC) of a time in text; raises ValueError as `iso_seconds`, also for parts of a second.

    >>> iso_whole_seconds("2026-01-31T09:00:00+01:00")
    1769846400
    """
    found = _read(given)
    if found.microsecond or (found.utcoffset() or datetime.timedelta()).microseconds:
        raise ValueError("has a part of a second")
    return int(found.timestamp())


def _read(given: object) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("is not a time")
    if found.tzinfo is None:
        raise ValueError("has no zone")
    return found
