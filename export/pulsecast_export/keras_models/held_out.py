"""The held-out windows that a user brings with a model file: without them nothing can be verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import MINIMUM_WINDOWS
from pulsecast.errors import DataError, FormatError
from pulsecast.model.weights import read_npz
from pulsecast.stages.model_directory import CALIBRATION_WINDOWS, sha256

from .keras_file import read_bytes

Entry = tuple[str, tuple[int | None, ...]]  # name of an input, its shape without the batch
_EXPECTED = "Save held-out windows in raw units: numpy.savez(file, windows=(n, window, features), truth=(n, horizon))"


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutArrays:
    """Raw held-out windows (n, window, features) float32, truth (n, horizon) float64; windows for quantisation."""

    windows: NDArray[np.float32]
    truth: NDArray[np.float64]
    calibration: NDArray[np.float32]
    sha256: str


def read_windows(path: Path, inputs: Sequence[Entry] = ()) -> HeldOutArrays:
    """Return the held-out windows at `path`; raises DataError that states what is expected.

    inputs  (name, shape without the batch) of a model with several: their arrays may stand under these names
    """
    content = read_bytes(path)
    try:
        arrays = read_npz(content, where=path.name)
    except FormatError as error:
        raise DataError(f"{error}. {_EXPECTED}") from error
    if "windows" not in arrays and len(inputs) > 1 and all(name in arrays for name, _ in inputs):
        arrays = {**arrays, "windows": _side_by_side(arrays, inputs, path.name)}
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


def _side_by_side(
    arrays: Mapping[str, NDArray[np.generic]], inputs: Sequence[Entry], where: str
) -> NDArray[np.generic]:
    """Return windows (n, window, columns) of the arrays of several inputs, as a graph takes them apart again."""
    steps = max((array.shape[1] for name, _ in inputs if (array := arrays[name]).ndim == 3), default=1)
    columns = []
    for name, shape in inputs:
        array = arrays[name]
        if array.ndim == 2 and len(shape) == 1:
            # one number for each step, or numbers that hold for the whole window
            array = array[:, :, np.newaxis] if array.shape[1] == steps else np.repeat(array[:, np.newaxis], steps, 1)
        if array.ndim != 3 or array.shape[:2] != (len(arrays[inputs[0][0]]), steps):
            raise DataError(f"{where}: {name} is {array.shape}; expected (n, {steps}, features) or (n, features)")
        columns.append(array)
    return np.concatenate(columns, axis=2)
