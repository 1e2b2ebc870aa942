"""One body over every artifact of the trained bundles: no state, no neighbours, raw units, parity.

These need a model that learned something: on random weights a leaked state moves forecasts by 1e-4 of the range, on a
trained one by 4e-2.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pulsecast import Forecaster, load, verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.errors import NonFiniteError
from pulsecast.forecasting.verification import BATCH_ROUNDING, measure_parity
from pulsecast.model.accuracy import accuracy

pytestmark = pytest.mark.slow

ARTIFACTS = (
    "numpy", "savedmodel", "onnx", "onnx-w8", "tflite", "tflite-fp16", "tflite-w8", "tflite-int8",
)  # fmt: skip
# Largest error in fractions of the training range, and change of MAE and RMSE: the limits of a level forecast. The
# exponential of a change on a log scale multiplies every error by the value itself, so there the limits are wider.
LIMITS = {
    "textbook": {"float32": 2e-6, "float16 weights": 5e-4, "int8 weights": 3e-3, "int8": 2e-2},
    "recommended": {"float32": 1e-5, "float16 weights": 2e-3, "int8 weights": 2e-2, "int8": 1e-1},
}
ACCURACY_LIMITS = {"float32": 0.01, "float16 weights": 0.01, "int8 weights": 0.01, "int8": 0.01}


@cache
def opened(path: Path) -> tuple[Bundle, Golden]:
    bundle = Bundle.open(path)
    return bundle, bundle.golden()


@cache
def loaded(path: Path, artifact: str) -> Forecaster:
    return load(path, artifact=artifact)


@pytest.fixture(params=["textbook", "recommended"])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(recipe: str, request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(f"{recipe}_bundle"))


@pytest.fixture(params=ARTIFACTS)
def model(path: Path, request: pytest.FixtureRequest) -> Forecaster:
    return loaded(path, request.param)


@pytest.fixture
def windows(path: Path) -> np.ndarray:
    return opened(path)[1].windows


def test_the_same_window_gives_the_same_forecast_after_any_other_call(model: Forecaster, windows: np.ndarray) -> None:
    first = model.predict(windows[:1])
    for between in (windows[100:101], windows[:64], windows[100:101] * 1000, windows[1:2]):
        model.predict(between)
        np.testing.assert_array_equal(model.predict(windows[:1]), first)


def test_a_nan_between_leaves_no_trace(model: Forecaster, windows: np.ndarray) -> None:
    first = model.predict(windows[:4])
    with pytest.raises(NonFiniteError):
        model.predict(windows[:4] * np.nan)
    model.backend.predict(windows[:4] * np.float32(np.nan))
    np.testing.assert_array_equal(model.predict(windows[:4]), first)


def test_a_batch_of_64_forecasts_what_64_calls_do(model: Forecaster, windows: np.ndarray) -> None:
    single = np.concatenate([model.predict(window) for window in windows[:64]])
    limit = BATCH_ROUNDING[model.manifest.spec.target] * model.manifest.scaler.range
    np.testing.assert_allclose(model.predict(windows[:64]), single, rtol=0, atol=limit)


def test_any_size_of_batch_is_taken_in_any_order(model: Forecaster, windows: np.ndarray) -> None:
    limit = BATCH_ROUNDING[model.manifest.spec.target] * model.manifest.scaler.range
    expected = model.predict(windows[:33])
    for size in (7, 1, 33, 2):
        found = model.predict(windows[:size])
        assert found.shape == (size, model.manifest.spec.horizon)
        np.testing.assert_allclose(found, expected[:size], rtol=0, atol=limit)


@pytest.mark.parametrize("factor", [1000.0, 0.0])
def test_a_wild_neighbour_changes_nothing(model: Forecaster, windows: np.ndarray, factor: float) -> None:
    clean = model.predict(windows[:8])
    wild = windows[:8].copy()
    wild[5] *= factor
    np.testing.assert_array_equal(np.delete(model.backend.predict(wild), 5, 0), np.delete(clean, 5, 0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 30, -1])
def test_a_value_that_is_not_finite_gives_no_number_and_leaves_its_neighbours(
    model: Forecaster, windows: np.ndarray, value: float, step: int
) -> None:
    clean = model.predict(windows[:8])
    for feature in range(windows.shape[2]):
        broken = windows[:8].copy()
        broken[5, step, feature] = value
        found = model.backend.predict(broken)
        assert not np.isfinite(found[5]).any(), f"feature {feature}"
        np.testing.assert_array_equal(np.delete(found, 5, 0), np.delete(clean, 5, 0))


@pytest.mark.parametrize("value", [-1.0, -1.5, -1e6])
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_a_count_without_a_logarithm_gives_no_number(recommended_bundle: Path, artifact: str, value: float) -> None:
    windows = opened(recommended_bundle)[1].windows[:3].copy()
    windows[1, 40, 0] = value
    found = loaded(recommended_bundle, artifact).backend.predict(windows)
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True]


def test_forecasts_are_in_raw_units(model: Forecaster, path: Path) -> None:
    golden = opened(path)[1]
    last = np.repeat(golden.windows[:, -1:, 0], model.manifest.spec.horizon, axis=1)
    assert accuracy(model.predict(golden.windows), golden.truth).mae < accuracy(last, golden.truth).mae


def test_the_float64_reference_is_met_within_the_limit_of_the_precision(
    model: Forecaster, path: Path, recipe: str
) -> None:
    precision = model.artifact.precision
    here = measure_parity(model.predict(opened(path)[1].windows), opened(path)[1], model.manifest.scaler.range)
    for parity in (here, model.artifact.parity):  # now on the golden, and when exported on all held-out windows
        assert parity.max_abs <= LIMITS[recipe][precision]
        assert abs(parity.mae_change) <= ACCURACY_LIMITS[precision]
        assert abs(parity.rmse_change) <= ACCURACY_LIMITS[precision]
    assert model.artifact.tolerance.max_abs <= LIMITS[recipe][precision]
    assert model.artifact.tolerance.accuracy_change <= ACCURACY_LIMITS[precision]


def test_four_threads_at_once_get_the_numbers_that_one_gets(model: Forecaster, windows: np.ndarray) -> None:
    batches = [windows[i : i + size] for i in range(0, 120, 5) for size in (1, 3, 16)]
    expected = [model.predict(batch) for batch in batches]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(model.predict, batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_timestamps_give_what_the_golden_windows_hold(recommended_bundle: Path) -> None:
    """The golden's calendar columns were made in training; here the runtime makes them again."""
    golden, model = opened(recommended_bundle)[1], loaded(recommended_bundle, "numpy")
    spec = model.manifest.spec
    day = golden.windows[:, :, [f.name for f in spec.features].index("day_sin")]
    start = 1_736_121_600  # the generated log's first hour, a Monday midnight
    hours = np.arange(60 * 24)
    waves = np.sin(2 * np.pi * ((hours + 1) % 24) / 24).astype(np.float32)
    weekend = ((hours + 1) // 24 % 7 >= 5).astype(np.float32)
    for row in (0, 100, 255):
        fits = [
            h
            for h in range(len(hours) - spec.context)
            if np.allclose(waves[h : h + spec.context], day[row], rtol=0, atol=1e-6)
            and np.array_equal(weekend[h : h + spec.context], golden.windows[row, :, -1])
        ]
        seconds = start + 3600 * (fits[0] + np.arange(spec.context))
        found = model.predict(golden.windows[row, :, 0], timestamps=seconds)
        np.testing.assert_array_equal(found, model.predict(golden.windows[row]))


def test_verify_passes_every_artifact(path: Path) -> None:
    reports = verify(path)
    assert [report.artifact for report in reports] == list(ARTIFACTS)
    assert [(report.artifact, check) for report in reports for check in report.checks if not check.passed] == []
    assert [report.skipped for report in reports] == [None] * len(ARTIFACTS)


def test_the_onnx_device_is_the_provider_that_runs(path: Path) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession((path / "onnx" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.get_providers()[0].removesuffix("ExecutionProvider")
    available = ort.get_available_providers()
    found = loaded(path, "onnx").backend.device
    assert found == expected or ("CUDAExecutionProvider" in available and found == "CUDA")


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in available:UserWarning")
def test_a_provider_that_is_listed_but_cannot_start_is_not_reported(
    textbook_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU wheel lists CUDA on any machine; without a GPU its sessions run on the CPU with only a log line."""
    import onnxruntime as ort

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this is the GPU wheel; whether CUDA starts depends on the machine")
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert load(textbook_bundle, artifact="onnx").backend.device == "CPU"
