"""Folders of small logs for batches, what one-by-one predict says of each, and a batch without processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from helpers import plain
from pulsecast.errors import RangeWarning
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast_train import BatchForecasts, predict_logs
from pulsecast_train.workers import Where

STEPS = 120  # more than the context of every small model


def run_here(
    run: Callable[[Any], Any], tasks: Sequence[Any], where: Where, on_result: Callable[[int, Any], None],
    on_lost: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Do what `run_tasks` does, the last one first, in this process: a spawned one takes seconds to import."""
    del where, on_lost
    for i in reversed(range(len(tasks))):
        on_result(i, run(tasks[i]))


def counts(number: int, steps: int = STEPS) -> NDArray[np.float64]:
    """Return the steps (steps,) of the series of a number, in counts."""
    noise = np.random.default_rng(number).normal(0, 0.05, steps)
    return np.round(plain.series()[:steps] * np.exp(noise))


def write_csv(path: Path, values: NDArray[np.float64]) -> Path:
    rows = [f"{plain.START_S + plain.STEP_S * hour},{value:.0f}" for hour, value in enumerate(values)]
    path.write_text("\n".join(["timestamp,value", *rows]) + "\n")
    return path


def write_parquet(path: Path, values: NDArray[np.float64]) -> Path:
    stamps = plain.START_S + plain.STEP_S * np.arange(len(values))
    times = pl.from_epoch(pl.Series(stamps)).dt.replace_time_zone("UTC")
    pl.DataFrame({"timestamp": times, "value": values}).write_parquet(path)
    return path


def write_folder(folder: Path, count: int) -> Path:
    """Write `count` logs of one series each, CSV and Parquet in turns, into a new folder."""
    folder.mkdir()
    for number in range(count):
        write = (write_csv, write_parquet)[number % 2]
        write(folder / f"s{number:03d}.{('csv', 'parquet')[number % 2]}", counts(number))
    return folder


def one_by_one(model: Forecaster, values: NDArray[np.float64], **options: Any) -> dict[str, NDArray[np.float64]]:
    """Return what an app gets for the last window of `values`: name -> (horizon,)."""
    spec = model.manifest.spec
    time = plain.START_S + plain.STEP_S * (len(values) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)
        found = model.predict(values[-spec.context :], timestamps=time, interval=0.9, **options)
    return {name: part[0] for name, part in found._asdict().items()}


def batch(bundle: Path, logs: Any, out: Path, **options: Any) -> tuple[BatchForecasts, pl.DataFrame]:
    """Return the result of a batch and its rows."""
    found = predict_logs(bundle, logs, out=out, **{"jobs": 1, **options})
    return found, pl.read_parquet(out)
