"""A clock that events are counted by: it completes the steps of series to which no event comes.

It never runs ahead of messages that wait at the broker, since their events would come too late then. While messages
come, it stands at the time at which the broker got the last one that was taken; when none has come for a while, and
the broker says that none waits, it stands at this machine's time.
"""

from __future__ import annotations

import asyncio
import time

from ..events.policies import EventPolicies
from ..following import answer_clock, clock_due_s
from .link import Link
from .taking import Taking

LOOK_S = 1.0  # between two looks at the clock
QUIET_S = 10.0  # without a message, before this machine's clock counts; longer than NATS takes to deliver again
_BEGUN = "clock " * 100  # where the store keeps the time of a look that has begun; longer than a series' name
MOST_STEPS = 5_000  # that one look completes; the next one goes on


class Ticking:
    """The clock of one stream. It runs in the broker's loop, in turns with the messages."""

    def __init__(self, taking: Taking, link: Link, events: EventPolicies) -> None:
        """Read which steps are due from the states that are kept."""
        self._taking, self._link, self._events = taking, link, events
        self._due: dict[str, int] = {}
        self._now_s = 0.0
        self._heard_at = time.monotonic()
        # the clock of MQTT is this machine's, also for messages that the broker kept: it counts once they were taken
        self._exact = taking.config.kind != "mqtt"
        self._task: asyncio.Task[None] | None = None
        taking.kept = self._kept
        for series, state in taking.store.states():
            if series != _BEGUN:
                self._note(series, state)

    async def ready(self) -> None:
        """Let messages wait until what was being said at a crash is said again: they would change it."""
        await self._taking.turn.acquire()

    async def start(self) -> None:
        """Say that, and begin to look."""
        if begun := self._taking.store.get(_BEGUN):
            self._now_s = float(begun)
            await self._taking.guarded(self._say_again)
        self._taking.turn.release()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more; what is being said is finished."""
        if self._task is not None:
            async with self._taking.turn:
                self._task.cancel()

    def _kept(self, series: str, state: bytes, arrived_s: float | None) -> None:
        self._heard_at = time.monotonic()
        self._note(series, state)
        if arrived_s is not None and self._exact:
            self._now_s = max(self._now_s, arrived_s)

    def _note(self, series: str, state: bytes) -> None:
        due = clock_due_s(state, events=self._events)
        if due is None:
            self._due.pop(series, None)
        else:
            self._due[series] = due

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - self._heard_at >= QUIET_S:
                await self._look_up()
            if self._taking.fault is None:
                await self._taking.guarded(self._advance)

    async def _look_up(self) -> None:
        """Take this machine's time, unless something waits at the broker, or it is not there."""
        now = time.time()
        try:
            drained = await self._link.drained()
        except Exception:  # the next look asks again; to a broker that is gone nothing can be said
            return
        if drained and time.monotonic() - self._heard_at >= QUIET_S:
            self._now_s, self._exact = max(self._now_s, now), True

    async def _advance(self) -> None:
        """Complete what is due; the time is kept before: after a crash it says the same steps alike."""
        steps, now = 0, int(self._now_s)
        due = self._due_at(now)
        if due:
            self._taking.store.put(_BEGUN, str(now).encode())
        for series in due:
            while steps < MOST_STEPS and self._due.get(series, now + 1) <= now:
                async with self._taking.turn:
                    steps += await self._tick(series, now)
        if due:
            self._taking.store.put(_BEGUN, b"")

    async def _say_again(self) -> None:
        now = int(self._now_s)
        for series in self._due_at(now):
            await self._tick(series, now)

    def _due_at(self, now: int) -> list[str]:
        return [series for series, due in self._due.items() if due <= now]

    async def _tick(self, series: str, now: int) -> int:
        """Say what is complete of a series, and return how many steps; at least 1."""
        taking, store = self._taking, self._taking.store
        state = store.get(series)
        if state is None:
            del self._due[series]
            return 1
        found = answer_clock(taking.model, state, now, events=self._events, policies=taking.policies)
        await taking.say(self._link, found, series)
        if found.state is not None and found.state != state:
            store.put(series, found.state)
        self._note(series, found.state or state)
        return max(1, len(found.answers))
