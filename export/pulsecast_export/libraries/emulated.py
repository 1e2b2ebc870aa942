"""A prebuilt Linux library of another processor as a backend: `hosts/runner.c` under qemu-user, one process."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import EngineError

NO_SERIES = -1  # a row of no table


def find_emulator(name: str | None) -> str | None:
    """Return the path of qemu's program `name`, the static one if there is no other, or None."""
    return None if name is None else shutil.which(name) or shutil.which(f"{name}-static")


def emulator_version(path: str) -> str:
    """Return name and version, e.g. `qemu-aarch64 7.2.22`."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", check=False).stdout
    found = re.search(r"version ([\d.]+)", said)
    return f"{Path(path).name.removesuffix('-static')} {found.group(1) if found else 'of unknown version'}"


def request_of(values: NDArray[np.float32], time: NDArray[np.int64] | None, series: NDArray[np.int64] | None) -> bytes:
    """Return what the hosts read: a uint32 count, and as many windows of float32, int64 times and int64 series.

    Without times they are 0; without series they are NO_SERIES, which a model of one series does not look at.
    """
    times = np.zeros(len(values), np.int64) if time is None else time
    rows = np.full(len(values), NO_SERIES, np.int64) if series is None else series
    parts = (np.array(len(values), "<u4"), values.astype("<f4"), times.astype("<i8"), rows.astype("<i8"))
    return b"".join(part.tobytes() for part in parts)


def results_of(take: Callable[[int], bytes], results: int, count: int, horizon: int) -> tuple[NDArray[np.float32], ...]:
    """Return what the hosts write for `count` windows: `results` arrays (count, horizon), one after the other.

    `take` reads as many bytes as it is asked for.
    """
    shape = (results, count, horizon)
    return tuple(np.frombuffer(take(4 * math.prod(shape)), "<f4").astype(np.float32).reshape(shape))


class EmulatedBackend:
    """One library in one emulator process; use it as a context. Not thread-safe."""

    device = "CPU"

    def __init__(self, emulator: str, runner: Path, library: Path, horizon: int) -> None:
        self._horizon = horizon
        self._process = subprocess.Popen(
            [emulator, str(runner), str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._to, self._from = _open(self._process.stdin), _open(self._process.stdout)
        failed, self._results, length = self._take(3)
        self.isa = self._take(length).decode("ascii")
        self.engine = f"native {self.isa} under {emulator_version(emulator)}"
        if failed:
            self.close()
            raise EngineError(f"the library's self-test failed under {Path(emulator).name}")

    def __enter__(self) -> EmulatedBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; raises EngineError if the emulated process ends."""
        return self.outputs(values, time, series)[0]

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`; raises EngineError if the emulated process ends."""
        try:
            view = memoryview(request_of(values, time, series))
            while view:
                view = view[self._to.write(view) :]
        except BrokenPipeError as error:
            raise EngineError(self._ended()) from error
        return results_of(self._take, self._results, len(values), self._horizon)

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more = self._from.read(count - len(found))
            if not more:
                raise EngineError(self._ended())
            found += more
        return found

    def _ended(self) -> str:
        self.close()
        return f"the emulated process ended with {self._process.returncode} (2: not a library that it can load)"


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # stdin and stdout are pipes  # noqa: S101
    return stream
