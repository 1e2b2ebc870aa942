"""Streams against `predict` on the windows that they stand for, natively and through any backend."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from export.test_native import SPEC, backend, cache, model  # noqa: F401  (fixtures)
from pulsecast.errors import FeatureCountError, UsageError
from pulsecast.streaming import Stream


@pytest.fixture(params=["native", "any"])
def forecaster(request, backend):  # noqa: F811
    manifest = SimpleNamespace(spec=SPEC)
    inner = backend if request.param == "native" else SimpleNamespace(predict=backend.predict)
    return SimpleNamespace(manifest=manifest, artifact=SimpleNamespace(id="a"), backend=inner)


def _series(seed: int, streams: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 50, (70, streams, 2)).astype(np.float32)


def _windows(series: np.ndarray, n: int) -> np.ndarray:
    return np.ascontiguousarray(series[n + 1 - SPEC.context : n + 1].swapaxes(0, 1))


def test_every_push_gives_the_bits_of_the_whole_window(forecaster):
    series, stream = _series(1, streams=3), forecaster_stream(forecaster, 3)
    series[20, 1, 0] = np.nan
    for n, steps in enumerate(series):
        found = stream.push(steps)
        if n % 3 == 0:
            stream.settle()
        if n + 1 < SPEC.context:
            assert np.isnan(found).all()
        else:
            assert np.array_equal(found, forecaster.backend.predict(_windows(series, n)), equal_nan=True), n


def forecaster_stream(forecaster, streams: int = 1) -> Stream:
    return Stream(forecaster, streams)


def test_a_snapshot_goes_on_as_if_nothing_had_been(forecaster):
    series, stream = _series(2), forecaster_stream(forecaster)
    for steps in series[:40]:
        stream.push(steps)
    kept = stream.snapshot()
    expected = [stream.push(steps) for steps in series[40:]]
    other = forecaster_stream(forecaster)
    other.restore(kept)
    assert np.array_equal([other.push(steps) for steps in series[40:]], expected)


def test_reset_forgets_every_step(forecaster):
    series, stream = _series(3), forecaster_stream(forecaster)
    for steps in series[:30]:
        stream.push(steps)
    stream.reset()
    assert np.isnan(stream.push(series[30])).all()


def test_wrong_shapes_and_snapshots_are_refused_with_a_sentence(forecaster):
    stream = forecaster_stream(forecaster)
    with pytest.raises(FeatureCountError, match=r"this stream takes \(1, 2\)"):
        stream.push([1.0])
    with pytest.raises(UsageError, match="the snapshot is of 2 streams"):
        stream.restore(forecaster_stream(forecaster, 2).snapshot())
