"""`python -m pulsecast_bench.native BUNDLE_OR_MODEL`: compiled C against ONNX Runtime and LiteRT, in one process.

One thread, the held-out windows, through the runtime. The backends take turns in rounds, in an order that rotates, so
that all meet the same moments of the machine; a ratio is taken within a round, and what is printed is the median of
the rounds with its interval. Latencies are medians of a round's calls. A push is Python's `Stream.push`, where the
other engines predict the whole window again. A push of `native` does first what the one before it left to be done, so
back to back it costs its whole work; `answer` is a push after `settle`, which is not timed: what a caller waits for
who settles while nothing comes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pulsecast
from pulsecast.bundle import Bundle
from pulsecast.errors import PulsecastError, UsageError
from pulsecast.forecaster import Forecaster
from pulsecast.manifest import MANIFEST_NAME

from .statistics import Estimate, median_of_runs

ARTIFACTS = ("native", "onnx", "tflite")
BATCHES = (32, 64, 256)
_INPUTS = 64  # different windows or batches, at most
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A row of the table: `calls[artifact]()` makes `windows` forecasts; `between` is done after it, untimed."""

    name: str
    windows: int
    calls: dict[str, Callable[[], object]]
    between: dict[str, Callable[[], object]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Microseconds a window of each artifact, and how many times as long as `native` each takes."""

    name: str
    window_us: dict[str, Estimate]
    ratios: dict[str, Estimate]


def measure_native(path: Path, *, rounds: int, round_s: float) -> tuple[dict[str, str], list[Row]]:
    """Return each artifact's engine, and the rows: batch 1, every batch of BATCHES, push, answer.

    Raises UsageError if the bundle at `path` lacks one of ARTIFACTS, and what `pulsecast.load` raises.
    """
    bundle = Bundle.open(path)
    present = {artifact.id for artifact in bundle.manifest.artifacts}
    if missing := [name for name in ARTIFACTS if name not in present]:
        raise UsageError(
            f"bundle {path.name} has no {', '.join(missing)}; export it with targets {', '.join(ARTIFACTS)}"
        )
    forecasters = {name: pulsecast.load(path, artifact=name, threads=1, trust_code=True) for name in ARTIFACTS}
    windows = bundle.golden().windows
    works = [_predicting(forecasters, windows, batch) for batch in (1, *BATCHES)]
    works += [_pushing(forecasters, windows, settled=settled) for settled in (False, True)]
    engines = {name: forecaster.backend.engine for name, forecaster in forecasters.items()}
    return engines, [_row(work, rounds, round_s) for work in works]


def _predicting(forecasters: dict[str, Forecaster], windows: Array, batch: int) -> Work:
    count = min(_INPUTS, max(2, 4096 // batch))
    rng = np.random.default_rng(batch)
    inputs = [np.ascontiguousarray(windows[rng.integers(0, len(windows), batch)]) for _ in range(count)]

    def caller(forecaster: Forecaster) -> Callable[[], object]:
        at = 0

        def call() -> object:
            nonlocal at
            at = (at + 1) % count
            return forecaster.predict(inputs[at])

        return call

    calls = {name: caller(forecaster) for name, forecaster in forecasters.items()}
    return Work(name=f"batch {batch}", windows=batch, calls=calls, between=dict.fromkeys(calls, _nothing))


def _nothing() -> None:
    """Done between calls that leave nothing to be done."""


def _pushing(forecasters: dict[str, Forecaster], windows: Array, *, settled: bool) -> Work:
    steps = [np.ascontiguousarray(step[np.newaxis]) for window in windows[:_INPUTS] for step in window]

    streams = {name: forecaster.stream() for name, forecaster in forecasters.items()}

    def caller(name: str) -> Callable[[], object]:
        stream, at = streams[name], 0

        def call() -> object:
            nonlocal at
            at = (at + 1) % len(steps)
            return stream.push(steps[at])

        for _ in range(forecasters[name].manifest.spec.context):  # until there is a whole window
            call()
        return call

    return Work(
        name="answer" if settled else "push",
        windows=1,
        calls={name: caller(name) for name in streams},
        between={name: stream.settle if settled else _nothing for name, stream in streams.items()},
    )


def _row(work: Work, rounds: int, round_s: float) -> Row:
    names = list(work.calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):  # the first round warms up
        order = names[turn % len(names) :] + names[: turn % len(names)]
        for name in order:
            call_us = _median_call_us(work.calls[name], work.between[name], round_s)
            if turn >= 0:
                found[name].append(call_us / work.windows)
    ratios = {
        name: [theirs / ours for theirs, ours in zip(found[name], found["native"], strict=True)] for name in names[1:]
    }
    return Row(
        name=work.name,
        window_us={name: median_of_runs(values, seed=7) for name, values in found.items()},
        ratios={name: median_of_runs(values, seed=7) for name, values in ratios.items()},
    )


def _median_call_us(call: Callable[[], object], between: Callable[[], object], seconds: float) -> float:
    clock = time.perf_counter_ns
    latencies: list[int] = []
    call()  # brings back what another engine pushed out of the caches
    until = clock() + round(seconds * 1e9)
    ended = 0
    while ended < until or len(latencies) < 3:
        between()
        began = clock()
        call()
        ended = clock()
        latencies.append(ended - began)
    return float(np.median(latencies)) / 1e3


def lines(engines: dict[str, str], rows: list[Row]) -> list[str]:
    """Return the table as text: microseconds a window, and the ratios to `native` with their intervals."""
    header = f"{'us a window':16}" + "".join(f"{name:>10}" for name in engines)
    header += "".join(f"{f'{name} / native':>26}" for name in engines if name != "native")
    text = [*(f"{name:8} {engine}" for name, engine in engines.items()), "", header]
    for row in [*rows, _best(rows)]:
        times = "".join(f"{row.window_us[name].value or 0:10.2f}" for name in engines)
        text.append(f"{row.name:16}{times}" + "".join(f"{_ratio(estimate):>26}" for estimate in row.ratios.values()))
    return text


def _best(rows: list[Row]) -> Row:
    """Return each artifact's best batch side by side; the ratio of two medians, without an interval."""
    batches = [row for row in rows if row.name in {f"batch {batch}" for batch in BATCHES}]
    names = list(batches[0].window_us)
    best = {
        name: min((row.window_us[name] for row in batches), key=lambda estimate: estimate.value or np.inf)
        for name in names
    }
    own = best["native"].value or np.nan
    ratios = {name: Estimate(value=(best[name].value or np.nan) / own) for name in names[1:]}  # native is first
    return Row(name="best batch", window_us=best, ratios=ratios)


def _ratio(estimate: Estimate) -> str:
    interval = f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.low and estimate.high else ""
    return f"{estimate.value or 0:.2f}{interval}"


def main(arguments: list[str]) -> int:
    """Print the table; a model directory is exported to a temporary bundle first."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a bundle that holds native, onnx and tflite, or a model directory")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-seconds", type=float, default=0.2, help="of each backend in each round")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = options.path
            if not (path / MANIFEST_NAME).exists():
                path = _exported(path, Path(folder) / "bundle")
            engines, rows = measure_native(path, rounds=options.rounds, round_s=options.round_seconds)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines(engines, rows)))
    return 0


def _exported(model: Path, out: Path) -> Path:
    from pulsecast_export.exporter import export_model

    export_model(model, out, targets=ARTIFACTS, force=False, tell=lambda _: None)
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
