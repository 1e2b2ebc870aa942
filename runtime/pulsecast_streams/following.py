"""One event, or the clock, and the state of its series in; the records of all steps that are complete out. Pure.

The state holds what is counted and what the model keeps, so that an engine keeps both or neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pulsecast.errors import FormatError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, whole_number

from .answering import Answer, answer, known_series
from .events.counting import Counted, count, due_s, tick
from .events.policies import EventPolicies
from .events.trained import require_fits
from .messages.measurement import named_series, read_measurement, series_of
from .messages.received import Received
from .messages.records import Record, dead_letter, of_model
from .policies import USUAL, Policies
from .refusal import RefusedError

AT_ONCE = 200  # steps of one series that a clock completes in one call; the next call goes on
_MAGIC = b"PCLV\x01"  # and the number of the format
_LENGTH_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class StepAnswer:
    """A step that was taken: {"series", "time", "value"} (`values` of several columns), and what was answered to it."""

    step: Record
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What follows from an event: of each step that is complete what `Answer` says, in order of time.

    answers       of steps, each with its measured value; none while the step of the event is open
    dead_letter   why the event was refused; the state is then the old one
    state         to keep for the series; None while it has none
    """

    answers: tuple[StepAnswer, ...] = ()
    dead_letter: Record | None = None
    state: bytes | None


Heard = Callable[[StepAnswer], None]
Started = Callable[[str], None]  # called with a sentence once messages may come


def silent(said: str) -> None:
    """Say nothing: what `started` is unless a caller names it."""
    del said


def answer_event(
    model: Loaded, received: Received, state: bytes | None = None, *, events: EventPolicies, policies: Policies = USUAL
) -> Answers:
    """Return what follows from one event; the same arguments always give the same answers.

    model     what `pulsecast.load` returned; its step is that of `events`
    received  {"time", "value", "id"} as `count` takes it; a fault of it gives a dead letter, never an error
    state     what the last answers of this series had; None begins it

    Raises as `answer` and `count` do.
    """
    require_loaded(model)
    require_fits(model, events)
    instance("received", received, Received)
    instance("policies", policies, Policies)
    counting, kept = _split(state)
    try:
        _require_known(model, received, events, policies)
        counted = count(received, counting, policies=events)
    except RefusedError as error:
        letter = dead_letter(model.manifest, received, error, policies.dead_letter_bytes)
        return Answers(dead_letter=letter, state=state)
    if counted.dead_letter is not None:
        return Answers(dead_letter={**counted.dead_letter, **of_model(model.manifest)}, state=state)
    return _answers(model, counted, kept, policies, received)


def answer_clock(
    model: Loaded, state: bytes, time: Any, *, events: EventPolicies, policies: Policies = USUAL
) -> Answers:
    """Return what follows from the clock: steps that are complete at unix seconds `time`, 200 of them at most.

    A series that is silent for longer than `events.silent_steps` completes no more steps. Raises as `answer_event`.
    """
    require_loaded(model)
    require_fits(model, events)
    instance("policies", policies, Policies)
    counting, kept = _split(state)
    now = whole_number("time", time, least=0)
    due = None if counting is None else due_s(counting, policies=events)
    if counting is None or due is None or due > now:
        return Answers(state=state)
    counted = tick(counting, min(now, due + (AT_ONCE - 1) * events.step_s), policies=events)
    return _answers(model, counted, kept, policies, Received(value=b"", source={"clock": now}))


def clock_due_s(state: bytes, *, events: EventPolicies) -> int | None:
    """Return the unix second from which `answer_clock` has something to say; None for a series that is silent."""
    counting, _ = _split(state)
    return None if counting is None else due_s(counting, policies=events)


def _require_known(model: Loaded, received: Received, events: EventPolicies, policies: Policies) -> None:
    """Raise RefusedError for a series that the bundle does not know: its events would be counted for nothing."""
    name = series_of(received, replace(policies, message_bytes=events.message_bytes))
    if name is not None:
        known_series(model, named_series(name, None), policies)


def _answers(model: Loaded, counted: Counted, kept: bytes | None, policies: Policies, received: Received) -> Answers:
    found: list[StepAnswer] = []
    for one in counted.steps:
        message = replace(received, key=None, value=json.dumps(one).encode())
        said = answer(model, message, kept, policies=policies)
        kept = said.state
        found.append(StepAnswer(step=one, answer=said))
    return Answers(answers=tuple(found), state=_joined(counted.state or b"", kept))


def _joined(counting: bytes, kept: bytes | None) -> bytes:
    return b"".join((_MAGIC, len(counting).to_bytes(_LENGTH_BYTES, "big"), counting, kept or b""))


def _split(state: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Return the state of counting and that of the model; raises FormatError."""
    if state is None:
        return None, None
    instance("state", state, bytes)
    begin = len(_MAGIC) + _LENGTH_BYTES
    end = begin + int.from_bytes(state[len(_MAGIC) : begin], "big")
    if state[: len(_MAGIC)] != _MAGIC or len(state) < end:
        raise FormatError(
            "the state is damaged, or of a stream that takes steps and not events; begin again with another store"
        )
    return state[begin:end], state[end:] or None


def measured_step(model: Loaded, received: Received, found: Answer, policies: Policies) -> StepAnswer | None:
    """Return what a message measured, beside what was answered to it; None if it was not taken."""
    if found.forecast is None:
        return None
    one = read_measurement(received, model.manifest.spec, policies)
    values = [None if math.isnan(value) else value for value in one.values]
    said: Record = {"value": values[0]} if len(values) == 1 else {"values": values}
    return StepAnswer(step={"series": one.series, "time": one.time, **said}, answer=found)
