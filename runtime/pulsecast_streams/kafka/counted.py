"""Events in a Quix application: steps and their answers, completed by events and by the ticks of a clock.

Each partition has a list of its series that are not silent, in the same store as their states: a tick looks at these.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pulsecast.forecasting.streaming import Loaded

from ..events.policies import EventPolicies
from ..following import Answers, answer_clock, answer_event, clock_due_s
from ..messages.received import Received
from ..policies import Policies
from .unwritten import STATE

if TYPE_CHECKING:
    from quixstreams.state import State

MOST_STEPS = 5_000  # that one tick completes; the next one goes on
_LISTS = 64
_PREFIX = b"\xffpulsecast"  # of the lists: not UTF-8, so that no series is called so

Of = Callable[[bytes], "State"]  # the part of the store that belongs to a key


class Counted:
    """Takes the events of a partition, and its ticks. Not for several threads.

    of  in each call: the stores of that partition
    """

    def __init__(self, model: Loaded, events: EventPolicies, policies: Policies) -> None:
        self._model, self._events, self._policies = model, events, policies
        # (partition, series) -> when a tick has something to say; too early is harmless, and it never moves back
        self._due: dict[tuple[int, str], int] = {}

    def event(self, received: Received, partition: int, of: Of) -> Answers:
        """Return what follows from an event."""
        key = received.key if isinstance(received.key, bytes) else b""
        state = of(key) if key else None
        kept = None if state is None else state.get_bytes(STATE)
        found = answer_event(self._model, received, kept, events=self._events, policies=self._policies)
        if state is not None and found.state is not None and found.state != kept:
            state.set_bytes(STATE, found.state)
            if kept is None or clock_due_s(kept, events=self._events) is None:
                _listed(of, key.decode(), present=True)
                self._due.pop((partition, key.decode()), None)
        return found

    def tick(self, time_s: int, partition: int, of: Of) -> Iterator[Answers]:
        """Yield what is complete at `time_s` of each series of the partition, MOST_STEPS at most."""
        steps = 0
        for series in list(_all(of)):
            while self._due.get((partition, series), 0) <= time_s:
                if steps >= MOST_STEPS:
                    return
                found = self._ticked(time_s, partition, series, of)
                if found is None:
                    break
                steps += len(found.answers)
                yield found

    def _ticked(self, time_s: int, partition: int, series: str, of: Of) -> Answers | None:
        """Return what is complete of a series now; None if nothing is, or it is silent."""
        state = of(series.encode())
        kept = state.get_bytes(STATE)
        due = None if kept is None else clock_due_s(kept, events=self._events)
        if kept is None or due is None:
            _listed(of, series, present=False)
            self._due.pop((partition, series), None)
            return None
        self._due[partition, series] = due
        if due > time_s:
            return None
        found = answer_clock(self._model, kept, time_s, events=self._events, policies=self._policies)
        if found.state == kept or found.state is None:
            return None
        state.set_bytes(STATE, found.state)
        return found


def _list_of(series: str) -> str:
    return f"series {zlib.crc32(series.encode()) % _LISTS}"


def _names(of: Of, where: str) -> list[str]:
    data = of(_PREFIX).get_bytes(where)
    return [] if data is None else list(json.loads(data))


def _all(of: Of) -> Iterator[str]:
    for number in range(_LISTS):
        yield from _names(of, f"series {number}")


def _listed(of: Of, series: str, *, present: bool) -> None:
    where = _list_of(series)
    names = [name for name in _names(of, where) if name != series]
    names += [series] if present else []
    of(_PREFIX).set_bytes(where, json.dumps(names).encode())


def recorded(found: Answers) -> Mapping[str, Any]:
    """Return the records of all steps, by where they go."""
    said = [one.answer for one in found.answers]
    letters = [found.dead_letter, *(one.dead_letter for one in said)]
    return {
        "forecasts": [one.forecast for one in said if one.forecast is not None],
        "alarms": [alarm for one in said for alarm in one.alarms],
        "dead_letters": [one for one in letters if one is not None],
    }
