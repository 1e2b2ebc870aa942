"""A series that stays alive against `step`, which reads and writes its state each time: equal bit for bit."""

from __future__ import annotations

import gc
import math
import random
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import loaded_native
from pulsecast import POOL, Forecaster, load, step
from pulsecast.errors import DtypeError, EngineError, FormatError, TimeError, UsageError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.living.live_series import Begun, LiveSeries, Taken
from pulsecast.forecasting.stream_engines import NativeEngine

RATE = 0.05
STEPS = 220
USUAL = Begun(false_alarm_rate=RATE)


@pytest.fixture(scope="module")
def calendar(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


@pytest.fixture(scope="module")
def table(table_bundle: Path) -> Forecaster:
    return load(table_bundle, backend="numpy")


@pytest.fixture(scope="module")
def native(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forecaster]:
    """The model of `calendar`, compiled: it takes single steps."""
    with loaded_native(change_model, tmp_path_factory.mktemp("native")) as found:
        yield found


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Forecaster:
    found: Forecaster = request.getfixturevalue(request.param)
    return found


def time_of(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def measurements(count: int = STEPS) -> list[tuple[float, int]]:
    """Return steps as they come from a source: bursts, stuck values, missing ones, gaps, repeats and late ones."""
    chance, column, found, n = random.Random(7), plain.series(), [], 0
    for _ in range(count):
        kind = chance.random()
        value = float(column[n % len(column)]) * (50 if kind > 0.97 else 1)
        if kind < 0.02:
            value = math.nan
        elif kind < 0.03:
            n += chance.randrange(1, 4)
        elif 0.10 < kind < 0.14:
            found.append((value, time_of(n - chance.randrange(1, 5))))
        elif 0.14 < kind < 0.15:
            found.append((value, time_of(n) + 7))
        found.append((value, time_of(n)))
        n += 1
    n += 500  # beyond a window
    return [*found, *((float(column[i]), time_of(n + i)) for i in range(80))]


def said(found: Any) -> tuple[object, ...]:
    """Return all that follows from a step, in a form that compares bits."""
    forecast = found.forecast
    arrays = (forecast.forecast, forecast.lower, forecast.upper, forecast.adapted, forecast.adapted_upper)
    numbers = tuple(None if one is None else (one.dtype.str, one.tobytes()) for one in arrays)
    return (forecast.arrival, forecast.missing, forecast.time, *numbers, repr(found.anomaly))


WAYS = {
    "numpy": ("calendar", USUAL),
    "native": ("native", USUAL),
    "adapting": ("calendar", USUAL._replace(adapt=True)),
    "native, adapting": ("native", USUAL._replace(adapt=True)),
    "of several": ("table", USUAL._replace(series="b")),
    "the pool": ("table", USUAL._replace(series=POOL)),
}


@pytest.mark.parametrize(("model", "begun"), WAYS.values(), ids=WAYS.keys(), indirect=["model"])
def test_a_series_that_goes_on_gives_what_step_gives_bit_for_bit(model: Forecaster, begun: Begun) -> None:
    """It is resumed now and then, as after a restart: the one and the other way give the same."""
    state, live, alarms = None, LiveSeries(model, None, begun), 0
    for at, (value, time) in enumerate(measurements()):
        rate = RATE if state is None else None
        expected = step(model, state, value, time, series=begun.series, false_alarm_rate=rate, adapt=begun.adapt)
        found, state = live.take(value, time), expected.state
        assert said(found) == said(expected), at
        assert live.to_bytes() == state, at
        alarms += found.anomaly is not None and found.anomaly.alarm
        if at % 90 == 89:
            live = LiveSeries(model, state, begun)
    assert alarms >= 3


def test_a_native_series_takes_single_steps_once_it_is_warm(native: Forecaster) -> None:
    live = LiveSeries(native, None, USUAL)
    kinds = []
    for n in range(4):
        live.take(float(n), time_of(n))
        kinds.append(isinstance(live._detector._stream._engine, NativeEngine))
    assert kinds == [False, True, True, True]


REFUSED = {
    "not a number": ("x", time_of(60), DtypeError),
    "not a number, after a gap": ("x", time_of(62), DtypeError),
    "not a number, after a window": ("x", time_of(900), DtypeError),
    "a time in milliseconds": (5.0, time_of(60) * 1000, TimeError),
    "years later": (5.0, time_of(60) + 10 * 366 * 86_400, TimeError),
}


@pytest.mark.parametrize(("value", "time", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_a_step_that_is_refused_changes_nothing(
    calendar: Forecaster, value: object, time: int, error: type[Exception]
) -> None:
    live = LiveSeries(calendar, None, USUAL)
    for n in range(60):
        live.take(float(n), time_of(n))
    before = live.to_bytes()
    with pytest.raises(error):
        live.take(value, time)  # type: ignore[arg-type]
    assert live.to_bytes() == before
    expected = step(calendar, before, 7.0, time_of(60))
    assert said(live.take(7.0, time_of(60))) == said(expected)


def test_a_series_whose_engine_failed_within_a_step_is_not_gone_on_with(
    calendar: Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window has the step and its judge has not: what it would say and keep is of no series."""
    live = LiveSeries(calendar, None, USUAL)
    live.take(5.0, time_of(0))
    state = live.to_bytes()

    def fails(*_: object) -> None:
        raise RuntimeError("the engine failed")

    monkeypatch.setattr(live._detector._judge, "judge", fails)
    with pytest.raises(RuntimeError):
        live.take(6.0, time_of(1))
    for goes_on in (live.to_bytes, lambda: live.take(7.0, time_of(2))):
        with pytest.raises(EngineError, match="go on from the last state"):
            goes_on()
    live.go_back(state)
    assert live.to_bytes() == state


class Followed:
    """A series as an engine keeps it: by its bytes, and alive."""

    def __init__(self, model: Forecaster, kept: KeptAlive) -> None:
        self.model, self.kept = model, kept
        self.state: bytes | None = None

    def take(self, n: int, begun: Begun = USUAL) -> Taken:
        live = self.kept.take("key", self.model, self.state, begun)
        found = live.take(100.0 + n, time_of(n))
        self.state = live.to_bytes()
        self.kept.keep("key", self.state, live)
        return found


def test_the_bytes_of_the_engine_decide_and_a_series_that_is_ahead_or_behind_is_not_used(calendar: Forecaster) -> None:
    kept = KeptAlive()
    series = Followed(calendar, kept)
    for n in range(50):
        series.take(n)
    behind = series.state
    series.take(50)
    ahead = series.state
    series.state = behind  # the transaction was aborted
    again = series.take(50)
    assert series.state == ahead
    assert said(again) == said(step(calendar, behind, 150.0, time_of(50)))
    elsewhere = step(calendar, ahead, 3.0, time_of(51)).state  # another process went on
    series.state = elsewhere
    found = series.take(52)
    assert said(found) == said(step(calendar, elsewhere, 152.0, time_of(52)))


def test_the_same_bytes_find_the_series_alive_and_only_once(calendar: Forecaster) -> None:
    kept = KeptAlive()
    live = kept.take("key", calendar, None, USUAL)
    live.take(5.0, time_of(0))
    state = live.to_bytes()
    kept.keep("key", state, live)
    assert kept.take("key", calendar, bytes(bytearray(state)), USUAL) is live
    assert kept.take("key", calendar, state, USUAL) is not live  # whoever took it has it alone


def test_another_model_or_another_option_resumes_from_the_bytes(calendar: Forecaster, calendar_bundle: Path) -> None:
    kept, newer = KeptAlive(), load(calendar_bundle, backend="numpy")
    for model, begun in ((newer, USUAL), (calendar, USUAL._replace(adapt=True)), (calendar, Begun())):
        live = kept.take("key", calendar, None, USUAL)
        live.take(5.0, time_of(0))
        state = live.to_bytes()
        kept.keep("key", state, live)
        found = kept.take("key", model, state, begun)
        assert (found is live) == (begun == Begun())
        assert found.model is model
        assert (found.take(6.0, time_of(1)).forecast.adapted is not None) == begun.adapt


def test_a_model_in_whose_place_another_came_is_not_kept_loaded(calendar: Forecaster, calendar_bundle: Path) -> None:
    kept, old, states = KeptAlive(), load(calendar_bundle, backend="numpy"), {}
    for name, model in (("a", old), ("b", old), ("of another bundle", calendar)):
        live = kept.take(name, model, None, USUAL)
        live.take(5.0, time_of(0))
        states[name] = live.to_bytes()
        kept.keep(name, states[name], live)
    last = weakref.ref(old)
    kept.take("a", load(calendar_bundle, backend="numpy"), states["a"], USUAL)
    assert len(kept) == 1
    del old, model, live
    gc.collect()
    assert last() is None


def test_options_that_the_series_was_not_begun_with_are_refused_alive_too(table: Forecaster) -> None:
    kept = KeptAlive()
    begun = USUAL._replace(series="a")
    for options, said_of in ((begun._replace(series="b"), "the state is of 'a'"), (Begun("a", 0.2), "begun with 0.05")):
        live = kept.take("key", table, None, begun)
        live.take(5.0, time_of(0))
        state = live.to_bytes()
        kept.keep("key", state, live)
        with pytest.raises(UsageError, match=said_of):
            kept.take("key", table, state, options)


def test_the_series_that_was_used_longest_ago_goes_first(calendar: Forecaster) -> None:
    kept, left = KeptAlive(most=2), {}
    for name in ("a", "b", "a", "c"):
        live = kept.take(name, calendar, left.get(name, (None, None))[0], USUAL)
        live.take(float(len(left)), time_of(len(left)))
        left[name] = (live.to_bytes(), live)
        kept.keep(name, *left[name])
    assert len(kept) == 2
    alive = {name: kept.take(name, calendar, state, USUAL) is live for name, (state, live) in left.items()}
    assert alive == {"a": True, "b": False, "c": True}


def test_a_damaged_state_is_refused_though_a_series_is_alive(calendar: Forecaster) -> None:
    kept = KeptAlive()
    series = Followed(calendar, kept)
    series.take(0)
    assert series.state is not None
    series.state = series.state[:-1] + bytes([series.state[-1] ^ 1])
    with pytest.raises(FormatError, match="damaged"):
        series.take(1)


def test_the_window_and_the_time_are_those_of_the_last_step(calendar: Forecaster) -> None:
    live = LiveSeries(calendar, None, USUAL)
    assert live.time is None
    for n in range(3):
        live.take(float(n), time_of(n))
    assert live.time == time_of(2)
    np.testing.assert_array_equal(live.window()[-4:, 0], [np.nan, 0.0, 1.0, 2.0])
