"""States that are written when a checkpoint is committed, not at every message: until then their series stay alive.

A transaction of the engine holds a mark in the place of the state. So only the transaction leads to the series: if it
is aborted, or its partition goes to another process, the mark goes with it, and the next message begins from the bytes
that are committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pulsecast.forecasting.living.kept_alive import MOST_ALIVE, KeptAlive
from pulsecast.forecasting.living.live_series import Begun, LiveSeries
from pulsecast.forecasting.streaming import Loaded

from ..kept import Alive
from .engine import quix

if TYPE_CHECKING:
    from quixstreams.sinks.base import BaseSink
    from quixstreams.state import State

STATE = "pulsecast"  # under which a series' state is kept


class Mark(bytes):
    """Stands in a transaction for the state of a series that is alive; its own bytes are not a state, and are refused.

    Raises FormatError where it is read as one: a mark was committed.
    """

    live: LiveSeries

    def __new__(cls, live: LiveSeries) -> Mark:
        made = super().__new__(cls, b"a state that was not written")
        made.live = live
        return made


class _Open(NamedTuple):
    """A mark, the key of its messages, and the state of the engine that holds it."""

    mark: Mark
    key: bytes
    state: State


class KeptInTransaction:
    """What a transaction keeps of the series of one message: a mark, or the bytes of its state."""

    def __init__(self, unwritten: Unwritten, key: bytes, state: State) -> None:
        self._unwritten, self._key, self._state = unwritten, key, state
        self._kept: bytes | None = None
        self._live: LiveSeries | None = None  # unless its mark stands there

    @property
    def begins(self) -> bool:
        """Whether the series has no state yet."""
        self._kept = self._state.get_bytes(STATE)
        return self._kept is None

    def find(self, begun: Begun) -> LiveSeries:
        """Return the series; raises what `LiveSeries` does."""
        if type(self._kept) is Mark:
            live = self._kept.live
            if live.model is self._unwritten.alive.model:
                live.require(begun)
                return live
            self._kept = live.to_bytes()  # another model of the application goes on with the same state
        self._live = self._unwritten.alive.find(self._key, self._kept, begun)
        return self._live

    def end(self, *, changed: bool) -> None:
        """Note that the series went on, or that it is as it was."""
        if self._live is None:
            return
        if changed:
            self._unwritten.note(self._key, self._state, self._live)
        elif self._kept is not None:
            self._unwritten.alive.kept.keep(self._key, self._kept, self._live)


class Unwritten:
    """The series of the transactions that are open. Not for several threads."""

    def __init__(self, model: Loaded, most: int = MOST_ALIVE) -> None:
        """Leave at most `most` states unwritten, and keep as many series alive after they were written."""
        self.alive = Alive(model, KeptAlive(most))
        self._most = most
        self._open: list[_Open] = []

    def note(self, key: bytes, state: State, live: LiveSeries) -> None:
        """Put a mark into the transaction; the state itself, where the engine does not give the mark back."""
        mark = Mark(live)
        state.set_bytes(STATE, mark)
        if state.get_bytes(STATE) is not mark:
            state.set_bytes(STATE, live.to_bytes())
            return
        self._open.append(_Open(mark, key, state))
        if len(self._open) >= self._most:
            self.write()

    def write(self) -> None:
        """Put the states in the place of their marks, where these stand still."""
        written, self._open = self._open, []
        for mark, key, state in written:
            if state.get_bytes(STATE) is not mark:
                continue
            data = mark.live.to_bytes()
            state.set_bytes(STATE, data)
            self.alive.kept.keep(key, data, mark.live)

    def forget(self) -> None:
        """Drop the marks of a transaction that ends without a commit."""
        self._open = []


def before_commit(unwritten: Unwritten) -> BaseSink:
    """Return a sink that takes nothing: the engine tells sinks of a commit before it reads the states."""
    base: Any = quix().sinks.base.BaseSink

    class Sink(base):  # type: ignore[misc]
        def add(self, *_: object, **__: object) -> None:
            pass

        def flush(self) -> None:
            unwritten.write()

        def on_paused(self) -> None:
            unwritten.forget()

    made: BaseSink = Sink()
    return made
