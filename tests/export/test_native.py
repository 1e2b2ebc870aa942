"""The native targets, from a model with random weights: C against the float64 reference, alone and in a batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pulsecast import reference
from pulsecast.backends.native import NativeBackend
from pulsecast.errors import MissingExtraError
from pulsecast.manifest import HeldOut, Provenance
from pulsecast.model_directory import HeldOutWindows, ModelDirectory, ModelRecord
from pulsecast.native_library import compiled, find_compiler
from pulsecast.scaler import FeatureScale, Scaler
from pulsecast.spec import Channel, Feature, ModelSpec
from pulsecast.weights import LstmWeights, Weights
from pulsecast_export.native_writer import sources

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")

FLOAT32_ROUNDING = 2e-6  # of the range: float32 arithmetic with activations of a few 1e-7
SPEC = ModelSpec(
    window=13,
    features=(Feature(name="value"), Feature(name="other")),
    channels=(Channel(feature=0), Channel(feature=1), Channel(feature=0, lag=3)),
    units=(7, 20),
    horizon=2,
    step_s=60,
    target="change",
    floor=0.0,
)
SCALER = Scaler(
    features=(FeatureScale(transform="log1p", offset=2.0, scale=1.5, low=0, high=50), FeatureScale(scale=2.0))
)


def _layer(rng: np.random.Generator, inputs: int, units: int) -> LstmWeights:
    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    return LstmWeights(kernel=draw(inputs, 4 * units), recurrent=draw(units, 4 * units), bias=draw(4 * units))


@pytest.fixture(scope="module")
def model() -> ModelDirectory:
    rng = np.random.default_rng(3)
    head = rng.normal(0, 0.3, (20, 2)).astype(np.float32)
    layers = (_layer(rng, 3, 7), _layer(rng, 7, 20))
    windows = rng.uniform(0, 50, (100, SPEC.context, 2)).astype(np.float32)
    record = ModelRecord(
        format=1, name='odd "name" */', recipe="test", spec=SPEC, scaler=SCALER,
        heldout=HeldOut(windows=100, forecasts={}),
        provenance=Provenance(versions={}, platform="", seed=0, training={}, data={}), files={},
    )  # fmt: skip
    nothing = np.zeros((100, 2))
    return ModelDirectory(
        record=record,
        weights=Weights(layers=layers, head_kernel=head, head_bias=np.zeros(2, np.float32)),
        heldout=HeldOutWindows(windows=windows, truth=nothing, trained=nothing.astype(np.float32)),
        calibration=windows,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=["native", "native-w8"])
def backend(request: pytest.FixtureRequest, model: ModelDirectory, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(cache))
    texts = {name: text.encode() for name, text in sources(model, request.param).items()}
    if request.param == "native-w8":
        # random weights have no small error: the self-test's tolerance is that of trained models
        texts["model.h"] = texts["model.h"].replace(b"#define MODEL_TOLERANCE ", b"#define MODEL_TOLERANCE 100 + ")
    opened = NativeBackend(str(compiled(texts, find_compiler())), SPEC, 1)
    opened.eight_bits = request.param == "native-w8"
    return opened


def test_forecasts_are_the_reference_to_float32_rounding(backend, model):
    windows = model.heldout.windows
    expected = reference.forecast(SPEC, SCALER, model.weights, windows.astype(np.float64))
    error = np.abs(backend.predict(windows) - expected).max() / SCALER.range
    assert error < (2e-2 if backend.eight_bits else FLOAT32_ROUNDING)


def test_a_window_gives_the_same_bits_alone_and_in_a_batch_of_any_size(backend, model):
    windows = model.heldout.windows
    alone = np.concatenate([backend.predict(window[np.newaxis]) for window in windows])
    for count in (1, 2, 12, 13, 24, 31, 33, 47, 100):
        assert np.array_equal(backend.predict(windows[:count]), alone[:count]), count


def test_a_broken_row_is_nan_and_leaves_the_others_as_they_were(backend, model):
    windows = model.heldout.windows[:40].copy()
    clean = backend.predict(windows)
    for value in (np.nan, np.inf, -np.inf, -1.0, -2.0):
        broken = windows.copy()
        broken[5, 7, 0] = value
        found = backend.predict(broken)
        assert np.isnan(found[5]).all(), value
        assert np.array_equal(np.delete(found, 5, axis=0), np.delete(clean, 5, axis=0)), value


def test_the_same_model_gives_the_same_source(model):
    assert sources(model, "native") == sources(model, "native")


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingExtraError, match="install a C compiler, or load another backend"):
        find_compiler()
