"""Models for the C beside the full-integer TFLite file: only what is around a network matters here, and is extreme."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helpers import plain
from helpers.native_models import ODD_PATH, directory
from pulsecast.computing.calendars import complete, known_times
from pulsecast.computing.linear_path import linear_path
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import plain_stack
from pulsecast.model.radii import SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, Holidays, ModelSpec
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.micro_io.checking import Surroundings
from pulsecast_export.micro_io.writer import write_micro_io

STRICT = (
    *("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion"),
    *("-Wdouble-promotion", "-Wshadow", "-Wundef", "-Wmissing-prototypes"),
)
HOURS = 3600
DATES = (
    *("1582-10-15", "1900-02-28", "1900-03-01", "1969-12-27", "2024-02-29", "2024-03-01", "2100-02-28"),
    *("2100-03-01", "2106-02-07", "2400-02-29"),
)
# Thumb code with the fused multiplications of a Cortex-M4F, for a processor that qemu-arm has
ARM = (
    *("arm-none-eabi-gcc", "-mcpu=cortex-a7", "-mthumb", "-mfloat-abi=hard", "-mfpu=vfpv4", "-ffp-contract=fast"),
    *("-std=c99", "-O2", "--specs=rdimon.specs"),
)
# two hours and a half, a day, days that touch, a second, a long break; the years that are known begin with one
SPANS = (
    (0, 9000),
    (20 * DAY_S, 21 * DAY_S),
    (30 * DAY_S, 31 * DAY_S),
    (31 * DAY_S, 32 * DAY_S),
    (40 * DAY_S + 1800, 40 * DAY_S + 1801),
    (50 * DAY_S, 65 * DAY_S + 1234),
)
HOLIDAYS = Holidays(region="XX", zone="UTC", known=(0, 365 * DAY_S), spans=SPANS)
OTHERS = Holidays(region="YY", zone="UTC", known=(-DAY_S, 300 * DAY_S), spans=((DAY_S, 3 * DAY_S),))
NEVER = Holidays(region="ZZ", zone="UTC", known=(-DAY_S, 365 * DAY_S), spans=())


def log(offset: float, scale: float) -> FeatureScale:
    return FeatureScale(transform="log1p", offset=float(np.float32(offset)), scale=float(np.float32(scale)), high=9e3)


def same(offset: float = 0.0, scale: float = 1.0) -> FeatureScale:
    return FeatureScale(offset=float(np.float32(offset)), scale=float(np.float32(scale)), high=9e3)


def levels(count: int) -> tuple[Channel, ...]:
    return tuple(Channel(feature=i) for i in range(count))


def calendar(function: str, period_s: int = DAY_S, ahead: int = 1, holidays: Holidays | None = None) -> Calendar:
    return Calendar(function=function, period_s=period_s, ahead_steps=ahead, holidays=holidays)  # type: ignore[arg-type]


def radii(scale: str, *rows: float, counts: bool = False) -> SplitConformal:
    """Radii at 0.8 and 0.9, of which artifacts give the latter."""
    half = tuple(radius / 2 for radius in rows)
    return SplitConformal(scale=scale, counts=counts, levels=(0.8, 0.9, 0.95), radii=(half, rows, rows), windows=99)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is around a network: its inputs and outputs, scaling and intervals."""

    features: tuple[FeatureScale, ...]
    channels: tuple[Channel, ...]
    calendars: tuple[Calendar, ...] = ()
    window: int = 6
    horizon: int = 1
    step_s: int = HOURS
    target: str = "level"
    floor: float | None = None
    intervals: SplitConformal | None = None
    linear: Linear | None = None

    @property
    def spec(self) -> ModelSpec:
        measured = len(self.features) - len(self.calendars)
        names = [*(f"column {i}" for i in range(measured)), *(f"calendar {i}" for i in range(len(self.calendars)))]
        calendars = [*([None] * measured), *self.calendars]
        return ModelSpec(
            window=self.window,
            features=tuple(Feature(name=n, calendar=c) for n, c in zip(names, calendars, strict=True)),
            channels=self.channels,
            units=(3,),
            horizon=self.horizon,
            step_s=self.step_s,
            target=self.target,  # type: ignore[arg-type]
            floor=self.floor,
            network=plain_stack((3,), self.linear),
        )


WITHOUT_A_TIME = "holidays that are known for less than a window"
AROUND = {
    "a level": Around(features=(same(12.5, 431.0),), channels=levels(1)),
    "a level with a lag, a floor and bounds": Around(
        features=(same(-3.0, 0.25),),
        channels=(*levels(1), Channel(feature=0, lag=5)),
        horizon=3,
        floor=2.5,
        intervals=radii("identity", 0.5, 7.0, 1e-3),
    ),
    "a change of counts": Around(
        features=(log(4.02, 0.67), *[same()] * 6),
        channels=(*levels(7), Channel(feature=0, lag=1), Channel(feature=0, lag=23)),
        calendars=(
            *(calendar(name, period) for period in (DAY_S, WEEK_S) for name in ("sin", "cos")),
            *(calendar("weekend", WEEK_S), calendar("weekend", WEEK_S, 24)),
        ),
        window=50,
        horizon=4,
        target="change",
        floor=0.0,
        intervals=radii("log1p", 0.44, 0.0, 1e-4, 4.6, counts=True),
        linear=plain.LINEAR,
    ),
    "several columns": Around(
        features=(log(2, 0.5), same(-7, 3), log(9, 2.5), same(0.25, 0.5), same(-1, 2), log(0, 1)),
        channels=(
            *(Channel(feature=i) for i in (5, 2, 0, 4, 3)),
            *(Channel(feature=i, lag=lag) for i, lag in ((1, 2), (3, 3), (4, 1), (5, 7), (2, 9))),
        ),
        calendars=(calendar("sin", 700, 0), calendar("cos", 43_200, 3), calendar("weekend", WEEK_S, 0)),
        horizon=5,
        step_s=900,
        target="change",
        linear=replace(ODD_PATH, weekend_waves=0),
        intervals=radii("log1p", 0.1, 0.2, 0.3, 0.4, 12.0),
    ),
    "holidays": Around(
        features=(log(1, 1), same(), same(), same(0.5, 0.5), same(), same()),
        channels=(*levels(6), Channel(feature=1, lag=4)),
        calendars=(
            *(calendar("holiday", ahead=ahead, holidays=HOLIDAYS) for ahead in (0, 2)),
            *(calendar("holiday", ahead=ahead, holidays=OTHERS) for ahead in (1,)),
            *(calendar("holiday", holidays=NEVER), calendar("cos")),
        ),
        horizon=2,
        target="change",
    ),
    "holidays of a week": Around(
        features=(same(), same()),
        channels=levels(2),
        calendars=(calendar("holiday", ahead=1, holidays=HOLIDAYS),),
        window=3,
        step_s=WEEK_S,
    ),
    WITHOUT_A_TIME: Around(
        features=(same(), same()),
        channels=levels(2),
        calendars=(calendar("holiday", holidays=replace(HOLIDAYS, known=(0, 66 * DAY_S))),),
        window=10,
        step_s=WEEK_S,
    ),
    "the largest numbers": Around(
        features=(log(0, 1), *[same()] * 6),
        channels=levels(7),
        calendars=(
            *(calendar(name, 2**31 - 1, 2**31 - 1) for name in ("sin", "cos", "weekend")),
            *(calendar(name, period) for name in ("sin", "cos") for period in (1,)),
            calendar("sin", 7, 2**31 - 1),
        ),
        window=3,
        step_s=2**31 - 1,
        floor=0.0,
        intervals=radii("log1p", 100.0),
    ),
    "a path without a calendar": Around(
        features=(log(3, 0.8), same(0.5, 2)),
        channels=(*levels(2), Channel(feature=0, lag=4)),
        horizon=2,
        target="change",
        linear=Linear(lags=2),
    ),
    "the longest waves": Around(
        features=(log(3, 0.8), same()),
        channels=levels(2),
        calendars=(calendar("weekend", WEEK_S),),
        step_s=2**31 - 1,
        target="change",
        linear=Linear(lags=3, season=2, waves=(Wave(period_s=2**31 - 1, multiple=64), Wave(period_s=1))),
    ),
    "a second": Around(
        features=(same(), same(), same(), same()),
        channels=levels(4),
        calendars=(calendar("weekend", 1, 0), calendar("sin", WEEK_S, 1), calendar("cos", 86_399, 1)),
        step_s=1,
        floor=-5.0,
        intervals=radii("log1p", 0.7),
    ),
}
KNOWN = [name for name in AROUND if name != WITHOUT_A_TIME]


@cache
def _base() -> ModelDirectory:
    return directory(plain.make_model(plain.LEVEL_SPEC))


def model_of(around: Around, name: str = "around") -> ModelDirectory:
    """Return a model directory with this around it; its network is another one."""
    record = replace(
        _base().record, name=name, spec=around.spec, scaler=Scaler(features=around.features), intervals=around.intervals
    )
    return replace(_base(), record=record, weights=replace(_base().weights, linear=_kernel(around.spec)))


def _kernel(spec: ModelSpec) -> NDArray[np.float32] | None:
    """Return a kernel of a linear path from a seed, as small as training makes one; None without a path.

    Further columns are not scaled to their sizes here, and weigh less.
    """
    if spec.network.linear is None:
        return None
    shape = (spec.network.linear.inputs(spec.measured), spec.horizon)
    kernel = np.random.default_rng(8).normal(0, 0.03, shape)
    kernel[spec.network.linear.parts(spec.measured)["others"]] *= 1e-3
    return kernel.astype(np.float32)


def surroundings(model: ModelDirectory) -> Surroundings:
    """Return what is around the full-integer file of `model`."""
    record = model.record
    return Surroundings(spec=record.spec, scaler=record.scaler, intervals=record.intervals, linear=model.weights.linear)


def path_of(model: ModelDirectory, windows: Windows) -> NDArray[np.floating] | float:
    """Return the linear path of `windows`, (n, horizon) in float64; 0 for a model without one."""
    spec, scaler = model.record.spec, model.record.scaler
    path = linear_path(spec, scaler, model.weights, windows)
    return 0.0 if path is None else path(scaler.transform(columns_of(model, windows)))


def written(model: ModelDirectory, folder: Path) -> Path:
    """Write micro_io.c and micro_io.h into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_micro_io(model, folder)
    return folder


def moments(spec: ModelSpec) -> NDArray[np.int64]:
    """Return known times of last steps: the edges of what is known, of days, weeks, leap days, years and holidays."""
    first, last = known_times(spec)
    edges = [first, last, 0, DAY_S, WEEK_S - 3 * DAY_S, -3 * DAY_S]  # a Sunday's end; a Monday before 1970
    dates = (
        "1582-10-15",
        "1900-02-28",
        "1969-12-27",
        "2024-02-29",
        "2024-03-01",
        "2100-02-28",
        "2100-03-01",
        "2400-02-29",
    )
    edges += [int(np.datetime64(date, "s").astype(np.int64)) for date in dates]
    edges += [
        edge
        for one in spec.features
        if (c := one.calendar) and c.holidays
        for span in c.holidays.spans
        for edge in span
    ]
    near = [edge + apart for edge in edges for apart in (-spec.step_s, -1800, -1, 0, 1, 59, 1800, spec.step_s - 1)]
    rng = np.random.default_rng(3)
    spread = rng.integers(max(first, -(2**40)), min(last, 2**40), 100) if first <= last else np.empty(0, np.int64)
    times = np.array([*near, *spread.tolist()], np.int64)
    return times[(times >= first) & (times <= last)]


def windows_of(spec: ModelSpec, times: NDArray[np.int64]) -> Windows:
    """Return windows of positive values of many sizes at `times`."""
    rng = np.random.default_rng(5)
    sizes = 10.0 ** rng.integers(-2, 5, (len(times), 1, spec.measured))
    values = (rng.uniform(0, 1, (len(times), spec.context, spec.measured)) * sizes).astype(np.float32)
    values[::7] = np.round(values[::7])
    return Windows(values=values, time=times if spec.timed else None)


def columns_of(model: ModelDirectory, windows: Windows) -> NDArray[np.floating]:
    """Return all raw columns (n, context, features) of `windows` in float64."""
    return complete(model.record.spec, windows.changed(windows.values.astype(np.float64)))
