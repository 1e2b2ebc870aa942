"""The Keras network: stacked LSTMs and a dense head, and its weights in the runtime's form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import CellWeights, Weights


def build_network(spec: ModelSpec, dropout: float) -> keras.Model:
    """Return the untrained network: (batch, window, channels) -> (batch, horizon).

    Every LSTM keeps Keras' defaults, which cuDNN can run. Dropout has layers of its own: inside an LSTM it would
    prevent cuDNN and bring seed state into graphs.
    """
    layers: list[Any] = [keras.Input((spec.window, len(spec.channels)), name="channels")]
    for i, units in enumerate(spec.units):
        layers.append(keras.layers.LSTM(units, return_sequences=i < len(spec.units) - 1, name=f"lstm_{i}"))
        if dropout:
            layers.append(keras.layers.Dropout(dropout, name=f"dropout_{i}"))
    layers.append(keras.layers.Dense(spec.horizon, name="head"))
    return keras.Sequential(layers, name="pulsecast")


def extract_weights(model: keras.Model, spec: ModelSpec) -> Weights:
    """Return the weights of a network made by `build_network`."""
    layers = []
    for i in range(len(spec.units)):
        kernel, recurrent, bias = (np.asarray(w, np.float32) for w in model.get_layer(f"lstm_{i}").get_weights())
        layers.append(CellWeights(kernel=kernel, recurrent=recurrent, bias=bias))
    head_kernel, head_bias = (np.asarray(w, np.float32) for w in model.get_layer("head").get_weights())
    return Weights(layers=tuple(layers), head_kernel=head_kernel, head_bias=head_bias)
