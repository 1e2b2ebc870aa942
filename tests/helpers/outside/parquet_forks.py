"""Trials of Parquet files in forks of one process that has imported polars and read nothing yet.

The product starts a process for each file, which takes 0.3 s for its imports; fuzzing and damage by the thousand do not
wait for that. `test_parquet_trial.py` uses the product's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulsecast.stages.child_process import Ended
from pulsecast_train.logs.parquet import trial


class Forks:
    """The process that forks, one trial after the other whichever thread asks; it starts with the first."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def _started(self) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, sys.path))
        return subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
            env=os.environ | {"PYTHONPATH": path, "POLARS_MAX_THREADS": "1"},
        )  # fmt: skip

    def run_module(
        self, module: str, arguments: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> Ended:
        """Do what `child_process.run_module` does with the Parquet child."""
        assert (module, environment) == (trial.CHILD, None)
        with self._one_at_a_time:
            return self._run(arguments, timeout_s)

    def _run(self, arguments: Sequence[str], timeout_s: float) -> Ended:
        self._process = self._process or self._started()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._said.truncate(0)
        self._said.seek(0)
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace")
        return Ended(returncode=code, stdout="", stderr=said, timeout_s=timeout_s)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()


@contextmanager
def parquet_forks() -> Iterator[None]:
    """Let trials in this block be forks."""
    forks = Forks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "run_module", forks.run_module)
        yield
    forks.close()


def serve() -> None:
    """Fork for each line of arguments on stdin, and print the exit code of the child."""
    from pulsecast_train.logs.parquet.child import main

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 1
            try:
                code = main(json.loads(line))
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201  # a program


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    serve()
