"""Backend `onnx`: ONNX Runtime."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

# before the import: ONNX Runtime 1.29 and later send usage data to Microsoft from a thread of their own, and a forked
# process that has imported it waits for that thread for ever when it exits
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..errors import FormatError
from ..model.windows import TIME, VALUES, position
from . import fail
from .forks import abandon, refuse, renew_after_fork

# A tensor with its numbers in another file names this file under the key `location`, a protobuf string of 8 bytes; its
# length may be written as 8 or, padded, with a last byte of 0. No manifest lists such a file and no hash covers it.
_EXTERNAL_DATA = re.compile(rb"[\x00\x08]location")


class OnnxBackend:
    """One session. Thread-safe: ONNX Runtime allows concurrent runs. A forked process makes a session of its own."""

    def __init__(self, model: bytes, threads: int) -> None:
        self.engine = f"onnxruntime {ort.__version__}"
        self._model, self._threads = model, threads
        self._session = _session(model, threads)
        # what really runs, not what was asked for: a provider that cannot start is dropped with only a log line
        self.device = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self._run = self._session.run
        self._inputs = [(name, position(name)) for name in (given.name for given in self._session.get_inputs())]
        self._usual = [name for name, _ in self._inputs] == [VALUES, TIME]  # a literal is made faster than by a loop
        self._all = [given.name for given in self._session.get_outputs()]
        self._forecast = self._all[:1]
        renew_after_fork(self)

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        try:
            if self._usual:
                return self._run(self._forecast, {VALUES: values, TIME: time})[0]  # type: ignore[no-any-return]
            given = (values, time, series)
            return self._run(self._forecast, {name: given[i] for name, i in self._inputs})[0]  # type: ignore[no-any-return]
        except Exception as error:
            fail(f"{self.engine} failed", error)

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        given = (values, time, series)
        try:
            return tuple(self._run(self._all, {name: given[i] for name, i in self._inputs}))
        except Exception as error:
            fail(f"{self.engine} failed", error)

    def after_fork(self) -> None:
        """See `Renewed`."""
        abandon(self._session)
        self._session, self._lock = None, threading.Lock()
        self._run = self._first_run

    def _first_run(self, names: list[str], feed: dict[str, Any]) -> Any:
        """Run the session of this process, made now."""
        if self.device != "CPU":
            refuse(f"{self.engine} on {self.device}")
        with self._lock:
            if self._session is None:
                self._session = _session(self._model, self._threads)
                self._run = self._session.run
        return self._run(names, feed)


def _session(model: bytes, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; a fallback is reported through `device`
    return ort.InferenceSession(model, options, providers=_providers())


def _providers() -> list[str]:
    # `get_available_providers` lists what was compiled in, a GPU or not; asking for CUDA is harmless without one
    known = ort.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> OnnxBackend:
    """Return a session over the artifact's checked bytes; raises FormatError if they point to other files."""
    model = bundle.read(artifact.path)
    if _EXTERNAL_DATA.search(model):
        raise FormatError(
            f"{artifact.path} keeps tensors in other files; expected all of them inside, under its SHA-256"
        )
    return OnnxBackend(model, threads)
