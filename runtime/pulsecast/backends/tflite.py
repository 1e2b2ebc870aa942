"""Backend `tflite`: LiteRT's interpreter, for raw-unit files and for the scaled int8 microcontroller file."""

from __future__ import annotations

import threading
from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact, Manifest
from ..computing import reference


class TfliteBackend:
    """One interpreter, resized when the batch changes. Thread-safe through a lock: it runs one call at a time."""

    device = "CPU"

    def __init__(self, model: bytes, threads: int) -> None:
        self.engine = f"ai-edge-litert {version('ai-edge-litert')}"
        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] = tuple(self._interpreter.get_input_details()[0]["shape"])
        self._lock = threading.Lock()

    def predict(self, windows: NDArray[np.float32], *, reset: bool = False) -> NDArray[np.float32]:
        """See `Backend.predict`; `reset` clears state tensors first, under the same lock as the call they belong to."""
        interpreter = self._interpreter
        with self._lock:
            if reset:
                interpreter.reset_all_variables()
            if windows.shape != self._shape:
                interpreter.resize_tensor_input(self._input, windows.shape, strict=False)
                interpreter.allocate_tensors()
                self._shape = windows.shape
            interpreter.set_tensor(self._input, windows)
            interpreter.invoke()
            forecasts: NDArray[np.float32] = interpreter.get_tensor(self._output)
        return forecasts


class ScaledTfliteBackend:
    """The int8 file: network channels in, network outputs out, one window a call, state reset every time."""

    device = "CPU"

    def __init__(self, model: bytes, threads: int, manifest: Manifest) -> None:
        self._inner = TfliteBackend(model, threads)
        self.engine = self._inner.engine
        self._manifest = manifest

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend.predict`; the runtime scales around the network and handles non-finite rows."""
        spec, scaler = self._manifest.spec, self._manifest.scaler
        return reference.through(spec, scaler, self._network, windows).astype(np.float32)

    def _network(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        rows = np.nan_to_num(inputs).astype(np.float32)[:, np.newaxis]  # (batch, 1, window, channels)
        return np.concatenate([self._inner.predict(row, reset=True) for row in rows])  # (batch, horizon)


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> TfliteBackend | ScaledTfliteBackend:
    """Return an interpreter over the artifact's checked bytes."""
    model = bundle.read(artifact.path)
    if artifact.units == "scaled":
        return ScaledTfliteBackend(model, threads, bundle.manifest)
    return TfliteBackend(model, threads)
