"""Keras files made by hand: whole ones, to damage."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

Config = dict[str, Any]
SHAPES = {"lstm/cell/vars": [(2, 16), (4, 16), (16,)], "dense/vars": [(4, 1), (1,)]}
METADATA = b'{"keras_version": "3.15.1"}'


def hdf5(shapes: dict[str, list[tuple[int, ...]]] | None = None) -> bytes:
    """Return a `.weights.h5` of one LSTM layer and a head."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group, arrays in (SHAPES if shapes is None else shapes).items():
            for i, shape in enumerate(arrays):
                file[f"layers/{group}/{i}"] = np.full(shape, 0.25, np.float32)
    return buffer.getvalue()


def layer(kind: object, name: str, **settings: Any) -> Config:
    return {
        "class_name": kind,
        "module": "keras.layers",
        "registered_name": None,
        "config": {"name": name, "trainable": True, **settings},
    }


def lstm(**settings: Any) -> Config:
    usual = {"units": 4, "activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": False}
    return layer("LSTM", "lstm", **usual | settings)


def config(*layers: Any, start: object = (None, 8, 2)) -> Config:
    first = layer("InputLayer", "input", batch_shape=start)
    head = layer("Dense", "dense", units=1, activation="linear")
    inner = {"name": "own", "layers": [first, *(layers or (lstm(),)), head]}
    return {"class_name": "Sequential", "module": "keras", "registered_name": None, "config": inner}


def keras_bytes(settings: object = None, weights: bytes | None = None, *, packing: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        archive.writestr("metadata.json", METADATA)
        written = settings if isinstance(settings, bytes) else json.dumps(config() if settings is None else settings)
        archive.writestr("config.json", written)
        archive.writestr("model.weights.h5", hdf5() if weights is None else weights)
    return buffer.getvalue()


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the child's program without a new interpreter; `apart` stands for its process and its limits."""
    from pulsecast.stages.child_process import Ended
    from pulsecast_export.keras_models import h5_child, h5_reading

    def run(_module: str, arguments: list[str], *, timeout_s: float, environment: object) -> Ended:
        del environment
        said = io.StringIO()
        monkeypatch.setattr(sys, "stderr", said)
        code = h5_child.main(arguments)
        return Ended(returncode=code, stdout="", stderr=said.getvalue(), timeout_s=timeout_s)

    monkeypatch.setattr(h5_reading, "run_module", run)
    monkeypatch.setattr(h5_child, "limit_memory", lambda _: None)
