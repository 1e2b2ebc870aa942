"""A child process of a benchmark, which never outlives the benchmark."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pulsecast.stages.child_process import Ended, run_module


def run_worker(module: str, arguments: Sequence[str], *, threads: int, timeout_s: float) -> Ended:
    """Run `python -m MODULE PARENT ARGUMENT...` with numpy's BLAS on `threads` threads, and return how it ended."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = limits | {"KERAS_BACKEND": "tensorflow"}
    return run_module(module, [str(os.getpid()), *arguments], timeout_s=timeout_s, environment=environment)
