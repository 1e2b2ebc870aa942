"""Verification fails when it should: every check is shown to catch the defect that it is there for.

The backend under test is the float64 reference with one defect added, so that a check can see nothing but the defect;
the sound reference passes all of them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.hostile.defective import Predict, Times, Values, checks_of, spoils_bounds
from pulsecast import verify
from pulsecast.backends.numpy_reference import NumpyBackend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import write_golden
from pulsecast.bundle.manifest import Manifest, Parity
from pulsecast.errors import ToleranceError, UsageError
from pulsecast.forecasting.checks import Check, check_backend, measure_parity, parity_checks
from pulsecast.forecasting.verification import ArtifactReport, check_reference, require_passed
from pulsecast.model.accuracy import Accuracy, accuracy
from pulsecast.model.weights import Weights


def leaks_state(sound: Predict, manifest: Manifest) -> Predict:
    """Carry a little of the last call's last forecast into the next, as an LSTM without a reset does."""
    carried = np.zeros(manifest.spec.horizon, np.float32)

    def predict(values: Values, time: Times) -> Values:
        nonlocal carried
        forecasts = sound(values, time) + np.float32(1e-4) * carried
        carried = np.nan_to_num(forecasts[-1])
        return forecasts

    return predict


def leaks_state_between_rows(sound: Predict, manifest: Manifest) -> Predict:
    """Each row feels the one before it in its batch."""

    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        forecasts[1:] += np.float32(1e-3) * forecasts[:-1]
        return forecasts

    return predict


def keeps_nan(sound: Predict, manifest: Manifest) -> Predict:
    """Once poisoned by NaN, always poisoned: what a state does that is never reset."""
    poisoned = False

    def predict(values: Values, time: Times) -> Values:
        nonlocal poisoned
        forecasts = sound(values, time)
        if poisoned:
            forecasts[:] = np.nan
        poisoned = poisoned or bool(np.isnan(forecasts).any())
        return forecasts

    return predict


def answers_a_constant(sound: Predict, manifest: Manifest) -> Predict:
    return lambda values, time: np.full_like(sound(values, time), manifest.scaler.features[0].low)


def halves_the_swing(sound: Predict, manifest: Manifest) -> Predict:
    middle = np.float32((manifest.scaler.features[0].low + manifest.scaler.features[0].high) / 2)
    return lambda values, time: middle + (sound(values, time) - middle) * np.float32(0.8)


def scales_by_the_batch(sound: Predict, manifest: Manifest) -> Predict:
    """As dynamic quantisation of activations does: one scale for the whole batch, so that rows feel each other."""

    def predict(values: Values, time: Times) -> Values:
        step = np.nanmax(np.abs(values)) / 127 / 64
        return np.round(sound(values, time) / step) * step  # type: ignore[no-any-return]

    return predict


def depends_on_the_batch_size(sound: Predict, manifest: Manifest) -> Predict:
    shift = np.float32(manifest.scaler.range * 1e-4)
    return lambda values, time: sound(values, time) + shift * np.float32(len(values) > 1)


def swallows_nan(sound: Predict, manifest: Manifest) -> Predict:
    return lambda values, time: sound(np.nan_to_num(values, nan=manifest.scaler.features[0].low), time)


def swallows_nan_in_the_oldest_step(sound: Predict, manifest: Manifest) -> Predict:
    def predict(values: Values, time: Times) -> Values:
        filled = values.copy()
        filled[:, 0] = np.nan_to_num(filled[:, 0], nan=manifest.scaler.features[0].low)
        return sound(filled, time)

    return predict


def spreads_nan(sound: Predict, manifest: Manifest) -> Predict:
    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        return np.full_like(forecasts, np.nan) if np.isnan(forecasts).any() else forecasts

    return predict


def takes_milliseconds(sound: Predict, manifest: Manifest) -> Predict:
    """Guess the unit of a time that is far in the future."""
    return lambda values, time: sound(values, time if time is None else np.where(time > 10**11, time // 1000, time))


def cuts_remainders_towards_zero(sound: Predict, manifest: Manifest) -> Predict:
    """As integer division in C does: before 1970 every step is on another day of the week."""
    return lambda values, time: sound(values, time if time is None else np.abs(time))


def forgets_the_last_century(sound: Predict, manifest: Manifest) -> Predict:
    """Give NaN before 1970 in one window, which a comparison of Python's own would lose."""

    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        if time is not None and time.max() < 0:
            forecasts[-1] = np.nan
        return forecasts

    return predict


def lost(found: tuple[Values, ...]) -> tuple[Values, ...]:
    return found[:1]


def swapped(found: tuple[Values, ...]) -> tuple[Values, ...]:
    forecast, lower, upper = found
    return forecast, upper, lower


def a_count_wide(found: tuple[Values, ...]) -> tuple[Values, ...]:
    forecast, lower, upper = found
    return forecast, lower, upper + np.float32(1)


def is_biased(sound: Predict, manifest: Manifest) -> Predict:
    return lambda values, time: sound(values, time) + np.float32(manifest.scaler.range * 0.05)


DEFECTS: dict[str, tuple[Callable[[Predict, Manifest], Predict], str]] = {
    "a state leaked from call to call": (leaks_state, "A, B, A repeats A"),
    "a leak seen when a batch is repeated": (leaks_state, "a batch repeats itself"),
    "a state leaked from row to row": (leaks_state_between_rows, "batch 1 = batch 64"),
    "a leak to the wild one's neighbour": (leaks_state_between_rows, "a wild neighbour changes nothing"),
    "a state poisoned for good": (keeps_nan, "clean again after NaN"),
    "a constant output": (answers_a_constant, "spread / reference"),
    "a constant output, by its error": (answers_a_constant, "largest error / range"),
    "a flattened output": (halves_the_swing, "spread / reference"),
    "a scale shared by the batch": (scales_by_the_batch, "a wild neighbour changes nothing"),
    "a batch-dependent output": (depends_on_the_batch_size, "batch 1 = batch 64"),
    "NaN swallowed": (swallows_nan, "NaN in (step 49), no number out"),
    "NaN swallowed in the oldest step": (swallows_nan_in_the_oldest_step, "NaN in (step 0), no number out"),
    "NaN spread over the batch": (spreads_nan, "a NaN neighbour (step 0) changes nothing"),
    "a bias": (is_biased, "MAE change"),
    "a bias, squared": (is_biased, "RMSE change"),
    "bounds lost": (spoils_bounds(lost), "bounds"),
    "bounds swapped": (spoils_bounds(swapped), "bounds"),
    "a bound that is one too wide": (spoils_bounds(a_count_wide), "bounds"),
}
TIME_DEFECTS: dict[str, tuple[Callable[[Predict, Manifest], Predict], str]] = {
    "a unit guessed": (takes_milliseconds, "milliseconds in, no number out"),
    "no forecast before 1970": (forgets_the_last_century, "other years"),
    "another calendar before 1970": (cuts_remainders_towards_zero, "other years"),
}


def test_the_sound_reference_passes_every_check(plain_bundle: Path, calendar_bundle: Path) -> None:
    for path, count in ((plain_bundle, 16), (calendar_bundle, 18)):
        checks = checks_of(path, lambda sound, _: sound)
        assert [check for check in checks.values() if not check.passed] == []
        assert len(checks) == count


@pytest.mark.parametrize(("spoil", "name"), DEFECTS.values(), ids=DEFECTS.keys())
def test_each_defect_fails_its_own_check(
    plain_bundle: Path, spoil: Callable[[Predict, Manifest], Predict], name: str
) -> None:
    check = checks_of(plain_bundle, spoil)[name]
    assert not check.passed
    report = ArtifactReport(artifact="onnx", engine="x", device="CPU", checks=(check,))
    with pytest.raises(ToleranceError) as raised:
        require_passed((report,))
    assert str(raised.value) == f"onnx: {name} is {check.measured}, limit {check.limit}"


@pytest.mark.parametrize(("spoil", "name"), TIME_DEFECTS.values(), ids=TIME_DEFECTS.keys())
def test_each_defect_of_the_calendar_fails_its_own_check(
    calendar_bundle: Path, spoil: Callable[[Predict, Manifest], Predict], name: str
) -> None:
    checks = checks_of(calendar_bundle, spoil)
    assert [check.name for check in checks.values() if not check.passed] == [name]


@pytest.mark.parametrize(
    "name", ["lstm_0.kernel", "lstm_0.recurrent", "lstm_1.kernel", "lstm_1.recurrent", "head.kernel"]
)
def test_one_percent_of_noise_in_one_matrix_fails(plain_bundle: Path, name: str) -> None:
    bundle = Bundle.open(plain_bundle)
    noisy = perturbed(bundle.weights(), name, 0.01)
    checks = check_backend(
        NumpyBackend(bundle.manifest, noisy), bundle.manifest, bundle.manifest.artifacts[0], bundle.golden(), noisy
    )
    failed = {check.name for check in checks if not check.passed}
    assert "largest error / range" in failed


def test_one_percent_of_noise_in_a_linear_kernel_fails(linear_bundle: Path) -> None:
    bundle = Bundle.open(linear_bundle)
    weights, (artifact, *_) = bundle.weights(), bundle.manifest.artifacts
    assert weights.linear is not None
    noise = np.random.default_rng(3).standard_normal(weights.linear.shape)
    noisy = replace(weights, linear=(weights.linear * (1 + 0.01 * noise)).astype(np.float32))
    checks = {
        name: check_backend(NumpyBackend(bundle.manifest, one), bundle.manifest, artifact, bundle.golden(), one)
        for name, one in (("sound", weights), ("noisy", noisy))
    }
    assert [check.name for check in checks["sound"] if not check.passed] == []
    assert "largest error / range" in {check.name for check in checks["noisy"] if not check.passed}


def perturbed(weights: Weights, name: str, share: float) -> Weights:
    """Return `weights` with noise of `share` of the standard deviation on one array."""
    rng = np.random.default_rng(3)
    array = weights.arrays(plain.LEVEL_SPEC.network)[name]
    noisy = (array + share * array.std() * rng.standard_normal(array.shape)).astype(np.float32)
    if name == "head.kernel":
        return replace(weights, head_kernel=noisy)
    number, field = int(name[5]), name.split(".")[1]
    layers = list(weights.layers)
    layers[number] = replace(layers[number], **{field: noisy})
    return replace(weights, layers=tuple(layers))


def test_weights_that_are_not_those_of_the_golden_fail_verify(level_model: plain.PlainModel, tmp_path: Path) -> None:
    """The hashes are right, the manifest is right: only recomputing shows that the golden is another model's."""
    path = tmp_path / "bundle"
    plain.write_bundle(path, replace(level_model, weights=perturbed(level_model.weights, "lstm_1.recurrent", 0.01)))
    (path / "golden.npz").write_bytes(write_golden(level_model.golden()))
    plain.write_manifest(path, level_model, (plain.numpy_artifact(),))
    (report,) = verify(path)
    assert not report.passed
    failed = {check.name: check for check in report.checks if not check.passed}
    assert {"largest error / range", "golden = float64 reference here"} <= set(failed)
    with pytest.raises(ToleranceError, match=r"numpy: largest error / range is \d\.\de-0\d, limit 2\.0e-06"):
        require_passed((report,))


def test_a_golden_off_by_less_than_float32_shows_is_still_noticed(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    path = tmp_path / "bundle"
    plain.write_bundle(path, level_model)
    golden = level_model.golden()
    moved = replace(golden, reference=golden.reference + 1e-7 * level_model.scaler.range)
    assert not check_reference(Bundle.open(path), moved).passed
    assert check_reference(Bundle.open(path), golden).passed


def test_verify_reports_a_sound_bundle_as_passed(plain_bundle: Path) -> None:
    (report,) = verify(plain_bundle, artifact="numpy")
    assert (report.artifact, report.device, report.passed, report.skipped) == ("numpy", "CPU", True, None)
    require_passed((report,))


def test_verify_of_an_unknown_artifact_lists_the_known_ones(plain_bundle: Path) -> None:
    with pytest.raises(UsageError, match="no artifact 'onnx' in this bundle; it has numpy"):
        verify(plain_bundle, artifact="onnx")


def test_every_failure_of_every_artifact_is_told() -> None:
    good = Check(name="a", passed=True, measured="1", limit="2")
    bad = Check(name="b", passed=False, measured="3", limit="2")
    reports = tuple(
        ArtifactReport(artifact=name, engine="", device="", checks=(good, bad)) for name in ("onnx", "tflite")
    )
    with pytest.raises(ToleranceError, match=r"^onnx: b is 3, limit 2; tflite: b is 3, limit 2$"):
        require_passed(reports)


# ------------------------------------------------------------------------------------------------------- arithmetic


def test_parity_is_in_fractions_of_the_range_and_of_the_ideal_error(level_model: plain.PlainModel) -> None:
    golden = level_model.golden()
    golden = replace(
        golden, truth=np.zeros_like(golden.truth), reference=np.tile([[2.0], [4.0]], (len(golden.truth) // 2, 1))
    )
    golden = replace(golden, unit=np.full(len(golden.truth), 10.0))
    forecasts = (golden.reference + np.tile([[1.0], [0.0]], (len(golden.truth) // 2, 1))).astype(np.float32)
    found = measure_parity(forecasts, golden)
    assert found.max_abs == pytest.approx(0.1, rel=1e-15)
    assert found.rms == pytest.approx(0.1 / np.sqrt(2), rel=1e-15)
    assert found.mae_change == pytest.approx(3.5 / 3 - 1, rel=1e-15)
    assert found.rmse_change == pytest.approx(np.sqrt(12.5 / 10) - 1, rel=1e-15)


@pytest.mark.parametrize("field", ["max_abs", "mae_change", "rmse_change"])
def test_nan_passes_no_parity_check(field: str) -> None:
    parity = replace(plain.NO_PARITY, **{field: float("nan")})
    assert [check.passed for check in parity_checks(parity, plain.numpy_artifact())].count(False) == 1


@pytest.mark.parametrize("change", [0.0101, -0.0101])
def test_a_change_of_accuracy_fails_in_either_direction(change: float) -> None:
    parity = Parity(max_abs=0.0, rms=0.0, mae_change=change, rmse_change=0.0)
    failed = [check for check in parity_checks(parity, plain.numpy_artifact()) if not check.passed]
    assert [(check.name, check.measured, check.limit) for check in failed] == [("MAE change", f"{change:+.2%}", "1%")]


def test_accuracy_is_the_mean_over_windows_and_horizon() -> None:
    forecasts, truth = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 2.0], [3.0, 7.0]])
    assert accuracy(forecasts, truth) == Accuracy(mae=1.0, rmse=float(np.sqrt(2.5)), bias=-0.5)


def test_an_opened_bundle_is_verified_as_it_is_and_no_key_is_passed_over(plain_bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(plain_bundle)
    assert [report.artifact for report in verify(opened)] == ["numpy"]
    with pytest.raises(UsageError, match=r"the bundle is open already.*pass the key to Bundle\.open"):
        verify(opened, key=bytes(32))
