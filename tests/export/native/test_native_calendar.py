"""The calendar in C against `calendar_values`, column by column, and the times for which there is none."""

from __future__ import annotations

import ctypes
import datetime
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.engines import require_tool
from helpers.native_calls import answer, pointers
from helpers.native_fixtures import built_library
from helpers.native_models import (
    ALONE,
    COMPILERS,
    HERE,
    LANES,
    PATH_FLAGS,
    directory,
    require_processor,
    write_sources,
)
from pulsecast.backends.native import NativeBackend
from pulsecast.computing import reference
from pulsecast.computing.calendars import calendar_values, known_times, step_times
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, YEAR_1, YEAR_10000, Calendar, Channel, Feature, Holidays, ModelSpec
from pulsecast.model.windows import Windows
from pulsecast_export.native.calendar_tables import clocks_of

CALENDAR_ERROR = 2e-7  # as kernels/calendar.c.in states; measured 1.2e-7 with and without fused multiply-add
YEAR_2100 = 4_102_444_800
KNOWN_S = 1_577_854_800
# days that begin at midnight of a zone 5 h behind UTC: their edges fall within the steps of most lengths
HOLIDAYS = Holidays(
    region="US",
    zone="America/New_York",
    known=(KNOWN_S, 1_767_243_600),
    spans=tuple(
        (1_577_854_800 + DAY_S * day, 1_577_854_800 + DAY_S * (day + 1)) for day in (0, 19, 47, 145, 1000, 2191)
    ),
)


def _waves(period_s: int, ahead_steps: int) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            name=f"{function}_{period_s}_{ahead_steps}",
            calendar=Calendar(function=function, period_s=period_s, ahead_steps=ahead_steps),
        )
        for function in ("sin", "cos")
    )


def _spec(step_s: int, *more: Feature) -> ModelSpec:
    weekends = [
        Feature(name=f"weekend_{n}", calendar=Calendar(function="weekend", period_s=WEEK_S, ahead_steps=n))
        for n in (0, 1)
    ]
    again = replace(_waves(DAY_S, 1)[0], name="the same again")
    days = [feature for part in (1, 2, 3, 4) for feature in _waves(DAY_S // part, 1)]
    others = [*_waves(WEEK_S, 1), *_waves(2**31 - 1, 0), *_waves(10_007, 5), *_waves(1, 1)]
    features = (Feature(name="value"), *days, *others, *weekends, again, *more)
    channels = tuple(Channel(feature=i) for i in range(len(features)))
    return replace(
        plain.CHANGE_SPEC, features=features, channels=channels, window=21, step_s=step_s, units=(5,), network=None
    )


def _holiday(ahead_steps: int) -> Feature:
    calendar = Calendar(function="holiday", period_s=DAY_S, ahead_steps=ahead_steps, holidays=HOLIDAYS)
    return Feature(name=f"holiday_{ahead_steps}", calendar=calendar)


SPECS = {
    "hours": _spec(3600),
    "quarters": _spec(900),
    "longer than a day": _spec(100_000),
    "hours, holidays": _spec(3600, _holiday(1), _holiday(0)),
    "seven minutes, holidays": _spec(420, _holiday(2)),
}
COLUMNS = """
#include "model.c"
#define T(name) JOIN(name, TEST_PATH)
void columns(int64_t time, float *window, float *step) {
    static float rows[CALENDARS][PADDED(MODEL_CONTEXT) + 16];
    int i, t;
    T(calendar_of_window)(time, rows[0], PADDED(MODEL_CONTEXT) + 16);
    for (i = 0; i < CALENDARS; i++)
        for (t = 0; t < MODEL_CONTEXT; t++) *window++ = rows[i][t];
    {
        static moment now;
        begin_moment(&now, time);
        for (i = 0; i < CALENDARS; i++) *step++ = now.columns[MODEL_MEASURED + i];
    }
}
"""


def model_of(spec: ModelSpec) -> plain.PlainModel:
    """Return a model of `spec` whose calendar columns the network reads."""
    made = plain.make_model(replace(plain.CHANGE_SPEC, units=(5,), network=None))
    shapes = spec.network.shapes(len(spec.channels), spec.horizon)
    rng = np.random.default_rng(3)
    kernel = (0.3 * rng.standard_normal(shapes["lstm_0.kernel"])).astype(np.float32)
    layer = replace(made.weights.layers[0], kernel=kernel)
    scales = (made.scaler.features[0], *(FeatureScale() for _ in spec.features[1:]))
    values = made.windows.values[:, : spec.context]
    first, last = known_times(spec)
    time = np.linspace(max(first, 0), min(last, YEAR_2100), len(values)).astype(np.int64)
    return replace(
        made,
        spec=spec,
        scaler=Scaler(features=scales),
        weights=replace(made.weights, layers=(layer,)),
        windows=Windows(values=np.ascontiguousarray(values), time=time),
    )


@dataclass(frozen=True)
class Columns:
    """A library that gives the calendar of a window (columns, context), and that of its last step alone (columns,)."""

    spec: ModelSpec
    run: Callable[[int, int, int], None]

    def of(self, time: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        count = len(self.spec.features) - self.spec.measured
        window, step = np.empty((count, self.spec.context), np.float32), np.empty(count, np.float32)
        self.run(time, *pointers(window, step))
        return window, step


@pytest.fixture(scope="module", params=SPECS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Path]:
    spec = SPECS[request.param]
    return spec, write_sources(directory(model_of(spec)), "native", tmp_path_factory.mktemp("calendar"))


# each path by one compiler, and each compiler on several paths; the other pairs under `make soak`
PATHS = [
    pytest.param(
        (path, compiler),
        id=f"{path}-{compiler}",
        marks=pytest.mark.soak if (number + turn) % 2 else () if path == "scalar" else pytest.mark.slow,
    )
    for number, path in enumerate(LANES)
    for turn, compiler in enumerate(COMPILERS)
]


@pytest.fixture(scope="module", params=PATHS)
def columns(request: pytest.FixtureRequest, folder: tuple[ModelSpec, Path]) -> Columns:
    (path, compiler), (spec, source) = request.param, folder
    (source / "columns.c").write_text(COLUMNS, encoding="ascii")
    flags = (*ALONE, *PATH_FLAGS.get(path, ()), *require_processor(path))
    out = source / f"{compiler}-{path}.so"
    command = [require_tool(compiler), *flags, f"-DTEST_PATH={path}", "columns.c", "-o", str(out)]
    subprocess.run(command, cwd=source, check=True)
    run = ctypes.CDLL(str(out)).columns
    run.argtypes, run.restype = (ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p), None
    return Columns(spec, run)


def _unix(*date: int) -> int:
    return int(datetime.datetime(*date, tzinfo=datetime.UTC).timestamp())


def _times(spec: ModelSpec) -> list[int]:
    """Return times around every edge of a calendar, and far from them, that the spec knows."""
    edges = [_unix(2024, 2, 29), _unix(2025, 1, 1), _unix(2000, 3, 1), _unix(2024, 6, 15), _unix(2024, 6, 17)]
    edges += [0, -DAY_S, -WEEK_S, _unix(1969, 7, 20), _unix(1900, 3, 1), YEAR_2100, _unix(2400, 2, 29)]
    edges += [edge for span in HOLIDAYS.spans for edge in span]
    near = [edge + n for edge in edges for n in (-spec.step_s, -1, 0, 1, spec.step_s // 2, spec.step_s)]
    first, last = known_times(spec)
    rng = np.random.default_rng(5)
    anywhere = [int(time) for time in rng.integers(first, last, 100, endpoint=True)]
    return [time for time in (*near, *anywhere, first, last) if first <= time <= last]


def test_every_column_of_every_step_is_that_of_the_formula(columns: Columns) -> None:
    spec = columns.spec
    calendars = [feature.calendar for feature in spec.features if feature.calendar]
    for time in _times(spec):
        seconds = step_times(spec, np.array([time]))[0]  # (context,)
        expected = np.stack([calendar_values(calendar, seconds, spec.step_s) for calendar in calendars])
        found, step = columns.of(time)
        # a step is known from its own time on, whatever window it is in
        assert np.array_equal(step, found[:, -1]), time
        apart = np.abs(found - expected)
        assert apart.max() < CALENDAR_ERROR, (time, spec.features[1 + int(apart.max(axis=1).argmax())].name)
        exact = [i for i, calendar in enumerate(calendars) if calendar.function == "weekend"]
        assert np.array_equal(found[exact], expected[exact]), time


def test_a_column_depends_on_the_time_of_its_own_step_alone(columns: Columns) -> None:
    spec = columns.spec
    for time in _times(spec)[::7]:
        for later in range(1, spec.context, 5):
            if time + later * spec.step_s <= known_times(spec)[1]:
                now, then = columns.of(time)[0], columns.of(time + later * spec.step_s)[0]
                assert np.array_equal(now[:, later:], then[:, : spec.context - later]), (time, later)


@pytest.fixture(scope="module", params=["hours", "seven minutes, holidays"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NativeBackend:
    spec = SPECS[request.param]
    model = directory(model_of(spec))
    opened = NativeBackend(str(built_library(model, "native", tmp_path_factory.mktemp("library"), *HERE)), spec, 1)
    opened.model = model
    return opened


def test_windows_at_any_time_are_forecast_as_the_reference_does_alone_and_in_a_batch(backend: NativeBackend) -> None:
    model, spec = backend.model, backend.model.record.spec
    times = np.array(_times(spec))
    rows = np.arange(len(times)) % len(model.heldout.windows)
    windows = Windows(values=model.heldout.windows.take(rows).values, time=times)
    found = backend.outputs(*windows.inputs)
    expected = reference.forecast(spec, model.record.scaler, model.weights, windows)
    assert np.abs(found[0] - expected).max() / model.record.scaler.range < 1e-5
    assert len(np.unique(found[0])) > len(times) / 2  # the calendar matters
    for row in range(0, len(times), 5):
        for together, alone in zip(found, backend.outputs(*windows.take([row]).inputs), strict=True):
            assert np.array_equal(together[row], alone[0]), row


def test_a_time_without_a_calendar_gives_nan_in_its_row_alone(backend: NativeBackend) -> None:
    spec, windows = backend.model.record.spec, backend.model.heldout.windows.take(slice(40))
    clean = backend.outputs(*windows.inputs)
    first, last = known_times(spec)
    milliseconds = 1_736_121_600_000
    for time in (milliseconds, -milliseconds, first - 1, last + 1, YEAR_1 - 1, YEAR_10000, 2**63 - 1, -(2**63)):
        times = windows.time.copy()
        times[[2, 39]] = time
        for found, before in zip(backend.outputs(windows.values, times), clean, strict=True):
            assert np.isnan(found).all(axis=1).tolist() == [i in (2, 39) for i in range(40)], time
            kept = [i for i in range(40) if i not in (2, 39)]
            assert np.array_equal(found[kept], before[kept]), time
        for found in backend.outputs(windows.values[:1], np.array([time])):
            assert np.isnan(found).all(), time
    for time in (first, last):
        assert np.isfinite(backend.predict(windows.values[:1], np.array([time]))).all(), time


def test_without_times_a_model_with_a_calendar_gives_nan(backend: NativeBackend) -> None:
    spec, windows = backend.model.record.spec, backend.model.heldout.windows
    found = answer(40, spec.horizon)
    values = windows.take(slice(40)).values
    code = backend.library.model_predict_batch(values.ctypes.data, None, None, 40, *pointers(*found[1:]))
    assert code == 40
    assert all(np.isnan(each).all() for each in found[1:])


def test_columns_of_one_angle_share_a_clock_and_none_is_lost() -> None:
    spec = SPECS["hours"]
    calendars = [feature.calendar for feature in spec.features if feature.calendar]
    clocks = clocks_of(calendars, spec.step_s)
    assert sorted(column for clock in clocks for column in clock.columns.values()) == list(range(len(calendars)))
    assert {"sin", "cos", "weekend"} in [set(clock.columns) for clock in clocks]  # the week's
    assert len(clocks) == 10  # 8 pairs of waves, the weekend of no step ahead, and the same sine again
