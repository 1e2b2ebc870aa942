"""A user's own Keras model to a model directory, which is then exported, gated and verified like any other.

The user brings held-out windows with their truth: without them nothing can be verified, and random windows hide almost
every fault. Values are in the model's own units unless a scaler says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, DataError
from pulsecast.foundation.whole_directory import whole_directory
from pulsecast.model.accuracy import Accuracy, accuracy
from pulsecast.model.windows import Windows
from pulsecast.stages.environment import commands, installed_versions, platform_name
from pulsecast.stages.model_directory import (
    HELDOUT_WINDOWS,
    IMPORTED,
    MODEL_FOLDER,
    HeldOutWindows,
    ModelDirectory,
    ModelRecord,
    sha256,
    write_model_directory,
)

from .graph_import import extremes_of, import_graph
from .graph_reading import FoundGraph
from .held_out import HeldOutArrays, read_windows
from .keras_file import read_bytes, read_keras_file
from .keras_loading import Forward
from .model_reading import read_model
from .network_import import (
    TAKEN_AS,
    Imported,
    ImportOptions,
    import_h5,
    import_network,
)

BATCH = 256


def import_keras(path: Path, heldout: Path, options: ImportOptions, out: Path, *, force: bool) -> ModelRecord:
    """Write the model directory `out` for the Keras file at `path` and return its record.

    path     `.keras` (Keras 3; safe mode) or `.h5` (weights of LSTM layers and a dense head only)
    heldout  an .npz with `windows` (n, window, features), or an array under the name of each of several inputs; `truth`
             (n, horizon); and, for full-integer quantisation, `calibration` (m, window, features). At least 64 windows
             that the model was not trained on

    Raises ConversionError (the model cannot be converted, or is refused), DataError (the windows), UsageError (`out`).
    """
    with whole_directory(out, MODEL_FOLDER, force=force) as folder:
        read = _read_h5 if path.suffix.lower() == ".h5" else _read_keras
        model, data = read(path, heldout, options)
        return _write(folder, path, model, data, options)


def _read_h5(path: Path, heldout: Path, options: ImportOptions) -> tuple[Imported, HeldOutArrays]:
    data = read_windows(heldout)
    return import_h5(path, data, options), data


def _read_keras(path: Path, heldout: Path, options: ImportOptions) -> tuple[Imported, HeldOutArrays]:
    file = read_keras_file(path)
    found, scaling = read_model(file.config, options.output)
    data = read_windows(heldout, found.inputs if isinstance(found, FoundGraph) else ())
    if isinstance(found, FoundGraph):
        return import_graph(file, found, data, options), data
    return import_network(file, found, scaling, data, options), data


def _write(folder: Path, path: Path, model: Imported, data: HeldOutArrays, options: ImportOptions) -> ModelRecord:
    spec = model.spec
    forecasts = _forecasts(model, data.windows)  # (n, horizon)
    last = np.repeat(data.windows[:, -1, :1], spec.horizon, axis=1)
    errors = {"model": accuracy(forecasts, data.truth), "last_value": accuracy(last, data.truth)}
    _check_taken(path, model, errors)
    rows = evenly(len(data.windows), HELDOUT_WINDOWS)
    record = ModelRecord(
        format=2,
        name=options.name,
        recipe=IMPORTED,
        spec=spec,
        scaler=model.scaler,
        heldout=HeldOut(
            windows=len(data.windows),
            forecasts=errors,
        ),
        provenance=Provenance(
            versions=installed_versions(),
            platform=platform_name(),
            seed=0,
            training={"imported": _origin(path, model)},
            data={"heldout": {"sha256": data.sha256, "windows": len(data.windows)}},
            commands=commands(),
        ),
    )
    heldout = HeldOutWindows(
        windows=Windows(values=data.windows[rows]),
        truth=data.truth[rows],
        trained=forecasts[rows],
        **_of_graph(model, data.windows[rows]),
    )
    directory = ModelDirectory(
        record=record, weights=model.weights, heldout=heldout, calibration=Windows(values=data.calibration)
    )
    return write_model_directory(folder, directory)


def _check_taken(path: Path, model: Imported, errors: Mapping[str, Accuracy]) -> None:
    """Raise ConversionError if a file of weights alone, taken as a plain stack, loses to the last value."""
    if "taken_as" in model.origin and errors["model"].mae > errors["last_value"].mae:
        raise ConversionError(
            f"{path.name} holds weights alone and does not say how its layers are connected. Taken as {TAKEN_AS}, it "
            f"has a MAE of {errors['model'].mae:,.4g} where repeating the last value has "
            f"{errors['last_value'].mae:,.4g}: it is probably another model; save the whole model as .keras instead"
        )


def _origin(path: Path, model: Imported) -> dict[str, object]:
    return {"file": path.name, "sha256": sha256(read_bytes(path)), **model.origin}


def _of_graph(model: Imported, windows: NDArray[np.float32]) -> dict[str, Any]:
    """Return what the held-out windows of a graph hold beside those of a network: what numpy does not compute."""
    if model.exact is None:
        return {}
    exact = _through(model, model.exact, windows.astype(np.float64))
    return {"reference": exact, "extremes": extremes_of(model, windows, model.scaler.range)}


def _forecasts(model: Imported, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Keras model's own raw forecasts (n, horizon); raises ConversionError for any other output."""
    forecasts = _through(model, model.forward, windows).astype(np.float32)
    if forecasts.shape[1] != model.spec.horizon:
        raise ConversionError(f"the Keras model gives {forecasts.shape}; expected (batch, {model.spec.horizon})")
    if not np.isfinite(forecasts).all():
        raise DataError("the Keras model gives no finite forecast for some held-out windows; are they in its units?")
    return forecasts


def _through(model: Imported, forward: Forward, windows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return raw forecasts (n, horizon) of raw windows, batch by batch."""
    batches = (windows[first : first + BATCH] for first in range(0, len(windows), BATCH))
    return np.concatenate([reference.through(model.spec, model.outside, forward, batch) for batch in batches])
