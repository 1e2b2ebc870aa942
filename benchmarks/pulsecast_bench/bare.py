"""The engines without pulsecast: what an app would write itself for one artifact, with the same thread setting.

A row of BARE opens an artifact and returns a `Bare`. The reference backend has none: it is pulsecast's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast import reference
from pulsecast.bundle import Bundle
from pulsecast.manifest import Artifact

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Bare:
    """`call` is timed, `prepare` is not: it makes raw windows into what the artifact takes."""

    prepare: Callable[[Array], Array]
    call: Callable[[Array], object]


def _as_it_is(windows: Array) -> Array:
    return windows


def bare_onnx(bundle: Bundle, artifact: Artifact, threads: int) -> Bare:
    """`InferenceSession.run`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    known = ort.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
    session = ort.InferenceSession(bundle.read(artifact.path), options, providers=providers)
    run, names, name = session.run, [session.get_outputs()[0].name], session.get_inputs()[0].name

    def call(windows: Array) -> object:
        return run(names, {name: windows})[0]

    return Bare(prepare=_as_it_is, call=call)


def bare_tflite(bundle: Bundle, artifact: Artifact, threads: int) -> Bare:
    """`Interpreter.set_tensor`, `invoke`, `get_tensor`; sized once, since a case has one batch."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=bundle.read(artifact.path), num_threads=threads)
    interpreter.allocate_tensors()
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    if artifact.units == "scaled":
        return _bare_scaled(interpreter, at, to, bundle)
    sized: tuple[int, ...] = ()

    def prepare(windows: Array) -> Array:
        nonlocal sized
        if windows.shape != sized:
            interpreter.resize_tensor_input(at, windows.shape, strict=False)
            interpreter.allocate_tensors()
            sized = windows.shape
        return windows

    def call(windows: Array) -> object:
        interpreter.set_tensor(at, windows)
        interpreter.invoke()
        return interpreter.get_tensor(to)

    return Bare(prepare=prepare, call=call)


def _bare_scaled(interpreter: Any, at: int, to: int, bundle: Bundle) -> Bare:
    """The int8 file takes network channels, keeps state and has to be reset: that is part of using it."""
    spec, scaler = bundle.manifest.spec, bundle.manifest.scaler

    def prepare(windows: Array) -> Array:
        inputs = reference.channels(spec, scaler.transform(windows))  # (batch, window, channels)
        return np.ascontiguousarray(inputs, np.float32)

    def call(inputs: Array) -> object:
        interpreter.reset_all_variables()
        interpreter.set_tensor(at, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(to)

    return Bare(prepare=prepare, call=call)


def bare_savedmodel(bundle: Bundle, artifact: Artifact, threads: int) -> Bare:
    """The restored `serving_default`; TensorFlow's threads are the process's and already set by the runtime."""
    import tensorflow as tf

    del threads
    model = tf.saved_model.load(str(bundle.path / artifact.path))
    signature, constant = model.signatures["serving_default"], tf.constant

    def call(windows: Array, keep: object = model) -> object:  # `model` owns the variables
        return signature(window=constant(windows))["forecast"].numpy()

    return Bare(prepare=_as_it_is, call=call)


BARE: dict[str, Callable[[Bundle, Artifact, int], Bare]] = {
    "onnx": bare_onnx,
    "tflite": bare_tflite,
    "savedmodel": bare_savedmodel,
}
