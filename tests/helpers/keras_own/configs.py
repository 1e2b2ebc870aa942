"""Configurations of Keras models as their files hold them, written by hand."""

from __future__ import annotations

from typing import Any

from pulsecast_export.keras_models.model_reading import read_model

Config = dict[str, Any]


def layer(kind: str, name: str, **settings: object) -> Config:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, "trainable": True, "dtype": "float32", **settings},
        "registered_name": None,
    }


def lstm(name: str = "first", *, kind: str = "LSTM", sequences: bool = False, **settings: object) -> Config:
    known = {"units": 4, "activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": sequences}
    return layer(kind, name, **{**known, **settings})


def dense(name: str = "head", **settings: object) -> Config:
    return layer("Dense", name, **{"units": 1, "activation": "linear", **settings})


def start(features: object = 2) -> Config:
    return layer("InputLayer", "input", batch_shape=[None, 8, features])


def sequential(*layers: Config) -> Config:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "model", "layers": [*layers]},
        "registered_name": None,
        "compile_config": {"loss": {"class_name": "function", "module": "builtins", "config": "my_loss"}},
    }


def tensor(name: str) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def read(config: Config) -> object:
    """Return the network or the graph of a configuration, as an import finds it."""
    return read_model(config)[0]
