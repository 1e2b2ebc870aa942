"""A model of three series of very different sizes, made with numpy alone: `plain`'s network and a table of series."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helpers import plain, series_models
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing import reference
from pulsecast.computing.intervals import fit_split
from pulsecast.foundation import strict_json
from pulsecast.model.accuracy import accuracy
from pulsecast.model.scaler import Scaler
from pulsecast.model.series import SeriesNames, SeriesTable
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord, series_entry

SIZES = {"large": 70.0, "middle": 1.0, "small": 0.02}  # of `plain.series`
LOG = {"step": "1h", "timezone": "UTC", "series": "topic"}


def values_of(name: str) -> NDArray[np.float64]:
    """Return the steps (STEPS,) of a series of SIZES, in counts."""
    noise = np.random.default_rng(len(name)).normal(0, 0.05, plain.STEPS)
    return np.round(SIZES[name] * plain.series() * np.exp(noise))


def write_log(
    path: Path, *, rename: dict[str, str] | None = None, names: tuple[str, ...] = tuple(SIZES), first: int = 0
) -> Path:
    """Write one log of the series `names` from step `first` on, with a column `topic`; some under other names."""
    rows = [
        f"{plain.START_S + plain.STEP_S * hour},{(rename or {}).get(name, name)},{value:.0f}"
        for name in names
        for hour, value in enumerate(values_of(name))
        if hour >= first
    ]
    path.write_text("\n".join(["timestamp,topic,value", *rows]) + "\n")
    return path


def directory() -> ModelDirectory:
    """Return the model as training would have left it, with 32 held-out windows of each row, the rows in turns."""
    model = plain.make_model(plain.CHANGE_SPEC)
    spec, names = model.spec, SeriesNames(names=tuple(SIZES))
    logs = np.log1p([values_of(name)[: plain.TRAINING_STEPS] for name in SIZES])  # (series, steps)
    spread = float(np.float32(np.sqrt(logs.var(axis=1).mean())))
    raw = [values_of(name)[: plain.TRAINING_STEPS] for name in SIZES]
    first = dataclasses.replace(
        model.scaler.features[0],
        offset=float(np.float32(logs.mean())),
        scale=spread,
        low=float(np.min(raw)),
        high=float(np.max(raw)),
    )
    pool = Scaler(features=(first, *model.scaler.features[1:]))
    unit = [float(np.ptp(one)) for one in raw]
    table = SeriesTable(
        names=names,
        pool=pool,
        offset=np.array([0.0, *logs.mean(axis=1)], np.float32)[:, np.newaxis],
        scale=np.array([spread, *logs.std(axis=1)], np.float32)[:, np.newaxis],
        unit=np.array([np.median(unit), *unit]),
        radii=None,
    )
    starts = np.arange(plain.TRAINING_STEPS, plain.STEPS - spec.context - spec.horizon, 4)[:32]
    heldout = [_windows(spec, row or 1 + i % 3, start, row) for i, start in enumerate(starts) for row in range(4)]
    windows, truth = _stacked(heldout)
    forecasts = reference.forecast(spec, table, model.weights, windows)
    split = fit_split(forecasts, truth, "log1p", counts=True)
    assert split is not None
    own = [
        [split.at(level) for level in split.levels] if row == 0 else (0.5 + 0.1 * row) * np.array(split.radii)
        for row in range(4)
    ]
    training = [_windows(spec, row, start, row) for start in range(0, 500, 50) for row in (1, 2, 3)]
    record = ModelRecord(
        format=2,
        name="many",
        recipe="recommended",
        spec=spec,
        scaler=pool,
        heldout=HeldOut(windows=len(truth), forecasts={"model": accuracy(forecasts, truth)}),
        provenance=Provenance(
            versions={"python": "3"}, platform="test", seed=0, training={"log": strict_json.to_json(_log())}, data={}
        ),
        intervals=split,
        series=series_entry(table),
    )
    return ModelDirectory(
        record=record,
        weights=model.weights,
        heldout=HeldOutWindows(
            windows=windows,
            truth=truth,
            trained=forecasts.astype(np.float32),
            unit=np.array([unit[row - 1] for *_, row in heldout]),
        ),
        calibration=_stacked(training)[0],
        table=dataclasses.replace(table, radii=np.array(own)),
    )


def write_bundle(folder: Path) -> None:
    """Write a bundle of the model with only the numpy artifact."""
    series_models.write_bundle(folder, directory())


def _log() -> dict[str, object]:
    from pulsecast_train import LogConfig

    return LogConfig(**LOG)


Cut = tuple[NDArray[np.float64], int, NDArray[np.float64], int, int]  # values, time, truth, row, series


def _windows(spec: ModelSpec, series: int, start: int, row: int) -> Cut:
    column, end = values_of(list(SIZES)[series - 1]), start + spec.context
    time = plain.START_S + plain.STEP_S * (end - 1)
    return column[start:end], time, column[end : end + spec.horizon], row, series


def _stacked(cuts: list[Cut]) -> tuple[Windows, NDArray[np.float64]]:
    values, time, truth, rows, _ = zip(*cuts, strict=True)
    windows = Windows(
        values=np.array(values, np.float32)[:, :, np.newaxis],
        time=np.array(time, np.int64),
        series=np.array(rows, np.int64),
    )
    return windows, np.array(truth)
