"""The model directory: what training writes and export reads. Only this module describes it, so the two never differ.

MODEL/
  model.json        this module's `ModelRecord`
  model.keras       the trained Keras model, for further training; export does not trace it
  weights.npz       its weights, see `pulsecast.model.weights`
  history.json      loss per epoch
  heldout.npz       up to 2,048 held-out raw windows, evenly spaced, with truth and the Keras model's forecasts
  calibration.npz   raw training windows that span the training range, for full-integer quantisation
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import HeldOut, Provenance
from ..errors import FormatError
from ..foundation import strict_json
from ..foundation.folder_kind import FolderKind
from ..foundation.quick_dataclass import dataclass
from ..model.radii import SplitConformal
from ..model.scaler import Scaler
from ..model.spec import ModelSpec
from ..model.weights import Weights, read_npz, read_weights, write_npz, write_weights

MODEL_NAME = "model.json"
KERAS_NAME = "model.keras"
WEIGHTS_NAME = "weights.npz"
HISTORY_NAME = "history.json"
HELDOUT_NAME = "heldout.npz"
CALIBRATION_NAME = "calibration.npz"
HELDOUT_WINDOWS = 2048
IMPORTED = "imported"  # the recipe of a model that was not trained here
CALIBRATION_WINDOWS = 256


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """All of `model.json`; `files` maps the directory's other files to their SHA-256, once they are written."""

    format: Literal[1]
    name: str
    recipe: str
    spec: ModelSpec
    scaler: Scaler
    heldout: HeldOut
    provenance: Provenance
    files: Mapping[str, str] = field(default_factory=dict)
    intervals: SplitConformal | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOutWindows:
    """Raw windows (n, context, features) float32, truth (n, horizon) float64, Keras' forecasts (n, horizon) float32."""

    windows: NDArray[np.float32]
    truth: NDArray[np.float64]
    trained: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ModelDirectory:
    """An opened model directory; calibration windows are (n, context, features) float32, raw."""

    record: ModelRecord
    weights: Weights
    heldout: HeldOutWindows
    calibration: NDArray[np.float32]


def _listed(record: bytes) -> set[str]:
    return {*strict_json.loads(ModelRecord, record, where=MODEL_NAME).files, MODEL_NAME}


MODEL_FOLDER = FolderKind(noun="model directory", marker=MODEL_NAME, listed=_listed)


def write_model_directory(folder: Path, model: ModelDirectory, more: Mapping[str, bytes] | None = None) -> ModelRecord:
    """Write every file of `model` into the empty `folder`, and `more` by name; return the record with their hashes."""
    heldout = model.heldout
    files = {
        WEIGHTS_NAME: write_weights(model.weights, model.record.spec.network),
        HELDOUT_NAME: write_npz(windows=heldout.windows, truth=heldout.truth, trained=heldout.trained),
        CALIBRATION_NAME: write_npz(windows=model.calibration),
        **(more or {}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    record = dataclasses.replace(model.record, files={name: sha256(data) for name, data in files.items()})
    (folder / MODEL_NAME).write_text(strict_json.dumps(record), encoding="utf-8")
    return record


def read_model_directory(path: Path) -> ModelDirectory:
    """Return the model at `path`; raises FormatError if a file is missing, changed or does not match `model.json`."""
    try:
        record = strict_json.loads(ModelRecord, (path / MODEL_NAME).read_bytes(), where=MODEL_NAME)
        data = {name: (path / name).read_bytes() for name in (WEIGHTS_NAME, HELDOUT_NAME, CALIBRATION_NAME)}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise FormatError(
            f"{path} is not a model directory: it has no {missing}; make one with `pulsecast train`"
        ) from error
    except OSError as error:
        raise FormatError(f"{path} is not a readable model directory: {error.strerror}") from error
    changed = [name for name, content in data.items() if record.files.get(name) != sha256(content)]
    if changed:
        raise FormatError(f"model directory {path.name} was changed after training: {', '.join(changed)}")
    heldout = _arrays(data[HELDOUT_NAME], HELDOUT_NAME, ("windows", "truth", "trained"))
    calibration = _arrays(data[CALIBRATION_NAME], CALIBRATION_NAME, ("windows",))
    return ModelDirectory(
        record=record,
        weights=read_weights(data[WEIGHTS_NAME], record.spec),
        heldout=HeldOutWindows(
            windows=heldout["windows"].astype(np.float32),
            truth=heldout["truth"].astype(np.float64),
            trained=heldout["trained"].astype(np.float32),
        ),
        calibration=calibration["windows"].astype(np.float32),
    )


def sha256(data: bytes) -> str:
    """Return the hash as a model directory records it, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _arrays(data: bytes, where: str, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    arrays = read_npz(data, where=where)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise FormatError(f"{where} has no {', '.join(missing)}")
    return arrays
