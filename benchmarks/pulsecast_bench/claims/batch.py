"""`python -m pulsecast_bench.claims.batch BUNDLE`: forecasting thousands of files, against a plain loop over them.

The loop reads a file as the bundle's training log was read, and calls `Forecaster.predict` on its last window, one file
after the other, with imports and the bundle's load done. Against it stand `predict_logs` with one process and with two,
from the call to the written table: the start of their processes counts. Each side runs in a process of its own, in
alternation. The loop takes a part of the files, because each Parquet file costs it a child process, so costs are
compared by file.

A bare loop stands beside them, without a target: polars reads a file whose form is known, and nothing is checked. It
leaves out what reading a log is: times, gaps, units, damage.

Processor seconds are those of the process and of its children; on a busy machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import pulsecast
from pulsecast.foundation import strict_json

from ..analysis.statistics import Estimate, median_of_runs

START_S = 1_735_689_600  # 2025-01-01T00:00:00Z, a multiple of every usual step
PAST = 200  # steps of a log before its last window
TOLERANCE = 1e-4  # between a forecast of one window and of a batch
JOBS = {"one": 1, "two": 2}
SHOWN = 20  # forecasts that are compared
TARGETS = {"csv": 1.0, "parquet": 0.25}  # processor time of one process over the loop's, at most


@dataclass(frozen=True, kw_only=True)
class Side:
    """One process: files, seconds by the clock, seconds of processors, and the first forecasts (files, horizon)."""

    files: int
    wall_s: float
    cpu_s: float
    forecasts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class BatchCost:
    """Runs of every side on files of one form, and ratios by file: medians of the rounds.

    one_cpu, one_wall  one process over the loop
    one_bare_cpu       one process over the bare loop
    two_cpu, two_wall  two processes over one
    """

    form: str
    bare: tuple[Side, ...]
    loop: tuple[Side, ...]
    one: tuple[Side, ...]
    two: tuple[Side, ...]
    one_cpu: Estimate
    one_wall: Estimate
    one_bare_cpu: Estimate
    two_cpu: Estimate
    two_wall: Estimate


def write_logs(bundle: Path, folder: Path, *, files: int, form: str, seed: int = 7) -> None:
    """Write `files` logs of one series each that fit the bundle: windows of its golden, repeated with noise."""
    import polars as pl

    opened, rng = pulsecast.Bundle.open(bundle), np.random.default_rng(seed)
    spec, windows = opened.manifest.spec, opened.golden().windows.values
    steps = spec.context + PAST
    times = pl.from_epoch(pl.Series(START_S + spec.step_s * np.arange(steps))).dt.replace_time_zone("UTC")
    folder.mkdir()
    for number in range(files):
        window = windows[number % len(windows)]  # (context, measured)
        values = np.resize(window, (steps, spec.measured)) * np.exp(rng.normal(0.0, 0.05, (steps, spec.measured)))
        columns = dict(zip(spec.measured_names, np.round(values.T, 3), strict=True))
        frame = pl.DataFrame({"timestamp": times, **columns})
        path = folder / f"series-{number:05d}.{form}"
        if form == "csv":
            frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        else:
            frame.write_parquet(path)


def with_plain_logs(bundle: Path, out: Path) -> Path:
    """Copy a bundle to `out`, as if its training log had been regular samples of gauges, which any values are."""
    from pulsecast_train import LogConfig

    if bundle.is_dir():
        shutil.copytree(bundle, out)
    else:
        pulsecast.unpack(bundle, out=out)
    (out / "manifest.sig").unlink(missing_ok=True)  # it is of the manifest that is replaced
    manifest = pulsecast.Bundle.open(out).manifest
    log = strict_json.to_json(LogConfig(time="timestamp", metrics=manifest.spec.measured_names, kind="gauge"))
    provenance = dataclasses.replace(manifest.provenance, training={**manifest.provenance.training, "log": log})
    (out / "manifest.json").write_text(
        strict_json.dumps(dataclasses.replace(manifest, provenance=provenance)), encoding="utf-8"
    )
    return out


def loop_over(bundle: Path, logs: Sequence[Path], out: Path) -> Callable[[], list[list[float]]]:
    """Return the plain loop, its bundle loaded: it returns the forecasts (files, horizon) and writes them to `out`."""
    import polars as pl

    from pulsecast_train import read_as_trained

    model = pulsecast.load(bundle)
    context = model.manifest.spec.context

    def run() -> list[list[float]]:
        found = []
        for log in logs:
            (series,), _ = read_as_trained(log, model.manifest)
            values, time_s = series.values[-context:], series.timestamps_s()[-1:]
            found.append(model.predict(values, timestamps=time_s, interval=0.9).forecast[0].tolist())
        pl.DataFrame({"forecast": found}).write_parquet(out)
        return found

    return run


def bare_over(bundle: Path, logs: Sequence[Path], out: Path) -> Callable[[], list[list[float]]]:
    """Return the bare loop, its bundle loaded, which gives what `loop_over` gives."""
    import polars as pl

    model = pulsecast.load(bundle)
    spec = model.manifest.spec

    def run() -> list[list[float]]:
        found = []
        for log in logs:
            frame = pl.read_parquet(log) if log.suffix == ".parquet" else pl.read_csv(log, try_parse_dates=True)
            values = frame.select(spec.measured_names).to_numpy()[-spec.context :]
            time_s = int(frame["timestamp"].dt.epoch("s")[-1])
            found.append(model.predict(values, timestamps=time_s, interval=0.9).forecast[0].tolist())
        pl.DataFrame({"forecast": found}).write_parquet(out)
        return found

    return run


def batch_over(bundle: Path, logs: Sequence[Path], out: Path, jobs: int) -> Callable[[], list[list[float]]]:
    """Return the batch on so many processes; it returns the forecasts (files, horizon)."""
    import polars as pl

    from pulsecast_train import predict_logs

    def run() -> list[list[float]]:
        done = predict_logs(bundle, logs, out=out, interval=0.9, jobs=jobs)
        if done.failures:
            raise RuntimeError(f"{len(done.failures)} files were not forecast, such as {done.failures[0]}")
        rows = pl.read_parquet(out)["forecast"].to_numpy()
        return rows.reshape(len(logs), -1).tolist()

    return run


LOOPS = {"bare": bare_over, "loop": loop_over}


def measured(side: str, bundle: Path, folder: Path, files: int) -> Side:
    """Return one run of a side over the first `files` logs of `folder`."""
    logs = sorted(folder.iterdir())[:files]
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "out.parquet"
        run = LOOPS[side](bundle, logs, out) if side in LOOPS else batch_over(bundle, logs, out, JOBS[side])
        began, used = time.perf_counter(), _processor_s()
        forecasts = run()
        wall_s, cpu_s = time.perf_counter() - began, _processor_s() - used
    return Side(files=files, wall_s=wall_s, cpu_s=cpu_s, forecasts=tuple(map(tuple, forecasts[:SHOWN])))


def measure_batch(bundle: Path, *, form: str, files: int, loop_files: int, rounds: int) -> BatchCost:
    """Return the cost of all sides on generated logs of one form; raises RuntimeError if their forecasts differ."""
    found: dict[str, list[Side]] = {side: [] for side in (*LOOPS, *JOBS)}
    with tempfile.TemporaryDirectory() as work:
        plain, folder = with_plain_logs(bundle, Path(work) / "bundle"), Path(work) / "logs"
        write_logs(plain, folder, files=files, form=form)
        for turn in range(rounds):
            for side in sorted(found, reverse=turn % 2 == 1):
                count = min(loop_files, files) if side in LOOPS else files
                found[side].append(_in_a_process(side, plain, folder, count))
    expected = found["loop"][0].forecasts
    for side, runs in found.items():
        if not np.allclose(runs[0].forecasts[: len(expected)], expected, rtol=TOLERANCE):
            raise RuntimeError(f"the forecasts of {side} are not those of the loop")
    return BatchCost(
        form=form, bare=tuple(found["bare"]), loop=tuple(found["loop"]),
        one=tuple(found["one"]), two=tuple(found["two"]),
        one_cpu=_ratio(found["one"], found["loop"], "cpu_s"), one_wall=_ratio(found["one"], found["loop"], "wall_s"),
        one_bare_cpu=_ratio(found["one"], found["bare"], "cpu_s"),
        two_cpu=_ratio(found["two"], found["one"], "cpu_s"), two_wall=_ratio(found["two"], found["one"], "wall_s"),
    )  # fmt: skip


def _ratio(ours: Sequence[Side], theirs: Sequence[Side], seconds: str) -> Estimate:
    """Return the median of the rounds' ratios of seconds by file."""
    pairs = zip(ours, theirs, strict=True)
    return median_of_runs([(getattr(a, seconds) / a.files) / (getattr(b, seconds) / b.files) for a, b in pairs], seed=7)


def _processor_s() -> float:
    """Return the processor time of this process and its ended children, in microseconds' resolution."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _in_a_process(side: str, bundle: Path, folder: Path, files: int) -> Side:
    words = ["--side", side, "--logs", str(folder), "--files", str(files)]
    child = [sys.executable, "-m", "pulsecast_bench.claims.batch", str(bundle), *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return strict_json.parse(Side, json.loads(answer), where=side)


def _text(cost: BatchCost) -> str:
    lines = [f"{cost.form}, {len(cost.loop)} runs of each in turn; milliseconds a file: of processors, by the clock"]
    for name, runs in (
        ("bare loop", cost.bare),
        ("plain loop", cost.loop),
        ("one process", cost.one),
        ("two processes", cost.two),
    ):
        cpu, wall = (
            float(np.median([1e3 * getattr(one, of) / one.files for one in runs])) for of in ("cpu_s", "wall_s")
        )
        lines.append(f"  {name:<14}{cpu:9.2f} {wall:9.2f}   ({runs[0].files:,} files)")
    for name, cpu_ratio, wall_ratio in (
        ("one / loop", cost.one_cpu, cost.one_wall), ("two / one", cost.two_cpu, cost.two_wall),
    ):  # fmt: skip
        lines.append(f"  {name:<14}{cpu_ratio.value or 0.0:9.2f} {wall_ratio.value or 0.0:9.2f}")
    return "\n".join([*lines, f"  target: one / loop at most {TARGETS[cost.form]:g} of processors"])


def main(arguments: list[str]) -> int:
    """Print the costs; exit 1 if one process takes more than the targets."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.batch", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--loop-files", type=int, default=100, help="files that the loop takes of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--side", choices=(*LOOPS, *JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--logs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        side = measured(options.side, options.bundle, options.logs, options.files)
        print(json.dumps(strict_json.to_json(side)))
        return 0
    costs = [
        measure_batch(
            options.bundle, form=form, files=options.files, loop_files=options.loop_files, rounds=options.rounds
        )
        for form in TARGETS
    ]
    print(json.dumps(strict_json.to_json(costs)) if options.format == "json" else "\n".join(map(_text, costs)))
    return int(any((cost.one_cpu.value or 0.0) > TARGETS[cost.form] for cost in costs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
