"""A child process of a benchmark: what it said, or why it said nothing; it never outlives the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who hears of a benchmark: `on_process(done, total, what)` after each process."""

    on_process: Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A child that gave no answer."""

    reason: str


def run_child(module: str, arguments: Sequence[str], *, threads: int, timeout_s: float) -> str | Ended:
    """Return the last line that `python -m MODULE PARENT ARGUMENT...` printed, or why there is none."""
    try:
        done = subprocess.run(  # kills and reaps the child when it is interrupted
            [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env=worker_environment(threads),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(reason=f"it took longer than {timeout_s:.0f} s")
    if done.returncode < 0:
        return Ended(reason=f"it crashed with {signal.Signals(-done.returncode).name}")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"]
        return Ended(reason=said[-1])
    return lines[-1]


def worker_environment(threads: int) -> dict[str, str]:
    """Return the child's environment: imports from where this process does, and numpy's BLAS with `threads` threads."""
    path = os.pathsep.join(p for p in sys.path if p)
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return os.environ | limits | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
