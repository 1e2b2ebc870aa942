"""NAB's rule, on cases worked out by hand, and the command that scores detectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from helpers.heard import Heard
from pulsecast.forecasting.watching.incidents import Incidents
from pulsecast_bench.anomalies.incidents import before_alarm
from pulsecast_bench.anomalies.nab import PROFILES, Curve, Labelled, gains, position_value, probation, score_curve

STEPS = 6000
WINDOWS = ((1000, 1399), (3000, 3399))
STANDARD = PROFILES["standard"]


def labelled(*flagged: int, windows: tuple[tuple[int, int], ...] = WINDOWS) -> Labelled:
    scores = np.zeros(STEPS)
    scores[list(flagged)] = 1.0
    return Labelled(scores=scores, windows=windows)


def score(*flagged: int, profile: str = "standard") -> float:
    return score_curve([labelled(*flagged)], PROFILES[profile]).at(1.0)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_perfect_detector_has_100_and_the_silent_one_0(profile: str) -> None:
    assert score(1000, 3000, profile=profile) == pytest.approx(100.0, abs=1e-9)
    assert score(profile=profile) == 0.0


def test_the_value_of_a_position_is_the_published_sigmoid() -> None:
    # 2 / (1 + e^(5 y)) - 1, the figures that the rule's authors name
    assert position_value(np.array([-1.0, -0.5, 0.0, 1.0, 3.0, 7.0])) == pytest.approx(
        [0.98661, 0.84828, 0.0, -0.98661, -1.0, -1.0], abs=5e-6
    )


def test_an_early_alarm_earns_more_than_a_late_one_and_only_the_first_counts() -> None:
    early, late = score(1010, 3000), score(1390, 3000)
    assert 100 > early > late > 50
    assert score(1010, 1011, 1200, 1390, 3000) == early


def test_a_false_alarm_far_from_a_window_costs_its_weight_once_each() -> None:
    # two windows: from -2 to +2 are 100 points, so that 0.11 are 2.75
    assert 100 - score(1000, 3000, 5500) == pytest.approx(100 * 0.11 / 4, rel=1e-9)
    assert 100 - score(1000, 3000, 5500, 5501) == pytest.approx(100 * 0.22 / 4, rel=1e-9)
    assert 100 - score(1000, 3000, 5500, profile="reward low FP") == pytest.approx(100 * 0.22 / 4, rel=1e-9)
    assert score(900, 1000, 3000) == pytest.approx(score(1000, 3000, 5500))  # before any window it is as far as can be


def test_a_false_alarm_just_after_a_window_costs_little() -> None:
    assert 0 < 100 - score(1000, 3000, 3400) < 0.1 < 100 - score(1000, 3000, 3600) < 100 - score(1000, 3000, 5000)


def test_a_missed_window_costs_as_much_as_the_profile_says() -> None:
    assert score(1000) == pytest.approx(50.0)
    assert score(1000, profile="reward low FN") == pytest.approx(50.0)
    assert score(1000, 5500, profile="reward low FN") == pytest.approx(50.0 - 100 * 0.11 / 6)


def test_the_probationary_part_is_not_scored() -> None:
    assert (probation(4000), probation(STEPS), probation(100_000)) == (600, 750, 750)
    assert score(0, 100, 749, 1000, 3000) == pytest.approx(100.0)
    early = labelled(1000, windows=((100, 400), (1000, 1399)))
    assert early.scored_windows == ((1000, 1399),)
    assert score_curve([early], STANDARD).at(1.0) == pytest.approx(100.0)


def test_the_curve_equals_scoring_each_threshold_by_itself() -> None:
    rng = np.random.default_rng(2)
    corpus = [
        Labelled(scores=np.round(rng.random(STEPS), 2), windows=WINDOWS),
        Labelled(scores=np.round(rng.random(2000), 2), windows=((700, 900),)),
    ]
    curve = score_curve(corpus, STANDARD)
    for threshold in (0.995, 0.97, 0.5, 0.0):
        total = 0.0
        for one in corpus:
            found = gains(one, STANDARD)
            flagged = found.scores >= threshold
            total += found.value[flagged & (found.window < 0)].sum()
            for i in range(len(one.scored_windows)):
                inside = flagged & (found.window == i)
                total += found.value[inside].max() if inside.any() else -STANDARD.miss
        assert curve.at(threshold) == pytest.approx(100 * (total + 3) / 6, rel=1e-9)
    assert curve.best()[1] == max(0.0, float(curve.scores.max()))


def test_a_step_in_the_shadow_of_another_raises_an_alarm_between_the_two_only() -> None:
    scores, before = np.zeros(STEPS), np.full(STEPS, 9.0)
    scores[[1000, 1200, 5500]], before[[1000, 1200, 5500]] = (2.0, 3.0, 4.0), (-np.inf, 2.0, 3.0)
    one = Labelled(scores=scores, before=before, windows=WINDOWS)
    curve = score_curve([one], STANDARD)
    for threshold in (4.5, 3.5, 2.5, 1.5):
        raised = np.flatnonzero(one.alarms(threshold)).tolist()
        assert raised == {4.5: [], 3.5: [5500], 2.5: [1200], 1.5: [1000]}[threshold]
        assert curve.at(threshold) == pytest.approx(score(*raised))


@pytest.mark.parametrize("threshold", [1.0, 1.5, 2.0, 4.0])
def test_alarms_at_any_threshold_are_those_of_the_detector(threshold: float) -> None:
    scores = np.random.default_rng(5).exponential(size=3000).round(1)  # rounded: there are ties
    incidents = Incidents(quiet=20)
    expected = [incidents.is_news(float(one) if one >= threshold else 0.0) for one in scores]
    one = Labelled(scores=scores, before=before_alarm(scores, 20), windows=())
    assert one.alarms(threshold).tolist() == expected


def test_where_nothing_helps_the_best_threshold_flags_nothing() -> None:
    worst = Curve(thresholds=np.array([0.9, 0.5]), scores=np.array([-1.0, -8.0]))
    assert worst.best() == (float("inf"), 0.0)
    assert worst.at(float("inf")) == 0.0


@pytest.mark.parametrize(
    ("scores", "windows", "message"),
    [
        (np.zeros(10), ((5, 3),), "expected first and last steps in order"),
        (np.zeros(10), ((5, 10),), "within the series"),
        (np.full(10, np.nan), (), "a score is NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(scores: np.ndarray, windows: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Labelled(scores=scores, windows=windows)
    with pytest.raises(ValueError, match="no labelled window"):
        score_curve([labelled(windows=((1, 2),))], STANDARD)


def write_corpus(folder: Path, *, steps: int = 2400) -> None:
    """Two five-minute series of noise about a level with one burst each, whose start is labelled."""
    labels = {}
    for number, at in enumerate((1500, 2000)):
        rng = np.random.default_rng(number)
        values = np.round(rng.lognormal(4, 0.2, steps))
        values[at : at + 5] = 5000
        seconds = np.datetime64("2025-01-06T00:00:00") + 300 * np.arange(steps)
        rows = [f"{str(s).replace('T', ' ')},{v:.0f}" for s, v in zip(seconds, values, strict=True)]
        (folder / f"s{number}.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
        span = [str(seconds[at - 20]).replace("T", " "), str(seconds[at + 60]).replace("T", " ")]
        labels[f"some/s{number}.csv"] = [span]
    (folder / "combined_windows.json").write_text(json.dumps(labels))


def test_the_command_finds_a_burst_with_every_forecast_and_counts_false_alarms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    from pulsecast_bench.anomalies.detectors import main

    write_corpus(tmp_path)
    assert main([str(tmp_path), "--no-network", "--format", "json"]) == 0
    scores = {one["detector"]: one for one in json.loads(capsys.readouterr().out)["scores"]}
    for name in ("last value", "rolling median"):
        assert scores[name]["found"] == scores[name]["windows"] == 2
        assert scores[name]["flagged_outside"] < 0.005  # 0.001 asked; some 3,800 ordinary steps
        # the burst comes a quarter into its window: (0.9545 / 0.9866 + 1) / 2 without a false alarm
        assert 80 < scores[name]["own"]["standard"] < 98.4


def test_the_command_says_what_is_wrong_with_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pulsecast_bench.anomalies.detectors import main

    assert main([str(tmp_path)]) == 1
    assert "holds 0 files combined_windows*.json; expected one" in capsys.readouterr().err


def test_no_detector_knows_what_comes_after_a_step(tmp_path: Path) -> None:
    require("polars")
    from dataclasses import replace

    from pulsecast_bench.anomalies.detectors import BASELINES, read_cases

    write_corpus(tmp_path)
    case = read_cases(tmp_path)[0]
    values = case.series.values.copy()
    values[2100:] = 7
    changed = replace(case, series=replace(case.series, values=values))
    for detect in BASELINES.values():
        np.testing.assert_array_equal(detect(case)[:2100], detect(changed)[:2100])
        assert not np.array_equal(detect(case)[2100:], detect(changed)[2100:])


@pytest.mark.slow
def test_the_network_is_trained_before_the_probation_ends_and_never_sees_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("tensorflow", "keras", "sklearn", "polars")
    from dataclasses import replace

    from pulsecast_train.recipes import recipes

    filled = recipes.filled  # a small network: every step of both series is forecast twice
    monkeypatch.setattr(recipes, "filled", lambda config: filled(replace(config, units=(5,), window=12)))
    from pulsecast_bench.anomalies.detectors import detector, network_forecasts, read_cases

    write_corpus(tmp_path)
    cases = read_cases(tmp_path)
    heard = Heard()
    made = network_forecasts(cases, [600], 1, heard)
    assert heard.lines == ["training on the first 600 steps of 2 series"]
    assert np.isnan(made[0][:600]).all()
    assert np.isfinite(made[0][600:]).all()
    changed = []
    for case in cases:
        values = case.series.values.copy()
        values[2100:] = 7
        changed.append(replace(case, series=replace(case.series, values=values), windows=()))
    again = network_forecasts(changed, [600], 1, heard)
    # other batches of the same weights: float32 sums may differ in the last place
    np.testing.assert_allclose(made[1][:2100], again[1][:2100], rtol=1e-3, atol=1e-4)
    scores = detector(made[1], cases[1])
    assert scores[2000] > 1  # the burst; that of the other series comes before 999 distances are known
    np.testing.assert_array_equal(scores[:2100], detector(made[1], changed[1])[:2100])


def test_vus_pr_is_1_for_a_perfect_ranking_and_the_anomalies_share_for_none() -> None:
    pytest.importorskip("vus", reason="VUS-PR comes from the package vus, an extra of its own")
    from pulsecast_bench.anomalies.detectors import vus_pr

    perfect = Labelled(scores=np.zeros(STEPS), windows=WINDOWS)
    chance = np.random.default_rng(0).random(STEPS)
    # a blurred label gives credit around a window, so the values are not exactly 1 and 800 / 5250
    assert vus_pr([Labelled(scores=perfect.labels + 1e-6 * chance, windows=WINDOWS)]) == pytest.approx(1.0, abs=0.01)
    assert vus_pr([Labelled(scores=chance, windows=WINDOWS)]) == pytest.approx(800 / 5250, abs=0.06)
