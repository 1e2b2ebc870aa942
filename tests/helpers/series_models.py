"""Small models of several series: a table of random scales, radii and linear paths around a fitted network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helpers import plain
from pulsecast.bundle.bundle import entry_for
from pulsecast.bundle.contract import model_digest
from pulsecast.bundle.golden import write_golden
from pulsecast.bundle.manifest import MANIFEST_NAME, Artifact, GoldenEntry, Manifest, WeightsEntry
from pulsecast.computing import reference
from pulsecast.foundation import strict_json
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.series import POOL_ROW, SeriesNames, SeriesTable
from pulsecast.model.weights import write_weights
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, series_entry, series_files
from pulsecast_export.golden_windows import reference_of

LEAST_WINDOWS = 64  # of a golden


def with_table(model: ModelDirectory, names: Sequence[str] = ("a", "b", "c"), *, seed: int = 7) -> ModelDirectory:
    """Return `model` with a table of `names` and a random head: measured columns are log1p of counts of their own size.

    Where there is a linear path, every row has a kernel of its own. Without layers the head stays as it is.
    Held-out windows are of row 0 and of every name in turn, drawn anew; `trained` is the float64 reference as float32.
    The same model, names and seed give the same model.
    """
    rng, spec, intervals = np.random.default_rng(seed), model.record.spec, model.record.intervals
    rows, measured = len(names) + 1, spec.measured
    offset = rng.uniform(2.0, 6.0, (rows, measured)).astype(np.float32)
    offset[POOL_ROW] = 0.0
    scale = rng.uniform(0.3, 0.9, (rows, measured)).astype(np.float32)
    unit = np.exp(offset[:, 0].astype(np.float64) + 2.0 * scale[:, 0])
    unit[POOL_ROW] = unit[1:].max()
    pool = FeatureScale(transform="log1p", offset=4.0, scale=float(scale[POOL_ROW, 0]), high=float(unit[POOL_ROW]))
    scaler = Scaler(features=(*([pool] * measured), *model.record.scaler.features[measured:]))
    table = SeriesTable(
        names=SeriesNames(names=tuple(names)),
        pool=scaler,
        offset=offset,
        scale=scale,
        unit=unit,
        radii=None if intervals is None else _radii(rng, np.array(intervals.radii), rows),
        linear=None if model.weights.linear is None else _kernels(model.weights.linear, rows),
    )
    weights = model.weights
    if weights.layers:
        weights = replace(
            weights,
            head_kernel=(0.2 * rng.standard_normal(weights.head_kernel.shape)).astype(np.float32),
            head_bias=(0.2 * rng.standard_normal(weights.head_bias.shape)).astype(np.float32),
        )
    windows, truth = _windows(model, table, rng)
    assert windows.series is not None
    return replace(
        model,
        record=replace(model.record, scaler=scaler, series=series_entry(table)),
        weights=weights,
        heldout=HeldOutWindows(
            windows=windows,
            truth=truth,
            trained=reference.forecast(spec, table, weights, windows).astype(np.float32),
            unit=table.unit[windows.series],
        ),
        calibration=windows,
        table=table,
    )


def _radii(rng: np.random.Generator, pool: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return radii (rows, levels, horizon); those of row 0 are `pool`, (levels, horizon)."""
    factors = np.r_[1.0, rng.uniform(0.5, 2.0, rows - 1)]
    return factors[:, np.newaxis, np.newaxis] * pool


def _kernels(pool: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return kernels (rows, inputs, horizon); that of row 0 is `pool`."""
    factors = np.random.default_rng(9).normal(1.0, 0.3, (rows - 1, *pool.shape))
    return np.concatenate([pool[np.newaxis], pool * factors.astype(np.float32)])


def _windows(
    model: ModelDirectory, table: SeriesTable, rng: np.random.Generator
) -> tuple[Windows, NDArray[np.float64]]:
    """Return windows of every row in turn, counts that walk around the series' level, and what followed each."""
    spec, given = model.record.spec, model.heldout.windows.time
    series = np.arange(max(LEAST_WINDOWS, len(table)), dtype=np.int64) % len(table)
    level, spread = table.offset[series], table.scale[series]  # (n, measured)
    level = np.where(series[:, np.newaxis] == POOL_ROW, rng.uniform(2.0, 5.0, level.shape), level)
    steps = spec.context + spec.horizon
    noise = rng.normal(0.0, 1.0, (len(series), steps, spec.measured))
    for step in range(1, steps):
        noise[:, step] = 0.8 * noise[:, step - 1] + 0.6 * noise[:, step]
    values = np.maximum(np.round(np.expm1(level[:, np.newaxis] + spread[:, np.newaxis] * noise)), 0.0)
    time = None if given is None else np.resize(given, len(series))
    windows = Windows(values=values[:, : spec.context].astype(np.float32), time=time, series=series)
    return windows, np.ascontiguousarray(values[:, spec.context :, 0])


def write_bundle(folder: Path, model: ModelDirectory, *extra: Artifact) -> Manifest:
    """Write the bundle of a model with a table into `folder`, where the files of the `extra` artifacts are."""
    folder.mkdir(parents=True, exist_ok=True)
    record, table = model.record, model.table
    assert table is not None
    golden = reference_of(model)
    files = {
        "weights.npz": write_weights(model.weights, record.spec.network),
        "golden.npz": write_golden(golden),
        **series_files(table),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    intervals = record.intervals
    manifest = Manifest(
        format=2,
        name=record.name,
        recipe=record.recipe,
        spec=record.spec,
        scaler=record.scaler,
        weights=WeightsEntry(path="weights.npz"),
        golden=GoldenEntry(path="golden.npz", windows=len(golden.windows)),
        artifacts=(plain.numpy_artifact(), *extra),
        files=tuple(
            entry_for(folder, path.relative_to(folder).as_posix())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ),
        heldout=record.heldout,
        provenance=record.provenance,
        intervals=intervals,
        level=None if intervals is None else intervals.default_level,
        digest=model_digest(record.spec, record.scaler, model.weights, table),
        series=series_entry(table),
    )
    (folder / MANIFEST_NAME).write_text(strict_json.dumps(manifest), encoding="utf-8")
    return manifest
