"""Scores through a bundle's artifacts: the metrics are right, and a drifting artifact is named."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs import many
from helpers.native_models import add_native, require_c

require("typer", "polars", "sklearn", "scipy")


from pulsecast.bundle.bundle import Bundle  # noqa: E402
from pulsecast.computing import reference  # noqa: E402  the packages above are needed first
from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast.model.windows import Windows  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_train.backtesting import artifacts  # noqa: E402
from pulsecast_train.backtesting.artifacts import score_bundle  # noqa: E402
from pulsecast_train.backtesting.bundle_scores import REPRODUCED, ArtifactScore, BundleScores  # noqa: E402
from pulsecast_train.backtesting.interval_scores import Judged, covered_by_one  # noqa: E402
from pulsecast_train.backtesting.metrics import PointErrors  # noqa: E402
from pulsecast_train.evaluation import evaluate_bundle  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

STEPS = 400


def make_series(bundle: Bundle, steps: int = STEPS) -> Series:
    spec = bundle.manifest.spec
    hours = np.arange(steps)
    values = np.round(100 + 60 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(0, 8, steps))
    names = tuple(feature.name for feature in spec.features[: spec.measured])
    return Series(
        name="a", metrics=names, start_s=1_736_121_600, step_s=spec.step_s, values=np.tile(values[:, None], len(names))
    )


def test_the_scores_are_those_of_the_last_part_forecast_window_by_window(calendar_bundle: Path) -> None:
    bundle = Bundle.open(calendar_bundle)
    manifest, series = bundle.manifest, make_series(bundle)
    spec = manifest.spec
    found = score_bundle(bundle, [series], tested=0.2, interval=0.9)
    by_name = {score.name: score for score in found.scores}
    assert (list(by_name), found.skipped) == (["reference", "last_value", "numpy"], {})
    targets = np.arange(STEPS * 4 // 5, STEPS - spec.horizon + 1)
    steps = targets[:, np.newaxis] - np.arange(spec.context, 0, -1)
    windows = Windows(values=series.values[steps].astype(np.float32), time=series.timestamps_s()[targets - 1])
    forecasts = reference.forecast(spec, manifest.scaler, bundle.weights(), windows)
    truth = series.values[targets[:, np.newaxis] + np.arange(spec.horizon), 0]
    assert found.forecasts == len(targets)
    assert by_name["reference"].errors.mae == pytest.approx(np.abs(forecasts - truth).mean(), rel=1e-12)
    last = series.values[targets - 1, :1]
    assert by_name["last_value"].errors.mae == pytest.approx(np.abs(last - truth).mean(), rel=1e-12)
    assert found.reproduced
    assert set(by_name["numpy"].changes) == {"mae", "rmse", "smape", "mase", "rmsse", "bias", "coverage"}
    # float32 against float64 in one forward pass
    assert max(abs(change) for change in by_name["numpy"].changes.values()) < 1e-4


def test_an_artifact_that_forecasts_otherwise_is_named_with_exit_code_3(
    calendar_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_backend = artifacts.open_backend

    class Drifted:
        def __init__(self, *arguments: object, **options: object) -> None:
            self._whole = open_backend(*arguments, **options)  # type: ignore[arg-type]
            self.engine, self.device = self._whole.engine, self._whole.device

        def predict(self, *given: object) -> np.ndarray:
            return self._whole.predict(*given) * np.float32(1.2)  # type: ignore[arg-type]

    bundle = Bundle.open(calendar_bundle)
    series = make_series(bundle)
    log = tmp_path / "a.csv"
    rows = [f"{int(t)},{int(v[0])}" for t, v in zip(series.timestamps_s(), series.values, strict=True)]
    log.write_text("\n".join([f"timestamp,{series.metrics[0]}", *rows]) + "\n")
    command = ["evaluate", str(log), "--bundle", str(calendar_bundle), "--metric", series.metrics[0], "--step", "1h"]
    assert run_arguments(command) == 0
    assert "every artifact that ran reproduces every metric within 1%" in capsys.readouterr().out
    monkeypatch.setattr(artifacts, "open_backend", Drifted)
    assert run_arguments(command) == 3
    assert "NOT within 1% of the reference: numpy" in capsys.readouterr().out
    assert run_arguments([*command, "--units", "tiny"]) == 2
    assert "--bundle scores a finished model, for which --units has no meaning" in capsys.readouterr().err


def test_code_is_scored_only_if_it_is_trusted(
    level_model: plain.PlainModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain.write_bundle(tmp_path / "bundle", level_model)
    add_native(tmp_path / "bundle", level_model)
    bundle = Bundle.open(tmp_path / "bundle")
    refused = score_bundle(bundle, [make_series(bundle)], tested=0.2, interval=0.9)
    assert "native" not in [score.name for score in refused.scores]
    assert "--trust-code" in refused.skipped["native"]
    log = tmp_path / "a.csv"
    series = make_series(bundle)
    rows = [f"{int(t)},{int(v[0])}" for t, v in zip(series.timestamps_s(), series.values, strict=True)]
    log.write_text("\n".join([f"timestamp,{series.metrics[0]}", *rows]) + "\n")
    assert run_arguments(["evaluate", str(log), "--trust-code"]) == 2
    assert "--key and --trust-code are for a bundle; name it with --bundle" in capsys.readouterr().err
    require_c()
    found = score_bundle(bundle, [series], tested=0.2, interval=0.9, trust_code=True)
    native = next(score for score in found.scores if score.name == "native")
    assert (native.reproduced, found.skipped) == (True, {})


def test_a_word_for_trust_is_not_taken_for_yes(calendar_bundle: Path) -> None:
    with pytest.raises(UsageError, match="trust_code is 'no'; expected True or False"):
        evaluate_bundle("log.csv", calendar_bundle, trust_code="no")


def test_a_metric_that_is_not_a_number_is_not_reproduced(calendar_bundle: Path) -> None:
    bundle = Bundle.open(calendar_bundle)
    score = score_bundle(bundle, [make_series(bundle)], tested=0.2, interval=0.9).scores[-1]
    assert not dataclasses.replace(score, changes={"mae": float("nan")}).reproduced
    assert not dataclasses.replace(score, changes={"mae": 1.01 * REPRODUCED}).reproduced
    # a coverage is a share of a few values: it may differ by chance, no other metric may
    for changes, chance, reproduced in (
        ({"coverage": -0.012}, 0.25, True),
        ({"coverage": -0.012}, 0.03, False),
        ({"coverage": -0.012, "mae": 1.01 * REPRODUCED}, 0.25, False),
        ({"coverage": float("nan")}, None, False),
    ):
        assert dataclasses.replace(score, changes=changes, chance=chance).reproduced is reproduced


def test_a_coverage_that_differs_by_chance_is_said_to() -> None:
    errors = PointErrors(mae=1.0, rmse=1.0, smape=1.0, bias=0.0, mase=None, rmsse=None)
    plainly = ArtifactScore(name="last_value", engine="", errors=errors)
    found = ArtifactScore(name="int8", engine="", errors=errors, changes={"coverage": -0.012}, chance=0.25)
    scores = BundleScores(
        bundle="b", series=("a",), tested=0.2, forecasts=255, interval=0.9, scores=(plainly, found), skipped={}
    )
    remark, verdict = repr(scores).splitlines()[-2:]
    assert remark.startswith("int8: its coverage differs by -1.2%, which may be chance (sign test over the values that")
    assert remark.endswith("p = 0.25)")
    assert verdict == "every artifact that ran reproduces every metric within 1% or chance"


def test_values_that_only_one_of_two_covers_are_counted_where_both_have_bounds() -> None:
    def judged(lower: list[float], upper: list[float]) -> Judged:
        truth, seconds = np.array([5.0, 5.0, 5.0, 5.0]), np.arange(4) * 3600
        return Judged(forecast=truth, lower=np.array(lower), upper=np.array(upper), truth=truth, seconds=seconds)

    first = judged([4.0, 4.0, 6.0, -np.inf], [6.0, 6.0, 7.0, np.inf])  # holds two, misses one, one without bounds
    second = judged([4.0, 6.0, 6.0, 6.0], [6.0, 7.0, 7.0, 7.0])
    assert covered_by_one(first, second) == (1, 0)
    assert covered_by_one(second, first) == (0, 1)


def test_a_series_without_a_whole_window_in_its_last_part_is_refused(calendar_bundle: Path) -> None:
    bundle = Bundle.open(calendar_bundle)
    with pytest.raises(DataError, match="series a has no whole window in its last 20%: 73 unbroken steps"):
        score_bundle(bundle, [make_series(bundle, 70)], tested=0.2, interval=0.9)


# --- several series --------------------------------------------------------------------------------------------------


def test_each_series_of_a_log_is_scored_by_its_own_row_and_unknown_ones_by_the_pool(
    many_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.open(many_bundle)
    spec = bundle.manifest.spec
    targets = np.arange(plain.STEPS * 4 // 5, plain.STEPS - spec.horizon + 1)
    steps = targets[:, np.newaxis] - np.arange(spec.context, 0, -1)

    def error(name: str, row: int) -> float:
        values, rows = many.values_of(name), np.full(len(targets), row)
        windows = Windows(
            values=values[steps].astype(np.float32)[:, :, np.newaxis],
            time=plain.START_S + plain.STEP_S * (targets - 1),
            series=rows,
        )
        forecasts = reference.forecast(spec, bundle.scaling, bundle.weights(), windows)
        return float(np.abs(forecasts - values[targets[:, np.newaxis] + np.arange(spec.horizon)]).mean())

    known = evaluate_bundle(many.write_log(tmp_path / "log.csv"), many_bundle)
    own = [error(name, row) for row, name in enumerate(many.SIZES, 1)]
    assert known.scores[0].errors.mae == pytest.approx(np.mean(own), rel=1e-9)
    assert (known.series, known.pooled, known.reproduced) == (("large", "middle", "small"), (), True)
    log = many.write_log(tmp_path / "other.csv", rename={"large": "huge"})
    with pytest.raises(UsageError, match=r"no series 'huge' in this bundle; for a series .* \(--pool\)"):
        evaluate_bundle(log, many_bundle)
    unknown = evaluate_bundle(log, many_bundle, pool=True)
    assert unknown.scores[0].errors.mae == pytest.approx(np.mean([error("large", 0), *own[1:]]), rel=1e-9)
    assert unknown.pooled == ("huge",)
    assert repr(unknown).splitlines()[1] == "by the pool, as series that training never saw: huge"
    assert run_arguments(["evaluate", str(log), "--bundle", str(many_bundle), "--pool"]) == 0
    assert "never saw: huge" in capsys.readouterr().out
    two = many.write_log(tmp_path / "two.csv", rename={"large": "huge", "small": "tiny"})
    with pytest.raises(UsageError, match="2 series of the log are not in this bundle: 'huge', 'tiny'; leave them out"):
        evaluate_bundle(two, many_bundle)


def test_a_bundle_of_one_series_has_no_pool(calendar_bundle: Path) -> None:
    with pytest.raises(UsageError, match="this bundle is of one series and has no pool: leave pool out"):
        evaluate_bundle("log.csv", calendar_bundle, pool=True)
