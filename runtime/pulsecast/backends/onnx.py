"""Backend `onnx`: ONNX Runtime."""

from __future__ import annotations

import re

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..errors import FormatError
from ..model.windows import TIME, VALUES, position

# A tensor with its numbers in another file names this file under the key `location`, a protobuf string of 8 bytes; its
# length may be written as 8 or, padded, with a last byte of 0. No manifest lists such a file and no hash covers it.
_EXTERNAL_DATA = re.compile(rb"[\x00\x08]location")


class OnnxBackend:
    """One session. Thread-safe: ONNX Runtime allows concurrent runs."""

    def __init__(self, model: bytes, threads: int) -> None:
        self.engine = f"onnxruntime {ort.__version__}"
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; a fallback is reported through `device`
        self._session = ort.InferenceSession(model, options, providers=_providers())
        # what really runs, not what was asked for: a provider that cannot start is dropped with only a log line
        self.device = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self._run = self._session.run
        self._inputs = [(name, position(name)) for name in (given.name for given in self._session.get_inputs())]
        self._usual = [name for name, _ in self._inputs] == [VALUES, TIME]  # a literal is made faster than by a loop
        self._all = [given.name for given in self._session.get_outputs()]
        self._forecast = self._all[:1]

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        if self._usual:
            return self._run(self._forecast, {VALUES: values, TIME: time})[0]  # type: ignore[no-any-return]
        given = (values, time, series)
        forecasts: NDArray[np.float32] = self._run(self._forecast, {name: given[i] for name, i in self._inputs})[0]
        return forecasts

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        given = (values, time, series)
        return tuple(self._run(self._all, {name: given[i] for name, i in self._inputs}))


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
