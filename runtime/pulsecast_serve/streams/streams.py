"""Pushes in turns: what waits is computed by one thread, and kept in one transaction.

A commit waits for the disk, and while it does so more pushes come: they form the next turn. So a disk that takes
milliseconds to sync does not slow many pushes down, only each of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar, cast

from pulsecast.backends.forks import abandon, renew_after_fork
from pulsecast.errors import UsageError
from pulsecast.forecasting.living.kept_alive import KeptAlive

from ..refusal import NO_SPACE, NOT_READY, RefusedError
from ..threads import Threads
from .kept import Change, Kept, Key
from .store import Store, Writing

log = logging.getLogger("pulsecast.serve")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
MOST_TOGETHER = 64  # steps of one transaction; it ends after the push that reaches them
_LOOK_S = 3600.0  # between two looks for streams that are too old
DAY_S = 86_400

Blocks = Callable[[], Sequence[bytes]]


class Outcome(NamedTuple, Generic[T_co]):
    """What a push changes, None for nothing, and what it answers."""

    change: Change | None
    result: T_co


Compute = Callable[[Kept | None, Blocks], Outcome[T]]


class Pushed(NamedTuple):
    """What is counted of a push: the arrivals of its steps, and how many raised an alarm."""

    model: str
    arrivals: Sequence[str]
    alarms: int


def _unheard(pushed: Pushed) -> None:
    del pushed


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A push that waits for its turn; `done` belongs to `loop`."""

    key: Key
    compute: Compute[object]
    steps: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[object]


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What a push came to, from what was kept under `token`; `error` if it was refused."""

    token: int | None
    change: Change | None = None
    result: object = None
    error: Exception | None = None


class Streams:
    """The streams of a server; each process has one object.

    heard  called with every push that was answered
    alive  the series that went on in this process; what computes pushes uses it, in the one thread that does so
    """

    def __init__(self, opened: Callable[[], Store], *, most: int, age_days: float | None) -> None:
        """Keep at most `most` streams of a model, and forget one after `age_days` without a push.

        opened  opens the store, when the first push comes: a process that forks before has no file open
        """
        self.heard: Callable[[Pushed], None] = _unheard
        self.alive = KeptAlive()
        self._open = opened
        self._opened: Store | None = None
        self._most = most
        self._age_s = None if age_days is None else age_days * DAY_S
        self._looked = -_LOOK_S
        self._waiting: deque[_Asked] = deque()
        self._thread = Threads(1, "pulsecast-streams")
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what waits in the parent, and open the store anew: a connection of SQLite is not for two processes."""
        self._waiting.clear()
        if self._opened is not None:
            abandon(self._opened)
            self._opened = None

    async def change(self, key: Key, compute: Compute[T], *, steps: int = 1) -> T:
        """Return what `compute` answers, once what it changes is kept; pushes of one series come one after the other.

        steps    how much work it is
        compute  gets what is kept of the stream, and a function that reads its blocks. It is called a second time if
                 another process changed the stream meanwhile; what it raises is raised, and nothing is kept.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._waiting.append(_Asked(key=key, compute=compute, steps=steps, loop=loop, done=done))
        self._thread.submit(self._take_turn)
        return cast("T", await done)

    async def forget(self, key: Key) -> bool:
        """Forget a stream; return whether there was one."""

        def forgotten(store: Store) -> bool:
            with store.changing() as writing:
                return writing.forget(key)

        return await self.read(forgotten)

    async def read(self, question: Callable[[Store], T]) -> T:
        """Return what `question` reads from the store."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: question(self._store))

    def wait_for(self, question: Callable[[Store], T]) -> T:
        """Return the same to a thread that may wait."""
        return self._thread.submit(lambda: question(self._store)).result()

    def close(self) -> None:
        """Answer what waits, and close the store."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=True)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _store(self) -> Store:
        """The store, which the thread of this object alone uses; raises RefusedError (503) if it cannot be opened."""
        if self._opened is None:
            try:
                self._opened = self._open()
            except UsageError as error:
                log.error("%s", error)
                raise RefusedError(
                    NOT_READY, "the store of streams cannot be opened; the log of the server says why"
                ) from None
        return self._opened

    def _take_turn(self) -> None:
        """Answer what waits; nothing, if an earlier turn took it."""
        group = self._next_group()
        if not group:
            return
        try:
            self._forget_old()
            tried = self._together(group)
        except Exception as error:  # the store's: nothing was kept
            tried = [_Tried(token=None, error=error)] * len(group)
        for asked, one in zip(group, tried, strict=True):
            asked.loop.call_soon_threadsafe(_tell, asked.done, one)

    def _next_group(self) -> list[_Asked]:
        """Take what waits, in its order, up to a series that comes for the second time, and not too much work."""
        group: list[_Asked] = []
        keys: set[Key] = set()
        steps = 0
        while self._waiting and steps < MOST_TOGETHER and self._waiting[0].key not in keys:
            keys.add(self._waiting[0].key)
            steps += self._waiting[0].steps
            group.append(self._waiting.popleft())
        return group

    def _together(self, group: list[_Asked]) -> list[_Tried]:
        """Compute all from what is kept, then keep it in one transaction.

        The lock is not held while models compute, so that the processes of a server compute at the same time. A stream
        that another one changed meanwhile is computed again under the lock.
        """
        tried = [self._try(asked, self._store.get(asked.key)) for asked in group]
        if any(one.change is not None for one in tried):
            with self._store.changing() as writing:
                tried = [self._keep(writing, asked, one) for asked, one in zip(group, tried, strict=True)]
        return tried

    def _try(self, asked: _Asked, kept: Kept | None) -> _Tried:
        token = None if kept is None else kept.token
        try:
            change, result = asked.compute(kept, lambda: self._store.blocks(asked.key))
        except Exception as error:
            return _Tried(token=token, error=error)
        return _Tried(token=token, change=change, result=result)

    def _keep(self, writing: Writing, asked: _Asked, tried: _Tried) -> _Tried:
        if tried.change is None:
            return tried
        key = asked.key
        if writing.token(key) != tried.token:
            tried = self._try(asked, writing.get(key))
        if tried.change is None:
            return tried
        if tried.token is None and writing.count(key.model) >= self._most:
            return replace(tried, error=self._too_many())
        writing.put(key, tried.change)
        return tried

    def _too_many(self) -> RefusedError:
        return RefusedError(
            NO_SPACE, f"{self._most:,} series of this model are followed, and no more are: DELETE one that has ended"
        )

    def _forget_old(self) -> None:
        """Forget the streams that are too old, once an hour."""
        if self._age_s is None or time.monotonic() < self._looked + _LOOK_S:
            return
        self._looked = time.monotonic()
        self._store.forget_older(int(time.time() - self._age_s))


def _tell(done: asyncio.Future[object], tried: _Tried) -> None:
    if done.done():  # the client has gone
        return
    if tried.error is not None:
        done.set_exception(tried.error)
    else:
        done.set_result(tried.result)
