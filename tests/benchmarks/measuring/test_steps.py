"""Steps are pushed as an app pushes them: each one step of time after the last, after a whole window was filled."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast.model.windows import Windows
from pulsecast_bench.measuring.runner import run_benchmark
from pulsecast_bench.measuring.steps import Steps, rows_of, steps_of, times_of
from pulsecast_bench.results.case import PROFILES
from pulsecast_bench.results.run import decode

FORMAT_1 = Path(__file__).parents[2] / "data" / "golden_v1"


class Pushed:
    """A stream that remembers what it was given since it was emptied, and how often it was."""

    def __init__(self) -> None:
        self.given: list[tuple[object, object]] = []
        self.emptied = 0

    def push(self, steps: object, /, *, timestamp: object = None) -> None:
        self.given.append((steps, timestamp))

    def empty(self) -> None:
        self.given.clear()
        self.emptied += 1


def test_a_window_is_filled_before_the_first_timed_push_and_time_goes_on() -> None:
    stream = Pushed()
    steps = Steps(stream.push, stream.empty, [1.0, 2.0, 3.0], range(600, 10_000, 60), context=4)
    assert stream.given == [(1.0, 600), (2.0, 660), (3.0, 720), (1.0, 780)]
    assert steps.timed(0) > 0
    assert stream.given[4:] == [(2.0, 840)]


def test_what_a_push_postpones_is_settled_before_the_next_one_is_timed() -> None:
    stream = Pushed()
    steps = Steps(
        stream.push, stream.empty, [1.0], None, context=2, settle=lambda: stream.given.append(("settled", None))
    )
    for turn in range(2):
        steps.timed(turn)
    assert [what for what, _ in stream.given] == [1.0, 1.0, "settled", 1.0, "settled", 1.0]


def test_where_the_calendar_ends_the_stream_is_filled_anew_from_its_beginning() -> None:
    stream = Pushed()
    steps = Steps(stream.push, stream.empty, [1.0, 2.0, 3.0], range(600, 901, 60), context=4)
    for turn in range(2):
        steps.timed(turn)
    assert (stream.given[-1], stream.emptied) == ((3.0, 900), 0)
    steps.timed(2)
    assert stream.emptied == 1
    assert [second for _, second in stream.given] == [600, 660, 720, 780, 840]
    assert [value for value, _ in stream.given] == [1.0, 2.0, 3.0, 1.0, 2.0]  # the values go on


def test_a_model_without_a_calendar_gets_no_times() -> None:
    stream = Pushed()
    Steps(stream.push, stream.empty, [1.0], None, context=2).timed(0)
    assert stream.given == [(1.0, None)] * 3


WINDOWS = Windows(values=np.arange(24, dtype=np.float32).reshape(4, 3, 2), time=np.array([9000, 1000, 5000, 7000]))


def test_one_stream_gets_the_values_of_every_window_once() -> None:
    rows = rows_of(WINDOWS, 1, seed=7)
    assert sorted(tuple(row) for row in rows) == sorted(tuple(row) for row in WINDOWS.values.reshape(-1, 2).tolist())
    alone = rows_of(WINDOWS.changed(WINDOWS.values[:, :, :1]), 1, seed=7)
    assert all(type(value) is float for value in alone)
    assert alone == [float(row[0]) for row in rows]


def test_each_stream_begins_with_another_window() -> None:
    rows = rows_of(WINDOWS, 4, seed=7)
    series = np.array(rows_of(WINDOWS, 1, seed=7))  # (12, 2)
    assert rows[0].shape == (4, 2)
    for i in range(4):
        own = np.array([row[i] for row in rows])  # (12, 2)
        assert np.array_equal(own, np.roll(series, -3 * i, axis=0))


def test_times_begin_at_the_first_window_and_end_with_the_known_years() -> None:
    times = times_of(plain.CHANGE_SPEC, WINDOWS)
    assert times is not None
    assert (times[0], times[1] - times[0]) == (1000, plain.STEP_S)
    assert times[-1] + plain.STEP_S > 253_402_300_799 >= times[-1]  # the last second of the year 9999
    assert times_of(plain.LEVEL_SPEC, Windows(values=WINDOWS.values)) is None


def test_a_calendar_that_ends_before_a_window_is_whole_is_refused() -> None:
    late = Windows(values=WINDOWS.values, time=WINDOWS.time + 253_402_200_000)
    with pytest.raises(UsageError, match=r"known for 28 steps after the first held-out one; .* more than 73"):
        times_of(plain.CHANGE_SPEC, late)


@pytest.mark.parametrize("fixture", ["plain_bundle", "calendar_bundle"])
def test_what_is_pushed_is_forecast_as_the_same_window_is(fixture: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(fixture)
    forecaster, windows = load(path), Bundle.open(path).golden().windows
    steps = steps_of(forecaster, "push", windows, 1, seed=3)
    context, rows = forecaster.manifest.spec.context, rows_of(windows, 1, seed=3)
    stream = forecaster.stream()
    times = times_of(forecaster.manifest.spec, windows)
    for turn in range(context):
        stream.push(rows[turn], timestamp=times and times[turn])
    for turn in range(context, context + 3):
        steps.timed(turn)
        made = steps._push.__self__.state().window[0, :, 0]
        assert np.array_equal(made, np.array(rows[turn + 1 - context : turn + 1], np.float32))
        found = stream.push(rows[turn], timestamp=times and times[turn])
        last = None if times is None else np.array([times[turn]])
        assert np.array_equal(found, forecaster.predict(made[np.newaxis, :, np.newaxis], timestamps=last))


def test_a_detector_judges_every_timed_step_by_as_many_residuals_as_it_keeps(calendar_bundle: Path) -> None:
    forecaster, windows = load(calendar_bundle), Bundle.open(calendar_bundle).golden().windows
    steps = steps_of(forecaster, "detector", windows, 1, seed=3)
    steps.timed(0)
    detector = steps._push.__self__
    assert len(detector._judge.residuals) == detector.memory
    assert math.isfinite(detector.judged.upper)
    assert math.isfinite(detector.forecasts[0])


def test_every_one_of_many_streams_forecasts_its_own_window(calendar_bundle: Path) -> None:
    forecaster, windows = load(calendar_bundle), Bundle.open(calendar_bundle).golden().windows
    steps = steps_of(forecaster, "streams", windows, 5, seed=3)
    steps.timed(0)
    state = steps._push.__self__.state()
    assert state.window.shape == (5, plain.CHANGE_SPEC.context, 1)
    rows = np.stack(rows_of(windows, 5, seed=3)[1 : 1 + plain.CHANGE_SPEC.context])  # (context, streams, columns)
    assert np.array_equal(state.window, rows.transpose(1, 0, 2))


SHORT = dataclasses.replace(
    PROFILES["quick"], batches=(1,), repeats=1, sweep_repeats=1, calls=20, steady_s=0.02, limit_s=0.3, window_s=0.0,
    paired_s=0.05, step_calls=("push", "detector"),
)  # fmt: skip


@pytest.mark.slow
def test_steps_are_measured_in_processes_of_their_own_beside_the_engines_window(calendar_bundle: Path) -> None:
    result = run_benchmark(calendar_bundle, SHORT)
    assert result.failures == ()
    assert [run.case.call for run in result.runs] == ["predict"]
    assert sorted(run.case.call for run in result.steps) == ["detector", "push"]
    for run in result.steps:
        assert (run.forecasts, run.case.leading, run.case.batch) == (None, False, 1)
        assert len(decode(run.steady.latencies)) >= 20
        assert run.paired is not None
        assert len(decode(run.paired.runtime)) == len(decode(run.paired.bare))


@pytest.mark.slow
def test_many_streams_are_one_case_with_a_window_of_each(tmp_path: Path) -> None:
    small = dataclasses.replace(plain.LEVEL_SPEC, window=6, units=(3,), network=None)  # a thousand streams are filled
    plain.write_bundle(tmp_path / "bundle", plain.make_model(small))
    few = dataclasses.replace(SHORT, step_calls=("streams",), limit_s=2.0, calls=4)  # each is a thousand pushes
    result = run_benchmark(tmp_path / "bundle", few)
    (run,) = result.steps
    assert (run.case.call, run.case.batch) == ("streams", 1000)
    assert run.paired is not None


def test_streams_of_a_bundle_of_several_series_are_of_one_and_get_its_values(many_bundle: Path) -> None:
    golden = Bundle.open(many_bundle).golden()
    few = golden.windows.take([0, 3, 7, 9])
    assert few.series is not None
    assert few.series.tolist() == [0, 3, 3, 1]
    model = load(many_bundle)
    pushed = []
    stream_of = model.stream

    def stream(streams: int, *, series: object = None) -> object:
        made = stream_of(streams, series=series)
        pushed.append(series)
        return made

    model.stream = stream  # type: ignore[method-assign, assignment]
    steps = steps_of(model, "push", few, 2, seed=1)
    assert steps.timed(0) > 0
    assert pushed == ["small"]
    assert steps_of(model, "detector", few, 1, seed=1).timed(0) > 0
    assert pushed == ["small", "small"]
