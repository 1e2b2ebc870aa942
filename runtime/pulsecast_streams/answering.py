"""One message and the state of its series in; records and the next state out. Pure: the engine keeps the states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pulsecast.computing.calendars import known_times
from pulsecast.errors import InputError, TimeError
from pulsecast.forecasting.departures import Anomaly
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.living.live_series import Arrival, Begun, LiveSeries, Taken
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.forecasting.watching.promises import Promises
from pulsecast.foundation.arguments import instance, shown
from pulsecast.model.series import POOL, POOL_ROW, Pool

from .kept import Alive, Kept, KeptAsBytes
from .messages.measurement import Measurement, read_measurement, refuse_off_grid
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
    kept = KeptAsBytes(Alive(model, KeptAlive()), None, state)
    said = Answering(model, policies).said(received, kept)
    return Answer(
        forecast=said.forecast, alarms=said.alarms, dead_letter=said.dead_letter, state=kept.end(changed=said.changed)
    )  # fmt: skip


def _checked(received: Received, policies: Policies) -> None:
    """Raise UsageError unless an engine passes what the types say."""
    instance("received", received, Received)
    instance("policies", policies, Policies)
    instance("received.value", received.value, bytes)
    if received.key is not None and not isinstance(received.key, str):
        instance("received.key", received.key, bytes)


class Said(NamedTuple):
    """What follows from a message: an `Answer` without the state. `changed` says whether the series went on."""

    forecast: Record | None = None
    alarms: tuple[Record, ...] = ()
    dead_letter: Record | None = None
    changed: bool = False


class Answering:
    """Answers messages from series that are alive; what it is made of was checked."""

    def __init__(self, model: Loaded, policies: Policies) -> None:
        self.model, self.policies = model, policies
        self._manifest, self._spec = model.manifest, model.manifest.spec
        scales = zip(self._spec.measured_names, self._manifest.scaler.features, strict=False)
        self._promises = Promises(model, None)
        self._counts = tuple((i, name) for i, (name, one) in enumerate(scales) if one.transform == "log1p")

    def said(self, received: Received, kept: Kept) -> Said:
        """Return what follows from a message."""
        try:
            return self._said(read_measurement(received, self._spec, self.policies), kept)
        except RefusedError as error:
            return Said(dead_letter=dead_letter(self._manifest, received, error, self.policies.dead_letter_bytes))

    def _said(self, measured: Measurement, kept: Kept) -> Said:
        """Return what follows; raises RefusedError, and then the series is as it was."""
        series, policies = known_series(self.model, measured.series, self.policies), self.policies
        self._require_scaled(measured.values)
        begins = kept.begins
        if begins:
            self._require_grid(measured.time)
        live = kept.find(Begun(series, policies.false_alarm_rate if begins else None, True, policies.adapt))
        if policies.gap == "unknown" or begins:
            return self._stepped(live, measured, 0, ())
        return self._after_fills(live, measured)

    def _after_fills(self, live: LiveSeries, measured: Measurement) -> Said:
        fills = list(self._fills(live, measured.time))
        if not fills:
            return self._stepped(live, measured, 0, ())
        alarms: list[Record] = []
        before = live.to_bytes()
        try:
            for time, values in fills:
                found = _taken(live, values, time, sure=measured.sure)
                alarms.extend(self._alarms(measured.series, time, found.anomaly, filled=True))
            return self._stepped(live, measured, len(fills), tuple(alarms))
        except RefusedError:
            live.go_back(before)
            raise

    def _stepped(self, live: LiveSeries, measured: Measurement, filled: int, alarms: tuple[Record, ...]) -> Said:
        """Return what follows from the step itself, after some that were filled in, which raised `alarms`."""
        name, time = measured.series, measured.time
        forecast, anomaly = _taken(live, measured.values, time, sure=measured.sure)
        arrival = forecast.arrival
        if arrival in ("late", "between", "repeated"):
            again = _said_again(live, measured, self._spec.step_s)
            if not again:
                _refuse(arrival, time, self.policies)
            if not again or arrival == "late":
                return Said()
        if anomaly is not None and anomaly.anomalous:
            alarms = (*alarms, *self._alarms(name, time, anomaly, filled=False))
        outside = self._is_outside(live, measured)
        record = forecast_record(self._manifest, name, forecast, filled=filled, outside=outside)
        return Said(record, alarms, None, True)

    def _is_outside(self, live: LiveSeries, measured: Measurement) -> bool:
        table, promises = self.model.series, self._promises
        if table is not None:
            row = table.names.row(live.series) if isinstance(live.series, str) else POOL_ROW
            promises = Promises(self.model, row)
        return promises.strange(list(measured.values))

    def _require_grid(self, time: int) -> None:
        """Raise RefusedError for a first step on another grid than training's, unless a phase is stated.

        A time that the calendar does not know is refused for that.
        """
        phase_s = getattr(self.model, "phase_s", None)  # what an app loads by itself may have none
        first, last = known_times(self._spec)
        if self.policies.phase_s is None and phase_s is not None and first <= time <= last:
            refuse_off_grid(time, self._spec.step_s, phase_s)

    def _require_scaled(self, values: tuple[float, ...]) -> None:
        """Raise RefusedError for a value that the scaler does not take: one would leave a window without forecast."""
        for i, name in self._counts:
            if values[i] <= -1:
                raise RefusedError(
                    "value", f"{name} is {shown(values[i])}; this model takes numbers above -1, as of counts"
                )

    def _fills(self, live: LiveSeries, time: int) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Yield time and values of each missing step before `time` that the policy fills in."""
        step_s, before = self._spec.step_s, live.time
        if before is None or (time - before) % step_s:
            return
        if not 0 < (time - before) // step_s - 1 <= self.policies.longest_fill:
            return
        window = live.window()  # (context, measured)
        last = window[-1] if self.policies.gap == "last" else np.zeros(window.shape[1])
        for one in range(before + step_s, time, step_s):
            yield one, tuple(map(float, last))

    def _alarms(self, series: str, time: int, found: Anomaly | None, *, filled: bool) -> Iterator[Record]:
        if found is not None and (found.alarm or (found.anomalous and self.policies.flagged == "all")):
            yield alarm_record(self._manifest, series, time, found, filled=filled)


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


def _taken(live: LiveSeries, values: tuple[float, ...], time: int, *, sure: bool) -> Taken:
    """Return what follows from a step; raises RefusedError if the message is at fault."""
    try:
        return live.take(values[0] if len(values) == 1 else values, time, sure=sure)
    except TimeError as error:
        raise RefusedError("time", str(error)) from None
    except InputError as error:
        raise RefusedError("value", str(error)) from None


def _said_again(live: LiveSeries, measured: Measurement, step_s: int) -> bool:
    """Return whether the window holds the same values at that time already: the message was delivered again."""
    if live.time is None or (live.time - measured.time) % step_s:
        return False
    window = live.window()  # (context, measured)
    ago = (live.time - measured.time) // step_s
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
