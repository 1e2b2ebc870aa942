"""One body over every artifact of the trained bundles: no state, no neighbours, raw units, parity.

These need a model that learned something: on random weights a leaked state moves forecasts by 1e-4 of the range, on a
trained one by 4e-2.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pulsecast import Forecaster, load, verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.errors import NonFiniteError
from pulsecast.forecasting.checks import BATCH_ROUNDING, measure_parity
from pulsecast.model.accuracy import accuracy
from pulsecast.model.windows import Windows

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


def scaled(windows: Windows, factor: float) -> Windows:
    return windows.changed(windows.values * np.float32(factor))


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
def windows(path: Path) -> Windows:
    return opened(path)[1].windows


def test_the_same_window_gives_the_same_forecast_after_any_other_call(model: Forecaster, windows: Windows) -> None:
    first = model.predict(windows.take(slice(1)))
    for between in (
        windows.take(slice(100, 101)),
        windows.take(slice(64)),
        scaled(windows.take(slice(100, 101)), 1000),
        windows.take(slice(1, 2)),
    ):
        model.backend.predict(*between.inputs)  # int8 has no forecast for the wild one
        np.testing.assert_array_equal(model.predict(windows.take(slice(1))), first)


def test_a_nan_between_leaves_no_trace(model: Forecaster, windows: Windows) -> None:
    first = model.predict(windows.take(slice(4)))
    with pytest.raises(NonFiniteError):
        model.predict(scaled(windows.take(slice(4)), np.nan))
    model.backend.predict(*scaled(windows.take(slice(4)), np.nan).inputs)
    np.testing.assert_array_equal(model.predict(windows.take(slice(4))), first)


def test_a_batch_of_64_forecasts_what_64_calls_do(model: Forecaster, windows: Windows) -> None:
    single = np.concatenate([model.predict(windows.take([row])) for row in range(64)])
    limit = BATCH_ROUNDING[model.manifest.spec.target] * model.manifest.scaler.range
    np.testing.assert_allclose(model.predict(windows.take(slice(64))), single, rtol=0, atol=limit)


def test_any_size_of_batch_is_taken_in_any_order(model: Forecaster, windows: Windows) -> None:
    limit = BATCH_ROUNDING[model.manifest.spec.target] * model.manifest.scaler.range
    expected = model.predict(windows.take(slice(33)))
    for size in (7, 1, 33, 2):
        found = model.predict(windows.take(slice(size)))
        assert found.shape == (size, model.manifest.spec.horizon)
        np.testing.assert_allclose(found, expected[:size], rtol=0, atol=limit)


@pytest.mark.parametrize("factor", [1000.0, 0.0])
def test_a_wild_neighbour_changes_nothing(model: Forecaster, windows: Windows, factor: float) -> None:
    clean = model.predict(windows.take(slice(8)))
    wild = windows.values[:8].copy()
    wild[5] *= factor
    np.testing.assert_array_equal(
        np.delete(model.backend.predict(*windows.take(slice(8)).changed(wild).inputs), 5, 0), np.delete(clean, 5, 0)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 30, -1])
def test_a_value_that_is_not_finite_gives_no_number_and_leaves_its_neighbours(
    model: Forecaster, windows: Windows, value: float, step: int
) -> None:
    clean = model.predict(windows.take(slice(8)))
    broken = windows.values[:8].copy()
    broken[5, step, 0] = value
    for found in model.backend.outputs(*windows.take(slice(8)).changed(broken).inputs):
        assert not np.isfinite(found[5]).any()
        assert np.isfinite(np.delete(found, 5, 0)).all()
    found = model.backend.predict(*windows.take(slice(8)).changed(broken).inputs)
    np.testing.assert_array_equal(np.delete(found, 5, 0), np.delete(clean, 5, 0))


def test_int8_has_no_forecast_for_a_window_far_beyond_its_calibration(path: Path, windows: Windows) -> None:
    model = loaded(path, "tflite-int8")
    windows = windows.take(slice(3))
    clean = model.predict(windows)
    wild = windows.values.copy()
    wild[1] *= 1e6
    found = model.backend.predict(*windows.changed(wild).inputs)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(np.delete(found, 1, 0), np.delete(clean, 1, 0))
    with pytest.raises(NonFiniteError, match="outside what the model's scaler, or an 8-bit input, can take"):
        model.predict(windows.changed(wild))


@pytest.mark.parametrize("value", [-1.0, -1.5, -1e6])
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_a_count_without_a_logarithm_gives_no_number(recommended_bundle: Path, artifact: str, value: float) -> None:
    windows = opened(recommended_bundle)[1].windows.take(slice(3))
    values = windows.values.copy()
    values[1, 40, 0] = value
    found = loaded(recommended_bundle, artifact).backend.predict(*windows.changed(values).inputs)
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True]


def test_forecasts_are_in_raw_units(model: Forecaster, path: Path) -> None:
    golden = opened(path)[1]
    last = np.repeat(golden.windows.values[:, -1:, 0], model.manifest.spec.horizon, axis=1)
    assert accuracy(model.predict(golden.windows), golden.truth).mae < accuracy(last, golden.truth).mae


def test_the_float64_reference_is_met_within_the_limit_of_the_precision(
    model: Forecaster, path: Path, recipe: str
) -> None:
    precision = model.artifact.precision
    here = measure_parity(model.predict(opened(path)[1].windows), opened(path)[1])
    for parity in (here, model.artifact.parity):  # now on the golden, and when exported on all held-out windows
        assert parity.max_abs <= LIMITS[recipe][precision]
        assert abs(parity.mae_change) <= ACCURACY_LIMITS[precision]
        assert abs(parity.rmse_change) <= ACCURACY_LIMITS[precision]
    assert model.artifact.tolerance.max_abs <= LIMITS[recipe][precision]
    assert model.artifact.tolerance.accuracy_change <= ACCURACY_LIMITS[precision]


def test_four_threads_at_once_get_the_numbers_that_one_gets(model: Forecaster, windows: Windows) -> None:
    batches = [windows.take(slice(i, i + size)) for i in range(0, 120, 5) for size in (1, 3, 16)]
    expected = [model.predict(batch) for batch in batches]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(model.predict, batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_a_time_in_milliseconds_gives_no_number_and_leaves_its_neighbours(
    recommended_bundle: Path, artifact: str
) -> None:
    windows, backend = (
        opened(recommended_bundle)[1].windows.take(slice(4)),
        loaded(recommended_bundle, artifact).backend,
    )
    times = windows.time.copy()
    times[1] *= 1000
    clean = backend.outputs(*windows.inputs)
    for found, expected in zip(backend.outputs(*replace(windows, time=times).inputs), clean, strict=True):
        assert np.isnan(found[1]).all()
        np.testing.assert_array_equal(np.delete(found, 1, 0), np.delete(expected, 1, 0))


def test_bounds_hold_the_truth_about_as_often_as_the_manifest_says(model: Forecaster, path: Path) -> None:
    golden = opened(path)[1]
    found = model.backend.outputs(*golden.windows.inputs)
    if model.artifact.units == "scaled":
        assert len(found) == 1
        return
    covered = ((golden.truth >= found[1]) & (golden.truth <= found[2])).mean()
    assert model.manifest.level == 0.9
    assert 0.85 <= covered <= 0.97  # the radii come from these windows


def test_verify_passes_every_artifact(path: Path) -> None:
    reports = verify(path)
    assert [report.artifact for report in reports] == list(ARTIFACTS)
    assert [(report.artifact, check) for report in reports for check in report.checks if not check.passed] == []
    assert [report.skipped for report in reports] == [None] * len(ARTIFACTS)


def test_verify_tries_the_largest_and_the_smallest_numbers_on_every_artifact(recommended_bundle: Path) -> None:
    named = {report.artifact: {check.name for check in report.checks} for report in verify(recommended_bundle)}
    assert [one for one, names in named.items() if "extreme numbers" not in names] == []
    unbounded = [one for one, names in named.items() if "bounds of extreme numbers" not in names]
    assert unbounded == ["tflite-int8"]  # which gives scaled values


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
