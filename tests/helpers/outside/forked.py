"""A program: forecast in child processes and threads of a process that has loaded a model, and say how each ended.

    python forked.py BUNDLE ARTIFACT THREADS

Prints one JSON object, way -> outcome: `same` (the parent's forecasts), `other numbers`, `hangs`, or what was raised.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pulsecast import Forecaster, PulsecastError, Windows, load
from pulsecast.bundle.bundle import Bundle

DEADLINE_S = 60  # a child answers within a second; a busy machine may need more
BUSY_FORKS = 5
SIZES = (1, 64, 160)  # one window, and enough of them for several threads

Job = Callable[[], str]
state: dict[str, Any] = {}  # what a forked process finds loaded


def prepare(path: str, artifact: str, threads: int) -> None:
    """Load the model and its windows."""
    model = load(path, artifact=artifact, threads=threads, trust_code=True)
    golden = Bundle.open(path).golden().windows
    state.update(model=model, windows=golden.take([i % len(golden) for i in range(max(SIZES))]))


def forecasts() -> list[NDArray[np.float32]]:
    """Forecast batches of every size."""
    model: Forecaster = state["model"]
    windows: Windows = state["windows"]
    return [model.predict(windows.take(slice(size))) for size in SIZES]


def outcome() -> str:
    """Forecast and compare with what the parent forecast."""
    try:
        found = forecasts()
    except PulsecastError as error:
        return f"{type(error).__name__}: {error}"
    same = all(map(np.array_equal, found, state["expected"]))
    return "same" if same else "other numbers"


def loaded_again(path: str, artifact: str, threads: int, expected: list[NDArray[np.float32]]) -> str:
    """Load the model in this process and forecast."""
    try:
        prepare(path, artifact, threads)
    except PulsecastError as error:
        return f"{type(error).__name__}: {error}"
    state["expected"] = expected
    return outcome()


def forked(job: Job, *, leave: Callable[[int], NoReturn] = os._exit) -> str:
    """Return what `job` returns in a forked process, or how that process ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, job().encode())
        os.close(writing)
        leave(0)
    os.close(writing)
    until, ended = time.monotonic() + DEADLINE_S, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with os.fdopen(reading) as file:
        answer = file.read()
    if not ended:
        return f"hangs {'before' if not answer else 'after'} its answer"
    return answer if status == 0 else f"ended with status {status}"


def twice() -> str:
    """Forecast in two threads that begin together, and in a process forked from this one."""
    start = threading.Barrier(2)

    def one(_: int) -> str:
        start.wait()
        return outcome()

    with ThreadPoolExecutor(2) as pool:
        found = {*pool.map(one, range(2)), forked(outcome)}
    return " and ".join(sorted(found))


@contextmanager
def busy() -> Iterator[None]:
    """Let two other threads forecast all the time."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            forecasts()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def busy_forks() -> str:
    """Fork while other threads forecast, some way into their work each time."""
    with busy():
        found = set()
        for number in range(BUSY_FORKS):
            time.sleep(0.003 * number)
            found.add(forked(outcome))
    return " and ".join(sorted(found))


def in_executor(executor: Executor) -> str:
    """Forecast from an event loop."""

    async def ask() -> set[str]:
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(executor, outcome) for _ in range(4)]
        return set(await asyncio.wait_for(asyncio.gather(*jobs), DEADLINE_S))

    try:
        return " and ".join(sorted(asyncio.run(ask())))
    except TimeoutError:
        return "hangs"


def pooled(method: str, job: Callable[..., str], *arguments: object) -> str:
    """Return what `job` returns in a process pool, whose processes start by `method`."""
    with multiprocessing.get_context(method).Pool(1) as pool:
        try:
            return pool.apply_async(job, arguments).get(DEADLINE_S)
        except multiprocessing.TimeoutError:
            return "hangs"


def main(path: str, artifact: str, threads: int) -> dict[str, str]:
    """Return the outcome of every way."""
    prepare(path, artifact, threads)
    state["expected"] = expected = forecasts()
    again = (path, artifact, threads, expected)
    found = {
        "fork": forked(outcome),
        "fork and whole exit": forked(outcome, leave=sys.exit),
        "fork, two threads and a fork": forked(twice),
        "fork while threads forecast": busy_forks(),
        "fork and load": forked(lambda: loaded_again(*again)),
        "pool by fork": pooled("fork", outcome),
        "pool by spawn": pooled("spawn", loaded_again, *again),
    }
    with ThreadPoolExecutor(2) as executor:
        found["asyncio in threads"] = in_executor(executor)
    executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    found["asyncio in a forked process"] = in_executor(executor)
    executor.shutdown(wait=False, cancel_futures=True)
    found["the parent afterwards"] = outcome()
    return found


if __name__ == "__main__":
    out = Path(sys.argv[4])
    out.write_text(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))), encoding="utf-8")
    for process in multiprocessing.active_children():  # one that waits for work would outlive this, and hold its output
        process.kill()
    os._exit(0)  # a pool that hangs must not hold the program
