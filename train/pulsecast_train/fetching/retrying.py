"""Trying again: how often, how long to wait in between, and by which clock."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pulsecast.stages.progress import Progress

T = TypeVar("T")
_LONGEST_WAIT_S = 1e9  # a server may ask for more; that is a number all the same


class Clock(Protocol):
    """Time as a retry sees it; tests bring one that does not wait."""

    def now_s(self) -> float:
        """Return unix seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_s(self) -> float:
        """Return unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        time.sleep(seconds)


class TransientError(Exception):
    """An error that may pass: worth another try, after at least `wait_s` seconds if the server asked for a wait."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class GaveUpError(Exception):
    """All tries failed, or the requested wait is too long; the text says which."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: before try n + 1, wait uniform(0, min(longest_s, first_s * 2**(n - 1))).

    attempts    tries in all
    first_s     the upper end of the first wait
    longest_s   the upper end of any wait that we choose
    patience_s  the longest wait that the server may ask for
    """

    attempts: int = 8
    first_s: float = 1.0
    longest_s: float = 60.0
    patience_s: float = 900.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; expected at least 1")

    def wait_s(self, failures: int, asked_s: float | None, rng: random.Random) -> float:
        """Return how long to wait after the `failures`-th failure; a requested wait is kept in full.

        >>> RetryPolicy().wait_s(1, 30.0, random.Random(0)) >= 30
        True
        """
        jitter = rng.uniform(0.0, min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 60)))
        return jitter if asked_s is None else asked_s + min(jitter, self.first_s)


def retried(
    work: Callable[[], T],
    policy: RetryPolicy,
    clock: Clock,
    rng: random.Random,
    progress: Progress,
    stop_s: float = math.inf,
) -> T:
    """Return what `work` returns, trying again while it raises TransientError; `progress` receives why and how long.

    Raises GaveUpError after the last try, or at once if a longer wait than the policy's patience is asked for, or one
    beyond `stop_s` (unix seconds) on the clock.
    """
    for failures in range(1, policy.attempts + 1):
        try:
            return work()
        except TransientError as error:
            if error.wait_s is not None and error.wait_s > policy.patience_s:
                raise GaveUpError(f"{error} and asks to wait {error.wait_s:.0f} s") from error
            if failures == policy.attempts:
                raise GaveUpError(f"{error}, {failures} times in a row") from error
            wait = policy.wait_s(failures, error.wait_s, rng)
            if clock.now_s() + wait >= stop_s:
                raise GaveUpError(f"{error}, and the time of this run is over (--max-seconds)") from error
            progress.tell(f"server {error}; again in {wait:.1f} s")
            clock.sleep(wait)
    raise AssertionError  # a policy has at least one attempt


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or an HTTP date), None if there is no such time.

    >>> retry_after_s("120", 0.0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 10.0), retry_after_s("soon", 0.0)
    (120.0, 50.0, None)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():  # "²" is a digit to Python, and not a number
        return min(float(text), _LONGEST_WAIT_S)
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - now_s, 0.0)
    except Exception:  # the parser raises what a server makes of it
        return None
