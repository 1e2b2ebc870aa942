"""The signature of a model: the inputs and outputs of its SavedModel, from the manifest alone.

A test holds it together with the signature that a SavedModel of the same model has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.contract import inputs_of, outputs_of
from pulsecast.bundle.manifest import Manifest
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.windows import FORECAST, VALUES

SIGNATURE = "serving_default"
PREDICT = "tensorflow/serving/predict"  # the only method of our signature
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
SIGNATURE_DEF = "signature_def"  # the one field of a model's metadata
WINDOW = "window"  # the one input of a bundle of format 1

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class DataType:
    """A type of tensors: its enumeration in protobuf, its word in messages, and numpy's."""

    name: str
    number: int
    word: str
    numpy: np.dtype[np.generic]


FLOAT = DataType(name="DT_FLOAT", number=1, word="float", numpy=np.dtype("<f4"))
INT64 = DataType(name="DT_INT64", number=9, word="int64", numpy=np.dtype("<i8"))


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One input or output; -1 in its shape is any number, `node` its name in the graph of a SavedModel."""

    dtype: DataType
    shape: tuple[int, ...]
    node: str


@dataclass(frozen=True, kw_only=True)
class Signature:
    """All inputs and outputs, by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


_KNOWN: WeakKeyDictionary[Forecaster, Signature] = WeakKeyDictionary()  # of the models that are served


def signature_of(model: Forecaster) -> Signature:
    """Return the signature that a SavedModel of this model has."""
    found = _KNOWN.get(model)
    if found is None:
        found = _KNOWN[model] = _signature(model.manifest)
    return found


def _signature(manifest: Manifest) -> Signature:
    spec = manifest.spec
    if manifest.format == 1:
        inputs: dict[str, tuple[int, ...]] = {WINDOW: (-1, spec.context, len(spec.features))}
        outputs: dict[str, tuple[int, ...]] = {FORECAST: (-1, spec.horizon)}
    else:
        inputs = inputs_of(spec, many=manifest.series is not None)
        outputs = outputs_of(spec, bounded=manifest.level is not None)
    return Signature(
        inputs={
            name: TensorInfo(
                dtype=FLOAT if name in (VALUES, WINDOW) else INT64, shape=shape, node=f"{SIGNATURE}_{name}:0"
            )
            for name, shape in inputs.items()
        },
        outputs={
            name: TensorInfo(dtype=FLOAT, shape=shape, node=f"PartitionedCall:{place}")
            for place, (name, shape) in enumerate(sorted(outputs.items()))
        },
    )
