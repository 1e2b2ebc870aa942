"""Only the weights from an `.h5` file of Keras 2 or 3, for our own architecture: LSTM layers and a head.

Such files may also hold a configuration, in which code can hide. It is read as text only, to refuse activations that
the architecture does not have; no Keras object is made from it.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from pulsecast.errors import ConversionError
from pulsecast.model.weights import CellWeights, Weights

from .h5_reading import h5_layers
from .keras_file import read_bytes


def read_h5_weights(path: Path) -> tuple[Weights, bool]:
    """Return the weights of LSTM layers and one dense head, and whether the file says that they are connected so.

    Raises ConversionError if it holds anything else.
    """
    configured, found = h5_layers(read_bytes(path), path.name)
    groups = [[array.astype(np.float32) for array in layer] for layer in found]
    if len(groups) < 2:
        raise ConversionError(f"{path.name} has weights of {len(groups)} layers; expected LSTM layers and a dense head")
    layers, inputs = [], groups[0][0].shape[0] if groups[0][0].ndim else 0
    for number, arrays in enumerate(groups[:-1]):
        shapes = [array.shape for array in arrays]
        units = shapes[0][1] // 4 if len(shapes[0]) == 2 else 0
        if units < 1 or inputs < 1 or shapes != [(inputs, 4 * units), (units, 4 * units), (4 * units,)]:
            raise ConversionError(
                f"layer {number} in {path.name} has arrays {_listed(shapes)}; an LSTM of {inputs} inputs has "
                f"({inputs}, 4 units), (units, 4 units), (4 units,); save the whole model as .keras instead"
            )
        layers.append(CellWeights(kernel=arrays[0], recurrent=arrays[1], bias=arrays[2]))
        inputs = units
    shapes = [array.shape for array in groups[-1]]
    if len(shapes) != 2 or len(shapes[1]) != 1 or shapes[0] != (inputs, *shapes[1]) or shapes[1][0] < 1:
        raise ConversionError(f"the last layer in {path.name} has arrays {_listed(shapes)}; expected a dense head")
    if not all(np.isfinite(array).all() for array in itertools.chain.from_iterable(groups)):
        raise ConversionError(f"the weights in {path.name} hold NaN or infinity; train the model again")
    return Weights(layers=tuple(layers), head_kernel=groups[-1][0], head_bias=groups[-1][1]), configured


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return f"{shapes[:6]}" + (f" and {len(shapes) - 6} more" if len(shapes) > 6 else "")
