"""The last steps of each series in memory, and who waits for the next one.

A step is kept once for all who watch. One who reads slowly gets what is still kept, and sees the others as a gap.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..refusal import TOO_MANY, RefusedError
from ..streams.kept import Key

STEPS = 400  # that are kept of a series
SERIES = 500  # that are kept; the one that was not heard of for the longest goes
ENDING = "pulsecast.ending"  # in the scope of a request that goes on: what ends it when the server stops
Point = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The last steps of a series, in order of time.

    life    another number after the series was begun anew
    points  of each step what was answered to it; `time` and `values` alone of one that was not seen
    """

    life: int = 0
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=STEPS))

    @property
    def time(self) -> int | None:
        """Time of the last step, in unix seconds."""
        return self.points[-1]["time"] if self.points else None


class Hub:
    """Takes steps from any thread; those who watch wait in the loop of the server."""

    def __init__(self, listeners: int) -> None:
        """Let at most `listeners` watch at the same time."""
        self._most = listeners
        self._lock = threading.Lock()
        self._tails: OrderedDict[Key, Tail] = OrderedDict()
        self._waiting: dict[Key, list[Waiting]] = {}
        self._count = 0

    def say(self, key: Key, points: Sequence[Point]) -> None:
        """Keep steps, in order of time, and tell those who watch; one with the time of the last step is kept already.

        An older one than the last says that the series was begun anew.
        """
        with self._lock:
            tail = self._tails.pop(key, None) or Tail()
            for point in points:
                if tail.time is not None and point["time"] < tail.time:
                    tail = Tail(life=tail.life + 1)
                if point["time"] != tail.time:
                    tail.points.append(point)
            self._keep(key, tail)

    def forget(self, key: Key) -> None:
        """Begin a series anew."""
        with self._lock:
            if (tail := self._tails.get(key)) is not None and tail.points:
                self._keep(key, Tail(life=tail.life + 1))

    def _keep(self, key: Key, tail: Tail) -> None:
        self._tails[key] = tail
        if len(self._tails) > SERIES:
            self._tails.popitem(last=False)
        for one in self._waiting.get(key, ()):
            one.wake()

    def since(self, key: Key, time: int | None) -> tuple[int, Sequence[Point]]:
        """Return the life of a series, and its steps after `time`; all of them for None."""
        with self._lock:
            tail = self._tails.get(key, Tail())
            return tail.life, [one for one in tail.points if time is None or one["time"] > time]

    def last(self, key: Key) -> int | None:
        """Return the time of the last step that is kept; None if none is."""
        with self._lock:
            return self._tails.get(key, Tail()).time

    def names(self, model: str) -> Sequence[str]:
        """Return the series of a model of which steps are kept, in their order."""
        with self._lock:
            return sorted(key.series for key, tail in self._tails.items() if key.model == model and tail.points)

    def require_room(self) -> None:
        """Raise RefusedError (429) if no one more may watch."""
        if self._count >= self._most:
            raise RefusedError(
                TOO_MANY, f"{self._most} others watch already; close a page, or start the server with more --listeners"
            )

    @contextmanager
    def watching(self, key: Key) -> Iterator[Waiting]:
        """Yield what waits for the next step."""
        with self._lock:
            self._count += 1
            found = Waiting(asyncio.get_running_loop())
            self._waiting.setdefault(key, []).append(found)
        try:
            yield found
        finally:
            with self._lock:
                self._count -= 1
                self._waiting[key].remove(found)
                if not self._waiting[key]:
                    del self._waiting[key]


class Waiting:
    """One who watches, in the loop of the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._event = loop, asyncio.Event()
        self.ended = False

    def wake(self) -> None:
        """Let the one who waits look; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def end(self) -> None:
        """Let the one who waits go: the server stops."""
        self.ended = True
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Return whether there is something to see before `seconds` have passed."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        self._event.clear()
        return True
