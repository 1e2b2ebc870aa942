"""Child processes of an export: their output is captured, and none of them outlives it, however it ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
POLL_S = 0.1
_running: set[subprocess.Popen[str]] = set()


def run_child(
    command: Sequence[str], environment: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `command` and return how it ended and what it said; raises subprocess.TimeoutExpired."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
    ) as process:
        _running.add(process)
        try:
            out, err = process.communicate(timeout=timeout_s)
        finally:
            process.kill()  # nothing to one that has ended
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def map_in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `function` of each item, a thread per core; the first exception ends all children and is raised."""
    found = list(items)
    with ThreadPoolExecutor(max_workers=max(1, min(len(found), os.cpu_count() or 1))) as pool:
        futures = [pool.submit(function, item) for item in found]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            while not all(future.done() for future in futures):  # one may be about to start a child
                for process in tuple(_running):
                    process.kill()
                wait(futures, timeout=POLL_S)
            raise
