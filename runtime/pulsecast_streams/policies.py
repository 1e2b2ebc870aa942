"""What happens to steps that are missing, late, unknown or ahead of the clock: stated, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pulsecast.foundation.arguments import invalid, require_types, shown
from pulsecast.model.spec import DAY_S
from pulsecast.plain_text import Problems

Gap = Literal["unknown", "last", "zero"]
Refused = Literal["dead-letter", "ignore"]
# what stands in the place of steps that are missing
GAPS: dict[Gap, str] = {
    "unknown": "nothing: there is no forecast until the window is whole again",
    "last": "the last value before them",
    "zero": "zero: of counts, where a step without an event sends no message",
}


def too_small(policies: object, counts: Iterable[str], seconds: Iterable[str]) -> Iterator[str]:
    """Yield which fields are too small: `counts` are at least 1, `seconds` at least 0 where they are not None."""
    for name in counts:
        if (count := getattr(policies, name)) < 1:
            yield f"{name} is {shown(count)}; expected at least 1"
    for name in seconds:
        if (value := getattr(policies, name)) is not None and value < 0:
            yield f"{name} is {shown(value)}; expected 0 or more seconds"


@dataclass(frozen=True, kw_only=True)
class Policies:
    """All options of how messages are taken.

    gap             what stands for missing steps, a key of GAPS
    longest_fill    most steps that `last` or `zero` fill in; a longer gap is unknown
    late            what becomes of a step older than the last one; one that says again what was taken is ignored
    unknown_series  of a bundle of several: a dead letter, or `pool`, the forecast for a series training never saw
    unknown_fields  what becomes of a message with other fields than those of the schema; `ignore` reads past them
    ahead_s         how far a step's time may lie after the time at which the broker got it; None is not checked
    phase_s         seconds of every step's time after a multiple of the model's step; None: those of training where the
                    model has a calendar, else those of a series' first step
    flagged         `alarms`: one record for each incident; `all`: one for each step that is flagged
    false_alarm_rate, adapt   as for `pulsecast.step`, of series that begin
    message_bytes   a longer message is a dead letter
    dead_letter_bytes  a dead letter holds so many bytes of its message at most, and says how long it was
    """

    gap: Gap = "unknown"
    longest_fill: int = 3
    late: Refused = "dead-letter"
    unknown_series: Literal["dead-letter", "pool"] = "dead-letter"
    unknown_fields: Refused = "dead-letter"
    ahead_s: int | None = DAY_S
    phase_s: int | None = None
    flagged: Literal["alarms", "all"] = "alarms"
    false_alarm_rate: float | None = None
    adapt: bool = False
    message_bytes: int = 65_536
    dead_letter_bytes: int = 500_000

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems(self._problems()):
            raise invalid([str(problems)])

    def _problems(self) -> Iterator[str]:
        yield from too_small(self, ("longest_fill", "message_bytes", "dead_letter_bytes"), ("ahead_s", "phase_s"))
        if self.false_alarm_rate is not None and not 0 < self.false_alarm_rate < 1:
            yield (
                f"false_alarm_rate is {shown(self.false_alarm_rate)}; expected a number between 0 and 1, such as 0.001"
            )


USUAL = Policies()
