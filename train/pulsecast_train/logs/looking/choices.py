"""What a log leaves open: the readings that fit, the one that is proposed and why; an error carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pulsecast.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read a log: in words, and the fields of `LogConfig` that say so."""

    words: str
    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing that a log leaves open: `what` with its place, `readings` with the proposed one first, and why.

    With one reading nothing is ambiguous: it only has to be said. With several the user is asked.
    """

    what: str
    readings: tuple[Reading, ...]
    reason: str = ""

    @property
    def proposed(self) -> Reading:
        """The first reading."""
        return self.readings[0]

    @property
    def is_question(self) -> bool:
        """Whether several readings fit, so that only the user can say which is right."""
        return len(self.readings) > 1


class UndecidedError(DataError):
    """A log can be read in several ways, or only with an option; `choice` has the readings and a proposal."""

    def __init__(self, message: str, choice: Choice) -> None:
        super().__init__(message)
        self.choice = choice

    def placed(self, message: str) -> UndecidedError:
        """Return the error with another message, such as one that names the series."""
        return UndecidedError(message, self.choice)


def undecided(message: str, readings: Sequence[Reading], reason: str = "") -> UndecidedError:
    """Return the error of a log that leaves `readings` open, the proposed one first."""
    return UndecidedError(message, Choice(what=message, readings=tuple(readings), reason=reason))
