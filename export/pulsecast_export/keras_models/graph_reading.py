"""From the nodes of a Keras model to a `LayerGraph`, or to sentences that name every layer beyond it and the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulsecast.errors import ConversionError, DataError
from pulsecast.model.layer_graph import INPUT as ENTRY
from pulsecast.model.layer_graph import GraphLayer, LayerGraph
from pulsecast.plain_text import listed

from ..layer_graphs.kinds import CALLED_WITH, LAYERS, MERGING, RECURRENT, WHY_NOT, settings_of
from .keras_layers import MAX_WIDTH, NO_OPERATION, recurrent_of, shape_of, wrong_shape
from .keras_nodes import INPUT, Node

_SILENT = (*NO_OPERATION, "Identity")
_OF_ONE_STEP = tuple(kind for kind in LAYERS if kind not in (*MERGING, "Masking", "Embedding", "Normalization"))


@dataclass(frozen=True, kw_only=True)
class FoundGraph:
    """A model's layers, and the inputs that its file names.

    layers  in order, each with its place in the Keras model; of an input the settings are still to come
    inputs  name and shape without the batch, in order; a size is None where it is any number
    """

    layers: tuple[GraphLayer, ...]
    places: tuple[str, ...]
    inputs: tuple[tuple[str, tuple[int | None, ...]], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(name for name, _ in self.inputs)


def find_graph(nodes: Sequence[Node]) -> FoundGraph:
    """Return the graph of a model; raises ConversionError that names every layer that engines do not compute alike."""
    layers: list[GraphLayer] = []
    places: list[str] = []
    numbers: dict[str, int] = {}
    inputs: list[tuple[str, tuple[int | None, ...]]] = []
    problems: list[str] = []
    for node in nodes:
        known = tuple(numbers.get(source, 0) for source in node.sources)
        if node.kind in _SILENT and len(known) == 1:
            numbers[node.name] = known[0]
            continue
        settings, wrong = _described(node)
        problems += [f"{node.words}: {problem}" for problem in wrong]
        if node.kind == INPUT:
            inputs.append((node.name, _shape(node, problems)))
        numbers[node.name] = len(layers)
        kind = ENTRY if node.kind == INPUT else node.kind
        layers.append(GraphLayer(name=_name(node.name, len(layers)), kind=kind, inputs=known, settings=settings))
        places.append(node.name)
    if problems:
        raise ConversionError(f"this model cannot be converted: {listed(problems)}")
    return FoundGraph(layers=tuple(layers), places=tuple(places), inputs=tuple(inputs))


def _name(name: str, number: int) -> str:
    return name if name.isprintable() and len(name) <= 100 else f"layer {number}"


def _shape(node: Node, problems: list[str]) -> tuple[int | None, ...]:
    whole = shape_of(node)
    shape = whole[1:]
    if len(whole) == 3 and (wrong := wrong_shape(whole)):
        problems += [f"{node.words}: {problem}" for problem in wrong]
        return ()
    if not 1 <= len(shape) <= 3 or any(type(n) is not int or not 0 < n <= MAX_WIDTH for n in shape if n is not None):
        problems.append(f"{node.words}: its input is {ascii(whole)[:60]}; expected (batch, window, features)")
        return ()
    return tuple(shape)


def _described(node: Node) -> tuple[dict[str, object], list[str]]:
    """Return the settings of a layer as a graph holds them, and what is wrong with it."""
    kind, count = node.kind, len(node.sources)
    if kind == INPUT:
        return {}, []
    if kind in WHY_NOT or kind not in (*LAYERS, "Bidirectional", "TimeDistributed"):
        return {}, [WHY_NOT.get(kind, "it has no counterpart in the artifacts")]
    most = 64 if kind in MERGING else 1
    problems = [] if 1 <= count <= most else [f"it takes {count} inputs; expected {'several' if most > 1 else 'one'}"]
    problems += [f"it is called with {ascii(key)[:60]}" for key in node.options if key not in LAYERS.get(kind, ())]
    settings, wrong = _settings(kind, {**node.settings, **{k: v for k, v in node.options.items() if k in CALLED_WITH}})
    return settings, problems + wrong


def _settings(kind: str, given: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    if kind in LAYERS:
        settings, problems = settings_of(kind, given)
        if kind in RECURRENT:
            problems += [problem for problem in recurrent_of(kind, given)[1] if problem not in problems]
            if given.get("zero_output_for_mask"):  # a Bidirectional decides it for its own layers
                problems.append("zero_output_for_mask is on; expected off")
        return settings, problems
    inner = given.get("layer")
    inner_kind, of_inner = (inner.get("class_name"), inner.get("config")) if isinstance(inner, dict) else (None, None)
    allowed = RECURRENT if kind == "Bidirectional" else _OF_ONE_STEP
    if inner_kind in NO_OPERATION and kind == "TimeDistributed":
        return {"layer": {"kind": "Activation", "settings": {"activation": "linear"}}}, []
    if inner_kind not in allowed or not isinstance(of_inner, Mapping):
        return {}, [f"it wraps {ascii(inner_kind)[:60]}; expected {', '.join(allowed)}"]
    settings, problems = settings_of(str(inner_kind), of_inner)
    described: dict[str, object] = {"layer": {"kind": inner_kind, "settings": settings}}
    if kind == "Bidirectional":
        problems += recurrent_of(kind, given)[1]
        described["merge_mode"] = given.get("merge_mode")
    return described, problems


def graph_of(found: FoundGraph, window: int, columns: int) -> LayerGraph:
    """Return the graph whose inputs take `columns` columns of `window` steps, one input after the other.

    Raises DataError that says what the inputs take.
    """
    entries: list[dict[str, object]] = []
    first = 0
    for name, shape in found.inputs:
        entries.append(_entry(name, shape, window, first))
        first += int(entries[-1]["count"])  # type: ignore[call-overload]
    if first != columns:
        taken = ", ".join(f"{ascii(name)[1:-1][:60]} {shape}" for name, shape in found.inputs)
        raise DataError(f"windows have {columns} features; the inputs of this model take {first}: {taken}")
    rest = iter(entries)
    layers = [
        GraphLayer(name=layer.name, kind=ENTRY, inputs=(), settings=next(rest)) if layer.kind == ENTRY else layer
        for layer in found.layers
    ]
    return LayerGraph(layers=tuple(layers))


def _entry(name: str, shape: tuple[int | None, ...], window: int, first: int) -> dict[str, object]:
    """Return which columns an input takes, and in which form."""
    if len(shape) == 3:
        parts, steps, count = shape
        if parts is None or steps is None or count is None or parts * steps != window:
            raise DataError(f"windows have {window} steps; input {ascii(name)[:60]} takes {shape}, parts of a window")
        return {"form": "parts", "first": first, "count": count, "shape": [parts, steps, count]}
    if len(shape) == 2:
        steps, count = shape
        if steps not in (None, window):
            raise DataError(f"windows have {window} steps; input {ascii(name)[:60]} takes {steps}")
        return {"form": "steps", "first": first, "count": count or 1}
    if shape[0] in (None, window):
        return {"form": "column", "first": first, "count": 1}
    return {"form": "last", "first": first, "count": shape[0]}
