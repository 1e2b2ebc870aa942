"""One message and the state of its series in; records and the next state out. Pure: the engine keeps the states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pulsecast.errors import InputError, TimeError, UsageError
from pulsecast.forecasting.departures import Anomaly
from pulsecast.forecasting.stepping import Arrival, Stepped, step
from pulsecast.forecasting.stream_state import read_state, require_loaded, write_state
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown
from pulsecast.model.series import POOL, Pool

from .messages.measurement import Measurement, read_measurement
from .messages.received import Received
from .messages.records import Record, alarm_record, dead_letter, forecast_record
from .policies import USUAL, Policies
from .refusal import RefusedError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What follows from a message.

    forecast     None for a dead letter, and for a step that only says again what was taken before a later one
    alarms       none, or those of this step; of steps that a policy filled in, too
    dead_letter  why the message was refused; the state is then the old one
    state        to keep for the series; None while it has none
    """

    forecast: Record | None = None
    alarms: tuple[Record, ...] = ()
    dead_letter: Record | None = None
    state: bytes | None


def answer(model: Loaded, received: Received, state: bytes | None = None, *, policies: Policies = USUAL) -> Answer:
    """Return what follows from one message; the same arguments always give the same answer.

    model     what `pulsecast.load` returned
    received  the message; a fault of it gives a dead letter, never an error
    state     what the last answer of this series had; None begins it. That of another model is carried over

    Raises FormatError (a damaged state) and UsageError (the state of a model with other columns or another step): these
    are no fault of the message, and an engine stops with them.
    """
    require_loaded(model)
    _checked(received, policies)
    try:
        return _answered(_Turn(model, state, policies), read_measurement(received, model.manifest.spec, policies))
    except RefusedError as error:
        letter = dead_letter(model.manifest, received, error, policies.dead_letter_bytes)
        return Answer(dead_letter=letter, state=state)


def _checked(received: Received, policies: Policies) -> None:
    """Raise UsageError unless an engine passes what the types say."""
    instance("received", received, Received)
    instance("policies", policies, Policies)
    instance("received.value", received.value, bytes)
    if received.key is not None and not isinstance(received.key, str):
        instance("received.key", received.key, bytes)


class _Turn(NamedTuple):
    model: Loaded
    state: bytes | None
    policies: Policies


def _answered(turn: _Turn, measured: Measurement) -> Answer:
    """Return the answer; raises RefusedError."""
    model, name, time = turn.model, measured.series, measured.time
    series = known_series(model, name, turn.policies)
    _require_scaled(model, measured.values)
    alarms: list[Record] = []
    filling, filled = turn, 0
    for missing, values in _fills(turn, time):
        made = _stepped(filling, series, values, missing)
        filling, filled = filling._replace(state=made.state), filled + 1
        alarms.extend(_alarms(turn, name, missing, made.anomaly, filled=True))
    found = _stepped(filling, series, measured.values, time)
    arrival = found.forecast.arrival
    if arrival in ("late", "between", "repeated"):
        again = _said_again(found.state, measured, model.manifest.spec.step_s)
        if not again:
            _refuse(arrival, time, turn.policies)
        if not again or arrival == "late":
            return Answer(state=turn.state)
    alarms.extend(_alarms(turn, name, time, found.anomaly, filled=False))
    record = forecast_record(model.manifest, name, found.forecast, filled)
    return Answer(forecast=record, alarms=tuple(alarms), state=found.state)


def known_series(model: Loaded, name: str, policies: Policies) -> str | Pool | None:
    """Return what `step` takes for the series; raises RefusedError if the bundle does not know it."""
    if model.series is None:
        return None
    if model.series.names.knows(name):
        return name
    if policies.unknown_series == "pool":
        return POOL
    raise RefusedError(
        "series", f"no series {shown(name)} in the bundle {model.manifest.name}; the key is one of its names, or "
        "unknown_series is pool"
    )  # fmt: skip


def _require_scaled(model: Loaded, values: tuple[float, ...]) -> None:
    """Raise RefusedError for a value that the scaler does not take: one would leave a whole window without forecast."""
    for name, scale, value in zip(
        model.manifest.spec.measured_names, model.manifest.scaler.features, values, strict=False
    ):
        if scale.transform == "log1p" and value <= -1:
            raise RefusedError("value", f"{name} is {shown(value)}; this model takes numbers above -1, as of counts")


def _stepped(turn: _Turn, series: str | Pool | None, values: tuple[float, ...], time: int) -> Stepped:
    """Return what `pulsecast.step` does; raises RefusedError if the message is at fault."""
    rate = turn.policies.false_alarm_rate if turn.state is None else None
    adapt = turn.policies.adapt
    try:
        try:
            return step(
                turn.model, turn.state, values, time,
                series=series, carry_over=True, adapt=adapt, false_alarm_rate=rate,
            )  # fmt: skip
        except UsageError:
            state = _renamed(turn.state, series)
            if state is None:
                raise
        return step(turn.model, state, values, time, series=series, carry_over=True, adapt=adapt)
    except TimeError as error:
        raise RefusedError("time", str(error)) from None
    except InputError as error:
        raise RefusedError("value", str(error)) from None


def _renamed(state: bytes | None, series: str | Pool | None) -> bytes | None:
    """Return a state that was begun as another series of the bundle, or its pool, for `series`; None if it was not.

    A new version of a bundle may hold a series that the old one took for the pool, and the other way round.
    """
    found = None if state is None else read_state(state)
    if found is None or found.stream.series is None or series is None or found.stream.series == (series,):
        return None
    return write_state(replace(found.stream, series=(series,)), found.detector, found.sections)


def _fills(turn: _Turn, time: int) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Yield time and values of each missing step before `time` that the policy fills in."""
    if turn.policies.gap == "unknown" or turn.state is None:
        return
    stream, step_s = read_state(turn.state).stream, turn.model.manifest.spec.step_s
    if stream.time is None or (time - stream.time) % step_s:
        return
    if not 0 < (time - stream.time) // step_s - 1 <= turn.policies.longest_fill:
        return
    last = stream.window[0, -1] if turn.policies.gap == "last" else np.zeros(stream.window.shape[2])
    for one in range(stream.time + step_s, time, step_s):
        yield one, tuple(map(float, last))


def _said_again(state: bytes, measured: Measurement, step_s: int) -> bool:
    """Return whether the window holds the same values at that time already: the message was delivered again."""
    stream = read_state(state).stream
    if stream.time is None or (stream.time - measured.time) % step_s:
        return False
    window = stream.window[0]  # (context, measured)
    ago = (stream.time - measured.time) // step_s
    values = np.array(measured.values, np.float32)
    return ago < len(window) and np.array_equal(window[-1 - ago], values, equal_nan=True)


def _refuse(arrival: Arrival, time: int, policies: Policies) -> None:
    """Raise RefusedError for a step that changes nothing, unless the policy ignores it."""
    if arrival == "between":
        raise RefusedError("grid", f"time {time} lies between two steps of its series; expected one of its grid")
    if policies.late == "ignore":
        return
    if arrival == "repeated":
        raise RefusedError("conflict", f"the step at {time} came before with another value; the first one stands")
    raise RefusedError("late", f"the step at {time} comes after a later one was taken; it changes nothing any more")


def _alarms(turn: _Turn, series: str, time: int, found: Anomaly | None, *, filled: bool) -> Iterator[Record]:
    if found is not None and (found.alarm or (found.anomalous and turn.policies.flagged == "all")):
        yield alarm_record(turn.model.manifest, series, time, found, filled=filled)
