"""A monitor of drift: nothing changed, and each thing that can change, on series of which the truth is known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from pulsecast import POOL, Drift, Forecaster, Monitor, Stream, load
from pulsecast.computing.intervals import fit_split
from pulsecast.errors import DtypeError, FeatureCountError, FormatError, NonFiniteError, TimeError, UsageError
from pulsecast.forecasting.watching.drift import FALSE_ALARM_RATE, SIGNS, finding
from pulsecast.forecasting.watching.promises import steps_watched
from pulsecast.model.scaler import FeatureScale, Scaler

STEPS = 672
TRAFFIC = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "reddit_traffic"


@pytest.fixture(scope="module")
def model(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


def persistent(rng: np.random.Generator, steps: int, shift: float = 0.0) -> np.ndarray:
    """Return errors that follow from those of the step before, with deviation 1: (steps,)."""
    found, rho = rng.normal(0, 1, steps), 0.7
    for n in range(1, steps):
        found[n] = rho * found[n - 1] + np.sqrt(1 - rho**2) * found[n]
    return found + shift


def watched(model: Forecaster, errors: np.ndarray) -> Monitor:
    """Return a monitor of forecasts that were off by `errors` (steps,).

    If these have a normal distribution with deviation 1, then each interval of the model holds what it promises.
    """
    split, (feature, *_) = model.manifest.intervals, model.manifest.scaler.features
    assert split is not None
    inside = np.array([math.erf(abs(error) / math.sqrt(2)) for error in errors])  # share of ordinary ones below it
    radii = np.array(split.radii)[:, 0]
    distance = np.sign(errors) * np.interp(inside, (0, *split.levels, 1), (0, *radii, 1.5 * radii[-1]))
    monitor, forecast = model.monitor(), math.sqrt(feature.low * feature.high)
    for value in np.clip(np.expm1(np.log1p(forecast) + distance), feature.low, feature.high).tolist():
        monitor.observe(value, forecast)
    return monitor


def signs(drift: Drift) -> set[str]:
    return {one.sign for one in drift.findings if one.beyond}


@pytest.mark.parametrize("rho", ["alone", "persistent"])
def test_where_nothing_changed_a_report_is_seldom_wrong(rho: str, model: Forecaster) -> None:
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        errors = rng.normal(0, 1, STEPS) if rho == "alone" else persistent(rng, STEPS)
        wrong += watched(model, errors).report().verdict != "steady"
    assert wrong <= 1  # 0.6 are allowed for


def test_the_chance_of_a_finding_holds_its_rate_where_steps_follow_from_one_another() -> None:
    """At the limit itself, which is the worst case, of each sign."""
    for seed, limit in ((1, 0.15), (2, 0.6)):
        rng = np.random.default_rng(seed)
        edge = {0.15: 1.0364, 0.6: -0.2533}[limit]
        found = [
            finding("coverage", persistent(rng, STEPS) > edge, promised=0.1, limit=limit, lags=24).chance
            for _ in range(400)
        ]
        # 0.01 of 400 is 4; the normal distribution and an estimated autocorrelation make it up to three times that
        assert np.mean(np.array(found) < 0.01) <= 0.03


CHANGES = {
    "three times the noise": (lambda rng: 3 * rng.normal(0, 1, STEPS), {"coverage", "size"}),
    "a shift that the model does not follow": (lambda rng: rng.normal(1.5, 1, STEPS), {"coverage", "size", "bias"}),
    "the same downwards": (lambda rng: rng.normal(-1.5, 1, STEPS), {"coverage", "size", "bias"}),
    "a change three weeks ago": (
        lambda rng: np.where(np.arange(STEPS) < STEPS // 4, 1, 4) * rng.normal(0, 1, STEPS),
        {"coverage"},
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_found_and_named(change, expected: set[str], model: Forecaster) -> None:
    drift = watched(model, change(np.random.default_rng(1))).report()
    assert drift.verdict == "train again"
    assert expected <= signs(drift)
    assert drift.sentences[0] == f"train again: {STEPS} steps were judged"
    assert len(drift.sentences) == 1 + len(signs(drift))
    assert all("chance makes it so in" in line for line in drift.sentences[1:])


def test_values_beyond_what_training_saw_are_counted(model: Forecaster) -> None:
    high = model.manifest.scaler.features[0].high
    monitor = model.monitor()
    for n in range(480):  # forecast exactly, but half of them larger than anything before
        monitor.observe(high * (1.5 if n % 24 < 12 else 0.5), high * (1.5 if n % 24 < 12 else 0.5))
    drift = monitor.report()
    assert signs(drift) == {"inputs"}
    assert drift.findings[-1].share == 0.5
    assert "50.0% of the values lie outside what training saw" in str(drift)


def test_smaller_errors_than_promised_are_no_drift(model: Forecaster) -> None:
    drift = watched(model, 0.3 * np.random.default_rng(2).normal(0, 1, STEPS)).report()
    assert drift.verdict == "steady"
    assert len(drift.sentences) == 1 + len(drift.findings)
    assert "as it should be" in drift.sentences[1]


def test_a_model_on_its_own_series_is_steady_and_on_a_changed_one_is_not(model: Forecaster) -> None:
    values = plain.series()
    assert heard(model, values).report().verdict == "steady"
    louder = np.concatenate((values[:300], values[300:] * 8))
    assert heard(model, louder).report().verdict == "train again"
    rng = np.random.default_rng(0)
    shuffled = np.concatenate((values[:300], rng.permutation(values[300:])))  # the same numbers without their rhythm
    drift = heard(model, shuffled).report()
    assert drift.verdict == "train again"
    assert signs(drift) >= {"coverage", "size"}


def heard(model: Forecaster, values: np.ndarray) -> Monitor:
    """Return a monitor of `values` (steps,) and the forecasts that the model makes of them, all at once."""
    context, monitor = model.manifest.spec.context, model.monitor()
    windows = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), context)[:-1]
    times = plain.START_S + plain.STEP_S * np.arange(context - 1, len(values) - 1)
    forecasts = model.predict(windows, timestamps=times)[:, 0]
    for value, forecast in zip(values[context:].tolist(), forecasts.tolist(), strict=True):
        monitor.observe(value, forecast)
    return monitor


def pushed(model: Forecaster, values: np.ndarray) -> Monitor:
    monitor = model.monitor()
    for n, value in enumerate(values.tolist()):
        monitor.push(value, timestamp=plain.START_S + plain.STEP_S * n)
    return monitor


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the public sample logs are not beside this repository")
def test_on_real_series_a_change_is_found_and_where_there_is_none_nothing_is() -> None:
    """People online in six subreddits, hourly means; the forecast is that of the last value."""
    require("polars")
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.logs.reader import read_log

    config = LogConfig(metrics=("users_here",), kind="gauge", step="1h", timezone="UTC")
    names = ("askreddit", "aww", "food", "music", "news", "science")
    for series in read_log([TRAFFIC / f"{name}_traffic.csv" for name in names], config).series:
        values = series.values[:, 0]
        forecasts, half = np.concatenate(([np.nan], values[:-1])), len(values) // 2
        known = np.flatnonzero(np.isfinite(values[:half]) & np.isfinite(forecasts[:half]))
        split = fit_split(forecasts[known, np.newaxis], values[known, np.newaxis], "log1p", counts=False)
        scale = FeatureScale(low=float(values[known].min()), high=float(values[known].max()))
        spec = SimpleNamespace(step_s=3600, measured=1, measured_names=("value",))
        manifest = SimpleNamespace(spec=spec, intervals=split, level=0.9, scaler=Scaler(features=(scale,)))
        found = {}
        for change, changed in {
            "none": values[half:],
            "level": 1.5 * values[half:],
            "rhythm": np.random.default_rng(0).permutation(values[half:]),
        }.items():
            stream = SimpleNamespace(series=None)
            monitor = Monitor(stream, SimpleNamespace(manifest=manifest, series=None))  # type: ignore[arg-type]
            for value, forecast in zip(changed.tolist(), forecasts[half:].tolist(), strict=True):
                monitor.observe(value, forecast)
            found[change] = signs(monitor.report())
        assert found["none"] == set(), series.name
        assert found["level"] >= {"coverage", "size", "bias"}, series.name
        assert found["rhythm"] >= {"coverage", "size"}, series.name


def test_pushing_gives_the_forecasts_of_a_stream_and_compares_each_with_the_next_step(model: Forecaster) -> None:
    values, stream = plain.series()[:120].tolist(), model.stream()
    one, other, forecast = model.monitor(), model.monitor(), float("nan")
    for n, value in enumerate(values):
        time = plain.START_S + plain.STEP_S * n
        made = one.push(value, timestamp=time)
        np.testing.assert_array_equal(made, stream.push(value, timestamp=time)[0])
        other.observe(value, forecast)
        forecast = float(made[0])
    assert one.report() == other.report()
    assert one.report().steps == 120 - model.manifest.spec.context
    assert one.due == plain.START_S + plain.STEP_S * 120


def test_few_steps_give_no_verdict(model: Forecaster) -> None:
    drift = watched(model, np.full(99, 9.0)).report()
    assert (drift.verdict, drift.findings) == ("unknown", ())
    assert str(drift) == "unknown: 99 steps were judged; a verdict takes 100"


def test_missing_steps_are_left_out(model: Forecaster) -> None:
    errors = np.random.default_rng(4).normal(0, 1, STEPS)
    errors[::3] = np.nan
    drift = watched(model, errors).report()
    assert (drift.verdict, drift.steps) == ("steady", STEPS - len(errors[::3]))


def test_a_state_goes_on_as_if_nothing_had_been(model: Forecaster) -> None:
    values = plain.series()[:130].tolist()
    one = pushed(model, np.array(values[:100]))
    other = Monitor.from_bytes(model, one.to_bytes())
    assert len(one.to_bytes()) == 64 + 4 * model.manifest.spec.context + 8 + 8 + 9 * 100 + 4
    for n, value in enumerate(values[100:], start=100):
        time = plain.START_S + plain.STEP_S * n
        np.testing.assert_array_equal(one.push(value, timestamp=time), other.push(value, timestamp=time))
    assert other.to_bytes() == one.to_bytes()
    assert other.report() == one.report()
    assert Stream.from_bytes(model, one.to_bytes()).due == one.due


def test_another_model_keeps_the_steps_and_forgets_what_the_last_one_forecast(model: Forecaster) -> None:
    kept = pushed(model, plain.series()[:100]).to_bytes()
    other = load(Path(__file__).parents[2] / "data" / "golden_v2", backend="numpy")
    with pytest.raises(UsageError, match="pass carry_over=True"):
        Monitor.from_bytes(other, kept)
    carried = Monitor.from_bytes(other, kept, carry_over=True)
    assert carried.due == plain.START_S + plain.STEP_S * 100
    assert carried.report().steps == 0


def test_what_is_not_a_monitors_state_is_refused(model: Forecaster) -> None:
    for other in (model.stream().to_bytes(), model.detector().to_bytes()):
        with pytest.raises(FormatError, match=r"expected what Monitor\.to_bytes returned"):
            Monitor.from_bytes(model, other)


def test_bad_steps_are_typed_errors_and_change_nothing(model: Forecaster) -> None:
    monitor = model.monitor()
    before = monitor.to_bytes()
    for step, forecast, error in (
        ("5", 1.0, DtypeError), (None, 1.0, DtypeError), (1.0, [], DtypeError), ([1.0, 2.0], 1.0, FeatureCountError),
        (np.ma.array([1.0], mask=[True]), 1.0, NonFiniteError), (1.0, np.datetime64("2025-01-01"), DtypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            monitor.observe(step, forecast)
    with pytest.raises(TimeError):
        monitor.push(1.0)
    with pytest.raises(DtypeError):
        monitor.push("1", timestamp=plain.START_S)
    assert monitor.to_bytes() == before


def test_each_series_of_a_bundle_has_its_own_ranges_and_radii(many_bundle: Path) -> None:
    loaded = load(many_bundle, backend="numpy")
    assert loaded.series is not None
    with pytest.raises(UsageError, match="holds 3 series"):
        loaded.monitor()
    for name, level in (("small", 10.0), ("large", 20_000.0)):
        monitor, wrong = loaded.monitor(series=name), loaded.monitor(series="small" if name == "large" else "large")
        for _ in range(200):
            monitor.observe(level, level)
            wrong.observe(level, level)
        assert signs(monitor.report()) == set()
        assert signs(wrong.report()) == {"inputs"}
        assert Monitor.from_bytes(loaded, monitor.to_bytes()).series == (name,)
    pool = loaded.monitor(series=POOL)
    for _ in range(200):
        pool.observe(1e9, 1e9)
    assert pool.report().verdict == "steady"  # of a series that training never saw nothing is strange


def test_the_table_of_signs_and_the_steps_that_are_kept() -> None:
    assert list(SIGNS) == ["coverage", "size", "bias", "inputs"]
    assert FALSE_ALARM_RATE == 0.01
    assert [steps_watched(step_s) for step_s in (1, 60, 3600, 604_800)] == [
        (4032, 4032), (4032, 1440), (672, 100), (200, 100),
    ]  # fmt: skip


def test_a_forecast_of_one_window_is_taken_as_predict_returns_it_and_those_of_two_are_refused(
    model: Forecaster,
) -> None:
    monitor = model.monitor()
    monitor.observe(50, [[50.0]])
    with pytest.raises(DtypeError, match=r"^forecast is \[\[50.0\], \[9999.0\]\]; expected real numbers"):
        monitor.observe(50, [[50.0], [9999.0]])
