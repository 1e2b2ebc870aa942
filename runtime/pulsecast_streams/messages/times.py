"""The time of a step, read strictly: unix seconds, or ISO 8601 with a zone."""

from __future__ import annotations

from pulsecast.computing.iso_time import iso_whole_seconds
from pulsecast.foundation.arguments import shown

from ..refusal import RefusedError
from .received import Received

LATEST_S = 253_402_300_799  # the last second of year 9999: milliseconds since 1978 lie beyond
_EXPECTED = "expected whole unix seconds, or ISO 8601 with a zone, such as 2026-01-31T08:00:00Z"


def read_time(given: object) -> int:
    """Return unix seconds (UTC); raises RefusedError.

    >>> read_time(1769846400), read_time("2026-01-31T09:00:00+01:00")
    (1769846400, 1769846400)
    """
    if type(given) is int:
        return _of_number(given)
    try:
        return iso_whole_seconds(given)
    except ValueError as error:
        raise RefusedError("time", f"time {shown(given)} {error}; {_EXPECTED}") from None


def _of_number(given: int) -> int:
    if not -LATEST_S <= given <= LATEST_S:
        raise RefusedError("time", f"time {shown(given)} is in milliseconds or finer, or beyond year 9999; {_EXPECTED}")
    return given


def is_checked(received: Received, ahead_s: int | None) -> bool:
    """Return whether `refuse_ahead` compares the time of a message with the broker's clock."""
    return received.arrived_s is not None and ahead_s is not None


def refuse_ahead(time: float, arrived_s: float | None, ahead_s: int | None) -> None:
    """Raise RefusedError if `time` lies more than `ahead_s` after the broker got the message; None is not checked."""
    if arrived_s is not None and ahead_s is not None and time - arrived_s > ahead_s:
        raise RefusedError(
            "time",
            f"time {time:.0f} lies {time - arrived_s:,.0f} s after the broker got the message; "
            f"at most {ahead_s:,} are taken (ahead_s): set the sender's clock",
        )
