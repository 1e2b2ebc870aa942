"""A layer graph as a Keras model: with Keras' own layers, for the reference, or with twins, for engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.model.layer_graph import INPUT, GraphLayer, LayerGraph, array_name
from pulsecast.model.network import Recurrent
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import CellWeights
from pulsecast.plain_text import listed

from .form import Twins
from .kinds import CALLED_WITH, LAYERS, MERGING, settings_of

Arrays = Sequence[NDArray[np.float32]]
Named = Mapping[str, NDArray[np.float32]]


def arrays_of(layer: GraphLayer, keras_layer: Any) -> list[NDArray[np.float32]]:
    """Return the weights of a Keras layer in the order of a graph."""
    if layer.kind == "Normalization":  # (1, ..., width), or of all columns together (1, ..., 1)
        arrays = [np.asarray(value, np.float32) for value in (keras_layer.mean, keras_layer.variance)]
        return [array.reshape(array.shape[-1:] if layer.settings.get("axis", -1) else ()) for array in arrays]
    return [np.asarray(array, np.float32) for array in keras_layer.get_weights()]


def arrays_by_layer(graph: LayerGraph, named: Named) -> list[list[NDArray[np.float32]]]:
    """Return the arrays of each layer; raises ConversionError if one is missing."""
    found = []
    for number in range(len(graph.layers)):
        count = sum(name.startswith(f"layer_{number}.") for name in named)
        try:
            found.append([named[array_name(number, i)] for i in range(count)])
        except KeyError as error:
            raise ConversionError(f"the weights have no array {error}") from None
    return found


def keras_model(spec: ModelSpec, weights: Named | None, *, dtype: str = "float32", twins: Twins | None = None) -> Any:
    """Return the Keras model of a spec's graph: channels (batch, window, channels) to (batch, horizon).

    weights  None leaves them as Keras makes them
    twins    None makes every layer as Keras has it

    Raises ConversionError if a layer is not one of `kinds`, or Keras refuses it.
    """
    import keras

    graph = spec.graph
    assert graph is not None  # noqa: S101  # for the type checker: callers have looked
    arrays = [[] for _ in graph.layers] if weights is None else arrays_by_layer(graph, weights)
    channels = keras.Input((spec.window, len(spec.channels)), dtype=dtype)
    outputs: list[Any] = []
    for layer, own in zip(graph.layers, arrays, strict=True):
        given = [outputs[i] for i in layer.inputs]
        try:
            outputs.append(_entry(channels, layer) if layer.kind == INPUT else _called(layer, own, given, dtype, twins))
        except ConversionError:
            raise
        except Exception as error:  # Keras may raise any exception
            reason = ascii((str(error).strip() or type(error).__name__).splitlines()[0][:200])[1:-1]
            raise ConversionError(
                f"layer {ascii(layer.name)[:60]} ({layer.kind}): Keras refuses it: {reason}"
            ) from error
    return keras.Model(channels, outputs[-1])


def _entry(channels: Any, layer: GraphLayer) -> Any:
    """Return the columns of the channels that an input takes, in its form."""
    import keras

    settings: Any = layer.settings
    first, stop = settings["first"], settings["first"] + settings["count"]
    if settings["form"] == "column":
        return channels[:, :, first]
    if settings["form"] == "last":
        return channels[:, -1, first:stop]
    columns = channels[:, :, first:stop]
    return columns if settings["form"] == "steps" else keras.ops.reshape(columns, (-1, *settings["shape"]))


def _called(layer: GraphLayer, arrays: Arrays, given: list[Any], dtype: str, twins: Twins | None) -> Any:
    """Return the output of one layer, made and called, with its weights."""
    import keras

    settings: dict[str, Any] = dict(layer.settings)
    call = {key: settings.pop(key) for key in CALLED_WITH if settings.get(key)}
    made = None if twins is None else _twin(layer.kind, layer.settings, arrays, twins)
    if made is None:
        made = _plain(layer.kind, {k: v for k, v in settings.items() if k not in CALLED_WITH}, arrays, dtype)
        if twins is not None and settings.get("activation") in ("silu", "swish"):
            made.activation = _silu
    found = made(given if layer.kind in MERGING else given[0], **call)
    made = getattr(made, "inner", made)  # of a twin of TimeDistributed
    if arrays and type(made).__module__.startswith("keras.") and not isinstance(made, keras.layers.Normalization):
        made.set_weights([np.asarray(array) for array in arrays])
    return found


def _silu(x: Any) -> Any:
    """Return x times its sigmoid, without the gradient that TensorFlow's own brings along."""
    import keras

    return x * keras.ops.sigmoid(x)


def _plain(kind: str, settings: Mapping[str, Any], arrays: Arrays, dtype: str) -> Any:
    """Return a layer of Keras' own."""
    import keras

    if kind == "Bidirectional":
        inner = _inner(settings["layer"], dtype)
        return keras.layers.Bidirectional(inner, merge_mode=settings["merge_mode"], dtype=dtype)
    if kind == "TimeDistributed":
        return keras.layers.TimeDistributed(_inner(settings["layer"], dtype), dtype=dtype)
    checked(kind, settings)
    if kind == "Normalization" and arrays:
        settings = {**settings, "mean": arrays[0], "variance": arrays[1]}
    return getattr(keras.layers, kind)(**settings, dtype=dtype)


def _inner(described: Mapping[str, Any], dtype: str) -> Any:
    return _plain(described["kind"], described["settings"], (), dtype)


def checked(kind: str, settings: Mapping[str, Any]) -> None:
    """Raise ConversionError unless a layer is one of the table, with settings of the table: a folder may be edited."""
    problems = settings_of(kind, settings)[1] if kind in LAYERS else ["it is not a known layer"]
    if problems:
        raise ConversionError(f"a layer of kind {ascii(kind)[:60]} is not made: {listed(problems)}")


def _twin(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    """Return the twin of a layer, None for a layer that stays Keras' own."""
    make = _TWINS.get(kind)
    return None if make is None else make(kind, settings, arrays, twins)


def _one_cell(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    checked(kind, settings)
    layer = _recurrent(kind, settings, "backward" if settings.get("go_backwards") else "forward")
    return _recurrent_twin(layer, [_cell(kind, settings, arrays)], settings, twins)


def _two_cells(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    del kind
    inner, half = settings["layer"], len(arrays) // 2
    checked(inner["kind"], inner["settings"])
    layer = _recurrent(inner["kind"], inner["settings"], "both", settings["merge_mode"])
    cells = [_cell(inner["kind"], inner["settings"], part) for part in (arrays[:half], arrays[half:])]
    return _recurrent_twin(layer, cells, inner["settings"], twins)


def _recurrent_twin(layer: Recurrent, cells: list[CellWeights], settings: Mapping[str, Any], twins: Twins) -> Any:
    from .twins import RecurrentTwin

    sequences = bool(settings.get("return_sequences"))
    return RecurrentTwin(layer, cells, twins, sequences=sequences)


def _every_step(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    from .twins import EveryStepTwin

    del kind
    inner = settings["layer"]
    twin = _twin(inner["kind"], inner["settings"], arrays, twins)
    return EveryStepTwin(_plain(inner["kind"], inner["settings"], arrays, "float32") if twin is None else twin)


def _embedding(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    from .twins import EmbeddingTwin

    del kind
    return EmbeddingTwin(arrays[0], twins, mask_zero=bool(settings.get("mask_zero")))


def _normalised(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    from .twins import AffineTwin

    checked(kind, settings)
    del twins
    factor, added = _affine(settings, arrays)
    return AffineTwin(factor, before=None, after=added)


def _scaled(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    from .twins import AffineTwin

    checked(kind, settings)
    del twins
    mean, variance = arrays
    deviation = np.maximum(np.sqrt(variance.astype(np.float64)), 1e-7)  # as Keras does, with its epsilon
    if settings.get("invert"):
        return AffineTwin(deviation.astype(np.float32), before=None, after=mean)
    return AffineTwin((1 / deviation).astype(np.float32), before=mean, after=None)


def _repeated(kind: str, settings: Mapping[str, Any], arrays: Arrays, twins: Twins) -> Any:
    from .twins import RepeatTwin

    checked(kind, settings)
    del arrays, twins
    return RepeatTwin(settings["n"])


_TWINS: dict[str, Callable[[str, Mapping[str, Any], Arrays, Twins], Any]] = {
    "LSTM": _one_cell,
    "GRU": _one_cell,
    "Bidirectional": _two_cells,
    "TimeDistributed": _every_step,
    "Embedding": _embedding,
    "BatchNormalization": _normalised,
    "Normalization": _scaled,
    "RepeatVector": _repeated,
}


def _recurrent(kind: str, settings: Mapping[str, Any], direction: Any, merge: Any = "concat") -> Recurrent:
    return Recurrent(
        kind="lstm" if kind == "LSTM" else "gru",
        units=settings["units"],
        activation=settings.get("activation", "tanh"),
        gates=settings.get("recurrent_activation", "sigmoid"),
        direction=direction,
        merge=merge,
        reset_after=bool(settings.get("reset_after", True)),
    )


def _cell(kind: str, settings: Mapping[str, Any], arrays: Arrays) -> CellWeights:
    """Return one cell; a layer without bias gets a bias of zeros."""
    columns = arrays[0].shape[1]
    two = kind == "GRU" and settings.get("reset_after", True)
    shape = (2, columns) if two else (columns,)
    bias = arrays[2] if len(arrays) > 2 else np.zeros(shape, np.float32)
    return CellWeights(kernel=arrays[0], recurrent=arrays[1], bias=bias.reshape(shape))


def _affine(settings: Mapping[str, Any], arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a BatchNormalization multiplies by, and what it adds, each (width,), computed in float64."""
    rest = [array.astype(np.float64) for array in arrays]
    gamma = rest.pop(0) if settings.get("scale", True) else np.float64(1)
    beta = rest.pop(0) if settings.get("center", True) else np.float64(0)
    mean, variance = rest
    factor = gamma / np.sqrt(variance + float(settings.get("epsilon", 1e-3)))
    return factor.astype(np.float32), (beta - mean * factor).astype(np.float32)
