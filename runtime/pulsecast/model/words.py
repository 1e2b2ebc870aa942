"""A model's network in words."""

from __future__ import annotations

from .network import Network, Recurrent
from .spec import ModelSpec

_KINDS = {"lstm": "LSTM", "gru": "GRU"}
_DIRECTIONS = {"forward": "", "backward": "backward ", "both": "bidirectional "}


def network_words(spec: ModelSpec) -> str:
    """Return the layers from the first to the head, such as "LSTM 50 + LSTM 50" or "bidirectional GRU 32 (sum)".

    It names only what differs from the usual: an activation that is not the layer's default, the merge of two
    directions, a linear path.
    """
    if spec.graph is not None:
        return spec.graph.words
    layers = " + ".join([*(_recurrent(layer) for layer in spec.network.recurrent), *_dense(spec.network)])
    path = [] if spec.network.linear is None else ["a linear path"]
    return " beside ".join([*([layers] if layers else []), *path])


def _recurrent(layer: Recurrent) -> str:
    unusual: list[str] = []
    if layer.direction == "both" and layer.merge != "concat":
        unusual.append(layer.merge)
    if layer.activation != "tanh":
        unusual.append(layer.activation)
    if layer.gates != "sigmoid":
        unusual.append(f"gates {layer.gates}")
    words = f"{_DIRECTIONS[layer.direction]}{_KINDS.get(layer.kind, layer.kind)} {layer.units}"
    return f"{words} ({', '.join(unusual)})" if unusual else words


def _dense(network: Network) -> list[str]:
    layers = [(f"dense {layer.units}", layer.activation) for layer in network.dense]
    if network.activation != "linear":
        layers.append(("head", network.activation))
    return [name if activation == "linear" else f"{name} ({activation})" for name, activation in layers]
