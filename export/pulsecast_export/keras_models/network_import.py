"""A Keras file whose layers a `Network` knows, as spec and weights; a first layer that scales becomes the scaler."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError, DataError
from pulsecast.model.layer_graph import LayerGraph
from pulsecast.model.network import GATES, Network, Recurrent, plain_stack
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import Channel, Feature, ModelSpec
from pulsecast.model.weights import CellWeights, Weights

from .h5_weights import read_h5_weights
from .held_out import HeldOutArrays
from .keras_file import KerasFile
from .keras_layers import Found
from .keras_loading import Forward, check_loaded, forward_of, load_model, part_of
from .keras_nodes import INPUT, Node

# what a file of weights alone, which names neither connections nor activations, is taken as
TAKEN_AS = "LSTM layers with tanh and sigmoid, each one's output into the next, and a linear dense head"
SCALING = ("Normalization", "Rescaling")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a Keras file does not contain.

    name      of the model
    step_s    seconds between two steps
    features  names of the input columns, the forecast one first; () names them value, feature_1, ...
    scaler    how raw values become the model's inputs and its outputs raw values; None is no scaling
    output    the output that is the forecast, of a model with several
    """

    name: str
    step_s: int
    features: tuple[str, ...] = ()
    scaler: Scaler | None = None
    output: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """A Keras file that was read.

    outside  the scaler around the Keras model
    scaler   the scaler around `weights`: the same, unless the model's first layer became a part of it
    forward  the Keras model: channels (batch, window, channels) to outputs (batch, horizon)
    exact    of a graph: the same in float64
    origin   for the provenance
    """

    spec: ModelSpec
    weights: Weights
    outside: Scaler
    scaler: Scaler
    forward: Forward
    origin: dict[str, object]
    exact: Forward | None = None


def without_scaling(nodes: Sequence[Node]) -> tuple[Node | None, tuple[Node, ...]]:
    """Return the layer behind the input if it only scales the columns, else None, and the nodes without it."""
    if len(nodes) < 3 or nodes[1].kind not in SCALING or nodes[1].sources != (nodes[0].name,):
        return None, tuple(nodes)
    taken = nodes[1].name
    if nodes[0].kind != INPUT or any(taken in node.sources for node in nodes[3:]):
        return None, tuple(nodes)
    behind = [dataclasses.replace(node, sources=(nodes[0].name,)) if node is nodes[2] else node for node in nodes[2:]]
    return nodes[1], (nodes[0], *behind)


def import_network(
    file: KerasFile, found: Found, scaling: Node | None, data: HeldOutArrays, options: ImportOptions
) -> Imported:
    """Return the model of a `.keras` file that is a network; `scaling` is the layer before it that only scales."""
    if found.window not in (None, data.windows.shape[1]):
        raise DataError(f"windows have {data.windows.shape[1]} steps; this model takes {found.window}")
    spec = spec_of(found.network, (found.features, found.horizon), data, options)
    check_sizes(file, found)
    keras_model = load_model(file)
    check_loaded(keras_model, file)
    outside = options.scaler or identity(data.windows)
    weights, scaler = _weights(keras_model, found), outside
    if scaling is not None:
        weights, scaler = _folded(weights, outside, *_scaling(keras_model, scaling, found.features))
    return Imported(
        spec=spec,
        weights=weights,
        outside=outside,
        scaler=scaler,
        forward=forward_of(part_of(keras_model, file.config, found.inputs, options.output)),
        origin={"layers": [_words(layer) for layer in found.network.recurrent], **_of_scaling(scaling)},
    )


def _of_scaling(scaling: Node | None) -> dict[str, object]:
    return {} if scaling is None else {"scaler_holds": f"{scaling.kind} {scaling.name}"}


def _words(layer: Recurrent) -> str:
    return f"{layer.kind} {layer.units} {layer.direction}, {layer.activation} and {layer.gates}"


def check_sizes(file: KerasFile, found: Found) -> None:
    """Raise ConversionError if the layers take more weights than there are: Keras would make them, however many."""
    shapes = found.network.shapes(found.features, found.horizon)
    kernels = [
        shape for name, shape in shapes.items() if not name.endswith("bias") and (found.head or "head" not in name)
    ]
    needed, held = sum(map(math.prod, kernels)), sum(array.size for array in file.arrays.values())
    if needed > held:
        raise ConversionError(f"the layers of this model take {needed:,} weights; its file holds {held:,}")


def is_foldable(found: Found, scaling: Node) -> bool:
    """Return whether a first layer that scales can be a part of the scaler: the head can undo what the scaler adds."""
    factors = np.asarray(scaling.settings.get("scale", 1.0), np.float64)
    linear = found.head and found.network.activation == "linear"
    return bool(linear and not scaling.settings.get("invert") and (factors > 0).all())


def _scaling(keras_model: Any, node: Node, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return offset and scale (features,) of a layer that gives (x - offset) / scale."""
    layer = layer_of(keras_model, node.name)
    if node.kind == "Normalization":
        offset, variance = (np.asarray(array, np.float64).reshape(-1) for array in (layer.mean, layer.variance))
        scale = np.maximum(np.sqrt(variance), 1e-7)  # as Keras does, with its epsilon
    else:
        factor, added = (np.asarray(value, np.float64).reshape(-1) for value in (layer.scale, layer.offset))
        with np.errstate(divide="ignore", invalid="ignore"):
            offset, scale = -added / factor, 1 / factor
    try:
        offset, scale = np.broadcast_to(offset, (count,)), np.broadcast_to(scale, (count,))
    except ValueError:
        raise ConversionError(f"{node.words} does not scale the columns of a step; give a --scaler instead") from None
    if not (np.isfinite(offset).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ConversionError(f"{node.words} multiplies a column by 0 or less; give a --scaler instead")
    return offset, scale


def _folded(
    weights: Weights, outside: Scaler, offset: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[Weights, Scaler]:
    """Return weights and scaler of the same forecast without the layer: the head gives what the scaler takes back."""
    rows = zip(outside.features, offset, scale, strict=True)
    features = [
        dataclasses.replace(one, offset=_float32(one.offset + add * one.scale), scale=_float32(one.scale * by))
        for one, add, by in rows
    ]
    first, new = outside.features[0], features[0]
    # y of the model, in units of the scaler outside, is the new output times `by` plus `add`
    by, add = new.scale / first.scale, (new.offset - first.offset) / first.scale
    kernel, bias = weights.head_kernel.astype(np.float64), weights.head_bias.astype(np.float64)
    head = dataclasses.replace(
        weights, head_kernel=(kernel / by).astype(np.float32), head_bias=((bias - add) / by).astype(np.float32)
    )
    return head, Scaler(features=tuple(features))


def _float32(value: float) -> float:
    return float(np.float32(value))


def import_h5(path: Path, data: HeldOutArrays, options: ImportOptions) -> Imported:
    """Return the model of an `.h5` file: its weights in our architecture."""
    weights, configured = read_h5_weights(path)
    units = tuple(layer.units for layer in weights.layers)
    spec = spec_of(plain_stack(units), (weights.layers[0].kernel.shape[0], len(weights.head_bias)), data, options)
    outside = options.scaler or identity(data.windows)
    return Imported(
        spec=spec,
        weights=weights,
        outside=outside,
        scaler=outside,
        forward=forward_of(_own_network(spec, weights)),
        origin={} if configured else {"taken_as": TAKEN_AS},
    )


def _own_network(spec: ModelSpec, weights: Weights) -> Any:
    """Return our architecture in Keras with these weights: it equals the file's model if the file is correct."""
    import keras

    last = len(spec.units) - 1
    layers = [keras.layers.LSTM(units, return_sequences=i < last) for i, units in enumerate(spec.units)]
    head = keras.layers.Dense(spec.horizon)
    model = keras.Sequential([keras.Input((spec.window, len(spec.features))), *layers, head])
    for layer, one in zip(layers, weights.layers, strict=True):
        layer.set_weights([one.kernel, one.recurrent, one.bias])
    head.set_weights([weights.head_kernel, weights.head_bias])
    return model


def spec_of(
    layers: Network | LayerGraph, size: tuple[int, int], data: HeldOutArrays, options: ImportOptions
) -> ModelSpec:
    """Return the spec of a model of these layers; `size` is its features and its horizon. Raises DataError."""
    count, horizon = size
    names = options.features or ("value", *(f"feature_{i}" for i in range(1, count)))
    problems = []
    if data.windows.shape[2] != count:
        problems.append(f"windows have {data.windows.shape[2]} features; this model takes {count}")
    if data.calibration.shape[1:] != data.windows.shape[1:]:
        problems.append(f"calibration windows are {data.calibration.shape[1:]}, windows {data.windows.shape[1:]}")
    if data.truth.shape[1] != horizon:
        problems.append(f"truth has {data.truth.shape[1]} steps; this model forecasts {horizon}")
    if len(names) != count:
        problems.append(f"{len(names)} feature names; this model takes {count}")
    if options.scaler is not None and len(options.scaler.features) != count:
        problems.append(f"the scaler has {len(options.scaler.features)} features; this model takes {count}")
    if problems:
        raise DataError("; ".join(problems))
    kind = {"graph": layers} if isinstance(layers, LayerGraph) else {"network": layers}
    return ModelSpec(
        window=data.windows.shape[1],
        features=tuple(Feature(name=name) for name in names),
        channels=tuple(Channel(feature=i) for i in range(count)),
        units=() if isinstance(layers, LayerGraph) else tuple(layer.units for layer in layers.recurrent),
        horizon=horizon,
        step_s=options.step_s,
        target="level",
        floor=None,
        **kind,
    )


def _weights(model: Any, found: Found) -> Weights:
    """Return the Keras model's weights in the runtime's form; a layer without bias gets a bias of zeros."""
    cells: list[CellWeights] = []
    for name, layer in zip(found.recurrent, found.network.recurrent, strict=True):
        keras_layer = layer_of(model, name)
        both = layer.direction == "both"
        parts = (keras_layer.forward_layer, keras_layer.backward_layer) if both else (keras_layer,)
        cells += [_cell(layer, part.get_weights()) for part in parts]
    dense = [_dense(layer_of(model, name).get_weights()) for name in found.dense]
    width = found.network.recurrent[-1].width
    head = dense[-1] if dense else (np.eye(width, dtype=np.float32), np.zeros(width, np.float32))
    return Weights(layers=tuple(cells), head_kernel=head[0], head_bias=head[1], dense=tuple(dense[:-1]))


def _cell(layer: Recurrent, arrays: list[NDArray[np.float32]]) -> CellWeights:
    columns = GATES[layer.kind] * layer.units
    shape = (2, columns) if layer.kind == "gru" and layer.reset_after else (columns,)
    bias = arrays[2] if len(arrays) > 2 else np.zeros(shape)
    return CellWeights(
        kernel=np.asarray(arrays[0], np.float32),
        recurrent=np.asarray(arrays[1], np.float32),
        bias=np.asarray(bias, np.float32).reshape(shape),
    )


def _dense(arrays: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    kernel = np.asarray(arrays[0], np.float32)
    return kernel, np.asarray(arrays[1], np.float32) if len(arrays) > 1 else np.zeros(kernel.shape[1], np.float32)


def layer_of(model: Any, name: str) -> Any:
    """Return the layer of this name, `outer/inner` for one of a model in the model."""
    for part in name.split("/"):
        model = model.get_layer(part)
    return model


def identity(windows: NDArray[np.float32]) -> Scaler:
    """Return the scaler that changes nothing; its range, the unit of every parity error, is that of the windows."""
    lows, highs = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
    return Scaler(
        features=tuple(FeatureScale(low=float(low), high=float(high)) for low, high in zip(lows, highs, strict=True))
    )
