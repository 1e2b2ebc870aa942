"""How events become steps, and how long a step waits for events that come late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pulsecast.foundation.arguments import invalid, require_types
from pulsecast.model.spec import DAY_S
from pulsecast.plain_text import Problems

from ..policies import too_small

Of = Literal["events", "sum", "mean"]
# what a step's value is -> what it is where no event came
OF: dict[Of, float | None] = {"events": 0.0, "sum": 0.0, "mean": None}


@dataclass(frozen=True, kw_only=True)
class EventPolicies:
    """All options of how events are counted; the same as those that the model was trained with.

    step_s      seconds of a step, as the model's
    of          `events` counts them; `sum` adds up their values; `mean` averages these (`train --kind gauge`)
    lateness_s  a step is complete when an event comes that is so much later than its end. An event of a step that was
                said is refused
    silent_steps  steps without an event that are said after the last one; then the series is silent: a clock completes
                no more of its steps, and its next event begins it anew, which a forecast says as a gap
    ahead_s     how far an event's time may lie after the time at which the broker got it; None is not checked
    message_bytes, dead_letter_bytes   as of `Policies`
    """

    step_s: int
    of: Of = "events"
    lateness_s: int = 0
    silent_steps: int = 2000
    ahead_s: int | None = DAY_S
    message_bytes: int = 65_536
    dead_letter_bytes: int = 500_000

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems(self._problems()):
            raise invalid([str(problems)])

    def _problems(self) -> Iterator[str]:
        return too_small(
            self, ("step_s", "silent_steps", "message_bytes", "dead_letter_bytes"), ("lateness_s", "ahead_s")
        )
