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
from ..computing.calendars import complete
from ..model.windows import Windows, position


class TfliteBackend:
    """One interpreter, resized when the batch changes. Thread-safe through a lock: it runs one call at a time."""

    device = "CPU"

    def __init__(self, model: bytes, threads: int) -> None:
        self.engine = f"ai-edge-litert {version('ai-edge-litert')}"
        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        given, found = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        # place among the inputs, index of the tensor, shape of a window
        self._inputs = [(position(t["name"]), int(t["index"]), tuple(map(int, t["shape"][1:]))) for t in given]
        self._outputs = [int(tensor["index"]) for tensor in found]  # in the order of OUTPUTS, as the file has them
        self._batch = int(given[0]["shape"][0])
        self._lock = threading.Lock()

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
        *,
        reset: bool = False,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; `reset` clears state tensors first, under the same lock as the call they belong to."""
        with self._lock:
            self._invoke((values, time, series), reset=reset)
            forecasts: NDArray[np.float32] = self._interpreter.get_tensor(self._outputs[0])
        return forecasts

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        with self._lock:
            self._invoke((values, time, series))
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)

    def _invoke(self, given: tuple[NDArray[np.generic] | None, ...], *, reset: bool = False) -> None:
        interpreter, values = self._interpreter, given[0]
        if values is None:
            raise ValueError("values are missing")
        if reset:
            interpreter.reset_all_variables()
        if len(values) != self._batch:
            for _, index, shape in self._inputs:
                interpreter.resize_tensor_input(index, (len(values), *shape), strict=False)
            interpreter.allocate_tensors()
            self._batch = len(values)
        for place, index, _ in self._inputs:
            interpreter.set_tensor(index, given[place])
        interpreter.invoke()


class ScaledTfliteBackend:
    """The int8 file: network channels in, network outputs out, one window a call, state reset every time."""

    device = "CPU"

    def __init__(self, model: bytes, threads: int, manifest: Manifest) -> None:
        self._inner = TfliteBackend(model, threads)
        self.engine = self._inner.engine
        self._manifest = manifest

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; the runtime scales around the network and handles non-finite rows."""
        spec, scaler = self._manifest.spec, self._manifest.scaler
        columns = complete(spec, Windows(values=values, time=time, series=series))
        return reference.through(spec, scaler, self._network, columns).astype(np.float32)

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`; the file has no bounds, which an app takes from the radii in the manifest."""
        return (self.predict(values, time, series),)

    def _network(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        rows = np.nan_to_num(inputs).astype(np.float32)[:, np.newaxis]  # (batch, 1, window, channels)
        return np.concatenate([self._inner.predict(row, reset=True) for row in rows])  # (batch, horizon)


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> TfliteBackend | ScaledTfliteBackend:
    """Return an interpreter over the artifact's checked bytes."""
    model = bundle.read(artifact.path)
    if artifact.units == "scaled":
        return ScaledTfliteBackend(model, threads, bundle.manifest)
    return TfliteBackend(model, threads)
