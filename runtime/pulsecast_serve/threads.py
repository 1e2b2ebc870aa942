"""Threads that compute beside the event loop, made anew in a process that was forked after they had begun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pulsecast.backends.forks import renew_after_fork


class Threads(ThreadPoolExecutor):
    """A pool that a fork does not stop: a child has none of its threads, and would wait for them for ever."""

    def __init__(self, most: int, name: str) -> None:
        super().__init__(most, name)
        self._made = (most, name)
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with no threads and no work: the parent's goes on in the parent."""
        super().__init__(*self._made)
