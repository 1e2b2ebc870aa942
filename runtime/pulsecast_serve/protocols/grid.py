"""The grid of a series: how many seconds after a multiple of the model's step each of its steps comes.

A model with a calendar learnt one. A series on another one gives plausible numbers, such as those of hours that are
named by their middle, so it is refused until the request says which grid is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulsecast.foundation.arguments import shown

from ..refusal import BAD_REQUEST, RefusedError

PHASE = "phase_seconds"  # of a request


def stated_phase(given: Mapping[str, Any], step_s: int) -> int | None:
    """Return the phase that a request states, None without one; raises RefusedError (400)."""
    phase = given.get(PHASE)
    if phase is None or (type(phase) is int and 0 <= phase < step_s):
        return phase
    raise RefusedError(
        BAD_REQUEST, f"{PHASE} is {shown(phase)}; expected whole seconds from 0 to {step_s - 1:,}", param=PHASE
    )


def refuse_off_grid(name: str, time: int, step_s: int, *, stated: int | None, trained: int | None) -> None:
    """Raise RefusedError (400) unless `time`, called `name`, is on the grid that is stated, else on training's.

    Both are seconds after a multiple of the step; nothing is refused where neither is known.
    """
    expected = trained if stated is None else stated
    if expected is None or time % step_s == expected:
        return
    found = f"{name} is {time % step_s:,} s after a whole step of {step_s:,} s"
    if stated is not None:
        raise RefusedError(BAD_REQUEST, f"{found}; {PHASE} says {stated:,}: correct one of the two", param=name)
    raise RefusedError(
        BAD_REQUEST,
        f"{found}; this model was trained on steps {expected:,} s after one: correct the time, or send "
        f'"{PHASE}": {time % step_s} if the series comes so',
        param=name,
    )
