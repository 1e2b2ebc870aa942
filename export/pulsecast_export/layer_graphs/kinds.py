"""Which Keras layers a graph may have, and which of their settings: one literal table, a row per layer.

A new layer is a row, if engines compute what Keras does for it; `tests/helpers/keras_matrix.py` proves each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulsecast.model.layer_graph import GraphLayer, LayerGraph

MAX_WIDTH = 1 << 16  # units, filters, steps; rows of an embedding
ACTIVATIONS = (
    *("linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softmax", "softplus", "softsign", "elu", "selu", "silu"),
    *("swish", "exponential", "relu6", "leaky_relu"),
)
RECURRENT = ("LSTM", "GRU")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a setting may be; `words` end the sentence "expected ..."."""

    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_WIDTH


def _are(value: Any, one: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= MAX_WIDTH and all(map(one, value))


def _one_of(*words: object) -> Rule:
    return Rule(
        words=" or ".join(map(repr, words)), holds=lambda value: type(value) is type(words[0]) and value in words
    )


SIZE = Rule(words=f"a whole number from 1 to {MAX_WIDTH}", holds=_is_size)
FLAG = Rule(words="true or false", holds=lambda value: type(value) is bool)
NUMBER = Rule(words="a number", holds=_is_number)
NUMBERS = Rule(words="a number, or a list of them", holds=lambda value: _is_number(value) or _are(value, _is_number))
ONE = Rule(
    words="one whole number, or a list of one", holds=lambda v: _is_size(v) or (_are(v, _is_size) and len(v) == 1)
)
PAIR = Rule(
    words="one or two whole numbers of 0 or more",
    holds=lambda v: type(v) is int or (_are(v, lambda n: type(n) is int and 0 <= n <= MAX_WIDTH) and len(v) <= 2),
)
SHAPE = Rule(
    words="a list of whole numbers, of which one may be -1",
    holds=lambda value: _are(value, lambda n: n == -1 or _is_size(n)) and list(value).count(-1) <= 1,
)
ACTIVATION = Rule(
    words=f"one of {', '.join(ACTIVATIONS)}", holds=lambda value: isinstance(value, str) and value in ACTIVATIONS
)
LAST_AXIS = Rule(words="-1, the last axis", holds=lambda value: value in (-1, [-1]))
LAST_OR_NONE = Rule(words="-1, the last axis, or null", holds=lambda value: value in (-1, [-1], None, []))
OPTIONAL = Rule(words="a number or null", holds=lambda value: value is None or _is_number(value))
PADDING = _one_of("valid", "same")

_CELL: dict[str, Rule] = {
    "units": SIZE,
    "activation": ACTIVATION,
    "recurrent_activation": ACTIVATION,
    "use_bias": FLAG,
    "return_sequences": FLAG,
    "go_backwards": FLAG,
}
_POOL: dict[str, Rule] = {"pool_size": ONE, "strides": ONE, "padding": PADDING}
LAYERS: dict[str, dict[str, Rule]] = {
    "LSTM": _CELL,
    "GRU": {**_CELL, "reset_after": FLAG},
    "Dense": {"units": SIZE, "activation": ACTIVATION, "use_bias": FLAG},
    "Conv1D": {
        "filters": SIZE,
        "kernel_size": ONE,
        "strides": ONE,
        "padding": _one_of("valid", "same", "causal"),
        "dilation_rate": ONE,
        "groups": _one_of(1),
        "activation": ACTIVATION,
        "use_bias": FLAG,
    },
    "MaxPooling1D": _POOL,
    "AveragePooling1D": _POOL,
    "GlobalMaxPooling1D": {"keepdims": FLAG},
    "GlobalAveragePooling1D": {"keepdims": FLAG},
    "ZeroPadding1D": {"padding": PAIR},
    "Cropping1D": {"cropping": PAIR},
    "UpSampling1D": {"size": SIZE},
    "BatchNormalization": {"axis": LAST_AXIS, "epsilon": NUMBER, "center": FLAG, "scale": FLAG},
    "LayerNormalization": {"axis": LAST_AXIS, "epsilon": NUMBER, "center": FLAG, "scale": FLAG, "rms_scaling": FLAG},
    "Normalization": {"axis": LAST_OR_NONE, "invert": FLAG},
    "Rescaling": {"scale": NUMBERS, "offset": NUMBERS},
    "Activation": {"activation": ACTIVATION},
    "ReLU": {"max_value": OPTIONAL, "negative_slope": NUMBER, "threshold": NUMBER},
    "LeakyReLU": {"negative_slope": NUMBER},
    "ELU": {"alpha": NUMBER},
    "Softmax": {"axis": LAST_AXIS},
    "Embedding": {"input_dim": SIZE, "output_dim": SIZE, "mask_zero": FLAG},
    "Masking": {"mask_value": NUMBER},
    "RepeatVector": {"n": SIZE},
    "Reshape": {"target_shape": SHAPE},
    "Permute": {"dims": SHAPE},
    "Flatten": {},
    "Attention": {"use_scale": FLAG, "score_mode": _one_of("dot", "concat"), "use_causal_mask": FLAG},
    "AdditiveAttention": {"use_scale": FLAG, "use_causal_mask": FLAG},
    "Add": {},
    "Subtract": {},
    "Multiply": {},
    "Average": {},
    "Maximum": {},
    "Minimum": {},
    "Concatenate": {"axis": Rule(words="an axis", holds=lambda value: type(value) is int and -4 < value < 4)},
}
# classes of a file that are read, to be refused with a reason
WHY_NOT = {
    "SimpleRNN": "only LSTM and GRU are converted",
    "ConvLSTM1D": "only LSTM and GRU are converted",
    "MultiHeadAttention": "only Attention and AdditiveAttention are converted",
    "PReLU": "only LeakyReLU, with one slope for all, is converted",
    "SeparableConv1D": "only Conv1D is converted",
    "DepthwiseConv1D": "only Conv1D is converted",
    "UnitNormalization": "it has no counterpart in the artifacts",
}
# layers whose output has no steps any more
_MASK_ENDS = ("Flatten", "Reshape", "Permute", "GlobalMaxPooling1D", "GlobalAveragePooling1D", "RepeatVector")
WRAPPERS = ("Bidirectional", "TimeDistributed")
KINDS = (*LAYERS, *WRAPPERS)
MERGING = (
    "Attention",
    "AdditiveAttention",
    "Add",
    "Subtract",
    "Multiply",
    "Average",
    "Maximum",
    "Minimum",
    "Concatenate",
)
WITHOUT_WEIGHTS = (
    *("Input", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Masking", "RepeatVector", "Reshape", "Permute"),
    *("Flatten", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Rescaling"),
    *("MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D"),
    *("ZeroPadding1D", "Cropping1D", "UpSampling1D"),
)
CALLED_WITH = ("use_causal_mask",)  # settings that are arguments of the call
# settings that change nothing at inference, beside everything that ends in one of `_PARTS`
_IDLE = frozenset(
    {
        *("name", "trainable", "dtype", "seed", "batch_input_shape", "batch_shape", "input_shape", "autocast"),
        *("dropout", "recurrent_dropout", "unit_forget_bias", "unroll", "implementation", "time_major", "use_cudnn"),
        *("momentum", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "fused"),
        *("input_length", "lora_rank", "lora_alpha", "mean", "variance", "zero_output_for_mask"),
    }
)
_PARTS = ("_initializer", "_regularizer", "_constraint")
# settings that must be as they are here, if they are there at all
_FIXED: dict[str, tuple[object, ...]] = {
    "stateful": (False,),
    "return_state": (False,),
    "data_format": ("channels_last", None),
    "quantization_config": (None,),
}


def settings_of(kind: str, given: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    """Return the settings of a layer of `LAYERS` that change what it computes, and what is wrong with all of them."""
    rules, settings, problems = LAYERS[kind], {}, []
    for key, value in given.items():
        if key in rules:
            found = "linear" if value is None and rules[key] is ACTIVATION else value
            settings[key] = list(found) if isinstance(found, tuple) else found
            if not rules[key].holds(found):
                problems.append(f"{key} is {ascii(value)[:60]}; expected {rules[key].words}")
        elif key in _FIXED:
            if value not in _FIXED[key]:
                problems.append(_why_fixed(key, value))
        elif key not in _IDLE and not key.endswith(_PARTS):
            problems.append(f"it has a setting {ascii(key)[:60]} that is not known here")
    return settings, problems + _dtype_problems(given.get("dtype"))


def _why_fixed(key: str, value: object) -> str:
    if key == "quantization_config":
        return "it is quantised already; save the model as float32"
    if value is True:
        return f"{key} is on; states that a layer keeps or hands on are not converted"
    return f"{key} is {ascii(value)[:60]}; expected {_FIXED[key][0]!r}"


def _dtype_problems(dtype: Any) -> list[str]:
    if isinstance(dtype, Mapping):
        dtype = dtype.get("config", {}).get("name")
    return [] if dtype in (None, "float32") else [f"its dtype is {ascii(dtype)[:60]}; save the model as float32"]


def recurrent_kind(layer: GraphLayer) -> str | None:
    """Return LSTM or GRU if the layer is one, or holds one, else None."""
    inner = layer.settings.get("layer")
    kind = inner.get("kind") if layer.kind in WRAPPERS and isinstance(inner, Mapping) else layer.kind
    return kind if kind in RECURRENT else None


def cells(graph: LayerGraph) -> int:
    """Return the number of recurrent cells: two in a Bidirectional."""
    return sum((2 if layer.kind == "Bidirectional" else 1) for layer in graph.layers if recurrent_kind(layer))


def fused_layers(graph: LayerGraph) -> tuple[int, int]:
    """Return how many recurrent layers are one operator of ONNX: those that no mask can reach, and all of them."""
    masked: set[int] = set()
    count = total = 0
    for number, layer in enumerate(graph.layers):
        reached = any(i in masked for i in layer.inputs)
        total += recurrent_kind(layer) is not None
        count += recurrent_kind(layer) is not None and not reached
        if _makes_a_mask(layer) or (reached and _keeps_steps(layer)):
            masked.add(number)
    return count, total


def _makes_a_mask(layer: GraphLayer) -> bool:
    return layer.kind == "Masking" or (layer.kind == "Embedding" and bool(layer.settings.get("mask_zero")))


def _keeps_steps(layer: GraphLayer) -> bool:
    """Return whether the output of a layer has the steps of its input, and so its mask."""
    if layer.kind in _MASK_ENDS:
        return False
    inner: Any = layer.settings.get("layer", {"settings": layer.settings})
    return layer.kind not in (*RECURRENT, "Bidirectional") or bool(inner["settings"].get("return_sequences"))
