"""Child processes of pulsecast's own modules: how one is started, its output, and why it failed.

Converters and engines can crash, hang and print; in a process of their own this does not affect the user's process.
No child outlives the process that started it, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

from ..foundation.private_folder import temporary_folder
from ..foundation.tables import duration_text
from .parent import PARENT
from .progress import Progress

T = TypeVar("T")
R = TypeVar("R")
POLL_S = 0.1
STILL_S = 20.0
_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended. `returncode` is None if it took longer than `timeout_s` and was killed."""

    returncode: int | None
    stdout: str
    stderr: str
    timeout_s: float

    @property
    def failed(self) -> bool:
        """Whether it ended without exit code 0."""
        return self.returncode != 0

    @property
    def answer(self) -> str:
        """The last line that it printed; empty if there is none."""
        return (self.stdout.strip().splitlines() or [""])[-1]

    @property
    def reason(self) -> str:
        """Why it failed, as the end of a sentence that begins with "it": a limit, a signal, or its last line on stderr.

        >>> Ended(returncode=-11, stdout="", stderr="", timeout_s=60).reason
        'crashed with SIGSEGV'
        """
        if self.returncode is None:
            return f"took longer than {self.timeout_s:g} s"
        if self.returncode < 0:
            return f"crashed with {_signal_name(-self.returncode)}"
        return (self.stderr.strip().splitlines() or [f"ended with exit code {self.returncode}"])[-1]


def run_module(
    module: str, arguments: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run `python -m module arguments` and return how it ended and what it said.

    It imports from where this process does, not from the working directory. `environment` is added to this process's
    own. It asks to end with this process by `pulsecast.stages.parent.die_with_parent`. Its temporary files are removed
    when it has ended, even if it was killed.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    with temporary_folder() as temporary:
        own = {
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TMPDIR": str(temporary),
            PARENT: str(os.getpid()),
        }
        return run_child(command, os.environ | own | dict(environment or {}), timeout_s=timeout_s)


def run_child(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> Ended:
    """Run `command` with `environment` and return how it ended and what it said."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
    ) as process:
        _running.add(process)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return Ended(returncode=None, stdout="", stderr="", timeout_s=timeout_s)
        finally:
            process.kill()  # does nothing to a child that has ended
            _running.discard(process)
    return Ended(returncode=process.returncode, stdout=out, stderr=err, timeout_s=timeout_s)


@dataclass(frozen=True, kw_only=True)
class Told(Generic[T]):
    """How the work on items is told: as `what`, each by its `words`, to `progress`."""

    what: str
    words: Callable[[T], str]
    progress: Progress


def map_in_threads(function: Callable[[T], R], items: Iterable[T], told: Told[T]) -> list[R]:
    """Return `function` of each item, a thread per core; the first exception ends all children and is raised.

    What has finished is told, and every STILL_S seconds what has not.
    """
    found = list(items)
    with ThreadPoolExecutor(max_workers=max(1, min(len(found), os.cpu_count() or 1))) as pool:
        futures = [pool.submit(function, item) for item in found]
        try:
            _follow(dict(zip(futures, found, strict=True)), told)
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            while not all(future.done() for future in futures):  # one may be about to start a child
                for process in tuple(_running):
                    process.kill()
                wait(futures, timeout=POLL_S)
            raise


def _follow(work: Mapping[Future[R], T], told: Told[T]) -> None:
    """Tell how `work` goes until it is done; raises the exception of the first one, in their order, that failed."""
    began, unfinished = time.monotonic(), list(work)
    told.progress.advance(told.what, 0, len(work))
    while unfinished:
        done, _ = wait(unfinished, timeout=STILL_S, return_when=FIRST_COMPLETED)
        for future in takewhile(Future.done, work):
            future.result()
        unfinished = [future for future in unfinished if future not in done]
        for future in sorted(done, key=list(work).index):
            told.progress.advance(told.what, len(work) - len(unfinished), len(work), told.words(work[future]))
        if not done:
            waiting = "; ".join(told.words(work[future]) for future in unfinished)
            told.progress.tell(f"{told.what}: {duration_text(time.monotonic() - began)} so far; not yet {waiting}")


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
