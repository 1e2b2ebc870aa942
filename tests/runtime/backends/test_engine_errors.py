"""Whatever an engine raises, at a load or at a forecast, is an EngineError with the first line of the reason."""

from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from pulsecast import Forecaster, load, verify
from pulsecast.backends import BACKENDS, fail
from pulsecast.backends.numpy_reference import NumpyBackend
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, ToleranceError, WindowLengthError

OLD_BUNDLE = Path(__file__).parents[2] / "data" / "golden_v1"


class OddError(Exception):
    """What no caller expects."""


def broken(*given: object, **named: object) -> None:
    raise OddError("out of luck\nat line 7\n")


def opened(artifact: str) -> Forecaster:
    require(str(BACKENDS[artifact.partition("-")[0]].package))
    return load(OLD_BUNDLE, artifact=artifact)


class Broken:
    """An interpreter that breaks in every call."""

    def __getattr__(self, name: str) -> object:
        return broken


@pytest.mark.parametrize(
    ("artifact", "part", "instead"), [("onnx-w8", "_run", broken), ("tflite-w8", "_interpreter", Broken())]
)
def test_what_an_engine_raises_at_a_forecast_is_an_engine_error(
    artifact: str, part: str, instead: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(artifact)
    windows = Bundle.open(OLD_BUNDLE).golden().windows.take(slice(2))
    expected = model.predict(windows)
    backend = model.backend.inner  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(backend, part, instead)
        for ask in (model.predict, lambda given: backend.outputs(given.values)):
            with pytest.raises(EngineError, match=rf"^{backend.engine} failed: out of luck$") as raised:
                ask(windows)
            assert isinstance(raised.value.__cause__, OddError)
        with pytest.raises(WindowLengthError):  # the input's errors are still its own
            model.predict(windows.values[:, 1:])
    np.testing.assert_array_equal(model.predict(windows), expected)


@pytest.mark.slow
def test_what_tensorflow_raises_at_a_forecast_is_an_engine_error(
    recommended_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(recommended_bundle, backend="savedmodel")
    monkeypatch.setattr(model.backend, "_signature", broken)
    for ask in (model.predict, lambda given: model.backend.outputs(*given.inputs)):
        with pytest.raises(EngineError, match=rf"^{model.backend.engine} failed: out of luck$"):
            ask(Bundle.open(recommended_bundle).golden().windows.take(slice(2)))


@pytest.mark.parametrize("artifact", ["onnx-w8", "tflite-w8"])
def test_an_engine_says_what_it_does_not_take(artifact: str) -> None:
    backend = opened(artifact).backend.inner  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=rf"^{backend.engine} failed: \S.*$"):
        backend.predict(np.zeros((1, 2, 3), np.float32))


def test_a_load_whose_first_forecast_breaks_is_an_engine_error(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NumpyBackend, "predict", broken)
    with pytest.raises(EngineError, match=r"^numpy cannot be run by numpy: out of luck$"):
        load(plain_bundle)
    with pytest.raises(EngineError, match=r"^numpy cannot be verified with numpy: out of luck$"):
        verify(plain_bundle)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([["a", "b"]], r"^numpy cannot be run by numpy: could not convert"),
        (np.zeros((3, 3)), r"^numpy gives forecasts \(3, 3\); its golden has \(8, 1\)$"),
        (np.full((8, 1), np.nan), r"^numpy does not reproduce its golden here: largest error / range is nan"),
    ],
    ids=["words", "another shape", "NaN"],
)
def test_a_load_refuses_an_answer_that_is_not_a_forecast(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, answer: object, expected: str
) -> None:
    monkeypatch.setattr(NumpyBackend, "predict", lambda *given: answer)
    with pytest.raises((EngineError, ToleranceError), match=expected):
        load(plain_bundle)


def test_an_error_of_ours_passes_through_as_it_is() -> None:
    error = WindowLengthError("windows have 3 steps")
    with pytest.raises(WindowLengthError) as raised:
        fail("an engine failed", error)
    assert raised.value is error


def test_an_exception_without_a_text_is_named_by_its_type() -> None:
    with pytest.raises(EngineError, match=r"^an engine failed: OddError$"):
        fail("an engine failed", OddError())
