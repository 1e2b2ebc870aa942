"""How much a fetch takes at most: of one page, and of a whole run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown, whole_number

PAGE_BYTES = 16 << 20  # of one page; with the next limit, it never took more than 160 MB of memory
PAGE_VALUES = 1_000_000  # commas and opening brackets of one page
CURSOR_CHARACTERS = 8192  # longer addresses are refused by servers
SILENCES_PER_PAGE = 10  # a page must be whole within ten times the longest silence, however slowly it drips
LONGEST_SILENCE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """When a fetch stops, with its progress kept.

    pages       pages of the whole log, earlier runs included
    size_bytes  bytes of the whole log, earlier runs included
    seconds     duration of this run, waits included

    Raises UsageError.
    """

    pages: int = 100_000
    size_bytes: int = 10_000_000_000
    seconds: float = 86_400.0

    def __post_init__(self) -> None:
        whole_number("max pages", self.pages)
        whole_number("max bytes", self.size_bytes)
        positive_seconds("max seconds", self.seconds, most=math.inf)


def positive_seconds(name: str, value: float, *, most: float) -> None:
    """Raise UsageError unless `value` is a number above 0 and at most `most`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not value > 0:
        raise UsageError(f"{name} is {shown(value)}; expected more than 0 seconds")
    if value > most:
        raise UsageError(f"{name} is {value:g}; expected at most {most:g} seconds")
