"""A Keras file of layers that a `Network` does not have, as a layer graph with weights and a float64 reference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast import limits
from pulsecast.bundle.golden import Extremes
from pulsecast.computing import reference
from pulsecast.errors import ConversionError
from pulsecast.forecasting.extremes import extreme_windows
from pulsecast.model.layer_graph import INPUT, GraphLayer, LayerGraph, array_name
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import of_graph
from pulsecast.model.windows import Windows

from ..layer_graphs.building import arrays_of, keras_model
from ..layer_graphs.kinds import WITHOUT_WEIGHTS
from .graph_reading import FoundGraph, graph_of
from .held_out import HeldOutArrays
from .keras_file import KerasFile
from .keras_loading import Forward, check_loaded, first_line, forward_of, load_model, part_of
from .network_import import Imported, ImportOptions, identity, layer_of, spec_of

# of the range: where float32 and float64 of the same model differ by more, no artifact can be held to either
AGREED = 1e-6
TRAINED_ALIKE = 1e-4  # float32 against float64, where a mask of another kind changes far more


def import_graph(file: KerasFile, found: FoundGraph, data: HeldOutArrays, options: ImportOptions) -> Imported:
    """Return the model of a `.keras` file as a graph; raises ConversionError and DataError."""
    window, columns = data.windows.shape[1:]
    graph = graph_of(found, window, columns)
    spec = _measured(spec_of(graph, (columns, data.truth.shape[1]), data, options), file)
    loaded = load_model(file)
    check_loaded(loaded, file)
    named = _arrays(graph, found, loaded)
    outside = options.scaler or identity(data.windows)
    return Imported(
        spec=spec,
        weights=of_graph(named),
        outside=outside,
        scaler=outside,
        forward=_forward(part_of(loaded, file.config, found.names, options.output), spec),
        exact=_exact(spec, named),
        origin={"layers": [f"{layer.kind} {layer.name}" for layer in graph.layers]},
    )


def _measured(spec: ModelSpec, file: KerasFile) -> ModelSpec:
    """Return the spec with a graph that gives (batch, horizon).

    Nothing is allocated: raises ConversionError before Keras makes more weights than the file holds, or an output of a
    layer that is larger than any window, or for an output that is not a forecast.
    """
    import keras

    with keras.StatelessScope(initialize_variables=False):
        model = keras_model(spec, None)
        weights = [weight for layer in model.layers if not _is_given(layer) for weight in layer.weights]
        needed = sum(math.prod(weight.shape) for weight in weights)
        widest = max(math.prod(size or 1 for size in layer.output.shape[1:]) for layer in model.layers)
        given = tuple(model.outputs[0].shape[1:])
    held = sum(array.size for array in file.arrays.values())
    if needed > held:
        raise ConversionError(f"the layers of this model take {needed:,} weights; its file holds {held:,}")
    if widest > limits.WINDOW_VALUES:
        raise ConversionError(f"a layer of this model gives {widest:,} numbers; at most {limits.WINDOW_VALUES:,} fit")
    return _flat(spec, given)


def _is_given(layer: Any) -> bool:
    """Return whether a layer may have its numbers in its configuration: then the file holds no weights of it."""
    return type(layer).__name__ == "Normalization"


def _flat(spec: ModelSpec, given: tuple[int | None, ...]) -> ModelSpec:
    """Return the spec with a last layer that drops axes of one, so that the output is (batch, horizon)."""
    sizes = [size for size in given if size != 1] or [1]
    if len(sizes) != 1 or sizes[0] is None:
        raise ConversionError(
            f"this model gives {given} for a window; expected (horizon,): end it in a layer that gives one number for "
            "each step ahead, such as Dense(1) or Flatten, or name another output with --output"
        )
    if sizes[0] != spec.horizon:
        raise ConversionError(f"truth has {spec.horizon} steps; this model forecasts {sizes[0]}")
    if len(given) == 1 or spec.graph is None:
        return spec
    layers = spec.graph.layers
    last = GraphLayer(
        name="forecast, flat", kind="Reshape", inputs=(len(layers) - 1,), settings={"target_shape": sizes}
    )
    return dataclasses.replace(spec, graph=LayerGraph(layers=(*layers, last)))


def _arrays(graph: LayerGraph, found: FoundGraph, loaded: Any) -> dict[str, NDArray[np.float32]]:
    """Return the weights of every layer by their names in the weights' file."""
    named = {}
    for number, (layer, place) in enumerate(zip(graph.layers, found.places, strict=True)):
        if layer.kind not in WITHOUT_WEIGHTS:
            for index, array in enumerate(arrays_of(layer, layer_of(loaded, place))):
                named[array_name(number, index)] = array
    if not named or not all(np.isfinite(array).all() for array in named.values()):
        raise ConversionError("the weights of this model hold NaN or infinity, or there are none; train it again")
    return named


def _forward(part: Any, spec: ModelSpec) -> Forward:
    """Return the file's own model as a function of channels: its inputs are cut from them as the graph does."""
    assert spec.graph is not None  # noqa: S101  # for the type checker
    entries = [layer.settings for layer in spec.graph.layers if layer.kind == INPUT]
    run = forward_of(part)
    return lambda channels: run([_cut(entry, channels) for entry in entries])


def _cut(entry: Mapping[str, Any], channels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what an input takes of channels (batch, window, channels)."""
    first, count = entry["first"], entry["count"]
    columns = channels[:, :, first : first + count]
    if entry["form"] == "column":
        return columns[:, :, 0]
    if entry["form"] == "last":
        return columns[:, -1]
    return columns if entry["form"] == "steps" else columns.reshape(-1, *entry["shape"])


def _exact(spec: ModelSpec, named: dict[str, NDArray[np.float32]]) -> Forward:
    """Return the graph in float64, computed by Keras: the reference of every artifact."""
    import keras

    model = keras_model(spec, named, dtype="float64")

    def forward(channels: NDArray[np.floating]) -> NDArray[np.floating]:
        try:
            found = np.asarray(model(channels.astype(np.float64), training=False))
        except Exception as error:  # Keras may raise any exception
            raise ConversionError(f"Keras cannot run the model in float64: {first_line(error)}") from error
        if found.dtype != np.float64:
            raise ConversionError(
                f"Keras on {keras.backend.backend()} computes in {found.dtype}; set KERAS_BACKEND=tensorflow"
            )
        return found

    return forward


def extremes_of(model: Imported, windows: NDArray[np.float32], unit: float) -> Extremes:
    """Return windows of the largest and the smallest numbers, and what the graph gives for them in float64.

    Left out are those for which the model itself gives another forecast in float32 than in float64: a softmax over
    huge numbers, for example, turns on their last bit.
    """
    exactly = model.exact
    assert exactly is not None  # noqa: S101  # for the type checker: it is a graph's
    made = extreme_windows(Windows(values=windows[:1]))
    left_out = _left_out(model, windows[:1])
    made, count = Windows(values=np.concatenate([made.values, *left_out])), len(left_out)
    with np.errstate(all="ignore"):
        exact = _every(model, exactly, made.values.astype(np.float64))
        single = _every(model, model.forward, made.values)
        size = np.maximum(np.maximum(np.abs(exact), unit), np.abs(made.values).max(axis=(1, 2))[:, np.newaxis])
        off = np.abs(single - exact) / size  # NaN where one of the two is
    masked = slice(len(made.values) - count, None)
    if not (off[masked] <= TRAINED_ALIKE).all():
        raise ConversionError("steps that a Masking leaves out change this model's forecast in another way than Keras'")
    agreed = np.where(np.isfinite(exact) & np.isfinite(single), off <= AGREED, ~np.isfinite(exact)).all(axis=1)
    known = np.where(np.isfinite(exact), exact, np.nan)
    return Extremes(values=made.values[agreed].astype(np.float32), reference=known[agreed].astype(np.float64))


def _left_out(model: Imported, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return (1, context, measured) of steps that a Masking leaves out: the first, some in the middle, all but one."""
    assert model.spec.graph is not None  # noqa: S101  # for the type checker
    values: list[Any] = [layer.settings["mask_value"] for layer in model.spec.graph.layers if layer.kind == "Masking"]
    offset, scale = (np.array([getattr(one, name) for one in model.outside.features]) for name in ("offset", "scale"))
    steps = window.shape[1]
    found = []
    for value in values:
        for rows in (slice(0, 1), slice(steps // 3, 2 * steps // 3), slice(0, steps - 1)):
            made = window.copy()
            made[:, rows] = (value * scale + offset).astype(np.float32)
            found.append(made)
    return found


def _every(model: Imported, forward: Forward, windows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return forecasts (n, horizon); NaN for a window that Keras refuses, such as an index beyond an Embedding."""
    try:
        return reference.through(model.spec, model.outside, forward, windows)
    except ConversionError:
        if len(windows) == 1:
            return np.full((1, model.spec.horizon), np.nan)
        half = len(windows) // 2
        return np.concatenate([_every(model, forward, part) for part in (windows[:half], windows[half:])])
