"""The forecast of a layer graph as TensorFlow operations. Imported in converter child processes only.

Around the graph stands what stands around every network: scaling, the tripwire and its inverse, from
`pulsecast_export.graphs.graph`. Weights are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pulsecast.stages.model_directory import ModelDirectory

from ..graphs import graph
from .building import keras_model
from .form import Twins

Tensor = Any


def traced(model: ModelDirectory, twins: Twins) -> Any:
    """Return the whole forecast as a function of the inputs of `graph.signature`, by position: name -> output."""
    outputs = outputs_of(model, twins)

    def forecast(*given: Tensor) -> dict[str, Tensor]:
        before = graph.prepared(model, dict(zip(graph.signature(model), given, strict=True)))
        return graph.results(model, outputs(before.pop("inputs")), before)

    return tf.function(forecast, input_signature=list(graph.signature(model).values()), autograph=False)


def outputs_of(model: ModelDirectory, twins: Twins) -> Callable[[Tensor], Tensor]:
    """Return the network as a function of channels (batch, window, channels) to outputs (batch, horizon)."""
    made = keras_model(model.record.spec, model.weights.named, twins=twins)
    held = [[w.numpy() for w in ws] for ws in (made.trainable_variables, made.non_trainable_variables)]

    def outputs(channels: Tensor) -> Tensor:
        twins.guards.clear()  # those of the trace that made the model
        # as constants of this trace: a call with these reads no variable
        weights = [[tf.constant(array) for array in arrays] for arrays in held]
        found, _ = made.stateless_call(*weights, channels, training=False)
        return tf.add_n([found, *twins.guards]) if len(twins.guards) > 1 else found + sum(twins.guards, 0.0)

    return outputs
