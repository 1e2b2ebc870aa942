"""What a loaded engine does in a child process after a fork: it starts anew, or says why it cannot.

A fork copies the memory and one thread. A lock that another thread held stays locked for ever, and the threads of a
pool are gone: an engine that goes on from there waits for ever, or ends the process. So an engine that has a lock or a
thread is renewed when a child process first uses it. Nothing is done before: most children never forecast.

numpy's library of linear algebra cannot be renewed from here. A fork waits until it does not compute.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from types import TracebackType
from typing import NoReturn, Protocol

from ..errors import EngineError


class Renewed(Protocol):
    """An engine with a lock, or with threads of its own."""

    def after_fork(self) -> None:
        """Forget all that the parent process made. Other threads do not run yet: wait for nothing, free nothing."""


_engines: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renew_after_fork(engine: Renewed) -> None:
    """Call `engine.after_fork()` in every child process that is forked while `engine` lives."""
    _engines.add(engine)


def abandon(held: object) -> None:
    """Keep `held` for the life of this process: freeing an engine joins its threads, and a child does not have them."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def refuse(engine: str) -> NoReturn:
    """Raise the EngineError of an engine that cannot be renewed."""
    raise EngineError(
        f"{engine} was started before this process was forked, and cannot run in it: load models after the fork only, "
        "or start processes with multiprocessing's 'spawn' or 'forkserver'"
    )


class _ForksWait:
    """A block in which no other thread can fork: OpenBLAS holds a lock while it multiplies matrices in threads.

    A thread that forks inside its own block, in a signal handler, does not wait for itself.
    """

    def __init__(self) -> None:
        self._running: dict[int, int] = {}  # blocks by thread
        self._forking: int | None = None  # the thread that wants to fork; the others do not begin then
        self._new_lock()

    def _new_lock(self) -> None:
        self._lock = threading.RLock()  # reentrant for signal handlers; it is faster than the condition over it
        self._changed = threading.Condition(self._lock)

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._lock:
            while self._forking not in (None, me) and me not in self._running:
                self._changed.wait()
            self._running[me] = self._running.get(me, 0) + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._running[me] > 1:
                self._running[me] -= 1
            else:
                del self._running[me]
            if self._forking is not None:
                self._changed.notify_all()

    def before(self) -> None:
        """Wait for the other threads, and let none begin until the fork is over."""
        me = threading.get_ident()
        self._lock.acquire()
        while self._forking not in (None, me):
            self._changed.wait()
        self._forking = me
        while self._running.keys() - {me}:
            self._changed.wait()

    def after_in_parent(self) -> None:
        """Let all go on."""
        self._forking = None
        self._changed.notify_all()
        self._lock.release()

    def after_in_child(self) -> None:
        """Go on with a lock that nobody waits for."""
        self._forking = None
        self._new_lock()


forks_wait = _ForksWait()


def _renew_all() -> None:
    forks_wait.after_in_child()
    for engine in list(_engines):
        engine.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=forks_wait.before, after_in_parent=forks_wait.after_in_parent, after_in_child=_renew_all)
