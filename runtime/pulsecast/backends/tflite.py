"""Backend `tflite`: LiteRT's interpreter, for raw-unit files and for the scaled int8 microcontroller file."""

from __future__ import annotations

import math
import threading
from importlib.metadata import version
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.lone_files import custom_operators
from ..bundle.manifest import Artifact
from ..computing import reference
from ..computing.calendars import complete
from ..computing.linear_path import linear_path
from ..errors import EngineError, FormatError
from ..model.series import Scaling
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..model.windows import Windows, position
from . import fail
from .forks import abandon, renew_after_fork

# widths of the calibration's range: so far around it a window has a forecast, although 8 bits cut off what is outside
BEYOND = 1.0
_UNKNOWN = -1  # a batch: the interpreter must be resized, or made, before its next call


class TfliteBackend:
    """One interpreter, resized when the batch changes. Thread-safe through a lock: it runs one call at a time.

    A forked process makes an interpreter of its own.
    """

    device = "CPU"

    def __init__(self, model: bytes, threads: int) -> None:
        self.engine = f"ai-edge-litert {version('ai-edge-litert')}"
        self._model, self._threads = model, threads
        self._interpreter: Any = _interpreter(model, threads)
        given, found = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        # place among the inputs, index of the tensor, shape of a window
        self._inputs = [(position(t["name"]), int(t["index"]), tuple(map(int, t["shape"][1:]))) for t in given]
        self._outputs = [int(tensor["index"]) for tensor in found]  # in the order of OUTPUTS, as the file has them
        self._forecast = self._outputs[:1]
        self._batch = int(given[0]["shape"][0])
        self._lock = threading.RLock()
        self._is_running = False
        renew_after_fork(self)

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
        *,
        reset: bool = False,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; `reset` clears state tensors first, under the same lock as the call they belong to."""
        forecasts: NDArray[np.float32] = self._invoke((values, time, series), self._forecast, reset=reset)[0]
        return forecasts

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        return tuple(self._invoke((values, time, series), self._outputs))

    def limits(self) -> tuple[float, float]:
        """Return the least and the largest input that has a forecast: BEYOND widths around what 8 bits hold.

        Without 8-bit inputs they are infinite.
        """
        shape = [1, *self._inputs[0][2]]
        for tensor in self._interpreter.get_tensor_details():
            scale, zero = tensor["quantization"]
            if tensor["dtype"] is np.int8 and scale and list(tensor["shape"]) == shape:
                low, high = scale * (-128 - zero), scale * (127 - zero)
                return low - BEYOND * (high - low), high + BEYOND * (high - low)
        return -math.inf, math.inf

    def after_fork(self) -> None:
        """See `Renewed`."""
        abandon(self._interpreter)
        self._interpreter, self._batch = None, _UNKNOWN
        self._lock, self._is_running = threading.RLock(), False

    def _invoke(
        self, given: tuple[NDArray[np.generic] | None, ...], wanted: list[int], *, reset: bool = False
    ) -> list[NDArray[np.float32]]:
        """Return the tensors at the indices `wanted`."""
        with self._lock:
            if self._is_running:  # the same thread: a signal handler or a finalizer came in between
                raise EngineError(f"{self.engine} was called inside its own call; do not predict in a signal handler")
            self._is_running = True
            try:
                values = given[0]
                if values is None:
                    raise ValueError("values are missing")
                if len(values) != self._batch:
                    self._resize(len(values))
                interpreter = self._interpreter
                if reset:
                    interpreter.reset_all_variables()
                for place, index, _ in self._inputs:
                    interpreter.set_tensor(index, given[place])
                interpreter.invoke()
                return [*map(interpreter.get_tensor, wanted)]
            except Exception as error:
                self._batch = _UNKNOWN
                fail(f"{self.engine} failed", error)
            finally:
                self._is_running = False

    def _resize(self, batch: int) -> None:
        """Prepare the interpreter for `batch` windows; one that is interrupted here is prepared again."""
        self._batch = _UNKNOWN
        if self._interpreter is None:
            self._interpreter = _interpreter(self._model, self._threads)
        for _, index, shape in self._inputs:
            self._interpreter.resize_tensor_input(index, (batch, *shape), strict=False)
        self._interpreter.allocate_tensors()
        self._batch = batch


def _interpreter(model: bytes, threads: int) -> Interpreter:
    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


class ScaledTfliteBackend:
    """The int8 file: network channels in, network outputs out, one window a call, state reset every time.

    The linear path is not in the file; it is computed here, in float32.

    Its 8 bits hold channels of the calibration's range and cut off what lies outside. A window that lies further out
    than the `limits` gets NaN: the forecast of what is left of it would be plausible and wrong.
    """

    device = "CPU"

    def __init__(self, model: bytes, threads: int, spec: ModelSpec, scaling: Scaling, weights: Weights) -> None:
        self._inner = TfliteBackend(model, threads)
        self.engine = self._inner.engine
        self._spec = spec
        self._scaling = scaling
        self._weights = weights
        self._limits = self._inner.limits()

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; the runtime scales around the network and handles non-finite rows."""
        windows = Windows(values=values, time=time, series=series)
        spec, scaler = self._spec, self._scaling.of(windows)
        columns, beside = complete(spec, windows), linear_path(spec, self._scaling, self._weights, windows)
        return reference.through(spec, scaler, self._network, columns, beside).astype(np.float32)

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`; the file has no bounds, which an app takes from the radii in the manifest."""
        return (self.predict(values, time, series),)

    def _network(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        low, high = self._limits
        kept = np.logical_and(inputs >= low, inputs <= high).all(axis=(1, 2))  # (batch, window, channels) -> (batch,)
        outputs = np.full((len(inputs), self._spec.horizon), np.nan, np.float32)
        for row in np.flatnonzero(kept):
            outputs[row] = self._inner.predict(inputs[row : row + 1].astype(np.float32), reset=True)[0]
        return outputs


def _check_operators(model: bytes, path: str) -> None:
    try:
        own = custom_operators(model)
    except FormatError as error:
        raise ValueError(f"{path} is damaged: {error}") from error  # told as the engine's own refusal
    if own:
        named = ", ".join(dict.fromkeys(own[:5]))
        raise FormatError(f"{path} has custom operators ({named}); expected LiteRT's builtin ones and no others")


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> TfliteBackend | ScaledTfliteBackend:
    """Return an interpreter over the artifact's checked bytes; raises FormatError if they have other operators."""
    model = bundle.read(artifact.path)
    _check_operators(model, artifact.path)
    if artifact.units == "scaled":
        return ScaledTfliteBackend(model, threads, bundle.manifest.spec, bundle.scaling, bundle.weights())
    return TfliteBackend(model, threads)
