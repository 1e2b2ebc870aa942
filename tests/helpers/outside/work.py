"""Pieces of work for spawned processes, importable by name, and a cluster that does them."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_STARTS_S = 120.0


@contextmanager
def dask_cluster(workers: int) -> Iterator[str]:
    """Yield the address of a scheduler on this machine, with `workers` of one thread each.

    All of them are there again before it ends: it would fail while one that was killed is being started anew.
    """
    from distributed import Client, LocalCluster

    with LocalCluster(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address
        with Client(cluster.scheduler_address) as client:
            client.wait_for_workers(workers, timeout=_STARTS_S)


def square(number: int) -> int:
    return number * number


def die_once(task: tuple[int, str]) -> int:
    """Kill this process the first time a marked task is run."""
    number, marker = task
    if marker and not Path(marker).exists():
        Path(marker).write_text("was here")
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def die_of_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_over_s005(task: Any) -> Any:
    """Do a piece of a batch, and kill this process over the file s005."""
    from pulsecast_train.predicting.piece import run_piece

    if any("s005" in file.name for file in task.files):
        os.kill(os.getpid(), signal.SIGKILL)
    return run_piece(task)


def numbers(count: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return an array, which may be followed until nothing holds it."""
    return np.arange(count)


def announce_and_wait(folder: str) -> int:
    """Write this process's id to a file and wait for the kill."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)
    return 0
