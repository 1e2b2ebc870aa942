"""A network that is described by its Keras layers alone: the sibling of `Network` for models of other layers.

numpy does not compute it. Its arithmetic stands in the artifacts, and the golden holds what they must give. The
description, with the weights, is what a program with Keras needs to make the same model anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from .. import limits
from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass
from ..plain_text import listed

INPUT = "Input"
_SIZES = ("units", "filters", "output_dim")  # settings that say how wide a layer is
_SILENT = (INPUT, "Activation", "Flatten", "Reshape", "Permute")  # left out of the words


@dataclass(frozen=True, kw_only=True)
class GraphLayer:
    """One layer, called once.

    kind      Keras' class, or `Input`
    inputs    indices of the layers before it whose outputs it takes
    settings  its arguments as Keras 3 names them, those that change what it computes
    """

    name: str
    kind: str
    inputs: tuple[int, ...] = field(metadata=strict_json.most(limits.GRAPH_LAYERS))
    settings: Mapping[str, object] = field(metadata=strict_json.most(limits.GRAPH_SETTINGS))


@dataclass(frozen=True, kw_only=True)
class LayerGraph:
    """Keras layers in an order in which each takes the outputs of earlier ones; the last one gives (batch, horizon)."""

    layers: tuple[GraphLayer, ...] = field(metadata=strict_json.most(limits.GRAPH_LAYERS))

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        problems = [] if self.layers else ["a layer graph needs at least one layer"]
        problems += [f"layer {name!a} appears twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        for number, layer in enumerate(self.layers):
            if (layer.kind == INPUT) != (not layer.inputs):
                problems.append(f"layer {layer.name!a} is {layer.kind!a} and has {len(layer.inputs)} inputs")
            if any(not 0 <= one < number for one in layer.inputs):
                problems.append(f"layer {layer.name!a} takes the output of a layer that does not stand before it")
        if problems:
            raise ValueError(listed(problems))

    @property
    def shown(self) -> Iterator[str]:
        """The texts that people read."""
        for layer in self.layers:
            yield from (layer.name, layer.kind)

    @property
    def words(self) -> str:
        """The layers from the inputs to the output, such as "Conv1D 16 + LSTM 8 + Dense 2"."""
        named = [layer for layer in self.layers if layer.kind not in _SILENT]
        return " + ".join(map(_words, named[:12])) + (f" + {len(named) - 12} more" if len(named) > 12 else "")


def array_name(number: int, index: int) -> str:
    """Return the name in the weights' file of array `index` of the layer at `number`, in Keras' order.

    >>> array_name(3, 0)
    'layer_3.0'
    """
    return f"layer_{number}.{index}"


def _words(layer: GraphLayer) -> str:
    sizes = [str(layer.settings[key]) for key in _SIZES if key in layer.settings]
    return " ".join([layer.kind, *sizes[:1]])
