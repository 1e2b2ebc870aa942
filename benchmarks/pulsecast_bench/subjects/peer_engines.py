"""Runs the peers: each function opens one and returns it as a `LoadedSubject`, raw windows in, raw forecasts out.

No backend of pulsecast is used; the code around an engine is what an app would write. A network that takes channels has
the whole recipe in numpy around it: the calendar of every step from the time of the last one, scaling, lags.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import Bundle
from pulsecast.computing import reference
from pulsecast.computing.calendars import complete
from pulsecast.computing.linear_path import linear_path
from pulsecast.errors import EngineError, PulsecastError
from pulsecast.model.weights import read_weights
from pulsecast.model.windows import SERIES, TIME, Windows

from .c_loop import open_loop
from .peers import PEERS, PeerFile
from .subject import Array, LoadedSubject, Predict, Times

Network = Callable[[Array], Array]


def open_peer(bundle: Bundle, name: str, file: PeerFile, threads: int) -> LoadedSubject:
    """Return a loaded peer; raises EngineError with the first line of its error."""
    try:
        opened: LoadedSubject = globals()[PEERS[name].opened_by](bundle, file, threads)
        return opened
    except PulsecastError:
        raise
    except Exception as error:  # an engine may raise any exception
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"{name} cannot be loaded by {PEERS[name].engine}: {reason}") from error


def open_keras_predict(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """`Model.predict` in one piece for any batch."""
    model = _keras_model(file, threads)

    def network(inputs: Array) -> Array:
        outputs: Array = model.predict(inputs, batch_size=len(inputs), verbose=0)
        return outputs

    return LoadedSubject(predict=around(bundle, network), engine=_keras_engine(), device=_keras_device())


def open_keras_call(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """`model(inputs, training=False)`."""
    model = _keras_model(file, threads)

    def network(inputs: Array) -> Array:
        outputs: Array = model(inputs, training=False).numpy()
        return outputs

    return LoadedSubject(predict=around(bundle, network), engine=_keras_engine(), device=_keras_device())


def open_onnx(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """`InferenceSession.run` of a graph that takes raw windows and their times."""
    import onnxruntime as ort

    del bundle
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    run, forecast, values_name = session.run, [session.get_outputs()[0].name], names[0]

    def predict(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        forecasts: Array = run(forecast, {values_name: values})[0]
        return forecasts

    def timed(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        forecasts: Array = run(forecast, {values_name: values, TIME: timestamps})[0]
        return forecasts

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        given = {values_name: values, SERIES: series}
        forecasts: Array = run(forecast, given | {TIME: timestamps} if TIME in names else given)[0]
        return forecasts

    called = of_series if SERIES in names else timed if TIME in names else predict
    return LoadedSubject(predict=called, engine=f"onnxruntime {ort.__version__}", device="CPU")


def open_litert(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """One interpreter; it is resized when the batch changes."""
    from ai_edge_litert import __version__
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=file.path, num_threads=threads)
    interpreter.allocate_tensors()
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    sized = 1

    def network(inputs: Array) -> Array:
        nonlocal sized
        if len(inputs) != sized:
            interpreter.resize_tensor_input(at, inputs.shape)
            interpreter.allocate_tensors()
            sized = len(inputs)
        interpreter.set_tensor(at, inputs)
        interpreter.invoke()
        outputs: Array = interpreter.get_tensor(to)
        return outputs

    engine = f"ai-edge-litert {__version__}"
    return LoadedSubject(predict=around(bundle, network), engine=engine, device="CPU", max_batch=file.max_batch)


def open_openvino(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """A compiled model and one request; float32, since its default on some processors is bfloat16 (error 4e-3)."""
    import openvino as ov

    many = bundle.manifest.series is not None
    core = ov.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    compiled: Any = core.compile_model(core.read_model(file.path), "CPU", hints)
    request = compiled.create_infer_request()
    output = compiled.output(0)

    def predict(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        forecasts: Array = request.infer([values])[output]
        return forecasts

    def timed(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        forecasts: Array = request.infer({0: values, 1: timestamps})[output]
        return forecasts

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        given = [values, series] if timestamps is None else [values, timestamps, series]  # as in `Windows.inputs`
        forecasts: Array = request.infer(given)[output]
        return forecasts

    called = of_series if many else timed if len(compiled.inputs) > 1 else predict
    return LoadedSubject(predict=called, engine=f"openvino {ov.__version__.partition('-')[0]}", device="CPU")


def open_numpy_loop(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """The equations written directly: a loop over time in float32, one layer after the other."""
    del threads
    weights = read_weights(Path(file.path).read_bytes(), bundle.manifest.spec)
    layers = [(layer.kernel, layer.recurrent, layer.bias, layer.units) for layer in weights.layers]

    def network(inputs: Array) -> Array:
        sequence = inputs  # (batch, window, channels)
        for kernel, recurrent, bias, units in layers:
            h = c = np.zeros((len(inputs), units), np.float32)
            hidden = []
            for t in range(sequence.shape[1]):
                z = sequence[:, t] @ kernel + h @ recurrent + bias  # (batch, 4*units), gates i, f, c, o
                i, f, g, o = np.split(z, 4, axis=1)
                c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                h = _sigmoid(o) * np.tanh(c)
                hidden.append(h)
            sequence = np.stack(hidden, axis=1)  # (batch, window, units)
        outputs: Array = sequence[:, -1] @ weights.head_kernel + weights.head_bias
        return outputs

    return LoadedSubject(predict=around(bundle, network), engine=f"numpy {np.__version__}", device="CPU")


def open_c_loop(bundle: Bundle, file: PeerFile, threads: int) -> LoadedSubject:
    """The same equations in C, compiled for this processor; one thread."""
    del threads
    network = open_loop(Path(file.path), bundle.manifest.spec)
    return LoadedSubject(predict=around(bundle, network), engine="compiled C", device="CPU")


def around(bundle: Bundle, network: Network) -> Predict:
    """Return raw windows and times -> raw forecasts in float32, around a `network` of channels.

    The network takes (batch, window, channels). The linear path of a model that has one is added to its outputs.
    """
    spec, scaling, weights = bundle.manifest.spec, bundle.scaling, bundle.weights()

    def taken(inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        return network(np.ascontiguousarray(inputs, np.float32))

    def predict(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        windows = Windows(values=values, time=timestamps, series=series)
        columns = complete(spec, windows)  # (batch, context, features)
        beside = linear_path(spec, scaling, weights, windows)
        return reference.through(spec, scaling.of(windows), taken, columns, beside).astype(np.float32)

    return predict


def _sigmoid(x: Array) -> Array:
    gate: Array = np.float32(1) / (np.float32(1) + np.exp(-x))
    return gate


def _keras_model(file: PeerFile, threads: int) -> Any:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return keras.models.load_model(Path(file.path), compile=False)


def _keras_device() -> str:
    import tensorflow as tf

    return "GPU" if tf.config.list_logical_devices("GPU") else "CPU"


def _keras_engine() -> str:
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"
