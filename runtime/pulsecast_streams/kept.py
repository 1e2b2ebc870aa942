"""What an engine keeps of the series of one message, and the series that goes on from it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Protocol

from pulsecast.errors import UsageError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.living.live_series import Begun, LiveSeries
from pulsecast.forecasting.stream_state import read_state, write_state
from pulsecast.forecasting.streaming import Loaded
from pulsecast.model.series import Pool


class Kept(Protocol):
    """What an engine keeps of the series of one message."""

    @property
    def begins(self) -> bool:
        """Whether it keeps nothing yet."""

    def find(self, begun: Begun) -> LiveSeries:
        """Return the series as the state has it; raises what `LiveSeries` does.

        It is called at most once, when the message is known to be one of the model's.
        """


class Alive:
    """The series of a process that are alive between two messages, all of one model."""

    def __init__(self, model: Loaded, kept: KeptAlive) -> None:
        self.model, self.kept = model, kept

    def find(self, key: Hashable, state: bytes | None, begun: Begun) -> LiveSeries:
        """Return the series that a state is of, or one that begins: None. Raises what `LiveSeries` does.

        A new version of a bundle may hold a series that the old one took for the pool, and the other way round.
        """
        try:
            return self.kept.take(key, self.model, state, begun)
        except UsageError:
            state = _renamed(state, begun.series)
            if state is None:
                raise
        return self.kept.take(key, self.model, state, begun)


class KeptAsBytes:
    """The state of a series as its bytes, None while it has none; `state` has the next one after `end`."""

    def __init__(self, alive: Alive, key: Hashable, state: bytes | None) -> None:
        self._alive, self._key = alive, key
        self.state = state
        self.begins = state is None
        self._live: LiveSeries | None = None

    def find(self, begun: Begun) -> LiveSeries:
        """Return the series; raises what `LiveSeries` does."""
        self._live = self._alive.find(self._key, self.state, begun)
        return self._live

    def end(self, *, changed: bool) -> bytes | None:
        """Return the state to keep; the series stays alive beside it."""
        if self._live is None:
            return self.state
        if changed:
            self.state = self._live.to_bytes()
        if self.state is not None:
            self._alive.kept.keep(self._key, self.state, self._live)
        return self.state


def _renamed(state: bytes | None, series: object) -> bytes | None:
    """Return a state that was begun as another series of the bundle, or its pool, for `series`; None if it was not."""
    found = None if state is None else read_state(state)
    if found is None or found.stream.series is None or found.stream.series == (series,):
        return None
    if not isinstance(series, str | Pool):
        return None
    return write_state(replace(found.stream, series=(series,)), found.detector, found.sections)
