"""The golden: held-out windows of a trained model and the forecasts it must give for them, shipped in every bundle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import FormatError
from ..foundation.quick_dataclass import dataclass
from ..model.spec import ModelSpec
from ..model.weights import read_npz, write_npz
from ..plain_text import listed

MINIMUM_WINDOWS = 64


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Held-out raw windows and their forecasts, all in raw units.

    windows    (n, context, features) float32
    truth      (n, horizon) float64: what really happened
    reference  (n, horizon) float64: the float64 numpy forward pass
    trained    (n, horizon) float32: the trained Keras model
    """

    windows: NDArray[np.float32]
    truth: NDArray[np.float64]
    reference: NDArray[np.float64]
    trained: NDArray[np.float32]


def write_golden(golden: Golden) -> bytes:
    """Return the file's bytes: a compressed .npz, little-endian; the same golden gives the same bytes."""
    return write_npz(
        windows=golden.windows.astype("<f4"),
        truth=golden.truth.astype("<f8"),
        reference=golden.reference.astype("<f8"),
        trained=golden.trained.astype("<f4"),
    )


def read_golden(data: bytes, spec: ModelSpec) -> Golden:
    """Return the golden in `data`; raises FormatError if its arrays are not those of a model of this `spec`."""
    arrays = read_npz(data, where="golden.npz")
    count = len(arrays["windows"]) if "windows" in arrays else 0
    expected = {
        "windows": ("<f4", (count, spec.context, len(spec.features))),
        "truth": ("<f8", (count, spec.horizon)),
        "reference": ("<f8", (count, spec.horizon)),
        "trained": ("<f4", (count, spec.horizon)),
    }
    problems = [f"{name} is missing or unexpected" for name in sorted(set(arrays) ^ set(expected))]
    if count < MINIMUM_WINDOWS:
        problems.append(f"{count} windows; at least {MINIMUM_WINDOWS} are needed")
    if count > limits.GOLDEN_WINDOWS:
        problems.append(f"{count} windows; at most {limits.GOLDEN_WINDOWS} are read")
    for name, (dtype, shape) in expected.items():
        array = arrays.get(name)
        if array is None:
            continue
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            problems.append(f"{name} is {array.dtype}{array.shape}; expected {dtype}{shape}")
        elif not np.isfinite(array.astype(np.float64)).all():
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        raise FormatError("golden.npz: " + listed(problems))
    return Golden(
        windows=arrays["windows"].astype(np.float32),
        truth=arrays["truth"].astype(np.float64),
        reference=arrays["reference"].astype(np.float64),
        trained=arrays["trained"].astype(np.float32),
    )


def evenly(count: int, at_most: int) -> NDArray[np.int64]:
    """Return at most `at_most` evenly spaced rows of `count`, ascending, with the first and the last one.

    >>> evenly(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64))
