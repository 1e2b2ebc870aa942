"""Callers that wait for an answer before they ask again, each on a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

_KEPT_BYTES = 128 << 20  # of answers, which are read when the clock has stopped


class Connection(Protocol):
    """A connection to a server, which stays open."""

    def ask(self, request: bytes) -> bytes:
        """Return the answer to a request."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Answered(NamedTuple):
    """One answer: which request it is of, when it was whole, and how long it took, in nanoseconds.

    A tuple, because it is made between two requests: a frozen record takes longer.
    """

    request: int
    ended_ns: int
    latency_ns: int
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Until:
    """When callers stop: after `seconds` and `answers` of all together, and at `limit_s` in any case."""

    seconds: float
    answers: int
    limit_s: float


def ask_all(connections: Sequence[Connection], requests: Sequence[bytes], until: Until) -> list[Answered]:
    """Return the answers that all callers had, in the order in which they came.

    Each caller is a thread: it waits in the system's calls almost all the time. Caller i begins with request i.
    Raises the first error of any of them.
    """
    turn = _Turn(len(connections), until)
    callers = [_Caller(connection, requests, first, turn) for first, connection in enumerate(connections)]
    threads = [threading.Thread(target=caller.run, daemon=True) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turn.error is not None:
        raise turn.error
    return sorted((one for caller in callers for one in caller.answers), key=lambda one: one.ended_ns)


class _Turn:
    """What the callers share: when they begin, and when they stop."""

    def __init__(self, callers: int, until: Until) -> None:
        self.together = threading.Barrier(callers)
        self.error: BaseException | None = None
        self._least = -(-until.answers // callers)
        self._kept = _KEPT_BYTES // callers
        self._until = until

    def over(self, began_ns: int, now_ns: int, answers: int, kept: int) -> bool:
        passed = (now_ns - began_ns) / 1e9
        enough = passed >= self._until.seconds and answers >= self._least
        return enough or passed >= self._until.limit_s or kept >= self._kept or self.error is not None


class _Caller:
    def __init__(self, connection: Connection, requests: Sequence[bytes], first: int, turn: _Turn) -> None:
        self.answers: list[Answered] = []
        self._connection = connection
        self._requests = requests
        self._first = first
        self._turn = turn

    def run(self) -> None:
        try:
            self._turn.together.wait()
            self._ask()
        except BaseException as error:
            self._turn.error = self._turn.error or error

    def _ask(self) -> None:
        clock, ask, requests, turn = time.perf_counter_ns, self._connection.ask, self._requests, self._turn
        number, count, kept = self._first, len(self._requests), 0
        began = now = clock()
        while not turn.over(began, now, len(self.answers), kept):
            place = number % count
            sent = clock()
            body = ask(requests[place])
            now = clock()
            self.answers.append(Answered(place, now, now - sent, body))
            kept += len(body)
            number += 1
