"""From the nodes of a Keras model to a `Network`, or to sentences that name every layer beyond it and the reason."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulsecast.model.network import Activation, Dense, Network, Recurrent

from .keras_nodes import INPUT, Node

MAX_WIDTH = 1 << 16  # units of a layer, and features of a step
ACTIVATIONS = typing.get_args(Activation)
# at inference these return their input
NO_OPERATION = ("ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D")


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
    inputs: tuple[str, ...]
    recurrent: tuple[str, ...]
    dense: tuple[str, ...]
    head: bool


def find_network(nodes: Sequence[Node]) -> tuple[Found | None, list[str]]:
    """Return the network that is the same model, or None and why there is none, by layer.

    A network is one chain of recurrent layers, then of dense ones.
    """
    problems = _off_the_chain(nodes)
    recurrent: list[tuple[str, Recurrent, bool]] = []
    dense: list[tuple[str, Dense]] = []
    for node in nodes:
        if node.kind in ("LSTM", "GRU", "Bidirectional"):
            if dense:
                problems.append(f"{node.words}: a recurrent layer after a dense one is not converted")
            found, wrong = recurrent_of(node.kind, node.settings)
            problems += [f"{node.words}: {problem}" for problem in wrong]
            if found:
                recurrent.append((node.name, *found))
        elif node.kind == "Dense":
            wrong = [] if recurrent else ["a dense layer before the recurrent ones is not converted"]
            wrong += common_problems(node.settings)
            problems += [f"{node.words}: {problem}" for problem in wrong]
            if not wrong:
                made = Dense(units=node.settings["units"], activation=node.settings["activation"] or "linear")
                dense.append((node.name, made))
        elif node.kind not in (INPUT, *NO_OPERATION):
            problems.append(f"{node.words}: it is not a layer of such a network")
    problems += _order(recurrent) or ([] if recurrent else ["it has no LSTM or GRU layer"])
    shape = shape_of(nodes[0]) if nodes[0].kind == INPUT else ()
    problems += wrong_shape(shape)
    return (None, problems) if problems else (_found(nodes[0].name, recurrent, dense, shape), [])


def _off_the_chain(nodes: Sequence[Node]) -> list[str]:
    """Return which nodes do not take the output of the one before them alone."""
    return [
        f"{node.words}: its inputs are {ascii(list(node.sources))[:200]}; only one chain of layers is converted"
        for before, node in zip((None, *nodes), nodes, strict=False)
        if node.sources != (() if before is None else (before.name,)) or node.options
    ]


def shape_of(node: Node) -> Sequence[Any]:
    """Return the shape of an input with its batch, as the file has it; () where there is none."""
    shape = node.settings.get("batch_shape") or node.settings.get("batch_input_shape") or ()
    return tuple(shape)


def wrong_shape(shape: Sequence[Any]) -> list[str]:
    """Return what is wrong with the shape of an input of steps, its batch included."""
    if len(shape) != 3 or type(shape[2]) is not int or not 0 < shape[2] <= MAX_WIDTH:
        return [
            f"its input is {ascii(tuple(shape))[:60]}; expected (batch, window, features) with a number of features"
        ]
    if shape[1] is not None and type(shape[1]) is not int:
        return [f"its window is {ascii(shape[1])[:60]}; expected a number of steps"]
    return []


def _found(
    start: str, recurrent: list[tuple[str, Recurrent, bool]], dense: list[tuple[str, Dense]], shape: Sequence[Any]
) -> Found:
    last = recurrent[-1][1]
    return Found(
        network=Network(
            recurrent=tuple(layer for _, layer, _ in recurrent),
            dense=tuple(layer for _, layer in dense[:-1]),
            activation=dense[-1][1].activation if dense else "linear",
        ),
        window=shape[1],
        features=shape[2],
        inputs=(start,),
        horizon=dense[-1][1].units if dense else last.width,
        recurrent=tuple(name for name, _, _ in recurrent),
        dense=tuple(name for name, _ in dense),
        head=bool(dense),
    )


def recurrent_of(kind: str, settings: Mapping[str, Any]) -> tuple[tuple[Recurrent, bool] | None, list[str]]:
    """Return the layer and whether it returns sequences, or its problems."""
    if kind == "Bidirectional":
        return _bidirectional(settings)
    problems = common_problems(settings)
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
    found, problems = recurrent_of(str(kinds[0]), parts[0]["config"])  # type: ignore[index]
    if settings.get("merge_mode") not in ("concat", "sum", "mul", "ave"):
        problems.append(f"merge_mode is {settings.get('merge_mode')!r}; expected concat, sum, mul or ave")
    if isinstance(parts[1], dict) and found:
        other, wrong = recurrent_of(str(kinds[1]), parts[1]["config"])
        problems += [f"backward_layer: {problem}" for problem in wrong]
        # the second layer must be the first one reversed
        if other and other != (dataclasses.replace(found[0], direction="backward"), found[1]):
            problems.append("its two directions are not alike")
    if problems or not found or found[0].direction != "forward":
        return None, problems or ["its first layer goes backwards"]
    return (dataclasses.replace(found[0], direction="both", merge=settings["merge_mode"]), found[1]), []


def common_problems(settings: Mapping[str, Any]) -> list[str]:
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
