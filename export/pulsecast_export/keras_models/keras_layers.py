"""From a Keras model's configuration to a `Network`, or to sentences that name every refused layer and the reason."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulsecast.errors import ConversionError
from pulsecast.model.network import Activation, Dense, Network, Recurrent
from pulsecast.plain_text import listed

MAX_LAYERS, MAX_WIDTH = 256, 1 << 16  # layers of a model; units of a layer, and features of a step
ACTIVATIONS = typing.get_args(Activation)
# at inference these return their input
NO_OPERATION = ("ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D")
WHY_NOT = {
    "Activation": "write the activation into the layer before it",
    "BatchNormalization": "normalise the values instead (a scaler), or fold it into its neighbours",
    "Conv1D": "only recurrent and dense layers are converted",
    "Embedding": "inputs must be numbers, not indices",
    "Flatten": "let the last recurrent layer return its last step only",
    "LayerNormalization": "it has no counterpart in the verified reference",
    "Masking": "every window has all its steps; fill them before",
    "RepeatVector": "only models that read a window and give a forecast are converted",
    "Reshape": "the forecast is (batch, horizon); drop the last axis",
    "SimpleRNN": "only LSTM and GRU are converted",
    "TimeDistributed": "let the last recurrent layer return its last step only",
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model's network, its number of input features and outputs, and the names of the layers that have weights.

    window  steps of the input; None is any number
    head    False if the last recurrent layer is itself the output
    """

    network: Network
    window: int | None
    features: int
    horizon: int
    recurrent: tuple[str, ...]
    dense: tuple[str, ...]
    head: bool


def find_network(config: Mapping[str, Any]) -> Found:
    """Return the network that the configuration describes; raises ConversionError that names all unsupported layers.

    The configuration must have been vetted (`keras_file`).
    """
    try:
        return _find_network(config)
    except ConversionError:
        raise
    except Exception as error:  # its parts are of any kind: KeyError, TypeError, IndexError and others
        raise ConversionError("this model's configuration is damaged; save the model again") from error


def _find_network(config: Mapping[str, Any]) -> Found:
    layers = _chain(config)
    problems: list[str] = []
    recurrent: list[tuple[str, Recurrent, bool]] = []
    dense: list[tuple[str, Dense]] = []
    shape: Sequence[Any] = ()
    for layer in layers:
        kind, settings = layer["class_name"], layer["config"]
        name = f"layer {ascii(settings.get('name'))[:60]} ({ascii(str(kind))[1:-1][:60]})"
        if kind == "InputLayer":
            shape = settings.get("batch_shape") or settings.get("batch_input_shape") or ()
        elif kind in ("LSTM", "GRU", "Bidirectional"):
            if dense:
                problems.append(f"{name}: a recurrent layer after a dense one is not converted")
            found, wrong = _recurrent(kind, settings)
            problems += [f"{name}: {problem}" for problem in wrong]
            if found:
                recurrent.append((settings["name"], *found))
        elif kind == "Dense":
            wrong = [] if recurrent else ["a dense layer before the recurrent ones is not converted"]
            wrong += _common(settings)
            problems += [f"{name}: {problem}" for problem in wrong]
            if not wrong:
                made = Dense(units=settings["units"], activation=settings["activation"] or "linear")
                dense.append((settings["name"], made))
        elif kind not in NO_OPERATION:
            problems.append(f"{name}: {WHY_NOT.get(kind, 'it has no counterpart in the verified reference')}")
    problems += _order(recurrent) or ([] if recurrent else ["it has no LSTM or GRU layer"])
    if len(shape) != 3 or type(shape[2]) is not int or not 0 < shape[2] <= MAX_WIDTH:
        problems.append(
            f"its input is {ascii(tuple(shape))[:60]}; expected (batch, window, features) with a number of features"
        )
    elif shape[1] is not None and type(shape[1]) is not int:
        problems.append(f"its window is {ascii(shape[1])[:60]}; expected a number of steps")
    if problems:
        raise ConversionError(f"this model cannot be converted: {listed(problems)}")
    return _found(recurrent, dense, shape)


def _found(recurrent: list[tuple[str, Recurrent, bool]], dense: list[tuple[str, Dense]], shape: Sequence[Any]) -> Found:
    last = recurrent[-1][1]
    return Found(
        network=Network(
            recurrent=tuple(layer for _, layer, _ in recurrent),
            dense=tuple(layer for _, layer in dense[:-1]),
            activation=dense[-1][1].activation if dense else "linear",
        ),
        window=shape[1],
        features=shape[2],
        horizon=dense[-1][1].units if dense else last.width,
        recurrent=tuple(name for name, _, _ in recurrent),
        dense=tuple(name for name, _ in dense),
        head=bool(dense),
    )


def _chain(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of a Sequential model, or of a Functional model with one chain, in order."""
    kind, inner = config.get("class_name"), config.get("config")
    layers = inner.get("layers") if isinstance(inner, Mapping) else None
    if kind not in ("Sequential", "Functional") or not isinstance(layers, list):
        raise ConversionError(f"this model is a {ascii(str(kind))[:60]}; expected Sequential or Functional")
    settings = [layer.get("config") if isinstance(layer, dict) else None for layer in layers]
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in settings):
        raise ConversionError("this model's configuration is damaged: one layer has no `config` or no name")
    if len(layers) > MAX_LAYERS:
        raise ConversionError(f"this model has {len(layers):,} layers; at most {MAX_LAYERS} are converted")
    if kind == "Functional":
        previous = None
        for layer in layers:
            sources = _sources(layer.get("inbound_nodes"))
            if sources != ([] if previous is None else [previous]):
                raise ConversionError(
                    f"layer {ascii(layer['config'].get('name'))[:60]}: its inputs are {ascii(sources)[:200]}; only one "
                    f"chain of layers, each used once, is converted"
                )
            previous = layer["config"].get("name")
    return layers


def _sources(nodes: Any) -> list[Any]:
    """Return the layers whose outputs are inputs of a functional layer, over all its calls."""
    found, pending = [], [nodes]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__keras_tensor__":
                found.append(item.get("config", {}).get("keras_history", [None])[0])
            else:
                pending += item.values()
        elif isinstance(item, list):
            pending += item
    return found


def _recurrent(kind: str, settings: Mapping[str, Any]) -> tuple[tuple[Recurrent, bool] | None, list[str]]:
    """Return the layer and whether it returns sequences, or its problems."""
    if kind == "Bidirectional":
        return _bidirectional(settings)
    problems = _common(settings)
    problems += [f"{name} is on" for name in ("stateful", "return_state") if settings.get(name)]
    gates = settings.get("recurrent_activation")
    if gates not in ACTIVATIONS:
        problems.append(f"recurrent_activation is {str(gates)[:60]!r}; known: {', '.join(ACTIVATIONS)}")
    if problems:
        return None, problems
    layer = Recurrent(
        kind="lstm" if kind == "LSTM" else "gru",
        units=settings["units"],
        activation=settings["activation"] or "linear",
        gates=typing.cast(Activation, gates),
        direction="backward" if settings.get("go_backwards") else "forward",
        reset_after=bool(settings.get("reset_after", True)),
    )
    return (layer, bool(settings.get("return_sequences"))), []


def _bidirectional(settings: Mapping[str, Any]) -> tuple[tuple[Recurrent, bool] | None, list[str]]:
    parts = [settings.get("layer"), settings.get("backward_layer")]
    kinds = [part.get("class_name") if isinstance(part, dict) else None for part in parts]
    if kinds[0] not in ("LSTM", "GRU") or kinds[1] not in (None, kinds[0]):
        return None, [f"it wraps {kinds[0]!r} and {kinds[1]!r}; expected LSTM or GRU twice"]
    found, problems = _recurrent(str(kinds[0]), parts[0]["config"])  # type: ignore[index]
    if settings.get("merge_mode") not in ("concat", "sum", "mul", "ave"):
        problems.append(f"merge_mode is {settings.get('merge_mode')!r}; expected concat, sum, mul or ave")
    if isinstance(parts[1], dict) and found:
        other, wrong = _recurrent(str(kinds[1]), parts[1]["config"])
        problems += [f"backward_layer: {problem}" for problem in wrong]
        # the second layer must be the first one reversed
        if other and other != (dataclasses.replace(found[0], direction="backward"), found[1]):
            problems.append("its two directions are not alike")
    if problems or not found or found[0].direction != "forward":
        return None, problems or ["its first layer goes backwards"]
    return (dataclasses.replace(found[0], direction="both", merge=settings["merge_mode"]), found[1]), []


def _common(settings: Mapping[str, Any]) -> list[str]:
    """Return the problems in the settings that all layers with weights share."""
    problems = []
    activation = settings.get("activation")
    if activation is not None and activation not in ACTIVATIONS:
        problems.append(f"activation is {str(activation)[:60]!r}; known: {', '.join(ACTIVATIONS)}")
    units = settings.get("units")
    if type(units) is not int or not 1 <= units <= MAX_WIDTH:
        problems.append(f"units is {str(units)[:60]!r}; expected a number from 1 to {MAX_WIDTH}")
    dtype = settings.get("dtype", "float32")
    if isinstance(dtype, Mapping):
        dtype = dtype.get("config", {}).get("name")
    if dtype not in (None, "float32"):
        problems.append(f"its dtype is {str(dtype)[:60]!r}; save the model as float32")
    if settings.get("quantization_config") is not None:
        problems.append("it is quantised already; save the model as float32")
    return problems


def _order(recurrent: list[tuple[str, Recurrent, bool]]) -> list[str]:
    problems = [
        f"layer {name!r}: return_sequences is off, yet a recurrent layer follows"
        for name, _, sequences in recurrent[:-1]
        if not sequences
    ]
    if recurrent and recurrent[-1][2]:
        problems.append(f"layer {recurrent[-1][0]!r}: the last recurrent layer must give its last step only")
    return problems
