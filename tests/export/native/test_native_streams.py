"""States and streams in C: the bits of whole windows, and time that goes on, leaves a gap, or does not follow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.native_calls import NEXT, SERIES, NativeState, NativeStreams
from pulsecast.backends.native import NativeBackend
from pulsecast.model.spec import YEAR_1, YEAR_10000, ModelSpec

STREAMS = 40  # a block of the widest vectors, and some
START = plain.START_S
MILLISECONDS = 1_736_121_600_000


class Series:
    """Steps of STREAMS series, and what whole windows of them give."""

    def __init__(self, backend: NativeBackend, spec: ModelSpec, steps: int) -> None:
        self.backend, self.spec = backend, spec
        rng = np.random.default_rng(4)
        self.values = rng.uniform(100, 500, (steps, STREAMS, spec.measured)).astype(np.float32)

    def time(self, at: int) -> int:
        return START + at * self.spec.step_s

    def of_windows(self, at: int) -> tuple[NDArray[np.float32], ...]:
        """Return the results of the windows whose last step is number `at`, STREAMS of them."""
        rows = self.values[at - self.spec.context + 1 : at + 1]
        windows = np.ascontiguousarray(rows.swapaxes(0, 1))  # (streams, context, measured)
        return self.backend.outputs(windows, np.full(STREAMS, self.time(at)) if self.spec.timed else None)

    def same(self, found: tuple[NDArray[np.float32], ...], at: int) -> bool:
        return all(np.array_equal(one, other) for one, other in zip(found, self.of_windows(at), strict=True))


@pytest.fixture
def series(backend, model) -> Series:
    return Series(backend, model.record.spec, 3 * model.record.spec.context)


def _silent(found) -> bool:
    """Whether a push gave no number at all."""
    count = len(found.forecast)
    return found.code == count and all(np.isnan(array).all() for array in found[1:])


@pytest.mark.parametrize("settled", [0, 1, 3], ids=["never settled", "always settled", "settled at times"])
def test_streams_give_the_bits_of_windows_alone_and_many_at_once(series, settled):
    streams = NativeStreams(series.backend.library, series.spec, STREAMS)
    alone = NativeStreams(series.backend.library, series.spec)
    for at in range(len(series.values)):
        found, one = streams.push(series.values[at], series.time(at)), alone.push(series.values[at, 7], series.time(at))
        if settled and at % settled == 0:
            streams.settle()
        assert all(np.array_equal(a[7:8], b, equal_nan=True) for a, b in zip(found[1:], one[1:], strict=True)), at
        if at + 1 < series.spec.context:
            assert _silent(found), at
        else:
            assert found.code == 0
            assert series.same(found[1:], at), at


@pytest.mark.parametrize("count", [1, 12, 13, 24, 25, 33])
def test_a_push_onto_any_number_of_streams_gives_the_bits_of_one(series, count):
    streams = NativeStreams(series.backend.library, series.spec, count)
    for at in range(series.spec.context):
        found = streams.push(series.values[at, :count], series.time(at))
    assert all(np.array_equal(a, b[:count]) for a, b in zip(found[1:], series.of_windows(at), strict=True))


def test_a_state_gives_the_bits_of_a_window(series):
    state = NativeState(series.backend.library, series.spec)
    for at in range(series.spec.context):
        found = state.step(series.values[at, 3], series.time(at))
    assert all(np.array_equal(a, b[3:4]) for a, b in zip(found[1:], series.of_windows(at), strict=True))


def test_one_stream_that_is_not_whole_leaves_the_others_as_they_were(series):
    streams = NativeStreams(series.backend.library, series.spec, STREAMS)
    for at in range(series.spec.context + 2):
        values = series.values[at].copy()
        values[9, 0] = np.nan if at == 4 else values[9, 0]
        if at == 6:
            streams.reset(20)
        found = streams.push(values, series.time(at))
    expected = series.of_windows(at)
    kept = [i for i in range(STREAMS) if i not in (9, 20)]
    assert found.code == 2
    for one, other in zip(found[1:], expected, strict=True):
        assert np.isnan(one[[9, 20]]).all()
        assert np.array_equal(one[kept], other[kept])


@pytest.mark.parametrize("missing", [1, 2, 1000])
def test_after_a_gap_forecasts_are_nan_until_a_window_without_it_is_whole(series, missing):
    context = series.spec.context
    streams = NativeStreams(series.backend.library, series.spec, STREAMS)
    for at in range(context + 3):
        streams.push(series.values[at], series.time(at))
    shift = missing * series.spec.step_s
    for i in range(context + 2):
        at = context + 3 + i
        found = streams.push(series.values[at], series.time(at) + shift)
        if i + 1 < context:
            assert _silent(found), i
        else:
            rows = np.ascontiguousarray(series.values[at - context + 1 : at + 1].swapaxes(0, 1))
            times = np.full(STREAMS, series.time(at) + shift) if series.spec.timed else None
            for one, other in zip(found[1:], series.backend.outputs(rows, times), strict=True):
                assert np.array_equal(one, other)


def test_a_time_that_does_not_follow_gives_nan_and_leaves_the_stream_as_it_was(series):
    context, step_s = series.spec.context, series.spec.step_s
    streams = NativeStreams(series.backend.library, series.spec, STREAMS)
    for at in range(context):
        streams.push(series.values[at], series.time(at))
    last, saved = series.time(context - 1), streams.save(5)
    wrong = (last, last - 1, last - step_s, last - 1000 * step_s, last + 1, last + step_s - 1, last + step_s + 1)
    beyond = (MILLISECONDS, -MILLISECONDS, YEAR_1 - 1, YEAR_10000, 2**63 - 1, NEXT, NEXT + 1)
    for time in (*wrong, *beyond):
        assert _silent(streams.push(series.values[0], time)), time
        again = streams.save(5)
        assert (again[0], again[2]) == (saved[0], saved[2]) == (context, last)
        assert np.array_equal(again[1], saved[1])
    found = streams.push(series.values[context], series.time(context))
    assert series.same(found[1:], context)


def test_a_state_knows_its_time_too(series):
    context, step_s = series.spec.context, series.spec.step_s
    state = NativeState(series.backend.library, series.spec)
    for at in range(context):
        if at in (1, context - 1):
            last = series.time(at - 1)
            for time in (last, last - step_s, last + 1, MILLISECONDS, NEXT):
                assert _silent(state.step(series.values[0, 0], time)), time
        found = state.step(series.values[at, 0], series.time(at))
    assert all(np.array_equal(a, b[:1]) for a, b in zip(found[1:], series.of_windows(context - 1), strict=True))
    assert _silent(state.step(series.values[0, 0], series.time(context + 1)))  # one step is missing
    for at in range(context + 2, 2 * context + 5):
        assert _silent(state.step(series.values[at, 0], series.time(at))), at  # until the reset


def test_a_stream_is_rebuilt_from_the_steps_that_it_saved(series):
    context, spec = series.spec.context, series.spec
    streams = NativeStreams(series.backend.library, spec, STREAMS)
    assert streams.save(3)[0::2] == (0, NEXT)
    assert np.isnan(streams.save(3)[1]).all()
    for at in range(5):
        streams.push(series.values[at], series.time(at))
    seen, values, time = streams.save(3)
    assert (seen, time) == (5, series.time(4))
    assert np.array_equal(values[-5:], series.values[:5, 3])
    assert np.isnan(values[:-5]).all()
    for at in range(7, context + 2):  # steps 5 and 6 are missing
        streams.push(series.values[at], series.time(at))
    seen, values, time = streams.save(3)
    expected = series.values[2 : context + 2, 3].copy()
    expected[3:5] = np.nan
    assert (seen, time) == (context, series.time(context + 1))
    assert np.array_equal(values, expected, equal_nan=True)
    rebuilt = NativeStreams(series.backend.library, spec)
    for i, row in enumerate(values):
        rebuilt.push(row, time - (context - 1 - i) * spec.step_s)
    for at in range(context + 2, 2 * context + 3):
        one, other = (
            streams.push(series.values[at], series.time(at)),
            rebuilt.push(series.values[at, 3], series.time(at)),
        )
        assert all(np.array_equal(a[3:4], b, equal_nan=True) for a, b in zip(one[1:], other[1:], strict=True)), at
    assert np.isfinite(other.forecast).all()
    again, first = rebuilt.save(), streams.save(3)
    assert (again[0], again[2]) == (first[0], first[2])
    assert np.array_equal(again[1], first[1])


def test_without_a_calendar_steps_may_have_no_time_from_the_first_one_on(series):
    streams, state = (make(series.backend.library, series.spec) for make in (NativeStreams, NativeState))
    if series.spec.timed:
        assert _silent(streams.push(series.values[0, 0], NEXT))
        assert streams.save()[0] == 0
        return
    for at in range(series.spec.context):
        if at == 5:
            assert _silent(streams.push(series.values[at, 0], series.time(at)))  # it has no times
            assert _silent(state.step(series.values[at, 0], series.time(at)))
        found, stepped = (each(series.values[at, 0], NEXT) for each in (streams.push, state.step))
    for one, again, other in zip(found[1:], stepped[1:], series.of_windows(at), strict=True):
        assert np.array_equal(one, other[:1])
        assert np.array_equal(again, other[:1])
    assert streams.save()[2] == NEXT


@pytest.mark.parametrize("wrong", [-1, 1, 2**40, NEXT])
def test_a_series_that_is_not_in_the_table_gives_nan(series, wrong):
    library, spec = series.backend.library, series.spec
    assert library.model_size(SERIES) == 1
    streams, state = NativeStreams(library, spec, 2, wrong), NativeState(library, spec, wrong)
    assert streams.codes == [1, 1]
    for at in range(spec.context):
        pushed = streams.push(series.values[at, :2], series.time(at))
        stepped = state.step(series.values[at, 0], series.time(at))
    assert _silent(pushed)
    assert _silent(stepped)
    values = np.ascontiguousarray(series.values[: spec.context].swapaxes(0, 1))
    which, times = np.zeros(STREAMS, np.int64), np.full(STREAMS, series.time(at))
    which[[0, 33]] = wrong
    for found in series.backend.outputs(values, times, which):
        assert np.isnan(found).all(axis=1).tolist() == [i in (0, 33) for i in range(STREAMS)]
