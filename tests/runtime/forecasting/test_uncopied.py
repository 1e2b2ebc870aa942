"""What holds an engine is neither pickled nor copied, and says what to do instead."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsecast import AnomalyDetector, Forecaster, NativeForecaster, Stream, load
from pulsecast.errors import UsageError

WAYS: dict[str, Callable[[object], object]] = {
    "pickle": pickle.dumps,
    "pickle in a list": lambda held: pickle.dumps([held]),
    "the oldest pickle": lambda held: pickle.dumps(held, protocol=0),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
HELD: dict[str, tuple[Callable[[Forecaster], object], str]] = {
    "Forecaster": (lambda model: model, "load the bundle in each process"),
    "Stream": (Forecaster.stream, r"move its state, to_bytes\(\), and continue with Stream.from_bytes\(model, state\)"),
    "AnomalyDetector": (
        Forecaster.detector,
        r"move its state, to_bytes\(\), and continue with AnomalyDetector.from_bytes\(model, state\)",
    ),
    "Monitor": (
        Forecaster.monitor,
        r"move its state, to_bytes\(\), and continue with Monitor.from_bytes\(model, state\)",
    ),
    "NativeForecaster": (lambda _: NativeForecaster.__new__(NativeForecaster), "load the bundle in each process"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", HELD)
def test_an_object_with_an_engine_says_what_to_do_instead(
    plain_bundle: Path, name: str, way: Callable[[object], object]
) -> None:
    make, instead = HELD[name]
    sentence = rf"^this {name} cannot be pickled or copied, because its engine lives in one process: {instead}$"
    with pytest.raises(UsageError, match=sentence):
        way(make(load(plain_bundle)))


def test_what_the_sentence_says_works(plain_bundle: Path) -> None:
    model = load(plain_bundle)
    stream, detector = model.stream(), model.detector()
    for value in range(300, 360):
        stream.push(float(value))
        detector.push(float(value))
    moved = pickle.loads(pickle.dumps((stream.to_bytes(), detector.to_bytes())))  # noqa: S301 - pickled here
    other = load(plain_bundle)
    assert Stream.from_bytes(other, moved[0]).push(1.0) == stream.push(1.0)
    assert AnomalyDetector.from_bytes(other, moved[1]).push(1.0) == detector.push(1.0)


def test_results_travel_between_processes(calendar_bundle: Path) -> None:
    from pulsecast.bundle.bundle import Bundle

    model, windows = load(calendar_bundle), Bundle.open(calendar_bundle).golden().windows.take(slice(3))
    forecast = model.predict(windows)
    assert (pickle.loads(pickle.dumps(forecast)) == forecast).all()  # noqa: S301 - pickled here
    assert pickle.loads(pickle.dumps(model.manifest)) == model.manifest  # noqa: S301 - pickled here
