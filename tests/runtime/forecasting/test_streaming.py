"""Streams against `predict` on the windows that they stand for, natively and through any backend."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.native_fixtures import backend, cache, case, model  # noqa: F401  (fixtures)
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.computing.calendars import with_calendar
from pulsecast.errors import DtypeError, FeatureCountError, InputError, UsageError
from pulsecast.forecasting.streaming import Stream


@pytest.fixture(params=["native", "any"])
def forecaster(request, backend, model):  # noqa: F811
    manifest = SimpleNamespace(spec=model.record.spec)
    inner = backend if request.param == "native" else SimpleNamespace(predict=backend.predict)
    return SimpleNamespace(
        manifest=manifest, backend=inner, stream=lambda streams: Stream(model.record.spec, "a", inner, streams)
    )


def _series(forecaster, seed: int, streams: int = 1) -> np.ndarray:
    """Return steps (2 * context + 5, streams, features): the series' values in another order, each stream shifted."""
    spec = forecaster.manifest.spec
    column = np.random.default_rng(seed).permutation(plain.series())[: 2 * spec.context + 5]
    values = np.stack([np.roll(column, 7 * i) for i in range(streams)], axis=1)[..., np.newaxis]
    return np.stack([_with_calendar(spec, values[:, i]) for i in range(streams)], axis=1)


def _with_calendar(spec, values: np.ndarray) -> np.ndarray:
    return with_calendar(spec, values, _times(len(values))).astype(np.float32)


def _times(count: int) -> np.ndarray:
    return plain.START_S + plain.STEP_S * np.arange(count, dtype=np.int64)


def _window(forecaster, series: np.ndarray, n: int) -> np.ndarray:
    context = forecaster.manifest.spec.context
    return np.ascontiguousarray(series[n + 1 - context : n + 1].swapaxes(0, 1))


def test_every_push_gives_the_bits_of_the_whole_window(forecaster):
    series, stream = _series(forecaster, 1, streams=3), forecaster.stream(3)
    series[20, 1, 0] = np.nan
    for n, steps in enumerate(series):
        found = stream.push(steps)
        if n % 3 == 0:
            stream.settle()
        if n + 1 < forecaster.manifest.spec.context:
            assert np.isnan(found).all()
        else:
            assert np.array_equal(found, forecaster.backend.predict(_window(forecaster, series, n)), equal_nan=True), n


def test_a_snapshot_goes_on_as_if_nothing_had_been(forecaster):
    series, stream = _series(forecaster, 2), forecaster.stream(1)
    half = forecaster.manifest.spec.context + 3
    for steps in series[:half]:
        stream.push(steps)
    kept = stream.snapshot()
    expected = [stream.push(steps) for steps in series[half:]]
    assert np.isfinite(expected).all()
    other = forecaster.stream(1)
    other.restore(kept)
    assert np.array_equal([other.push(steps) for steps in series[half:]], expected)


def test_reset_forgets_every_step(forecaster):
    series, stream = _series(forecaster, 3), forecaster.stream(1)
    for steps in series[:-1]:
        stream.push(steps)
    stream.reset()
    assert np.isnan(stream.push(series[-1])).all()


def test_pushes_with_timestamps_compute_the_calendar(forecaster):
    series, stream = _series(forecaster, 4, streams=2), forecaster.stream(2)
    measured = forecaster.manifest.spec.measured
    for time, steps in zip(_times(len(series)), series, strict=True):
        found = stream.push(steps[:, :measured], timestamp=np.datetime64(int(time), "s"))
    assert np.array_equal(found, forecaster.backend.predict(_window(forecaster, series, len(series) - 1)))


def test_a_push_at_the_wrong_time_or_without_one_is_refused_and_changes_nothing(forecaster):
    series, times = _series(forecaster, 5), _times(1000)
    measured = forecaster.manifest.spec.measured
    stream = forecaster.stream(1)
    for n, steps in enumerate(series):
        found = stream.push(steps[:, :measured], timestamp=times[n])
        with pytest.raises(InputError, match="comes 7200 s after the last one; this model takes one every 3600 s"):
            stream.push(steps[:, :measured], timestamp=times[n + 2])
        for width in (measured, len(forecaster.manifest.spec.features)):
            with pytest.raises(InputError, match="the step has no timestamp, but the last one had"):
                stream.push(steps[:, :width])
    assert np.array_equal(found, forecaster.backend.predict(_window(forecaster, series, n)))
    stream.reset()
    assert np.isnan(stream.push(series[0])).all()


def test_wrong_shapes_and_snapshots_are_refused_with_a_sentence(forecaster):
    stream, features = forecaster.stream(1), len(forecaster.manifest.spec.features)
    with pytest.raises(FeatureCountError, match=rf"this stream takes \(1, {features}\)"):
        stream.push([1.0] * (features + 1))
    with pytest.raises(UsageError, match="the snapshot is of 2 streams"):
        stream.restore(forecaster.stream(2).snapshot())
    for many in (10**13, 10**19):  # more than any machine has, and more than can be addressed
        with pytest.raises(UsageError, match=f"streams is {many}: there is no memory for so many"):
            forecaster.stream(many)


@pytest.mark.slow
def test_many_streams_share_one_call_on_every_backend(textbook_bundle):
    bundle = Bundle.open(textbook_bundle)
    windows = bundle.golden().windows[[0, 5, 9]]  # (stream, context, features)
    for artifact in bundle.manifest.artifacts:
        loaded = load(textbook_bundle, artifact=artifact.id)
        stream = loaded.stream(len(windows))
        for steps in windows.swapaxes(0, 1)[::-1]:  # something else is in the window before
            stream.push(steps)
        for steps in windows.swapaxes(0, 1):
            found = stream.push(steps)
        assert np.array_equal(found, loaded.predict(windows)), artifact.id


def test_a_push_keeps_no_array_of_its_caller_and_takes_any_numbers(forecaster):
    series, stream = _series(forecaster, 6), forecaster.stream(1)
    for steps in series[:-1]:
        row = steps.copy()
        first = stream.push(row)
        row[:] = np.nan  # the caller's own again
    kept = first.copy()
    last = stream.push(series[-1][0].astype(np.float64).tolist())
    assert np.array_equal(first, kept)  # a later push writes into no forecast that was given
    assert np.array_equal(last, forecaster.backend.predict(_window(forecaster, series, len(series) - 1)))
    strided = np.repeat(series[-1], 2, axis=1)[:, ::2]
    assert np.isfinite(stream.push(strided)).all()


@pytest.mark.parametrize(
    "step", [["abc"], [[1.0], [1.0, 2.0]], [1j], ["x"]], ids=["text", "ragged", "complex", "letter"]
)
def test_a_step_that_is_not_a_number_is_a_dtype_error(step: object, plain_bundle: Path) -> None:
    with pytest.raises(DtypeError, match="not an array of real numbers"):
        load(plain_bundle, backend="numpy").stream().push(step)
