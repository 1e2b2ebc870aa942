"""Small forecasters made with numpy alone, for the many tests that need a bundle but no engine.

The recurrent weights are fixed and slow to forget. The linear path, if there is one, is fitted by ridge regression, and
then the head to what is left: the forecast beats the last value (a test checks this), and the network's state matters,
so a leak of it shows. They are large enough to be realistic, small enough to be made in a tenth of a second.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import entry_for
from pulsecast.bundle.contract import Contract, inputs_of, model_digest, outputs_of
from pulsecast.bundle.golden import Golden, write_golden
from pulsecast.bundle.manifest import (
    MANIFEST_NAME,
    Artifact,
    GoldenEntry,
    HeldOut,
    Manifest,
    Parity,
    Provenance,
    Tolerance,
    WeightsEntry,
)
from pulsecast.computing import reference
from pulsecast.computing.calendars import with_calendar
from pulsecast.computing.intervals import fit_split
from pulsecast.computing.linear_path import linear_inputs
from pulsecast.computing.network_forward import run
from pulsecast.foundation import strict_json
from pulsecast.model.accuracy import accuracy
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import Network, Recurrent, plain_stack
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, ModelSpec
from pulsecast.model.weights import CellWeights, Weights, write_weights
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord
from pulsecast.stages.model_directory import write_model_directory as write_directory

START_S, STEP_S, STEPS, TRAINING_STEPS = 1_736_121_600, 3600, 900, 700
RIDGE, LINEAR_RIDGE = 1e-3, 1.0
LINEAR_SHARE = 0.5  # of what the linear path explains; the rest is left to the network, so that its faults show

LEVEL_SPEC = ModelSpec(
    window=50,
    features=(Feature(name="value"),),
    channels=(Channel(feature=0),),
    units=(12, 10),
    horizon=1,
    step_s=STEP_S,
    target="level",
)
CHANGE_SPEC = ModelSpec(
    window=50,
    features=(
        Feature(name="value"),
        Feature(name="day_sin", calendar=Calendar(function="sin", period_s=DAY_S)),
        Feature(name="day_cos", calendar=Calendar(function="cos", period_s=DAY_S)),
        Feature(name="weekend", calendar=Calendar(function="weekend", period_s=WEEK_S)),
    ),
    channels=(*(Channel(feature=i) for i in range(4)), Channel(feature=0, lag=1), Channel(feature=0, lag=23)),
    units=(12, 10),
    horizon=2,
    step_s=STEP_S,
    target="change",
    floor=0.0,
)


# the recommended recipe's form: a linear path beside the stack
LINEAR = Linear(
    lags=50,
    season=24,
    waves=(*(Wave(period_s=DAY_S, multiple=m) for m in range(1, 13)), Wave(period_s=WEEK_S)),
    weekend_waves=4,
)
LINEAR_SPEC = replace(CHANGE_SPEC, network=plain_stack((12, 10), LINEAR))


# no importer writes it and every reader accepts it: a network beyond the plain stack whose outputs are changes
CHANGE_NETWORK_SPEC = replace(
    CHANGE_SPEC,
    units=(8, 6),
    network=Network(recurrent=(Recurrent(kind="gru", units=8), Recurrent(kind="lstm", units=6, direction="both"))),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainModel:
    """A forecaster with held-out windows, their truth, and training windows."""

    spec: ModelSpec
    scaler: Scaler
    weights: Weights
    windows: Windows
    truth: NDArray[np.float64]
    calibration: Windows

    def golden(self) -> Golden:
        """Return the golden of the held-out windows."""
        forecasts = reference.forecast(self.spec, self.scaler, self.weights, self.windows)
        return Golden(
            windows=self.windows,
            truth=self.truth,
            reference=forecasts,
            trained=forecasts.astype(np.float32),
            unit=np.full(len(self.windows), self.scaler.range),
        )


def series() -> NDArray[np.float64]:
    """Return an hourly series (STEPS,) with a daily and a weekly rhythm and correlated noise, in counts."""
    hours = np.arange(STEPS)
    noise = np.zeros(STEPS)
    shocks = np.random.default_rng(11).normal(0, 6, STEPS)
    for t in range(1, STEPS):
        noise[t] = 0.7 * noise[t - 1] + shocks[t]
    rhythm = 300 + 110 * np.sin(2 * np.pi * hours / 24) + 40 * np.sin(2 * np.pi * hours / 12 + 1)
    return np.round(rhythm * np.where(hours // 24 % 7 >= 5, 0.8, 1.0) + noise)


def columns(spec: ModelSpec) -> NDArray[np.float64]:
    """Return the measured columns (STEPS, measured): `series`, and the same some hours later for each further one."""
    first = series()
    return np.stack([np.roll(first, 5 * i) + 40 * i for i in range(spec.measured)], axis=-1)


def make_model(spec: ModelSpec, scaler: Scaler | None = None) -> PlainModel:
    """Return a fitted forecaster of this spec; the same spec and scaler give the same forecaster."""
    column = columns(spec)  # (steps, measured)
    seconds = START_S + spec.step_s * np.arange(STEPS, dtype=np.int64)
    values = with_calendar(spec, column, seconds)  # (steps, features)
    scaler = scaler or _scaler(spec, column[:TRAINING_STEPS, 0])
    starts = np.arange(STEPS - spec.context - spec.horizon + 1)
    windows = np.stack([values[s : s + spec.context] for s in starts]).astype(np.float32)
    ahead = starts[:, np.newaxis] + spec.context + np.arange(spec.horizon)
    truth = column[ahead, 0]  # (n, horizon)
    fitted = ahead[:, -1] < TRAINING_STEPS
    time = seconds[starts + spec.context - 1] if spec.timed else None
    scaled = scaler.transform(windows.astype(np.float64))
    first = scaler.features[0]
    target = ((np.log1p(truth) if first.transform == "log1p" else truth) - first.offset) / first.scale
    if spec.target == "change":
        target = target - scaled[:, -1, :1]
    linear, left = _linear_kernel(spec, scaled, time, target, fitted)
    weights = replace(_network_weights(spec, scaled, left, fitted), linear=linear)
    raw = Windows(values=np.ascontiguousarray(windows[:, :, : spec.measured]), time=time)
    kept = np.flatnonzero(~fitted)[:96]
    return PlainModel(
        spec=spec,
        scaler=scaler,
        weights=weights,
        windows=raw.take(kept),
        truth=truth[kept],
        calibration=raw.take(np.flatnonzero(fitted)[::8]),
    )


def _linear_kernel(
    spec: ModelSpec,
    scaled: NDArray[np.floating],
    time: NDArray[np.int64] | None,
    target: NDArray[np.floating],
    fitted: NDArray[np.bool_],
) -> tuple[NDArray[np.float32] | None, NDArray[np.floating]]:
    """Return the kernel of the linear path, None without one, and what it leaves of `target` (n, horizon)."""
    if spec.network.linear is None:
        return None, target
    inputs = linear_inputs(spec, spec.network.linear, scaled, time)  # (n, inputs, horizon)
    kernel = np.stack([_ridge(inputs[fitted, :, k], target[fitted, k], LINEAR_RIDGE) for k in range(spec.horizon)], 1)
    found = (LINEAR_SHARE * kernel).astype(np.float32)
    return found, target - np.einsum("nih,ih->nh", inputs, found)


def _network_weights(
    spec: ModelSpec, scaled: NDArray[np.floating], target: NDArray[np.floating], fitted: NDArray[np.bool_]
) -> Weights:
    """Return the recurrent layers with a head fitted to `target`; without layers nothing but a head of zeros."""
    bare = _recurrent_weights(np.random.default_rng(5), spec)
    if not spec.network.recurrent:
        nothing = np.zeros((0, spec.horizon), np.float32)
        return replace(bare, head_kernel=nothing, head_bias=np.zeros(spec.horizon, np.float32))
    units = spec.network.recurrent[-1].width
    headless = replace(bare, head_kernel=np.eye(units, dtype=np.float32), head_bias=np.zeros(units, np.float32))
    hidden = run(spec.network, headless, reference.channels(spec, scaled))  # (n, units)
    head = _ridge(np.c_[hidden, np.ones(len(hidden))][fitted], target[fitted], RIDGE)
    return replace(headless, head_kernel=head[:-1].astype(np.float32), head_bias=head[-1].astype(np.float32))


def _ridge(design: NDArray[np.floating], target: NDArray[np.floating], penalty: float) -> NDArray[np.floating]:
    return np.linalg.solve(design.T @ design + penalty * np.eye(design.shape[1]), design.T @ target)


def from_directory(directory: ModelDirectory) -> PlainModel:
    """Return a trained model in this module's form."""
    return PlainModel(
        spec=directory.record.spec,
        scaler=directory.record.scaler,
        weights=directory.weights,
        windows=directory.heldout.windows,
        truth=directory.heldout.truth,
        calibration=directory.calibration,
    )


def rescaled(model: PlainModel, low: float, high: float) -> PlainModel:
    """Return a level model whose raw values run from `low` to `high`; the network sees the same scaled ones."""
    old = model.scaler.features[0]
    factor = (high - low) / old.scale
    new = FeatureScale(offset=low, scale=high - low, low=low, high=high)

    def moved(raw: NDArray[np.floating]) -> NDArray[np.float64]:
        return (raw.astype(np.float64) - old.offset) * factor + low

    return replace(
        model,
        scaler=Scaler(features=(new,)),
        windows=model.windows.changed(moved(model.windows.values).astype(np.float32)),
        truth=moved(model.truth),
        calibration=model.calibration.changed(moved(model.calibration.values).astype(np.float32)),
    )


def _scaler(spec: ModelSpec, training: NDArray[np.float64]) -> Scaler:
    low, high = float(training.min()), float(training.max())
    if spec.target == "level":
        first = FeatureScale(offset=float(np.float32(low)), scale=float(np.float32(high - low)), low=low, high=high)
    else:
        logs = np.log1p(training)
        offset, scale = float(np.float32(logs.mean())), float(np.float32(logs.std()))
        first = FeatureScale(transform="log1p", offset=offset, scale=scale, low=low, high=high)
    return Scaler(features=(first, *(FeatureScale() for _ in spec.features[1:])))


def _recurrent_weights(rng: np.random.Generator, spec: ModelSpec) -> Weights:
    """Return cells with lasting states: the window's start still affects its end. The head is empty."""
    shapes, prefix = spec.network.shapes(len(spec.channels), spec.horizon), spec.network.cell_prefix
    cells = []
    kinds = [layer.kind for layer in spec.network.recurrent for _ in range(layer.cells)]
    for i, kind in enumerate(kinds):
        (inputs, columns), (units, _) = shapes[f"{prefix}_{i}.kernel"], shapes[f"{prefix}_{i}.recurrent"]
        bias = np.zeros(shapes[f"{prefix}_{i}.bias"], np.float32)
        lasting = slice(units, 2 * units) if kind == "lstm" else slice(0, units)  # an LSTM's forget gate, a GRU's z
        bias[..., lasting] = rng.uniform(1, 4, units)
        cells.append(
            CellWeights(
                kernel=(rng.normal(0, 1, (inputs, columns)) / np.sqrt(inputs)).astype(np.float32),
                recurrent=(rng.normal(0, 0.6, (units, columns)) / np.sqrt(units)).astype(np.float32),
                bias=bias,
            )
        )
    return Weights(layers=tuple(cells), head_kernel=np.empty((0, 0)), head_bias=np.empty(0))


NO_PARITY = Parity(max_abs=0.0, rms=0.0, mae_change=0.0, rmse_change=0.0)
PROVENANCE = Provenance(versions={"python": "3"}, platform="test", seed=0, training={}, data={})


def contract(model: PlainModel, **changes: Any) -> Contract:
    """Return what a float32 artifact of `model` says about itself, with `changes` of its fields."""
    spec = model.spec
    usual = Contract(
        format=2,
        name="plain",
        artifact="onnx",
        precision="float32",
        units="raw",
        digest=model_digest(spec, model.scaler, model.weights),
        inputs=inputs_of(spec),
        outputs=outputs_of(spec, bounded=True),
        context=spec.context,
        step_s=spec.step_s,
        level=0.9,
        series=None,
        spec=spec,
    )
    return replace(usual, **changes)


def numpy_artifact() -> Artifact:
    """Return the manifest's row of the reference."""
    return Artifact(
        id="numpy",
        backend="numpy",
        path="weights.npz",
        precision="float32",
        units="raw",
        max_batch=None,
        tolerance=Tolerance(max_abs=2e-6, accuracy_change=0.01),
        parity=NO_PARITY,
    )


def artifact_of(target: str, spec: ModelSpec) -> Artifact:
    """Return the manifest's row of a converted target of a model of `spec`."""
    from pulsecast_export.targets import TARGETS, tolerance

    row = TARGETS[target]
    return Artifact(
        id=target,
        backend=row.backend,
        path=row.path,
        precision=row.precision,
        units=row.units,
        max_batch=row.max_batch,
        tolerance=tolerance(row, spec),
        parity=NO_PARITY,
    )


def write_bundle(folder: Path, model: PlainModel, *extra: Artifact) -> Manifest:
    """Write a bundle of weights, golden and manifest into `folder`, and a file of its id for every `extra` artifact."""
    folder.mkdir(parents=True)
    (folder / "weights.npz").write_bytes(write_weights(model.weights, model.spec.network))
    (folder / "golden.npz").write_bytes(write_golden(model.golden()))
    for artifact in extra:
        path = folder / artifact.path / ("saved_model.pb" if artifact.backend == "savedmodel" else "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifact.id.encode())
    return write_manifest(folder, model, (numpy_artifact(), *extra))


def write_manifest(folder: Path, model: PlainModel, artifacts: tuple[Artifact, ...]) -> Manifest:
    """Write the manifest of the files now in `folder`."""
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    intervals = fit_split(model.golden().reference, model.truth, "log1p", counts=True)
    manifest = Manifest(
        format=2,
        name="plain",
        recipe="plain",
        spec=model.spec,
        scaler=model.scaler,
        weights=WeightsEntry(path="weights.npz"),
        golden=GoldenEntry(path="golden.npz", windows=len(model.windows)),
        artifacts=artifacts,
        files=tuple(entry_for(folder, path) for path in paths if path != MANIFEST_NAME),
        heldout=HeldOut(windows=len(model.windows), forecasts={}),
        provenance=PROVENANCE,
        intervals=intervals,
        level=intervals.default_level if intervals else None,
        digest=model_digest(model.spec, model.scaler, model.weights),
    )
    (folder / MANIFEST_NAME).write_text(strict_json.dumps(manifest), encoding="utf-8")
    return manifest


def write_model_directory(folder: Path, model: PlainModel) -> ModelRecord:
    """Write the model directory of `model`, without the Keras file."""
    folder.mkdir(parents=True)
    golden = model.golden()
    record = ModelRecord(
        format=2,
        name="plain",
        recipe="plain",
        spec=model.spec,
        scaler=model.scaler,
        heldout=HeldOut(windows=len(golden.windows), forecasts={"model": accuracy(golden.reference, golden.truth)}),
        provenance=PROVENANCE,
        intervals=fit_split(golden.reference, golden.truth, "log1p", counts=True),
    )
    heldout = HeldOutWindows(windows=golden.windows, truth=golden.truth, trained=golden.trained)
    directory = ModelDirectory(record=record, weights=model.weights, heldout=heldout, calibration=model.calibration)
    return write_directory(folder, directory, {"history.json": b"{}\n"})


def rehash(folder: Path, record: ModelRecord) -> None:
    """Update the record of a model directory to its changed files."""
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in record.files}
    (folder / "model.json").write_text(strict_json.dumps(replace(record, files=files)), encoding="utf-8")
