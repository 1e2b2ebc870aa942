"""Only the weights from an `.h5` file of Keras 2 or 3, for our own architecture: LSTM layers and a head.

Such files may also hold a configuration, in which code can hide. It is read as text only, to refuse activations that
the architecture does not have; no Keras object is made from it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.model.weights import CellWeights, Weights

from .keras_file import check_h5, read_bytes

Arrays = list[NDArray[np.float32]]


def read_h5_weights(path: Path) -> Weights:
    """Return the weights of LSTM layers and one dense head; raises ConversionError if the file holds anything else."""
    import h5py

    data = read_bytes(path)
    check_h5(data, path.name)
    with h5py.File(io.BytesIO(data), "r") as file:
        _check_configuration(file.attrs.get("model_config"), path.name)
        groups = [arrays for arrays in _layers(file) if arrays]
    if len(groups) < 2:
        raise ConversionError(f"{path.name} has weights of {len(groups)} layers; expected LSTM layers and a dense head")
    layers, inputs = [], groups[0][0].shape[0] if groups[0][0].ndim else 0
    for number, arrays in enumerate(groups[:-1]):
        shapes = [array.shape for array in arrays]
        units = shapes[0][1] // 4 if len(shapes[0]) == 2 else 0
        if units < 1 or shapes != [(inputs, 4 * units), (units, 4 * units), (4 * units,)]:
            raise ConversionError(
                f"layer {number} in {path.name} has arrays {shapes}; an LSTM of {inputs} inputs has "
                f"({inputs}, 4 units), (units, 4 units), (4 units,); save the whole model as .keras instead"
            )
        layers.append(CellWeights(kernel=arrays[0], recurrent=arrays[1], bias=arrays[2]))
        inputs = units
    shapes = [array.shape for array in groups[-1]]
    if len(shapes) != 2 or shapes[0] != (inputs, *shapes[1]):
        raise ConversionError(f"the last layer in {path.name} has arrays {shapes}; expected a dense head")
    return Weights(layers=tuple(layers), head_kernel=groups[-1][0], head_bias=groups[-1][1])


def _layers(file: Any) -> Iterator[Arrays]:
    """Yield the arrays of every layer, in order: of the old layout (names in attributes) or of `.weights.h5`."""
    root = file.get("model_weights", file)
    if "layer_names" in root.attrs:
        for name in root.attrs["layer_names"]:
            group = root[_text(name)]
            yield [_floats(group[_text(weight)]) for weight in group.attrs.get("weight_names", ())]
    elif "layers" in file:
        # named by class: lstm, lstm_1, ..., dense
        names = sorted(file["layers"], key=lambda name: (name.startswith("dense"), _number(name)))
        for name in names:
            group = file["layers"][name]
            found = group["cell"]["vars"] if "cell" in group else group.get("vars", {})
            yield [_floats(found[key]) for key in sorted(found, key=int)]


def _number(name: str) -> int:
    match = re.search(r"_(\d+)$", name)
    return int(match.group(1)) if match else 0


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _floats(dataset: Any) -> NDArray[np.float32]:
    return np.asarray(dataset[()], np.float32)


def _check_configuration(text: Any, name: str) -> None:
    """Refuse a configuration with anything beyond tanh and sigmoid LSTMs and a linear head."""
    if text is None:
        return
    try:
        config = json.loads(_text(text))
        layers = config["config"]["layers"]
        problems = [problem for layer in layers for problem in _layer_problems(layer)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConversionError(f"the configuration in {name} is damaged; save the model as .keras instead") from error
    if problems:
        raise ConversionError(f"{name} is refused, and nothing in it was run: " + "; ".join(problems))


def _layer_problems(layer: dict[str, Any]) -> Iterator[str]:
    kind, settings = layer["class_name"], layer["config"]
    name = f"layer {str(settings.get('name'))[:60]!r} ({str(kind)[:60]})"
    if kind not in ("InputLayer", "LSTM", "Dropout", "Dense"):
        yield f"{name} is not of our architecture (LSTM, Dropout, Dense); save the model as .keras of Keras 3 instead"
        return
    expected = {"LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"}, "Dense": {"activation": "linear"}}
    for key, value in expected.get(kind, {}).items():
        if settings.get(key, value) != value:
            yield f"{name}: {key} is {str(settings[key])[:60]!r}; expected {value!r}"
    if settings.get("go_backwards") or settings.get("stateful"):
        yield f"{name}: go_backwards and stateful must be off"
