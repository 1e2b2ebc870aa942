"""Streams against `predict` on the windows that they stand for, natively and through any backend."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pulsecast
from helpers import plain
from helpers.native_fixtures import backend, cache, case, model  # noqa: F401  (fixtures)
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import (
    DtypeError,
    FeatureCountError,
    FormatError,
    InputError,
    NonFiniteError,
    TimeError,
    UsageError,
)
from pulsecast.forecasting.extremes import extreme_windows
from pulsecast.forecasting.streaming import Stream
from pulsecast.model.windows import Windows

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(params=["native", "any"])
def forecaster(request, backend, model):  # noqa: F811
    manifest = SimpleNamespace(spec=model.record.spec, format=2, model_digest=DIGEST, name="plain", series=None)
    inner = backend if request.param == "native" else SimpleNamespace(predict=backend.predict)
    found = SimpleNamespace(manifest=manifest, backend=inner, series=None)
    found.stream = lambda streams: Stream(found, streams)
    return found


def _series(forecaster, seed: int, streams: int = 1) -> np.ndarray:
    """Return steps (2 * context + 5, streams, 1): the series' values in another order, each stream shifted."""
    column = np.random.default_rng(seed).permutation(plain.series())[: 2 * forecaster.manifest.spec.context + 5]
    return np.stack([np.roll(column, 7 * i) for i in range(streams)], axis=1)[..., np.newaxis].astype(np.float32)


def _time(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def _predicted(forecaster, series: np.ndarray, n: int) -> np.ndarray:
    """Return the forecasts of the windows that end with step `n`."""
    spec = forecaster.manifest.spec
    values = np.ascontiguousarray(series[n + 1 - spec.context : n + 1].swapaxes(0, 1))
    time = np.full(len(values), _time(n), np.int64) if spec.timed else None
    return forecaster.backend.predict(*Windows(values=values, time=time).inputs)


def test_every_push_gives_the_bits_of_the_whole_window(forecaster):
    series, stream = _series(forecaster, 1, streams=3), forecaster.stream(3)
    series[20, 1, 0] = np.nan
    for n, steps in enumerate(series):
        found = stream.push(steps, timestamp=_time(n))
        if n % 3 == 0:
            stream.settle()
        if n + 1 < forecaster.manifest.spec.context:
            assert np.isnan(found).all()
        else:
            assert np.array_equal(found, _predicted(forecaster, series, n), equal_nan=True), n


def test_one_stream_takes_numbers_and_gives_the_bits_of_the_whole_window(forecaster):
    series, stream = _series(forecaster, 7), forecaster.stream(1)
    for n, steps in enumerate(series):
        found = stream.push(float(steps[0, 0]), timestamp=_time(n))
    assert np.array_equal(found, _predicted(forecaster, series, len(series) - 1))
    assert np.isnan(stream.push(1e39, timestamp=_time(len(series)))).all()  # infinite in float32: a gap


def test_steps_of_a_model_without_a_calendar_need_no_time(forecaster):
    if forecaster.manifest.spec.timed:
        return
    series, stream = _series(forecaster, 4, streams=2), forecaster.stream(2)
    half = forecaster.manifest.spec.context + 3
    for n, steps in enumerate(series[:half]):
        found = stream.push(steps)
        assert np.isnan(found).all() or np.array_equal(found, _predicted(forecaster, series, n))
    assert np.isfinite(found).all()
    other = Stream.from_bytes(forecaster, stream.to_bytes())
    for each in (stream, other):
        found = [each.push(steps) for steps in series[half:]]
        assert np.array_equal(found[-1], _predicted(forecaster, series, len(series) - 1))
        each.skip()
        assert np.isnan(each.push(series[0])).all()


def test_extreme_numbers_give_the_bits_of_the_whole_window_or_a_gap(forecaster, model):  # noqa: F811
    spec = forecaster.manifest.spec
    windows = extreme_windows(model.heldout.windows.take([2]))
    stream = forecaster.stream(len(windows))
    first = 0 if windows.time is None else int(windows.time[0]) - (spec.context - 1) * spec.step_s
    for step in range(spec.context):
        found = stream.push(windows.values[:, step], timestamp=first + step * spec.step_s if spec.timed else None)
    expected = forecaster.backend.predict(*windows.inputs)
    np.testing.assert_array_equal(found, expected)
    assert not np.isinf(found).any()
    assert np.isfinite(found).all(axis=1).sum() > len(windows) / 2


def test_a_state_goes_on_as_if_nothing_had_been_on_any_backend(forecaster):
    series, stream = _series(forecaster, 2, streams=2), forecaster.stream(2)
    series[5, 1] = np.nan
    half = forecaster.manifest.spec.context + 3
    for n, steps in enumerate(series[:half]):
        stream.push(steps, timestamp=_time(n))
    kept = stream.to_bytes()
    rest = list(enumerate(series[half:], start=half))
    expected = [stream.push(steps, timestamp=_time(n)) for n, steps in rest]
    assert np.isfinite(expected[-1]).all()
    for by_window in (False, True):
        other = Stream.from_bytes(forecaster, kept, by_window=by_window)
        assert other.due == _time(half)
        assert other.to_bytes() == kept
        assert np.array_equal([other.push(x, timestamp=_time(n)) for n, x in rest], expected, equal_nan=True)


def test_the_state_of_one_feature_has_about_three_hundred_bytes(calendar_bundle):
    stream = load(calendar_bundle, backend="numpy").stream()
    assert len(stream.to_bytes()) == 4 * 73 + 68


def test_a_state_before_the_first_step_is_one_that_has_seen_nothing(forecaster):
    kept = forecaster.stream(1).to_bytes()
    stream = Stream.from_bytes(forecaster, kept)
    assert stream.due is None
    assert np.isnan(stream.push(1.0, timestamp=_time(0))).all()


def test_the_state_of_another_model_is_refused_unless_its_steps_may_be_replayed(forecaster):
    series, stream = _series(forecaster, 8), forecaster.stream(1)
    for n, steps in enumerate(series):
        stream.push(steps, timestamp=_time(n))
    kept, manifest = stream.to_bytes(), forecaster.manifest
    other = SimpleNamespace(**{**vars(manifest), "model_digest": "f" * 64})
    newer = SimpleNamespace(manifest=other, backend=forecaster.backend, series=None)
    with pytest.raises(UsageError, match="the state is of another model than plain: pass carry_over=True"):
        Stream.from_bytes(newer, kept)
    carried = Stream.from_bytes(newer, kept, carry_over=True)
    step = np.full((1, 1), 7.0)
    expected = stream.push(step, timestamp=_time(len(series)))
    assert np.array_equal(carried.push(step, timestamp=_time(len(series))), expected)


def test_steps_of_another_length_or_width_are_never_replayed(plain_bundle, calendar_bundle, tmp_path):
    level, calendar = load(plain_bundle, backend="numpy"), load(calendar_bundle, backend="numpy")
    kept = bytearray(level.stream().to_bytes())
    stream = Stream.from_bytes(calendar, bytes(kept), carry_over=True)  # the same columns at the same step
    assert stream.due is None
    daily = SimpleNamespace(manifest=_daily(level.manifest), backend=level.backend, series=None)
    with pytest.raises(UsageError, match="steps of 1 columns every 3600 s; this model takes 1 every 86400 s"):
        Stream.from_bytes(daily, bytes(kept), carry_over=True)


def _daily(manifest):
    from dataclasses import replace

    spec = replace(manifest.spec, step_s=86400)
    return SimpleNamespace(spec=spec, format=2, model_digest="e" * 64, name="daily", series=None)


@pytest.mark.parametrize("part", ["header", "values", "checksum"])
def test_a_state_with_any_flipped_bit_is_refused(part, plain_bundle):
    model = load(plain_bundle, backend="numpy")  # noqa: F811
    kept = model.stream().to_bytes()
    places = {"header": range(64), "values": range(64, len(kept) - 4), "checksum": range(len(kept) - 4, len(kept))}
    for place in places[part]:
        changed = bytearray(kept)
        changed[place] ^= 1 << place % 8
        with pytest.raises(FormatError, match="the state"):
            Stream.from_bytes(model, bytes(changed))


BAD_STATES = {
    "empty": (b"", "not one of a pulsecast stream"),
    "of something else": (b"PK\x03\x04" * 30, "not one of a pulsecast stream"),
    "of a later version": (b"PLSE\x09" + bytes(99), "version 09; this pulsecast reads 01"),
    "cut short": (b"PLSE\x01\x00", "damaged: its checksum differs"),
    "text": ("PLSE", "the state is str; expected the bytes"),
}


@pytest.mark.parametrize(("data", "sentence"), BAD_STATES.values(), ids=BAD_STATES.keys())
def test_what_is_no_state_is_refused_with_a_sentence(data, sentence, plain_bundle):
    with pytest.raises(FormatError, match=sentence):
        Stream.from_bytes(load(plain_bundle, backend="numpy"), data)


def test_reset_forgets_every_step(forecaster):
    series, stream = _series(forecaster, 3), forecaster.stream(1)
    for n, steps in enumerate(series[:-1]):
        stream.push(steps, timestamp=_time(n))
    stream.reset()
    assert np.isnan(stream.push(series[-1], timestamp=_time(1000))).all()


def test_a_push_at_the_wrong_time_or_without_one_is_refused_and_changes_nothing(forecaster):
    series, stream = _series(forecaster, 5), forecaster.stream(1)
    for n, steps in enumerate(series):
        found = stream.push(steps, timestamp=np.datetime64(_time(n), "s"))
        with pytest.raises(TimeError, match="comes 7200 s after the last one; this model takes one every 3600 s"):
            stream.push(steps, timestamp=_time(n + 2))
        with pytest.raises(TimeError, match="the step has no timestamp, but the last one had"):
            stream.push(steps)
    assert np.array_equal(found, _predicted(forecaster, series, n))


def test_a_stream_of_a_calendar_asks_for_the_time_and_refuses_milliseconds(calendar_bundle):
    stream = load(calendar_bundle, backend="numpy").stream()
    with pytest.raises(TimeError, match="has a calendar and the time is missing: pass timestamp, unix seconds"):
        stream.push(1.0)
    with pytest.raises(TimeError, match="beyond the years 1 to 9999; expected unix seconds, so divide milliseconds"):
        stream.push(1.0, timestamp=_time(0) * 1000)


def test_a_model_without_a_calendar_takes_steps_without_times(plain_bundle):
    model = load(plain_bundle, backend="numpy")  # noqa: F811
    stream, values = model.stream(), plain.series()[:60].astype(np.float32)
    for value in values:
        found = stream.push(float(value))
    assert np.array_equal(found, model.predict(values[-50:]))


def test_wrong_shapes_are_refused_with_a_sentence(forecaster):
    stream = forecaster.stream(1)
    with pytest.raises(FeatureCountError, match=r"this stream takes \(1, 1\)"):
        stream.push([1.0, 2.0], timestamp=_time(0))
    for many in (10**13, 10**19):  # more than any machine has, and more than can be addressed
        with pytest.raises(UsageError, match=f"streams is {many}: there is no memory for so many"):
            forecaster.stream(many)


@pytest.mark.slow
def test_many_streams_share_one_call_on_every_backend(textbook_bundle):
    bundle = Bundle.open(textbook_bundle)
    windows = bundle.golden().windows.take(np.array([0, 5, 9]))
    for artifact in bundle.manifest.artifacts:
        loaded = load(textbook_bundle, artifact=artifact.id)
        stream = loaded.stream(len(windows))
        for steps in windows.values.swapaxes(0, 1)[::-1]:  # something else is in the window before
            stream.push(steps)
        for steps in windows.values.swapaxes(0, 1):
            found = stream.push(steps)
        assert np.array_equal(found, loaded.predict(windows)), artifact.id


def test_a_push_keeps_no_array_of_its_caller_and_takes_any_numbers(forecaster):
    series, stream = _series(forecaster, 6), forecaster.stream(1)
    for n, steps in enumerate(series[:-1]):
        row = steps.copy()
        first = stream.push(row, timestamp=_time(n))
        row[:] = np.nan  # the caller's own again
    kept = first.copy()
    end = len(series) - 1
    last = stream.push(series[-1][0].astype(np.float64).tolist(), timestamp=_time(end))
    assert np.array_equal(first, kept)  # a later push writes into no forecast that was given
    assert np.array_equal(last, _predicted(forecaster, series, end))
    strided = np.repeat(series[-1], 2, axis=1)[:, ::2]
    assert np.isfinite(stream.push(strided, timestamp=_time(end + 1))).all()


NO_NUMBERS = {
    "text": (["abc"], DtypeError, "steps are <U3; expected real numbers, and NaN for a missing one"),
    "digits": (["1.0"], DtypeError, "steps are <U3; expected real numbers"),
    "bytes": ([b"1"], DtypeError, r"steps are \|S1; expected real numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], DtypeError, "steps are ragged; every stream needs the same number of features"),
    "complex": ([1j], DtypeError, "steps are complex128; expected real numbers"),
    "a time": (np.array([np.datetime64("2025-01-01", "s")]), DtypeError, r"steps are datetime64\[s\]; expected real"),
    "a duration": (np.array([np.timedelta64(5, "s")]), DtypeError, r"steps are timedelta64\[s\]; expected real"),
    "a truth value": (True, DtypeError, "steps are bool; expected real numbers"),
    "text as objects": (np.array(["1.0"], object), DtypeError, "steps are object; expected real numbers"),
    "None": (None, DtypeError, "steps are object; expected real numbers, and NaN for a missing one"),
    "a masked cell": (np.ma.array([5.0], mask=[True]), NonFiniteError, "steps have masked cells; expected real numb"),
    "a masked value": (np.ma.masked, NonFiniteError, "steps have masked cells; expected real numbers, and NaN"),
}


@pytest.mark.parametrize(("step", "error", "sentence"), NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_a_step_that_is_not_a_number_is_refused_and_changes_nothing(
    step: object, error: type[InputError], sentence: str, plain_bundle: Path
) -> None:
    loaded = load(plain_bundle, backend="numpy")
    stream, detector = loaded.stream(), loaded.detector()
    before = stream.to_bytes(), detector.to_bytes()
    for push in (stream.push, detector.push):
        with pytest.raises(error, match=sentence):
            push(step)
    assert (stream.to_bytes(), detector.to_bytes()) == before
    with pytest.raises(error, match=sentence):
        pulsecast.step(loaded, None, step, _time(0))


def test_a_masked_time_and_one_beyond_int64_are_refused(calendar_bundle):
    stream = load(calendar_bundle, backend="numpy").stream()
    with pytest.raises(TimeError, match="timestamps have masked cells"):
        stream.push(1.0, timestamp=np.ma.array(_time(0), mask=True))
    for time in (10**30, -(10**30)):
        with pytest.raises(TimeError, match="lies beyond the years 1 to 9999"):
            stream.push(1.0, timestamp=time)


@pytest.mark.parametrize(
    "form",
    [
        int,
        float,
        np.float64,
        np.int32,
        lambda x: np.array([[x]], np.float32),
        lambda x: np.array([[x]], ">f4"),
        lambda x: [x],
    ],
    ids=["int", "float", "float64", "int32", "array", "big-endian", "list"],
)
def test_a_step_of_one_number_may_have_any_form(forecaster, form):
    numbers = np.round(_series(forecaster, 21)[:, 0, 0])
    plain_stream, other = forecaster.stream(1), forecaster.stream(1)
    for n, number in enumerate(numbers.tolist()):
        expected = plain_stream.push(np.array([[number]]), timestamp=_time(n))
        assert np.array_equal(other.push(form(number), timestamp=_time(n)), expected, equal_nan=True)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("wrong", [True, 10**400, -(10**400), 1j, None, "5"])
def test_a_step_that_is_no_number_leaves_the_stream_as_it_was(forecaster, wrong):
    stream = forecaster.stream(1)
    stream.push(1.0, timestamp=_time(0))
    with pytest.raises(DtypeError):
        stream.push(wrong, timestamp=_time(1))
    assert stream.due == _time(1)
