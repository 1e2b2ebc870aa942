"""One event and the state of its series in; the steps that are complete and the next state out. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pulsecast.errors import FormatError, UsageError
from pulsecast.forecasting.living.live_series import LONGEST_GAP_S
from pulsecast.foundation.arguments import instance, shown, whole_number
from pulsecast.limits import GAP_STEPS, STEP_EVENTS

from ..messages.received import Received
from ..messages.records import Record, refused_message
from ..messages.times import LATEST_S
from ..refusal import RefusedError
from .event import IDENTITY_BYTES, MICROS, Event, read_event
from .policies import OF, EventPolicies
from .state import CROWDED, Counting, OpenStep, counting_of, written_state
from .sums import added, total

EDGE_TOLERANCE = 0.01  # the first step is said if at most this share of it lies before the first event
_WEEK_S = 604_800
_MONDAY_S = 4 * 86_400  # unix time began on a Thursday; weeks begin on Monday


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What follows from an event.

    steps        messages for `answer`, in order of time: {"series", "time", "value"}; `time` is a step's beginning
    dead_letter  why the event was refused; the state is then the old one
    state        to keep for the series; None while it has none
    """

    steps: tuple[Record, ...] = ()
    dead_letter: Record | None = None
    state: bytes | None


def count(received: Received, state: bytes | None = None, *, policies: EventPolicies) -> Counted:
    """Return what follows from one event of one series: like, share, with a time and perhaps a number and an id.

    received  {"time", "value", "id"}; a fault of it gives a dead letter, never an error
    state     what the last one of this series had; None begins it
    policies  as the model was trained: its step, and what is counted

    The steps are those of `train --events` on the same events, in whatever order they come within the lateness. A step
    is said once. An event that comes twice is counted once if it has an id; a step with more than STEP_EVENTS of these
    is missing. Raises FormatError (a damaged state) and
    UsageError (a state of other options).
    """
    instance("received", received, Received)
    instance("received.value", received.value, bytes)
    instance("policies", policies, EventPolicies)
    if received.key is not None and not isinstance(received.key, str):
        instance("received.key", received.key, bytes)
    kept = None if state is None else _state(state, policies)
    try:
        event = read_event(received, policies)
        if kept is not None and kept.series != event.series:
            raise UsageError(f"the state is of the series {shown(kept.series)}, the event of {shown(event.series)}")
        if kept is not None and _start_s(event.time_us, policies.step_s) > _silent_s(kept, policies):
            return _anew(kept, event, policies)
        following = _begun(event, policies) if kept is None else _taken(kept, event, policies)
    except RefusedError as error:
        return Counted(dead_letter=refused_message(received, error, policies.dead_letter_bytes), state=state)
    return _said(following, policies)


def tick(state: bytes, time: Any, *, policies: EventPolicies) -> Counted:
    """Return the steps that are complete at `time` in unix seconds: where no event comes, a clock says that it is late.

    A series lags as far behind the clock as its latest event did when the broker got it: a log that is sent again is
    not cut short.

    However long ago the last event was, no step is said that comes more than `silent_steps` after it.

    Raises as `count` does, and UsageError for a time beyond the year 9999, as milliseconds are.
    """
    instance("state", state, bytes)
    instance("policies", policies, EventPolicies)
    kept, time_us = _state(state, policies), whole_number("time", time, least=0) * MICROS
    if time_us > LATEST_S * MICROS:
        raise UsageError(f"time is {shown(time)}; expected unix seconds")
    silent_us = (_silent_s(kept, policies) + policies.step_s + policies.lateness_s) * MICROS
    now_us = min(time_us - kept.delay_us, silent_us)  # nothing is said after it, and the state must not wait for it
    return _said(replace(kept, latest_us=max(kept.latest_us, now_us)), policies)


def due_s(state: bytes, *, policies: EventPolicies) -> int | None:
    """Return the unix second at which the next step is complete if no event comes; None if the series is silent."""
    kept = _state(state, policies)
    silent = kept.next_s >= _silent_s(kept, policies)
    return None if silent else kept.next_s + kept.step_s + policies.lateness_s + -(-kept.delay_us // MICROS)


def _silent_s(kept: Counting, policies: EventPolicies) -> int:
    """Return the end of the steps that are said after the latest event."""
    return _start_s(kept.heard_us, policies.step_s) + (1 + policies.silent_steps) * policies.step_s


def _state(data: bytes, policies: EventPolicies) -> Counting:
    instance("state", data, bytes)
    kept = counting_of(data)
    if (kept.step_s, kept.of) != (policies.step_s, policies.of):
        raise UsageError(
            f"the state was begun with step_s={kept.step_s} and of={kept.of!r}, not {policies.step_s} and "
            f"{policies.of!r}; begin again with state=None"
        )
    waiting_us = kept.latest_us - kept.next_s * MICROS - (policies.lateness_s + policies.step_s) * MICROS
    if waiting_us > _longest_gap_us(policies):  # its checksum was written, too
        raise FormatError(
            "the state of counted events has a step that cannot wait any more; begin again with state=None"
        )
    return kept


def _longest_gap_us(policies: EventPolicies) -> int:
    """Return how far the clock may move at once: each step of the gap is said."""
    return min(LONGEST_GAP_S, GAP_STEPS * policies.step_s) * MICROS


def _start_s(time_us: int, step_s: int) -> int:
    """Return the beginning of the step in which a time falls, in unix seconds: a multiple of the step."""
    origin = _MONDAY_S if step_s % _WEEK_S == 0 else 0
    return (time_us - origin * MICROS) // (step_s * MICROS) * step_s + origin


def _complete_s(latest_us: int, policies: EventPolicies) -> int:
    """Return the end of what is complete: steps before it take no event any more."""
    return _start_s(latest_us - policies.lateness_s * MICROS, policies.step_s)


def _begun(event: Event, policies: EventPolicies) -> Counting:
    start = _start_s(event.time_us, policies.step_s)
    return Counting(
        series=event.series, step_s=policies.step_s, of=policies.of, latest_us=event.time_us, next_s=start,
        first_us=event.time_us, heard_us=event.time_us, delay_us=event.delay_us,
        steps={start: _with(OpenStep(), event)},
    )  # fmt: skip


def _anew(kept: Counting, event: Event, policies: EventPolicies) -> Counted:
    """Return the last steps before a series fell silent, and the state that begins with the event.

    Its first step is whole: nothing came before the event.
    """
    if not event.sure:
        _refuse_far(kept, event, LONGEST_GAP_S * MICROS)  # longer than the model takes, too
    end_us = (_silent_s(kept, policies) + policies.lateness_s) * MICROS
    before = _said(replace(kept, latest_us=max(event.time_us, end_us)), policies)
    return Counted(steps=before.steps, state=written_state(replace(_begun(event, policies), first_us=None)))


def _taken(kept: Counting, event: Event, policies: EventPolicies) -> Counting:
    """Return the state with an event; raises RefusedError."""
    start = _start_s(event.time_us, policies.step_s)
    if start < (kept.next_s if kept.first_us is None else _complete_s(kept.latest_us, policies)):
        raise RefusedError(
            "late",
            f"the event is {(kept.latest_us - event.time_us) / MICROS:,.0f} s older than the latest one, and its step "
            f"was said; a step waits {policies.lateness_s:,} s after its end (lateness_s)",
        )
    _refuse_far(kept, event, _longest_gap_us(policies))
    if event.identity is not None:
        if _is_copy(kept, event.identity):
            return kept
        if sum(len(one.identities) for one in kept.steps.values()) >= STEP_EVENTS * IDENTITY_BYTES:
            kept = _crowded(kept)
    if kept.first_us is not None:
        kept = replace(kept, first_us=min(kept.first_us, event.time_us), next_s=min(kept.next_s, start))
    steps = {**kept.steps, start: _with(kept.steps.get(start, OpenStep()), event)}
    kept = replace(kept, latest_us=max(kept.latest_us, event.time_us), steps=steps)
    if event.time_us < kept.heard_us:
        return kept
    return replace(kept, heard_us=event.time_us, delay_us=event.delay_us)


def _refuse_far(kept: Counting, event: Event, most_us: int) -> None:
    """Raise RefusedError for an event that comes more than `most_us` after the last one."""
    if event.time_us - kept.latest_us > most_us:
        raise RefusedError(
            "time",
            f"the event comes more than a year, or {GAP_STEPS:,} steps, after the last one; correct its time, or begin "
            "again",
        )


def _crowded(kept: Counting) -> Counting:
    """Return the state without the ids of its steps, whose values are missing then: a copy is not seen any more."""
    steps = {start: OpenStep(events=one.events, present=CROWDED) for start, one in kept.steps.items() if one.identities}
    return replace(kept, steps={**kept.steps, **steps})


def _is_copy(kept: Counting, identity: bytes) -> bool:
    """Return whether the event was counted before; raises RefusedError if its id came with another time or value."""
    half = IDENTITY_BYTES // 2
    for one in kept.steps.values():
        at = _place(one.identities, identity[:half])
        if at >= 0 and one.identities[at + half : at + IDENTITY_BYTES] == identity[half:]:
            return True
        if at >= 0:
            raise RefusedError(
                "conflict", "an event with the same id came before with another time or value; the first one stands"
            )
    return False


def _place(identities: bytes, name: bytes) -> int:
    """Return where the identity begins whose id is `name`, -1 if there is none: `find` takes a hundredth of a loop."""
    at = identities.find(name)
    while at % IDENTITY_BYTES and at >= 0:
        at = identities.find(name, at + 1)
    return at


def _with(step: OpenStep, event: Event) -> OpenStep:
    if step.present == CROWDED:
        return replace(step, events=step.events + 1)
    has = not math.isnan(event.value)
    return OpenStep(
        events=step.events + 1,
        present=step.present + has,
        parts=added(step.parts, event.value) if has else step.parts,
        identities=step.identities + (event.identity or b""),
    )


def _said(state: Counting, policies: EventPolicies) -> Counted:
    """Return the steps that are complete, and the state without them."""
    complete_s = min(_complete_s(state.latest_us, policies), _silent_s(state, policies))
    if complete_s <= state.next_s:
        return Counted(state=written_state(state))
    steps = tuple(_records(state, complete_s))
    kept = {start: one for start, one in state.steps.items() if start >= complete_s}
    return Counted(steps=steps, state=written_state(replace(state, next_s=complete_s, first_us=None, steps=kept)))


def _records(state: Counting, complete_s: int) -> Iterator[Record]:
    """Yield complete steps; the first one only if the series had begun with it."""
    begin_s = state.next_s
    if state.first_us is not None and state.first_us - begin_s * MICROS > EDGE_TOLERANCE * state.step_s * MICROS:
        begin_s += state.step_s
    for start in range(begin_s, complete_s, state.step_s):
        yield {"series": state.series, "time": start, "value": _value(state, start)}


def _value(state: Counting, start_s: int) -> float | None:
    """Return a step's value; None if it is missing: events came, and none has a value, or too many have an id."""
    step = state.steps.get(start_s)
    if step is None:
        return OF[state.of]
    if step.present in (0, CROWDED):
        return None
    return total(step.parts) / (step.present if state.of == "mean" else 1)
