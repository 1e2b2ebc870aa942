"""The engines without pulsecast: an app's own code around the same engine object that a backend holds.

A second session or interpreter of the same file differs from the first by up to 5 % in the same process, either way
(`benchmarks/README.md`), which is as much as the overhead that is looked for. So both sides share one engine object,
and the difference is only pulsecast's own code. That is why this module, alone, reaches into backends.

A row of BARE takes a loaded backend. The reference backend has no row: it is pulsecast's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing import reference
from pulsecast.forecasting.forecaster import Forecaster

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Bare:
    """`call` is timed; `prepare` is not: it makes the artifact's inputs from raw windows."""

    prepare: Callable[[Array], Array]
    call: Callable[[Array], object]


def _as_it_is(windows: Array) -> Array:
    return windows


def bare_onnx(forecaster: Forecaster) -> Bare:
    """`InferenceSession.run`."""
    session: Any = _inside(forecaster.backend, "_session")
    run, names, name = session.run, [session.get_outputs()[0].name], session.get_inputs()[0].name

    def call(windows: Array) -> object:
        return run(names, {name: windows})[0]

    return Bare(prepare=_as_it_is, call=call)


def bare_tflite(forecaster: Forecaster) -> Bare:
    """`set_tensor`, `invoke`, `get_tensor`; earlier calls have resized the interpreter."""
    if forecaster.artifact.units == "scaled":
        return _bare_scaled(forecaster)
    interpreter, at, to = _interpreter(forecaster.backend)

    def call(windows: Array) -> object:
        interpreter.set_tensor(at, windows)
        interpreter.invoke()
        return interpreter.get_tensor(to)

    return Bare(prepare=_as_it_is, call=call)


def _bare_scaled(forecaster: Forecaster) -> Bare:
    """The int8 file takes one window's network channels, keeps state and must be reset: this is part of its use."""
    interpreter, at, to = _interpreter(_inside(forecaster.backend, "_inner"))
    spec, scaler = forecaster.manifest.spec, forecaster.manifest.scaler

    def prepare(windows: Array) -> Array:
        inputs = reference.channels(spec, scaler.transform(windows))  # (1, window, channels)
        return np.ascontiguousarray(inputs, np.float32)

    def call(inputs: Array) -> object:
        interpreter.reset_all_variables()
        interpreter.set_tensor(at, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(to)

    return Bare(prepare=prepare, call=call)


def bare_savedmodel(forecaster: Forecaster) -> Bare:
    """The restored `serving_default`, tensor in and array out."""
    import tensorflow as tf

    signature: Any = _inside(forecaster.backend, "_signature")
    constant = tf.constant

    def call(windows: Array) -> object:
        return signature(window=constant(windows))["forecast"].numpy()

    return Bare(prepare=_as_it_is, call=call)


def _interpreter(backend: object) -> tuple[Any, int, int]:
    interpreter: Any = _inside(backend, "_interpreter")
    return interpreter, interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]


def _inside(backend: object, name: str) -> object:
    return vars(backend)[name]


BARE: dict[str, Callable[[Forecaster], Bare]] = {
    "onnx": bare_onnx,
    "tflite": bare_tflite,
    "savedmodel": bare_savedmodel,
}
