"""A fitted network as a model directory (its layout: `pulsecast.stages.model_directory`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing.intervals import fit_split
from pulsecast.foundation import strict_json
from pulsecast.model.radii import SplitConformal
from pulsecast.model.series import POOL_ROW, SeriesTable, scaling_of
from pulsecast.model.windows import Windows
from pulsecast.stages.environment import commands, installed_versions, platform_name
from pulsecast.stages.model_directory import (
    ACCURACY_NAME,
    CALIBRATION_WINDOWS,
    HELDOUT_WINDOWS,
    HISTORY_NAME,
    KERAS_NAME,
    HeldOutWindows,
    LinearRecord,
    ModelDirectory,
    ModelRecord,
    RidgeArrays,
    series_entry,
    write_model_directory,
)

from ..naive import compare_with_naive, naive_forecasts
from ..series import are_counts, interval_scale
from ..windows import raw_windows, truth
from .checkpoint import Epoch
from .combined import LINEAR_SHARE, Model, fit_path, share_head
from .peers import peer_forecasts
from .pooling import by_row, chosen_windows, spread_over
from .preparing import Prepared

MODEL, UNSEEN = "model", "unseen"  # forecasts of a series by its own row, and by the pool's
LINEAR = "linear_path"  # forecasts by the linear path alone

Forecasts = NDArray[np.float32]  # (n, horizon), raw


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _HeldOut:
    """All held-out windows, n of them, with what followed and what is forecast.

    rows    (n,) of their series in the table; None without one
    unseen  (n, horizon): forecasts by the pool's row; None without a table
    others  (n, horizon) each, by name: forecasts by other models; `naive` those without one
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int64] | None
    truth: NDArray[np.float64]
    forecasts: Forecasts
    unseen: Forecasts | None
    others: Mapping[str, NDArray[np.floating]]
    naive: Mapping[str, NDArray[np.float64]]

    def accuracy(self) -> HeldOut:
        """Return the errors over all windows, each forecast as its series is."""
        compared = compare_with_naive({MODEL: self.forecasts, **self.others}, self.truth, self.naive)
        return HeldOut(windows=len(self.truth), forecasts=compared)

    def accuracies(self, table: SeriesTable | None) -> dict[str, HeldOut]:
        """Return the errors of each series by its name; none without a table."""
        if table is None or self.rows is None or self.unseen is None:
            return {}
        found = {}
        for name, at in zip(table.names.names, by_row(self.rows), strict=True):
            made = {MODEL: self.forecasts[at], UNSEEN: self.unseen[at]}
            naive = {key: values[at] for key, values in self.naive.items()}
            found[name] = HeldOut(windows=len(at), forecasts=compare_with_naive(made, self.truth[at], naive))
        return found


def write_model(
    folder: Path, name: str, prepared: Prepared, network: Any, history: tuple[Epoch, ...]
) -> tuple[ModelRecord, dict[str, HeldOut]]:
    """Write every file of a model directory into `folder`; return its record, and a pool's errors by series.

    The Keras `network` is left with its share of the forecast.
    """
    fitted, prepared = _combined(prepared, network)
    heldout, alone, linear = _judged(fitted, prepared)
    intervals, table = _intervals(prepared, heldout)
    record = ModelRecord(
        format=2,
        name=name,
        recipe=prepared.config.recipe,
        spec=prepared.spec,
        scaler=prepared.scaler,
        heldout=heldout.accuracy(),
        provenance=_provenance(prepared, history),
        intervals=intervals,
        series=series_entry(table),
        linear=linear,
    )
    model = ModelDirectory(
        record=record,
        weights=fitted.weights,
        heldout=_kept(prepared, heldout),
        calibration=_windows(prepared, calibration_starts(prepared)),
        table=table,
        ridge=alone,
    )
    network.save(folder / KERAS_NAME)
    by_series = heldout.accuracies(table)
    more = {
        HISTORY_NAME: strict_json.dumps({"epochs": history}).encode(),
        KERAS_NAME: (folder / KERAS_NAME).read_bytes(),
        **({ACCURACY_NAME: strict_json.dumps(by_series).encode()} if by_series else {}),
    }
    return write_model_directory(folder, model, more), by_series


def _combined(prepared: Prepared, network: Any) -> tuple[Model, Prepared]:
    """Return the network with the linear path beside it, and `prepared` with the table in which its series are."""
    from .network import extract_weights

    kernel, table = fit_path(prepared)
    if kernel is not None:
        share_head(network)
    model = Model(
        spec=prepared.spec,
        scaling=scaling_of(prepared.scaler, table),
        weights=dataclasses.replace(extract_weights(network, prepared.spec), linear=kernel),
        network=lambda channels: np.asarray(network(channels, training=False)),
    )
    return model, dataclasses.replace(prepared, table=table)


def _judged(fitted: Model, prepared: Prepared) -> tuple[_HeldOut, RidgeArrays | None, LinearRecord | None]:
    """Return the held-out windows, and what is known of the linear path as a model of its own, if there is one."""
    peers = peer_forecasts(prepared)
    if fitted.weights.linear is None:
        return _held_out(fitted, prepared, peers), None, None
    alone = _held_out(fitted.alone(), prepared, peers)
    intervals, table = _intervals(prepared, alone)
    ridge = RidgeArrays(trained=_kept(prepared, alone).trained, radii=None if table is None else table.radii)
    linear = LinearRecord(share=LINEAR_SHARE, heldout=alone.accuracy(), intervals=intervals)
    return _held_out(fitted, prepared, {LINEAR: alone.forecasts, **peers}), ridge, linear


def _windows(prepared: Prepared, starts: NDArray[np.int64]) -> Windows:
    """Return the raw windows at `starts` (n,), each of its own series."""
    return raw_windows(prepared.steps, prepared.spec, starts, prepared.rows(starts))


def _held_out(model: Model, prepared: Prepared, others: Mapping[str, NDArray[np.floating]]) -> _HeldOut:
    spec, steps, starts = prepared.spec, prepared.steps, prepared.split.heldout
    rows = prepared.rows(starts)
    return _HeldOut(
        starts=starts,
        rows=rows,
        truth=truth(steps, spec, starts),
        forecasts=model.forecasts(steps, starts, rows),
        unseen=None if rows is None else model.forecasts(steps, starts, np.full_like(rows, POOL_ROW)),
        others=others,
        naive=naive_forecasts(steps, spec, starts),
    )


def _intervals(prepared: Prepared, heldout: _HeldOut) -> tuple[SplitConformal | None, SeriesTable | None]:
    """Return the radii of the record, those of the pool where there is one, and the table with the radii of its rows.

    All rows have the same levels: those that each of them has enough held-out windows for.
    """
    scale = interval_scale(prepared.series)
    counts = prepared.log.kind == "count" and are_counts(prepared.series)
    table, rows, unseen = prepared.table, heldout.rows, heldout.unseen
    if table is None or rows is None or unseen is None:
        return fit_split(heldout.forecasts, heldout.truth, scale, counts=counts), None
    pool = fit_split(unseen, heldout.truth, scale, counts=counts)
    own = [fit_split(heldout.forecasts[at], heldout.truth[at], scale, counts=counts) for at in by_row(rows)]
    fitted = [one for one in (pool, *own) if one is not None]
    levels = tuple(sorted(set.intersection(*(set(one.levels) for one in fitted)))) if fitted else ()
    if pool is None or len(fitted) <= len(own) or not levels:
        return None, table
    radii = np.array([[one.at(level) for level in levels] for one in fitted], np.float64)  # (rows, levels, horizon)
    kept = dataclasses.replace(pool, levels=levels, radii=tuple(pool.at(level) for level in levels))
    return kept, dataclasses.replace(table, radii=radii)


def _kept(prepared: Prepared, heldout: _HeldOut) -> HeldOutWindows:
    """Return about HELDOUT_WINDOWS of the held-out windows; of a pool some of every row of the table."""
    table, rows, unseen, starts = prepared.table, heldout.rows, heldout.unseen, heldout.starts
    if table is None or rows is None or unseen is None:
        at = evenly(len(starts), HELDOUT_WINDOWS)
        windows = raw_windows(prepared.steps, prepared.spec, starts[at])
        return HeldOutWindows(windows=windows, truth=heldout.truth[at], trained=heldout.forecasts[at])
    chosen = chosen_windows(rows, HELDOUT_WINDOWS)
    at = chosen.positions
    pooled = (chosen.rows == POOL_ROW)[:, np.newaxis]
    return HeldOutWindows(
        windows=raw_windows(prepared.steps, prepared.spec, starts[at], chosen.rows),
        truth=heldout.truth[at],
        trained=np.where(pooled, unseen[at], heldout.forecasts[at]),
        unit=table.unit[rows[at]],
    )


def calibration_starts(prepared: Prepared) -> NDArray[np.int64]:
    """Return training windows for quantisation: evenly spaced in time, and those around the training extremes.

    Coverage matters more than number: a set from the first part of a series alone gave six times the error. Of a pool
    they are evenly of its series, and the extremes are those of scaled values.
    """
    training, scaled = prepared.split.training, prepared.steps.scaled[:, 0]
    last = scaled[training + prepared.spec.context - 1]  # (n,)
    rows, at_most = prepared.rows(training), CALIBRATION_WINDOWS - 2
    spread = np.arange(len(training)) if rows is None else spread_over(rows, at_most)
    even = training[spread[evenly(len(spread), at_most)]]
    return np.unique(np.concatenate([even, training[[int(np.argmin(last)), int(np.argmax(last))]]]))


def _provenance(prepared: Prepared, history: tuple[Epoch, ...]) -> Provenance:
    from .device import describe_device

    training = {
        "config": strict_json.to_json(prepared.config),
        "log": strict_json.to_json(prepared.log),
        "epochs_run": len(history),
        "device": describe_device(prepared.config.devices),
        "windows": {
            "training": len(prepared.split.training),
            "validation": len(prepared.split.validation),
            "heldout": len(prepared.split.heldout),
        },
    }
    report, lacking = prepared.report.brief()
    return Provenance(
        versions=installed_versions(),
        platform=platform_name(),
        seed=prepared.config.seed,
        training=training,
        data={**strict_json.to_json(report), **({"left_out": lacking} if lacking else {})},
        commands=commands(),
    )
