"""Runs independent pieces of work on local processes or a Dask cluster. If a worker dies, only its piece is repeated.

Processes are spawned, never forked: TensorFlow does not survive a fork. No child outlives its parent.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pulsecast.errors import MissingExtraError, PulsecastError, UsageError
from pulsecast.foundation.private_folder import temporary_folder

T = TypeVar("T")
R = TypeVar("R")

LOST_IN_A_ROW = 3
# read by TensorFlow, OpenMP (LightGBM, scikit-learn), the BLAS libraries and polars when a process loads them
THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where pieces of work run: on `jobs` local processes (0: one per core), or on the Dask cluster at `dask`.

    threads  of each local process; None shares the cores among them
    """

    jobs: int = 0
    dask: str | None = None
    threads: int | None = None


OnResult = Callable[[int, R], None]
OnLost = Callable[[int], None]


def run_tasks(
    run: Callable[[T], R], tasks: Sequence[T], where: Where, on_result: OnResult[R], on_lost: OnLost | None = None
) -> None:
    """Do what `run_dask` or `run_local` does, as `where` says; nothing for no tasks."""
    if tasks and where.dask:
        run_dask(run, tasks, where.dask, on_result, on_lost)
    elif tasks:
        run_local(run, tasks, where.jobs or usable_cores(), on_result, on_lost, threads=where.threads)


def run_local(
    run: Callable[[T], R], tasks: Sequence[T], jobs: int, on_result: OnResult[R], on_lost: OnLost | None = None,
    *, threads: int | None = None,
) -> None:  # fmt: skip
    """Call `on_result(i, run(tasks[i]))` for every task, in the order they finish, on `jobs` spawned processes.

    `run` must be importable by name. If a process dies, its task runs again, after the others. No result is kept here.
    `on_lost(i)` is called for a task that ends its process each time, also alone. All children have ended before an
    error or an interrupt leaves this function.

    Raises what a task raises, and PulsecastError if LOST_IN_A_ROW processes die and no task finishes in between: always
    without `on_lost`, else if none of several has finished, because the fault is then in no single task.
    """
    waiting, lost = dict(enumerate(tasks)), 0
    while waiting:
        before = len(waiting)
        try:
            _run_pool(run, waiting, min(jobs, len(waiting)), on_result, threads)
        except BrokenProcessPool as error:
            lost = 1 if len(waiting) < before else lost + 1
            for i in list(waiting)[:jobs]:
                waiting[i] = waiting.pop(i)  # to the end: one that ends its process holds up no other
            if lost < LOST_IN_A_ROW:
                continue
            if on_lost is None or len(waiting) == len(tasks) > 1:
                raise PulsecastError(
                    f"worker processes died {lost} times in a row and finished nothing, usually for lack of memory: "
                    "pass fewer --jobs; finished work is kept"
                ) from error
            _run_alone(run, waiting, on_result, on_lost, threads)


def _run_alone(
    run: Callable[[T], R], waiting: dict[int, T], on_result: OnResult[R], on_lost: OnLost, threads: int | None
) -> None:
    """Run each of the `waiting` tasks in a process of its own, so that it is known which of them end one."""
    for i in list(waiting):
        try:
            _run_pool(run, {i: waiting[i]}, 1, on_result, threads)
        except BrokenProcessPool:
            on_lost(i)
        del waiting[i]


def _run_pool(
    run: Callable[[T], R], waiting: dict[int, T], jobs: int, on_result: OnResult[R], threads: int | None
) -> None:
    """Run the `waiting` tasks in one pool, and remove each one that is done."""
    earlier = set(multiprocessing.active_children())
    with temporary_folder() as temporary, _surroundings(threads or max(1, usable_cores() // jobs), temporary):
        executor = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
        try:
            futures = {executor.submit(run, task): i for i, task in waiting.items()}
            for future in as_completed(futures):
                i = futures.pop(future)  # a future keeps its result
                on_result(i, future.result())
                del waiting[i]
        except BaseException:
            for child in set(multiprocessing.active_children()) - earlier:
                child.kill()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _surroundings(threads: int, temporary: Path) -> Iterator[None]:
    """Limit each process that starts in this block to `threads` threads, and its temporary files to `temporary`."""
    chosen = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TMPDIR": str(temporary)}
    kept = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt reaches the whole group; the parent ends its children
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def run_dask(
    run: Callable[[T], R], tasks: Sequence[T], address: str, on_result: OnResult[R], on_lost: OnLost | None = None
) -> None:
    """Call `on_result(i, run(tasks[i]))` for every task, in the order they finish, on the cluster at `address`.

    The cluster's workers need the same version of pulsecast with the same extras. Dask repeats the tasks of a lost
    worker, as often as its settings allow. One that was lost so often runs once more, alone, because Dask also counts
    tasks that only waited on a worker that died; `on_lost(i)` is called if workers die over it then, too.

    Raises MissingExtraError, UsageError (no scheduler there), PulsecastError (such a task, without `on_lost`), and what
    a task raises.
    """
    if importlib.util.find_spec("distributed") is None:
        raise MissingExtraError("--dask needs distributed: pip install 'pulsecast[dask]'")
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        for i in _run_on_cluster(client, run, dict(enumerate(tasks)), on_result):
            if not _run_on_cluster(client, run, {i: tasks[i]}, on_result):
                continue
            if on_lost is None:
                raise PulsecastError("workers of the cluster died over one piece of work again and again")
            on_lost(i)


def _run_on_cluster(client: Any, run: Callable[[T], R], tasks: dict[int, T], on_result: OnResult[R]) -> list[int]:
    """Run tasks on the cluster of a Dask client; return those that Dask gave up for the workers that died."""
    from distributed import KilledWorker
    from distributed import as_completed as as_dask_completed

    futures = {client.submit(run, task, pure=False): i for i, task in tasks.items()}
    lost = []
    try:
        for future in as_dask_completed(futures):
            i = futures.pop(future)  # a future keeps its result, on the cluster too
            try:
                result = future.result()
            except KilledWorker:
                lost.append(i)
            else:
                on_result(i, result)
    except BaseException:
        client.cancel(list(futures))
        raise
    return lost


CONNECT_S = 10
