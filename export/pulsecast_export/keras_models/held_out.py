"""The held-out windows that a user brings with a model file: without them nothing can be verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import MINIMUM_WINDOWS
from pulsecast.errors import DataError, FormatError
from pulsecast.model.weights import read_npz
from pulsecast.stages.model_directory import CALIBRATION_WINDOWS, sha256

from .keras_file import read_bytes

_EXPECTED = "Save held-out windows in raw units: numpy.savez(file, windows=(n, window, features), truth=(n, horizon))"


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutArrays:
    """Raw held-out windows (n, window, features) float32, truth (n, horizon) float64; windows for quantisation."""

    windows: NDArray[np.float32]
    truth: NDArray[np.float64]
    calibration: NDArray[np.float32]
    sha256: str


def read_windows(path: Path) -> HeldOutArrays:
    """Return the held-out windows at `path`; raises DataError that states what is expected."""
    content = read_bytes(path)
    try:
        arrays = read_npz(content, where=path.name)
    except FormatError as error:
        raise DataError(f"{error}. {_EXPECTED}") from error
    problems = [f"it has no {name}" for name in ("windows", "truth") if name not in arrays]
    for name, axes in (("windows", 3), ("truth", 2), ("calibration", 3)):
        array = arrays.get(name)
        if array is None:
            continue
        if array.ndim != axes or array.dtype.kind not in "fiu":
            problems.append(f"{name} is {array.dtype}{array.shape}; expected numbers with {axes} axes")
        elif not np.isfinite(array.astype(np.float64)).all():
            problems.append(f"{name} holds NaN or infinity")
    if not problems and len(arrays["windows"]) != len(arrays["truth"]):
        problems.append(f"{len(arrays['windows'])} windows and {len(arrays['truth'])} rows of truth")
    if not problems and len(arrays["windows"]) < MINIMUM_WINDOWS:
        problems.append(f"{len(arrays['windows'])} windows; at least {MINIMUM_WINDOWS} are needed")
    if problems:
        raise DataError(f"{path.name}: {'; '.join(problems)}. {_EXPECTED}")
    windows = arrays["windows"].astype(np.float32)
    return HeldOutArrays(
        windows=windows,
        truth=arrays["truth"].astype(np.float64),
        calibration=arrays.get("calibration", windows).astype(np.float32)[:CALIBRATION_WINDOWS],
        sha256=sha256(content),
    )
