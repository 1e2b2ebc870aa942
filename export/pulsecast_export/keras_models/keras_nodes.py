"""A Keras model's configuration as nodes: each layer once, with the layers whose outputs it takes.

Models inside the model are taken apart. What cannot be said in this form is refused by name: a layer that is used
twice, states that flow from one layer into another, a mask that is an input. The configuration was vetted before
(`keras_file`), or is read as text only (`h5_child`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulsecast.errors import ConversionError
from pulsecast.plain_text import listed

MAX_LAYERS = 256
MODELS = ("Sequential", "Functional", "Model")
INPUT = "InputLayer"
OPERATORS = "keras.src.ops.numpy"  # the module that `x + y` of two tensors names
OPERATIONS = ("Add", "Subtract", "Multiply")  # of it
# operations that make the mask of a Masking or an Embedding, which a functional model writes down, or hand it on
MASK_OPERATIONS = {OPERATORS: ("NotEqual", "Any"), "keras.src.ops.core": ("ConvertToTensor",)}
_TENSOR = "__keras_tensor__"
MASK = "mask"
_Mask = tuple[str, float, bool]  # of steps: source of the comparison, the value left out, whether over all columns
_USUAL = (None, False)  # arguments of a call that change nothing


@dataclass(frozen=True, kw_only=True)
class Node:
    """One layer, called once.

    name      unique in the model; of a layer in a model inside it `outer/inner`
    kind      the Keras class
    settings  its configuration, as the file has it
    sources   names of the nodes whose outputs it takes, in order
    options   arguments of its call that are neither tensors nor usual
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    sources: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The layer as a message names it, in printable letters."""
        return _words(self.name, self.kind)


def read_nodes(config: Mapping[str, Any], output: str | None = None) -> tuple[Node, ...]:
    """Return the nodes that one output of a model needs, sources first; the last one gives the output.

    output  its name: the key in a dict of outputs, else the name of its layer; None where there is one output

    Raises ConversionError that names every layer which cannot be a node, or the outputs to choose from.
    """
    try:
        found: dict[str, Node] = {}
        outputs = _taken_apart(config, found)
        for name in reversed(_inputs(config, _layers(config))):  # the inputs first, in the order of the model
            found = {name: found[name], **found}
        return _needed(found, _chosen(outputs, output))
    except ConversionError:
        raise
    except Exception as error:  # its parts are of any kind: KeyError, TypeError, IndexError and others
        raise ConversionError("this model's configuration is damaged; save the model again") from error


def _words(name: object, kind: object) -> str:
    return f"layer {ascii(name)[:60]} ({ascii(str(kind))[1:-1][:60]})"


def _chosen(outputs: Mapping[str, str], output: str | None) -> str:
    """Return the node of the wanted output."""
    names = [ascii(name)[1:-1][:60] for name in list(outputs)[:10]]
    if output is None and len(outputs) != 1:
        raise ConversionError(
            f"this model has {len(outputs)} outputs: {', '.join(names)}; name one of them with --output, such as "
            f"--output {names[-1] if names else 'NAME'} (output= in Python)"
        )
    if output is not None and output not in outputs:
        raise ConversionError(f"this model has no output {ascii(output)[:60]}; it has {', '.join(names)}")
    return next(iter(outputs.values())) if output is None else outputs[output]


def _needed(found: Mapping[str, Node], last: str) -> tuple[Node, ...]:
    """Return the nodes that `last` depends on, in their order, and `last` at the end."""
    needed: set[str] = set()
    pending = [last]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += found[name].sources
    return (*(node for name, node in found.items() if name in needed and name != last), found[last])


def _taken_apart(
    config: Mapping[str, Any], found: dict[str, Node], prefix: str = "", given: tuple[str, ...] | None = None
) -> dict[str, str]:
    """Add the nodes of a model to `found`, their names after `prefix`, and return its outputs: name -> node.

    given  of a model inside another one: the nodes that its inputs are
    """
    layers, chain = _layers(config), config["class_name"] == "Sequential"
    nodes: dict[str, str] = {}  # the name of a layer in this model -> its node
    previous: tuple[str, ...] = given or ()
    inputs = () if given is None else _inputs(config, layers)
    nodes.update(zip(inputs, given or (), strict=not chain))
    problems: list[str] = []
    masks: dict[str, _Mask] = {}  # the name of an operation in this model -> the mask that it gives
    for layer in layers:
        name = layer["config"]["name"]
        if name in inputs and layer["class_name"] == INPUT:
            continue
        if layer["class_name"] in MASK_OPERATIONS.get(layer.get("module", ""), ()):
            try:
                masks[name] = _mask_of(layer, masks)
            except (KeyError, IndexError, TypeError, ValueError):  # a damaged file, or another comparison
                raise _no_mask(layer) from None
            continue
        sources, options = (previous, {}) if chain else _call(layer, problems)
        problems += _wrong_masks(layer, options.pop(MASK, ()), masks, layers)
        if len(found) >= MAX_LAYERS:
            raise ConversionError(f"this model has more than {MAX_LAYERS} layers; at most {MAX_LAYERS} are converted")
        if not problems:
            known = sources if chain else tuple(nodes[source] for source in sources)
            nodes[name] = _add(layer, f"{prefix}{name}", known, options, found)
            previous = (nodes[name],)
    if problems:
        raise ConversionError(f"this model cannot be converted: {listed(problems)}")
    if chain or "output_layers" not in config["config"]:
        return {layers[-1]["config"]["name"]: previous[0]}
    return {key or name: nodes[name] for key, name in ends(config["config"]["output_layers"])}


def _add(
    layer: Mapping[str, Any], name: str, sources: tuple[str, ...], options: Mapping[str, Any], found: dict[str, Node]
) -> str:
    """Add a layer, or the layers of a model inside the model, and return the node of its output."""
    if layer["class_name"] in MODELS:
        outputs = _taken_apart(layer, found, f"{name}/", sources)
        if len(outputs) != 1:
            raise ConversionError(f"{_words(name, layer['class_name'])} has {len(outputs)} outputs; expected one")
        return next(iter(outputs.values()))
    if name in found:
        raise ConversionError(f"{_words(name, layer['class_name'])}: another layer has the same name")
    found[name] = Node(name=name, kind=layer["class_name"], settings=layer["config"], sources=sources, options=options)
    return name


def _layers(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of a model as its configuration lists them."""
    kind, inner = config.get("class_name"), config.get("config")
    layers = inner.get("layers") if isinstance(inner, Mapping) else inner  # a list in files before Keras 2.3
    if kind not in MODELS or not isinstance(layers, list) or not layers:
        raise ConversionError(f"this model is a {ascii(str(kind))[:60]}; expected Sequential or Functional")
    settings = [layer.get("config") if isinstance(layer, dict) else None for layer in layers]
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in settings):
        raise ConversionError("this model's configuration is damaged: one layer has no `config` or no name")
    if len(layers) > MAX_LAYERS:
        raise ConversionError(f"this model has {len(layers):,} layers; at most {MAX_LAYERS} are converted")
    return layers


def _inputs(config: Mapping[str, Any], layers: list[dict[str, Any]]) -> list[str]:
    """Return the names of the input layers of a model, in their order."""
    if config["class_name"] == "Sequential":
        return [layer["config"]["name"] for layer in layers[:1] if layer["class_name"] == INPUT]
    return [name for _, name in ends(config["config"].get("input_layers") or [])]


def ends(value: Any, key: str = "", *, as_keras: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (key in a dict, name of the layer) of each end of a model: one [layer, call, output], or many nested.

    as_keras  in the order of `keras.Model.inputs` and `outputs`, which sorts the keys of a dict
    """
    if isinstance(value, Mapping):
        for name, inner in sorted(value.items()) if as_keras else value.items():
            yield from ends(inner, f"{key}/{name}" if key else str(name), as_keras=as_keras)
    elif len(value) == 3 and isinstance(value[0], str) and all(isinstance(part, int) for part in value[1:]):
        if value[2] != 0:
            raise ConversionError(f"an end of this model is output {value[2]} of layer {ascii(value[0])[:60]}: a state")
        yield key, value[0]
    else:
        for inner in value:
            yield from ends(inner, key, as_keras=as_keras)


def _call(layer: Mapping[str, Any], problems: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the sources and the options of the one call of a layer; add what is wrong with it to `problems`."""
    name = _words(layer["config"]["name"], layer["class_name"])
    calls = layer.get("inbound_nodes") or []
    if layer["class_name"] == INPUT:
        return (), {}
    if len(calls) != 1:
        problems.append(f"{name} is used {len(calls)} times; expected once: give each use a layer of its own")
        return (), {}
    histories, options, wrong = _old_call(calls[0]) if isinstance(calls[0], list) else _new_call(calls[0])
    flows = [h for h in histories if h[2] != 0]
    if flows or "initial_state" in wrong:
        wrong = [problem for problem in wrong if problem != "initial_state"]
        problems.append(f"{name} takes a state of another layer; states that flow between layers are not converted")
    problems += [f"{name} is called with {problem}" for problem in wrong]
    return tuple(h[0] for h in histories), options


_Call = tuple[list[list[Any]], dict[str, Any], list[str]]  # histories of the inputs, options, what is wrong


def _old_call(call: list[Any]) -> _Call:
    """Read a call as Keras 2 writes it: [layer, call, output, options] of each input."""
    options = [entry[3] for entry in call if len(entry) > 3 and entry[3]]
    found = {key: value for one in options for key, value in one.items() if value not in _USUAL}
    return call, {}, ["initial_state" if key == "initial_state" else ascii(key)[:60] for key in found]


def _new_call(call: Mapping[str, Any]) -> _Call:
    """Read a call as Keras 3 writes it: positional arguments, which hold the inputs, and others by name."""
    arguments, named = list(call["args"]), dict(call.get("kwargs") or {})
    histories, wrong = [], []
    mask = named.pop(MASK, None)
    masks = [item["config"]["keras_history"][0] for item in _parts(mask) if _is_tensor(item)]
    if not all(item is None or _is_tensor(item) for item in (mask if isinstance(mask, list) else [mask])):
        wrong.append(f"a mask of its own, {ascii(mask)[:60]}")
    for number, argument in enumerate(arguments):
        items = argument if isinstance(argument, list) else [argument]
        found = [item["config"]["keras_history"] for item in items if _is_tensor(item)]
        if number and found and not _is_tensor(argument):
            wrong.append("initial_state")
        elif len(found) != len(items) and argument not in _USUAL:
            wrong.append(f"{ascii(argument)[:60]} beside its inputs")
        histories += found
    for key, value in named.items():
        if any(map(_is_tensor, _parts(value))):
            wrong.append("initial_state" if key == "initial_state" else f"a tensor as {ascii(key)[:60]}")
    options = {key: value for key, value in named.items() if value not in _USUAL and not wrong}
    return histories, options | ({MASK: masks} if masks else {}), wrong


def _mask_of(layer: Mapping[str, Any], masks: Mapping[str, _Mask]) -> _Mask:
    """Return the mask that an operation gives: `x != value`, whether any column is so, or another mask as it is."""
    (call,) = layer["inbound_nodes"]
    first, *rest = call["args"]
    source = first["config"]["keras_history"][0]
    if layer["class_name"] == "NotEqual":
        (value,) = rest
        return source, float(value), False
    named, value, of_columns = masks[source]
    if layer["class_name"] == "ConvertToTensor":
        return named, value, of_columns
    if layer["config"].get("axis") not in (-1, [-1]) or layer["config"].get("keepdims"):
        raise _no_mask(layer)
    return named, value, True


def _no_mask(layer: Mapping[str, Any]) -> ConversionError:
    words = _words(layer["config"]["name"], layer["class_name"])
    return ConversionError(f"{words} is not part of the mask of a Masking or an Embedding layer: take it out")


def _wrong_masks(
    layer: Mapping[str, Any], names: Sequence[str], masks: Mapping[str, _Mask], layers: list[dict[str, Any]]
) -> list[str]:
    """Return what is wrong with the masks that a layer is called with: each must be that of a layer, made by itself."""
    if not names:
        return []
    known = []
    for one in layers:
        calls = one.get("inbound_nodes") or []
        if one["class_name"] in ("Masking", "Embedding") and len(calls) == 1:
            value = one["config"].get("mask_value") if one["class_name"] == "Masking" else 0
            histories = _new_call(calls[0])[0] if isinstance(calls[0], dict) else []
            known += [(str(history[0]), value, one["class_name"] == "Masking") for history in histories[:1]]
    words = _words(layer["config"]["name"], layer["class_name"])
    return [
        f"{words} is called with a mask; only those that Masking and Embedding layers make by themselves are known"
        for name in names
        if masks.get(name) not in known
    ]


def _is_tensor(item: Any) -> bool:
    return isinstance(item, dict) and item.get("class_name") == _TENSOR


def _parts(value: Any) -> Iterator[Any]:
    """Yield `value` and everything in it."""
    pending = [value]
    while pending:
        item = pending.pop()
        yield item
        if isinstance(item, dict) and not _is_tensor(item):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
