"""`python -m pulsecast_bench.native BUNDLE_OR_MODEL`: compiled C against ONNX Runtime and LiteRT, in one process.

One thread, the held-out windows, through the runtime. The backends take turns in rounds, in an order that rotates, so
that all run under the same conditions; a ratio is taken within a round, and the median of the rounds is printed with
its interval. Latencies are medians of a round's calls. A push is Python's `Stream.push`; the other engines predict the
whole window again. A `native` push first finishes what the previous push postponed, so back to back it costs its whole
work; `answer` is a push after `settle`, which is not timed: the wait of a caller that settles between two steps.
`answer in C` is the same without Python, `cold start` a process from before it starts until its first forecast; both
run outside this process (`processes`). The limits compare with a whole window's call to ONNX Runtime in the same
round, and a start without numpy with ONNX Runtime's without pulsecast. `native-w8` is shown if the bundle has it
(`precisions` compares the two on every instruction set).

Windows are also forecast by OpenVINO, if it is installed, and by `c.loop`, the equations as one writes them in C
(`beside`); that is given the network's inputs, so its time lacks the calendar and scaling. `floor` is what this
processor cannot do faster (`floors`).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pulsecast
from pulsecast.backends.native_library import find_library
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import PulsecastError
from pulsecast.forecasting.checks import measure_parity
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.forecasting.streaming import Stream
from pulsecast.model.windows import Windows

from .beside import Beside, engines_beside
from .floors import Floor, best, build_rates, floors, measure_rates, work_of
from .processes import Start, build_stream_program, cold_starts, first_forecast_us, stream_push_us
from .rounds import (
    INPUTS,
    Row,
    Work,
    add_round_options,
    estimate_text,
    nothing,
    predicting,
    ratio,
    take_rounds,
    timer,
)
from .sources import bundle_of, is_lstm_stack, require_artifacts

ARTIFACTS = ("native", "onnx", "tflite")
BESIDE = ("native-w8",)  # shown if the bundle has it
BATCHES = (32, 64, 256)
# artifact -> one window's time over that of `onnx`; windows a second over the best of onnx and tflite
_AT_MOST_AT_LEAST = {"native": (0.35, 2.2), "native-w8": (0.25, 3.0)}
_STREAM_STEP_S = 3e-5  # about the time of a push and its settling
FIRST_S = 1_736_121_600  # of the streams that are pushed: a Monday of 2025
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The engine of each artifact and of each other one, the rows, the floors, and the other data of the limits."""

    engines: dict[str, str]
    rows: list[Row]
    floors: dict[str, Floor]
    parity: float  # largest |native - float64 reference| on the golden, in fractions of the training range
    library_bytes: int


def measure_native(path: Path, *, rounds: int, round_s: float) -> Comparison:
    """Measure batch 1, every batch of BATCHES, push, answer, the stream in C and cold starts, in rounds.

    Raises UsageError if the bundle at `path` lacks one of ARTIFACTS, and what `pulsecast.load` raises.
    """
    bundle = Bundle.open(path)
    require_artifacts(bundle, path.name, ARTIFACTS)
    shown = (*ARTIFACTS, *(artifact.id for artifact in bundle.manifest.artifacts if artifact.id in BESIDE))
    forecasters = {name: pulsecast.load(path, artifact=name, threads=1, trust_code=True) for name in shown}
    golden = bundle.golden()
    windows = golden.windows
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as temporary:
        folder = Path(temporary)
        beside = engines_beside(bundle, folder / "beside")
        works = [_predicting(forecasters, beside, windows, batch, round_s) for batch in (1, *BATCHES)]
        works += [_pushing(forecasters, windows, round_s, settled=settled) for settled in (False, True)]
        works += [_in_c(bundle, windows, folder, round_s), *_starting(path, windows, folder)]
        rows, found = _with_floors(bundle, folder / "rates", lambda: take_rounds(works, rounds))
    forecasts = forecasters["native"].backend.predict(*windows.inputs)
    return Comparison(
        engines={name: forecaster.backend.engine for name, forecaster in forecasters.items()}
        | {name: one.engine for name, one in beside.items()},
        rows=rows,
        floors=found,
        parity=measure_parity(forecasts, golden).max_abs,
        library_bytes=len(find_library(bundle, bundle.manifest.artifact("native").path)),
    )


def _with_floors(bundle: Bundle, folder: Path, take: Callable[[], list[Row]]) -> tuple[list[Row], dict[str, Floor]]:
    """Return the rows that `take` measures, and the floors of a stack of LSTMs: the rates before and after count."""
    if not is_lstm_stack(bundle):
        return take(), {}
    work, program = work_of(bundle.manifest.spec, bundle.weights()), build_rates(folder)
    before = measure_rates(program, work.table_bytes)
    rows = take()
    return rows, floors(work, best(before, measure_rates(program, work.table_bytes)))


def _predicting(
    forecasters: dict[str, Forecaster], beside: dict[str, Beside], windows: Windows, batch: int, round_s: float
) -> Work:
    calls = {name: _call(forecaster) for name, forecaster in forecasters.items()}
    calls |= {name: one.call for name, one in beside.items()}
    return predicting(calls, windows, batch, round_s, {name: one.given for name, one in beside.items()})


def _call(forecaster: Forecaster) -> Callable[[Windows], object]:
    return lambda windows: forecaster.predict(windows.values, timestamps=windows.time)


def _pushing(forecasters: dict[str, Forecaster], windows: Windows, round_s: float, *, settled: bool) -> Work:
    values = windows.values[:INPUTS]
    steps = [np.ascontiguousarray(step[np.newaxis]) for window in values for step in window]
    streams = {name: forecaster.stream() for name, forecaster in forecasters.items()}
    pushes = {name: _push(forecasters[name], stream) for name, stream in streams.items()}
    for push in pushes.values():
        for step in steps[-values.shape[1] :]:  # fills the window
            push(step)
    timers = {
        name: timer(pushes[name], steps, stream.settle if settled else nothing, round_s)
        for name, stream in streams.items()
    }
    return Work(name="answer" if settled else "push", windows=1, timers=timers)


def _push(forecaster: Forecaster, stream: Stream) -> Callable[[Array], object]:
    """Return a push of one step, whose time is that after the last one where the model needs times."""
    spec = forecaster.manifest.spec
    if not spec.timed:
        return stream.push
    times = itertools.count(FIRST_S, spec.step_s)
    return lambda step: stream.push(step, timestamp=next(times))


def _in_c(bundle: Bundle, windows: Windows, folder: Path, round_s: float) -> Work:
    steps = windows.values[:INPUTS].reshape(-1, windows.values.shape[2]).astype(np.float32)
    program = build_stream_program(bundle, bundle.manifest.artifact("native"), folder / "stream")
    pushes = max(100, min(20_000, round(round_s / _STREAM_STEP_S)))
    return Work(name="answer in C", windows=1, timers={"native": lambda: stream_push_us(program, steps, pushes)})


def _starting(path: Path, windows: Windows, folder: Path) -> list[Work]:
    window = folder / "window"
    windows.values[:1].tofile(window)
    time_s = 0 if windows.time is None else int(windows.time[0])

    def timer(start: Start) -> Callable[[], float]:
        return lambda: first_forecast_us(start, window, time_s)

    return [
        Work(name=row, windows=1, timers={name: timer(start) for name, start in starts.items()})
        for row, starts in cold_starts(path, ARTIFACTS, folder).items()
    ]


def lines(found: Comparison) -> list[str]:
    """Return the tables as text: microseconds a window, the ratios to `native`, the floors, and the limits."""
    width = max(map(len, found.engines))
    engines = [f"{name:{width}}  {engine}" for name, engine in found.engines.items()]
    names = list(found.engines)
    times = [_line("us a window", {name: name for name in names}, names, 11)]
    times += [_line(row.name, _times(row), names, 11) for row in found.rows]
    for what in ("products", "bytes") if found.floors else ():
        cells = {name: f"{getattr(floor, f'{what}_us'):.2f}" for name, floor in found.floors.items()}
        times.append(_line(f"floor, {what}", cells, names, 11))
    others = names[1:]
    ratios = [_line("over native", {name: name for name in others}, others, 22)]
    ratios += [_line(row.name, _ratios(row), others, 22) for row in found.rows if len(row.rounds_us) > 1]
    return [*engines, "", *times, "", *ratios, "", *limit_lines(limits(found))]


def _line(name: str, cells: Mapping[str, str], columns: list[str], width: int) -> str:
    return f"{name:18}{''.join(f'{cells.get(column, str()):>{width}}' for column in columns)}".rstrip()


def _times(row: Row) -> dict[str, str]:
    return {name: f"{row.window_us(name).value or 0:.2f}" for name in row.rounds_us}


def _ratios(row: Row) -> dict[str, str]:
    return {name: estimate_text(row.ratio(name)) for name in row.rounds_us if name != "native"}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of the native engine: `value` is at most, or at least, `bound`."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it holds; NaN never holds."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def limits(found: Comparison) -> list[Limit]:
    """Return every limit with its measured value; a window call is ONNX Runtime's `batch 1` of the same round."""
    rows = {row.name: row for row in found.rows}
    window = rows["batch 1"].rounds_us["onnx"]
    start = rows["cold start, bare"].rounds_us

    def share(ours: list[float], theirs: list[float]) -> float:
        return ratio(ours, theirs).value or np.nan

    batches = [rows[f"batch {batch}"] for batch in BATCHES]

    def fastest(name: str) -> float:
        return min(row.window_us(name).value or np.inf for row in batches)

    def more(name: str) -> float:
        return min(fastest("onnx"), fastest("tflite")) / fastest(name)

    engines = [(name, *bounds) for name, bounds in _AT_MOST_AT_LEAST.items() if name in found.engines]
    return [
        *(
            Limit(name=f"{name}, batch 1 / onnx", value=share(rows["batch 1"].rounds_us[name], window), bound=most)
            for name, most, _ in engines
        ),
        *(
            Limit(name=f"{name}, best windows/s / of onnx, tflite", value=more(name), bound=least, at_least=True)
            for name, _, least in engines
        ),
        Limit(
            name="answer in C / onnx window", value=share(rows["answer in C"].rounds_us["native"], window), bound=0.02
        ),
        Limit(
            name="answer in Python / onnx window", value=share(rows["answer"].rounds_us["native"], window), bound=0.05
        ),
        *(
            Limit(name=f"cold start, {what} / onnx alone", value=share(start[name], start["onnx"]), bound=0.6)
            for name, what in (("native", "library in the bundle"), ("native compiled", "compiled before"))
        ),
        Limit(name="largest error / range", value=found.parity, bound=2e-6),
        Limit(name="library, kB", value=found.library_bytes / 1e3, bound=200),
    ]


def limit_lines(found: list[Limit]) -> list[str]:
    """Return a line for each limit, with whether it is met."""
    return [
        f"{limit.name:46}{limit.value:10.3g}   at {'least' if limit.at_least else 'most '} {limit.bound:<8g}"
        f"{'met' if limit.met else 'MISSED'}"
        for limit in found
    ]


def main(arguments: list[str]) -> int:
    """Print the table; a model directory is exported to a temporary bundle first."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "path", type=Path, help="a bundle that holds native, onnx, tflite and perhaps native-w8, or a model directory"
    )
    add_round_options(parser, round_s=0.2)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = bundle_of(options.path, Path(folder), (*ARTIFACTS, *BESIDE))
            found = measure_native(path, rounds=options.rounds, round_s=options.round_seconds)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines(found)))
    return 0
