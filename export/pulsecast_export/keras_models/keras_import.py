"""A user's own Keras model to a model directory, which is then exported, gated and verified like any other.

The user brings held-out windows with their truth: without them nothing can be verified, and random windows hide almost
every fault. Values are in the model's own units unless a scaler says otherwise.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import MINIMUM_WINDOWS, evenly
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, DataError, FormatError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.foundation.whole_directory import whole_directory
from pulsecast.model.accuracy import accuracy
from pulsecast.model.network import GATES, Recurrent, plain_stack
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import Channel, Feature, ModelSpec
from pulsecast.model.weights import CellWeights, Weights, read_npz
from pulsecast.model.windows import Windows
from pulsecast.stages.environment import commands, installed_versions, platform_name
from pulsecast.stages.model_directory import (
    CALIBRATION_WINDOWS,
    HELDOUT_WINDOWS,
    IMPORTED,
    MODEL_FOLDER,
    HeldOutWindows,
    ModelDirectory,
    ModelRecord,
    sha256,
    write_model_directory,
)

from .h5_weights import read_h5_weights
from .keras_file import CONFIG, METADATA, WEIGHTS, KerasFile, read_bytes, read_keras_file
from .keras_layers import Found, find_network

BATCH = 256


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a Keras file does not contain.

    name      of the model
    step_s    seconds between two steps
    features  names of the input columns, the forecast one first; () names them value, feature_1, ...
    scaler    how raw values become the model's inputs and its outputs raw values; None is no scaling
    """

    name: str
    step_s: int
    features: tuple[str, ...] = ()
    scaler: Scaler | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutArrays:
    """Raw held-out windows (n, window, features) float32, truth (n, horizon) float64; windows for quantisation."""

    windows: NDArray[np.float32]
    truth: NDArray[np.float64]
    calibration: NDArray[np.float32]
    sha256: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Imported:
    """A Keras file that was read: its spec without scaling, weights, the Keras model, and its provenance."""

    spec: ModelSpec
    weights: Weights
    keras_model: Any
    origin: dict[str, object]


def import_keras(path: Path, heldout: Path, options: ImportOptions, out: Path, *, force: bool) -> ModelRecord:
    """Write the model directory `out` for the Keras file at `path` and return its record.

    path     `.keras` (Keras 3; safe mode) or `.h5` (weights of LSTM layers and a dense head only)
    heldout  an .npz with `windows` (n, window, features), `truth` (n, horizon), and, for full-integer quantisation,
             `calibration` (m, window, features); at least 64 windows that the model was not trained on

    Raises ConversionError (the model cannot be converted, or is refused), DataError (the windows), UsageError (`out`).
    """
    data = read_windows(heldout)
    with whole_directory(out, MODEL_FOLDER, force=force) as folder:
        model = _read_h5(path, data, options) if path.suffix.lower() == ".h5" else _read_keras(path, data, options)
        return _write(folder, model, data, options)


_EXPECTED = "Save held-out windows in raw units: numpy.savez(file, windows=(n, window, features), truth=(n, horizon))"


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


def _read_keras(path: Path, data: HeldOutArrays, options: ImportOptions) -> _Imported:
    file = read_keras_file(path)
    found = find_network(file.config)
    if found.window not in (None, data.windows.shape[1]):
        raise DataError(f"windows have {data.windows.shape[1]} steps; this model takes {found.window}")
    spec = _spec(found, data, options)
    check_sizes(file, found)
    keras_model = _load(file)
    origin: dict[str, object] = {
        "file": path.name,
        "sha256": sha256(file.data),
        "keras_version": file.version,
        "layers": [_words(layer) for layer in found.network.recurrent],
    }
    return _Imported(spec=spec, weights=_weights(keras_model, found), keras_model=keras_model, origin=origin)


def _words(layer: Recurrent) -> str:
    return f"{layer.kind} {layer.units} {layer.direction}, {layer.activation} and {layer.gates}"


def _load(file: KerasFile) -> Any:
    """Return the Keras model, read in safe mode from a file made anew of what was vetted."""
    import keras

    with temporary_folder() as folder:
        copy = folder / "model.keras"
        _write_keras_file(copy, file)
        try:
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
        except Exception as error:  # Keras may raise any exception
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ConversionError(f"Keras cannot load the model in safe mode: {ascii(reason)[1:-1]}") from error


def _write_keras_file(path: Path, file: KerasFile) -> None:
    """Write the configuration and the weights as Keras does; no byte of the user's HDF5 or zip file is copied."""
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as made:
        for name, array in file.arrays.items():
            made[name] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": file.version}))
        vetted = {key: value for key, value in file.config.items() if key != "compile_config"}
        archive.writestr(CONFIG, json.dumps(vetted))
        archive.writestr(WEIGHTS, weights.getbuffer())


def check_sizes(file: KerasFile, found: Found) -> None:
    """Raise ConversionError if the layers take more weights than there are: Keras would make them, however many."""
    shapes = found.network.shapes(found.features, found.horizon)
    kernels = [
        shape for name, shape in shapes.items() if not name.endswith("bias") and (found.head or "head" not in name)
    ]
    needed, held = sum(map(math.prod, kernels)), sum(array.size for array in file.arrays.values())
    if needed > held:
        raise ConversionError(f"the layers of this model take {needed:,} weights; its file holds {held:,}")


def _read_h5(path: Path, data: HeldOutArrays, options: ImportOptions) -> _Imported:
    weights = read_h5_weights(path)
    units = tuple(layer.units for layer in weights.layers)
    found = Found(
        network=plain_stack(units),
        window=None,
        features=weights.layers[0].kernel.shape[0],
        horizon=len(weights.head_bias),
        recurrent=(),
        dense=(),
        head=True,
    )
    spec = _spec(found, data, options)
    origin: dict[str, object] = {
        "file": path.name,
        "sha256": sha256(read_bytes(path)),
        # a file of weights alone does not name activations
        "taken_as": "LSTM layers with tanh and sigmoid, linear dense head",
    }
    return _Imported(spec=spec, weights=weights, keras_model=_own_network(spec, weights), origin=origin)


def _own_network(spec: ModelSpec, weights: Weights) -> Any:
    """Return our architecture in Keras with these weights: it equals the file's model if the file is correct."""
    import keras

    last = len(spec.units) - 1
    layers = [keras.layers.LSTM(units, return_sequences=i < last) for i, units in enumerate(spec.units)]
    head = keras.layers.Dense(spec.horizon)
    model = keras.Sequential([keras.Input((spec.window, len(spec.features))), *layers, head])
    for layer, one in zip(layers, weights.layers, strict=True):
        layer.set_weights([one.kernel, one.recurrent, one.bias])
    head.set_weights([weights.head_kernel, weights.head_bias])
    return model


def _spec(found: Found, data: HeldOutArrays, options: ImportOptions) -> ModelSpec:
    count = found.features
    names = options.features or ("value", *(f"feature_{i}" for i in range(1, count)))
    problems = []
    if data.windows.shape[2] != count:
        problems.append(f"windows have {data.windows.shape[2]} features; this model takes {count}")
    if data.calibration.shape[1:] != data.windows.shape[1:]:
        problems.append(f"calibration windows are {data.calibration.shape[1:]}, windows {data.windows.shape[1:]}")
    if data.truth.shape[1] != found.horizon:
        problems.append(f"truth has {data.truth.shape[1]} steps; this model forecasts {found.horizon}")
    if len(names) != count:
        problems.append(f"{len(names)} feature names; this model takes {count}")
    if options.scaler is not None and len(options.scaler.features) != count:
        problems.append(f"the scaler has {len(options.scaler.features)} features; this model takes {count}")
    if problems:
        raise DataError("; ".join(problems))
    return ModelSpec(
        window=data.windows.shape[1],
        features=tuple(Feature(name=name) for name in names),
        channels=tuple(Channel(feature=i) for i in range(count)),
        units=tuple(layer.units for layer in found.network.recurrent),
        horizon=found.horizon,
        step_s=options.step_s,
        target="level",
        floor=None,
        network=found.network,
    )


def _weights(model: Any, found: Found) -> Weights:
    """Return the Keras model's weights in the runtime's form; a layer without bias gets a bias of zeros."""
    cells: list[CellWeights] = []
    for name, layer in zip(found.recurrent, found.network.recurrent, strict=True):
        keras_layer = model.get_layer(name)
        both = layer.direction == "both"
        parts = (keras_layer.forward_layer, keras_layer.backward_layer) if both else (keras_layer,)
        cells += [_cell(layer, part.get_weights()) for part in parts]
    dense = [_dense(model.get_layer(name).get_weights()) for name in found.dense]
    width = found.network.recurrent[-1].width
    head = dense[-1] if dense else (np.eye(width, dtype=np.float32), np.zeros(width, np.float32))
    return Weights(layers=tuple(cells), head_kernel=head[0], head_bias=head[1], dense=tuple(dense[:-1]))


def _cell(layer: Recurrent, arrays: list[NDArray[np.float32]]) -> CellWeights:
    columns = GATES[layer.kind] * layer.units
    shape = (2, columns) if layer.kind == "gru" and layer.reset_after else (columns,)
    bias = arrays[2] if len(arrays) > 2 else np.zeros(shape)
    return CellWeights(
        kernel=np.asarray(arrays[0], np.float32),
        recurrent=np.asarray(arrays[1], np.float32),
        bias=np.asarray(bias, np.float32).reshape(shape),
    )


def _dense(arrays: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    kernel = np.asarray(arrays[0], np.float32)
    return kernel, np.asarray(arrays[1], np.float32) if len(arrays) > 1 else np.zeros(kernel.shape[1], np.float32)


def _write(folder: Path, model: _Imported, data: HeldOutArrays, options: ImportOptions) -> ModelRecord:
    spec = model.spec
    scaler = options.scaler or _identity(data.windows)
    forecasts = _forecasts(model, scaler, data.windows)  # (n, horizon)
    rows = evenly(len(data.windows), HELDOUT_WINDOWS)
    last = np.repeat(data.windows[:, -1, :1], spec.horizon, axis=1)
    record = ModelRecord(
        format=2,
        name=options.name,
        recipe=IMPORTED,
        spec=spec,
        scaler=scaler,
        heldout=HeldOut(
            windows=len(data.windows),
            forecasts={"model": accuracy(forecasts, data.truth), "last_value": accuracy(last, data.truth)},
        ),
        provenance=Provenance(
            versions=installed_versions(),
            platform=platform_name(),
            seed=0,
            training={"imported": model.origin},
            data={"heldout": {"sha256": data.sha256, "windows": len(data.windows)}},
            commands=commands(),
        ),
    )
    heldout = HeldOutWindows(
        windows=Windows(values=data.windows[rows]), truth=data.truth[rows], trained=forecasts[rows]
    )
    directory = ModelDirectory(
        record=record, weights=model.weights, heldout=heldout, calibration=Windows(values=data.calibration)
    )
    return write_model_directory(folder, directory)


def _identity(windows: NDArray[np.float32]) -> Scaler:
    """Return the scaler that changes nothing; its range, the unit of every parity error, is that of the windows."""
    lows, highs = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
    return Scaler(
        features=tuple(FeatureScale(low=float(low), high=float(high)) for low, high in zip(lows, highs, strict=True))
    )


def _forecasts(model: _Imported, scaler: Scaler, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Keras model's own raw forecasts (n, horizon); raises ConversionError for any other output."""

    def network(inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        try:
            outputs = np.asarray(model.keras_model(inputs, training=False))
        except Exception as error:  # Keras may raise any exception
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ConversionError(f"Keras cannot run the model: {ascii(reason)[1:-1]}") from error
        if outputs.shape != (expected := (len(inputs), model.spec.horizon)):
            raise ConversionError(f"the Keras model gives {outputs.shape}; expected {expected}")
        return outputs

    batches = (windows[first : first + BATCH] for first in range(0, len(windows), BATCH))
    found = [reference.through(model.spec, scaler, network, batch) for batch in batches]
    forecasts = np.concatenate(found).astype(np.float32)
    if not np.isfinite(forecasts).all():
        raise DataError("the Keras model gives no finite forecast for some held-out windows; are they in its units?")
    return forecasts
