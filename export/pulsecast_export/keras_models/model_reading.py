"""Which of the two roads a Keras model takes: a `Network` where its layers are those of one, else a graph of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulsecast.errors import ConversionError

from .graph_reading import FoundGraph, find_graph
from .keras_layers import Found, find_network
from .keras_nodes import Node, read_nodes
from .network_import import is_foldable, without_scaling


def read_model(config: Mapping[str, Any], output: str | None = None) -> tuple[Found | FoundGraph, Node | None]:
    """Return what a vetted configuration describes, and the layer before a network that becomes a part of its scaler.

    output  the one that is the forecast, of a model with several

    Raises ConversionError that names every layer which no artifact has.
    """
    try:
        nodes = read_nodes(config, output)
        scaling, rest = without_scaling(nodes)
        found, _ = find_network(rest)
        if found is not None and (scaling is None or is_foldable(found, scaling)):
            return found, scaling
        return find_graph(nodes), None
    except ConversionError:
        raise
    except Exception as error:  # its parts are of any kind: KeyError, TypeError, IndexError and others
        raise ConversionError("this model's configuration is damaged; save the model again") from error
