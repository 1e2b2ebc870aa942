"""`python -m pulsecast_bench.claims.series MODEL`: what many series cost a bundle over one.

MODEL is a model directory of one series, such as `demo/model`. It is exported as it is, and with a table of many
series whose sizes differ, to the same targets: the ratio of the times, the bytes that each series adds to a float32
artifact, and the ratio of the times of a forecast of one window, taken in turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import pulsecast
from pulsecast.bundle.bundle import size_bytes
from pulsecast.computing import reference
from pulsecast.errors import PulsecastError, UsageError
from pulsecast.model.series import POOL_ROW, SeriesNames, SeriesTable
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import (
    HELDOUT_WINDOWS,
    HeldOutWindows,
    ModelDirectory,
    read_model_directory,
    series_entry,
    write_model_directory,
)
from pulsecast_export.exporter import export_model

from ..analysis.statistics import Estimate, median_of_runs

FLOAT32 = ("savedmodel", "onnx", "tflite")
TIMED = ("onnx", "tflite")
MOST_TIMES, MOST_BYTES = 2.0, 400
POOLED = 256  # windows of the pool
LARGEST_SIZE = 30.0  # times as large, or as small, as the model's own series


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What many series cost over one: seconds of both exports, bytes a series, the ratio of a forecast's times."""

    series: int
    one_s: float
    many_s: float
    bytes_each: dict[str, float]
    forecast: dict[str, Estimate]


def with_series(model: ModelDirectory, count: int, *, seed: int = 7) -> ModelDirectory:
    """Return `model` with a table of `count` series: its own, times a size for each, drawn from `seed`.

    `trained` is the reference's forecast, and the truth that with noise: nothing was trained on these windows. Raises
    UsageError
    for a model that has a table, or whose values are not logarithms.
    """
    record, spec = model.record, model.record.spec
    scales = record.scaler.features[: spec.measured]
    if model.table is not None or any(scale.transform != "log1p" for scale in scales):
        raise UsageError("expected a model of one series of the recipe `recommended`: its values are logarithms")
    rng = np.random.default_rng(seed)
    size = np.exp(rng.uniform(-1, 1, count + 1) * np.log(LARGEST_SIZE))  # (rows,)
    size[POOL_ROW] = 1.0
    offset = np.array([[scale.offset for scale in scales]]) + np.log(size)[:, np.newaxis]
    offset[POOL_ROW] = 0.0
    radii = None if record.intervals is None else np.tile(np.array(record.intervals.radii), (count + 1, 1, 1))
    table = SeriesTable(
        names=SeriesNames(names=tuple(f"series {i}" for i in range(count))),
        pool=record.scaler,
        offset=offset.astype(np.float32),
        scale=np.tile(np.array([[scale.scale for scale in scales]], np.float32), (count + 1, 1)),
        unit=record.scaler.range * size,
        radii=radii,
    )
    series = np.concatenate([np.zeros(POOLED, np.int64), 1 + np.arange(max(count, HELDOUT_WINDOWS - POOLED)) % count])
    of = np.where(series == POOL_ROW, 1 + np.arange(len(series)) % count, series)  # whose windows they are
    given = model.heldout.windows.take(np.arange(len(series)) % len(model.heldout.windows))
    values = np.expm1(np.log1p(given.values.astype(np.float64)) + np.log(size[of])[:, np.newaxis, np.newaxis])
    windows = Windows(values=np.maximum(values, 0.0).astype(np.float32), time=given.time, series=series)
    forecasts = reference.forecast(spec, table, model.weights, windows)
    truth = forecasts * np.exp(rng.normal(0.0, 0.1, forecasts.shape))
    return dataclasses.replace(
        model,
        record=dataclasses.replace(record, series=series_entry(table)),
        heldout=HeldOutWindows(
            windows=windows,
            truth=truth.astype(np.float64),
            trained=forecasts.astype(np.float32),
            unit=table.unit[of],
        ),
        calibration=windows.take(slice(len(model.calibration))),
        table=table,
    )


def measure_series(model: Path, count: int, rounds: int) -> Cost:
    """Export MODEL twice, in turn, and time forecasts of both in `rounds`."""
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as folder:
        work = Path(folder)
        (work / "many").mkdir()
        write_model_directory(work / "many", with_series(read_model_directory(model), count))
        one_s = _export_s(model, work / "one.bundle")
        many_s = _export_s(work / "many", work / "many.bundle")
        one, many = (pulsecast.Bundle.open(work / name) for name in ("one.bundle", "many.bundle"))
        paths = {artifact.id: artifact.path for artifact in one.manifest.artifacts}
        return Cost(
            series=count,
            one_s=one_s,
            many_s=many_s,
            bytes_each={
                name: (size_bytes(many.manifest, paths[name]) - size_bytes(one.manifest, paths[name])) / count
                for name in FLOAT32
            },
            forecast={name: _forecast_ratio(one.path, many.path, name, rounds) for name in TIMED},
        )


def _export_s(model: Path, out: Path) -> float:
    began = time.perf_counter()
    export_model(model, out, targets=FLOAT32)
    return time.perf_counter() - began


def _forecast_ratio(one: Path, many: Path, artifact: str, rounds: int) -> Estimate:
    """Return the time of a window's forecast from the bundle of many over that from the bundle of one."""
    loaded = [pulsecast.load(path, artifact=artifact) for path in (one, many)]
    windows = [pulsecast.Bundle.open(path).golden().windows.take(slice(64)) for path in (one, many)]
    ratios = []
    for _ in range(rounds):
        first, second = (_median_ns(model, given) for model, given in zip(loaded, windows, strict=True))
        ratios.append(second / first)
    return median_of_runs(ratios, seed=7)


def _median_ns(model: pulsecast.Forecaster, windows: Windows) -> float:
    singles = [windows.take([i]) for i in range(len(windows))]
    spent = []
    for _ in range(4):
        for single in singles:
            began = time.perf_counter_ns()
            model.backend.predict(*single.inputs)
            spent.append(time.perf_counter_ns() - began)
    return float(np.median(spent))


def main(arguments: list[str]) -> int:
    """Print the costs; exit 1 if one is above its limit."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.series", description=__doc__)
    parser.add_argument("model", type=Path, help="a model directory of one series")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    try:
        cost = measure_series(options.model, options.series, options.rounds)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    times = cost.many_s / cost.one_s
    print(f"export: {cost.many_s:.1f} s for {cost.series:,} series, {cost.one_s:.1f} s for one: {times:.2f}x")
    for name, count in cost.bytes_each.items():
        print(f"{name}: {count:.0f} bytes a series")
    for name, ratio in cost.forecast.items():
        print(f"{name}: a forecast takes {ratio.value or 0:.2f}x")
    print(f"targets: at most {MOST_TIMES:g}x, and {MOST_BYTES} bytes a series")
    return int(times > MOST_TIMES or max(cost.bytes_each.values()) > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
