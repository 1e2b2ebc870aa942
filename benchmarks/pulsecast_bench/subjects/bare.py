"""The engines without pulsecast: an app's own code around the same engine object that a backend holds.

A second session or interpreter of the same file differs from the first by up to 5 % in the same process, either way
(`benchmarks/README.md`), which is as much as the overhead that is looked for. So both sides share one engine object,
and the difference is only pulsecast's own code. That is why this module, alone, reaches into backends.

A row of BARE takes a loaded backend. The reference and `native` have no row: they are pulsecast's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pulsecast.computing import reference
from pulsecast.computing.calendars import complete
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.series import scaling_of
from pulsecast.model.windows import SERIES, TIME, Windows, position

from .subject import Array, Predict, Times


def _as_they_are(windows: Windows) -> Windows:
    return windows


@dataclass(frozen=True, kw_only=True)
class Bare:
    """`call` is timed; `prepare` is not: it makes the artifact's inputs from raw windows."""

    call: Predict
    prepare: Callable[[Windows], Windows] = _as_they_are


def engine_of(forecaster: Forecaster) -> Bare:
    """Return the engine's own call; where the engine is pulsecast's code, its backend without the checks of `predict`.

    The backend has no name for the time, so that one more call of a function, about 0.1 us, stands around it.
    """
    backend = forecaster.artifact.backend
    if backend in BARE:
        return BARE[backend](forecaster)
    predict = forecaster.backend.predict

    def call(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        return predict(values, timestamps)

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        return predict(values, timestamps, series)

    return Bare(call=call if forecaster.series is None else of_series)


def bare_onnx(forecaster: Forecaster) -> Bare:
    """`InferenceSession.run`."""
    session: Any = _inside(forecaster, "_session")
    names = [given.name for given in session.get_inputs()]
    run, forecast, values_name = session.run, [session.get_outputs()[0].name], names[0]

    def call(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        found: Array = run(forecast, {values_name: values})[0]
        return found

    def timed(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        found: Array = run(forecast, {values_name: values, TIME: timestamps})[0]
        return found

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        given = {values_name: values, SERIES: series}
        found: Array = run(forecast, given | {TIME: timestamps} if TIME in names else given)[0]
        return found

    return Bare(call=of_series if SERIES in names else timed if TIME in names else call)


def bare_tflite(forecaster: Forecaster) -> Bare:
    """`set_tensor`, `invoke`, `get_tensor`; earlier calls have resized the interpreter."""
    if forecaster.artifact.units == "scaled":
        return _bare_scaled(forecaster)
    interpreter: Any = _inside(forecaster, "_interpreter")
    places = {position(tensor["name"]): tensor["index"] for tensor in interpreter.get_input_details()}
    at, time_at, series_at = places[0], places.get(1), places.get(2)
    to = interpreter.get_output_details()[0]["index"]

    def call(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        interpreter.set_tensor(at, values)
        interpreter.invoke()
        found: Array = interpreter.get_tensor(to)
        return found

    def timed(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        interpreter.set_tensor(at, values)
        interpreter.set_tensor(time_at, timestamps)
        interpreter.invoke()
        found: Array = interpreter.get_tensor(to)
        return found

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        interpreter.set_tensor(series_at, series)
        return (call if time_at is None else timed)(values, timestamps=timestamps)

    return Bare(call=of_series if series_at is not None else call if time_at is None else timed)


def _bare_scaled(forecaster: Forecaster) -> Bare:
    """The int8 file takes one window's network channels, keeps state and must be reset: this is part of its use."""
    inner: Any = _inside(forecaster, "_inner")
    interpreter: Any = vars(inner)["_interpreter"]
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    spec, scaling = forecaster.manifest.spec, scaling_of(forecaster.manifest.scaler, forecaster.series)

    def prepare(windows: Windows) -> Windows:
        scaled = scaling.of(windows).transform(complete(spec, windows))
        inputs = reference.channels(spec, scaled)  # (1, window, channels)
        return Windows(values=np.ascontiguousarray(inputs, np.float32))

    def call(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        interpreter.reset_all_variables()
        interpreter.set_tensor(at, values)
        interpreter.invoke()
        found: Array = interpreter.get_tensor(to)
        return found

    return Bare(prepare=prepare, call=call)


def bare_savedmodel(forecaster: Forecaster) -> Bare:
    """The restored `serving_default`, tensors in and array out."""
    import tensorflow as tf

    signature: Any = _inside(forecaster, "_signature")
    constant = tf.constant

    def call(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        found: Array = signature(values=constant(values))["forecast"].numpy()
        return found

    def timed(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        found: Array = signature(values=constant(values), time=constant(timestamps))["forecast"].numpy()
        return found

    def of_series(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        given = {"values": constant(values), "series": constant(series)}
        given |= {} if timestamps is None else {"time": constant(timestamps)}
        found: Array = signature(**given)["forecast"].numpy()
        return found

    def of_format_1(values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        found: Array = signature(window=constant(values))["forecast"].numpy()
        return found

    if forecaster.manifest.format == 1:
        return Bare(call=of_format_1)
    if forecaster.series is not None:
        return Bare(call=of_series)
    return Bare(call=timed if forecaster.manifest.spec.timed else call)


def _inside(forecaster: Forecaster, name: str) -> object:
    """Return a field of the loaded backend; that of a bundle of format 1 lies in another one."""
    fields = vars(forecaster.backend)
    return vars(fields["inner"])[name] if forecaster.manifest.format == 1 else fields[name]


BARE: dict[str, Callable[[Forecaster], Bare]] = {
    "onnx": bare_onnx,
    "tflite": bare_tflite,
    "savedmodel": bare_savedmodel,
}
