"""`python -m pulsecast_bench.anomalies DATA`: anomaly detectors on labelled series, by NAB's rule and by VUS-PR.

DATA holds CSV logs and a `combined_windows*.json` in the form of the Numenta Anomaly Benchmark. Only the scoring sees
the labels: the network is trained on values alone, on the steps before each of `--refit` (NAB's probationary part by
default), all series together, each scaled by itself; every detector then goes through a series step by step and does
not know later steps. Scores are judged unchanged: no point adjustment. NAB's rule counts alarms: as in `pulsecast
anomalies`, for every detector, a step raises one if it is further off than all steps of the day before it.

Each detector gets three thresholds, because NAB's rule needs one and NAB's own way to find it uses the labels:

    stated   the detector's own, for its false-alarm rate; no label is used
    others   the best one for the labels of all other series
    own      the best one for these labels, as in NAB's published figures
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulsecast.errors import DataError, PulsecastError
from pulsecast.forecasting.departures import Departures, Incidents, default_window
from pulsecast.foundation import strict_json
from pulsecast.model.spec import DAY_S
from pulsecast.stages.progress import SILENT, LineProgress, Progress
from pulsecast_train.series import Series

from .nab import PROFILES, Labelled, probation, score_curve

RATE = 0.001
MINIMUM_PAST = 200  # values that a rolling median needs
DEVIATIONS = 3.29  # of a normal distribution, with 0.001 outside
MAD_TO_SIGMA = 1.4826
CHUNK = 512
VUS_BUFFER = 100  # most steps by which a label is widened, and thresholds; VUS-PR averages over both
VUS_THRESHOLDS = 250


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A series of one metric on an unbroken grid, and its labelled windows as first and last steps."""

    series: Series
    windows: tuple[tuple[int, int], ...]

    @property
    def values(self) -> NDArray[np.float64]:
        """The metric: (steps,)."""
        found: NDArray[np.float64] = self.series.values[:, 0]
        return found


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One detector over all series; each NAB score per profile, from 0 (no alarm) to 100 (perfect), or below.

    flagged_outside  share of scored steps outside all windows that the stated threshold flags
    found            windows in which the stated threshold flags a step
    vus_pr           mean over series; None without the package vus
    """

    detector: str
    stated: dict[str, float]
    others: dict[str, float]
    own: dict[str, float]
    flagged_outside: float
    found: int
    windows: int
    vus_pr: float | None


def read_cases(folder: Path) -> list[Case]:
    """Return the labelled series of `folder`; raises DataError if it is not a folder of the benchmark."""
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.logs.reader import read_log

    labels = sorted(folder.glob("combined_windows*.json"))
    if len(labels) != 1:
        raise DataError(f"{folder} holds {len(labels)} files combined_windows*.json; expected one, with the labels")
    cases = []
    for name, spans in sorted(json.loads(labels[0].read_text(encoding="utf-8")).items()):
        path = folder / Path(name).name
        if path.exists():
            (series,), _ = read_log([path], LogConfig(timezone="UTC"))
            cases.append(Case(series=series, windows=tuple(_steps_of(series, span) for span in spans)))
    if not cases:
        raise DataError(f"{folder} holds none of the series that {labels[0].name} labels")
    return cases


def _steps_of(series: Series, span: Sequence[str]) -> tuple[int, int]:
    seconds = np.array([text[:19] for text in span], "datetime64[s]").astype(np.int64)
    first, last = np.clip((seconds - series.start_s) // series.step_s, 0, len(series.values) - 1)
    return int(first), int(last)


# --- detectors: every one returns scores (steps,); those above 1 are flagged -----------------------------------------


def conformal(forecasts: NDArray[np.float64], case: Case) -> NDArray[np.float64]:
    """Return each value's distance from its forecast, in radii of the interval, as `pulsecast anomalies` does."""
    judge = Departures(false_alarm_rate=RATE, window=default_window(case.series.step_s, RATE))
    return np.array([judge.judge(float(f), float(v)).score for f, v in zip(forecasts, case.values, strict=True)])


def last_value(case: Case) -> NDArray[np.float64]:
    """Judge by the value one step before."""
    return conformal(np.concatenate(([np.nan], case.values[:-1])), case)


def seasonal_naive(case: Case) -> NDArray[np.float64]:
    """Judge by the value one day before."""
    season = DAY_S // case.series.step_s
    return conformal(np.concatenate((np.full(season, np.nan), case.values[:-season])), case)


def rolling_median(case: Case) -> NDArray[np.float64]:
    """Judge by the median of the last two weeks: how unusual a level is, independent of the last steps."""
    return conformal(np.expm1(_past_median(case)[0]), case)


def median_and_mad(case: Case) -> NDArray[np.float64]:
    """Judge by median and median absolute deviation of the last two weeks, as of a normal distribution."""
    centre, spread = _past_median(case)
    levels = np.log1p(np.maximum(case.values, 0.0))
    # a series that hardly moves has no spread; then use a hundredth of the level
    scores = np.abs(levels - centre) / np.maximum(MAD_TO_SIGMA * spread, 0.01) / DEVIATIONS
    return np.where(np.isfinite(scores), scores, 0.0)


def _past_median(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and MAD of log1p of the values before each step: (steps,) each, NaN at the start."""
    window = default_window(case.series.step_s, RATE)
    levels = np.log1p(np.maximum(case.values, 0.0))
    past = sliding_window_view(np.concatenate((np.full(window, np.nan), levels)), window)[:-1]  # (steps, window)
    centre, spread = np.full((2, len(levels)), np.nan)
    for first in range(MINIMUM_PAST, len(levels), CHUNK):
        rows = slice(first, first + CHUNK)
        centre[rows] = np.nanmedian(past[rows], axis=1)
        spread[rows] = np.nanmedian(np.abs(past[rows] - centre[rows, np.newaxis]), axis=1)
    return centre, spread


BASELINES: dict[str, Callable[[Case], NDArray[np.float64]]] = {
    "last value": last_value,
    "seasonal naive": seasonal_naive,
    "rolling median": rolling_median,
    "median and MAD": median_and_mad,
}


def network_scores(
    cases: Sequence[Case], refits: Sequence[int], progress: Progress = SILENT, *, epochs: int | None = None
) -> list[NDArray[np.float64]]:
    """Return the scores of one network over all series, retrained at each of `refits` on the steps before it."""
    steps = max(len(case.values) for case in cases)
    forecasts = [np.full(len(case.values), np.nan) for case in cases]
    for cut, stop in zip(refits, [*refits[1:], steps], strict=True):
        progress.tell(f"training on the first {cut:,} steps of {len(cases)} series")
        for found, (targets, values) in zip(forecasts, _forecast(cases, cut, stop, epochs), strict=True):
            found[targets] = values
    return [conformal(found, case) for found, case in zip(forecasts, cases, strict=True)]


def _forecast(
    cases: Sequence[Case], cut: int, stop: int, epochs: int | None
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return the steps from `cut` to `stop` and their forecasts by a network trained only on steps before `cut`."""
    import dataclasses

    from pulsecast_train.backtesting.backtest import fit_members, member_models
    from pulsecast_train.fitting.pooling import prepare_member
    from pulsecast_train.recipes.recipes import build_spec, filled, find_recipe
    from pulsecast_train.recipes.train_config import TrainConfig

    config = filled(TrainConfig(epochs=epochs))
    recipe, first = find_recipe(config.recipe), cases[0].series
    spec = build_spec(recipe, config, first.metrics, first.step_s)
    cut_short = [dataclasses.replace(case.series, values=case.series.values[:stop]) for case in cases]
    members = [prepare_member(one, recipe, spec, cut, config.validation_fraction or 0.0) for one in cut_short]
    network, _ = fit_members(spec, config, members)
    found = []
    for member, (model, _) in zip(members, member_models(spec, members, network.predict_on_batch), strict=True):
        starts = member.split.heldout
        found.append((starts + spec.context, model.forecasts(member.steps, starts)[:, 0].astype(np.float64)))
    return found


# --- scoring ---------------------------------------------------------------------------------------------------------


def judge(detector: str, cases: Sequence[Case], scores: Sequence[NDArray[np.float64]]) -> Scored:
    """Return every figure of one detector."""
    every = [Labelled(scores=found, windows=case.windows) for found, case in zip(scores, cases, strict=True)]
    corpus = [
        Labelled(scores=alarms(one.scores, DAY_S // case.series.step_s), windows=case.windows)
        for one, case in zip(every, cases, strict=True)
    ]
    just_above = float(np.nextafter(1.0, 2.0))  # the interval holds its edge
    outside = [
        (one.scores >= just_above)[probation(len(one.scores)) :][~one.labels[probation(len(one.scores)) :]]
        for one in every
    ]
    hits = [bool((one.scores[a : b + 1] >= just_above).any()) for one in every for a, b in one.scored_windows]
    return Scored(
        detector=detector,
        stated={name: score_curve(corpus, profile).at(just_above) for name, profile in PROFILES.items()},
        others={name: _left_out(corpus, name) for name in PROFILES},
        own={name: score_curve(corpus, profile).best()[1] for name, profile in PROFILES.items()},
        flagged_outside=float(np.concatenate(outside).mean()),
        found=sum(hits),
        windows=len(hits),
        vus_pr=vus_pr(every),
    )


def alarms(scores: NDArray[np.float64], quiet: int) -> NDArray[np.float64]:
    """Return `scores` (steps,) with 0 for every step that is not above all of the `quiet` steps before it."""
    incidents = Incidents(quiet)
    return np.where([incidents.is_news(float(score)) for score in scores], scores, 0.0)


def _left_out(corpus: Sequence[Labelled], profile: str) -> float:
    """Return the NAB score with each series judged at the best threshold for all the others."""
    total = windows = 0.0
    for i, one in enumerate(corpus):
        rest = [*corpus[:i], *corpus[i + 1 :]]
        threshold = score_curve(rest, PROFILES[profile]).best()[0] if rest else 1.0
        weight = len(one.scored_windows)  # a score is relative to the number of windows
        total += weight * score_curve([one], PROFILES[profile]).at(threshold)
        windows += weight
    return total / windows


def vus_pr(corpus: Sequence[Labelled]) -> float | None:
    """Return the volume under the precision-recall surface, mean over series; None without the package vus."""
    if importlib.util.find_spec("vus") is None:
        return None
    metric: Any = importlib.import_module("vus.utils.metrics").metricor()
    found = []
    for one in corpus:
        scored = slice(probation(len(one.scores)), None)
        scores, labels = one.scores[scored], one.labels[scored].astype(np.float64)
        scores = np.minimum(scores, 10 * np.max(scores[np.isfinite(scores)], initial=1.0))  # infinity breaks its sums
        found.append(float(metric.RangeAUC_volume_opt(labels, scores, VUS_BUFFER, VUS_THRESHOLDS)[-1]))
    return float(np.mean(found))


def _text(found: Sequence[Scored], cases: Sequence[Case]) -> str:
    head = f"{'':20}{'stated threshold':^27}{'from other series':^27}{'best on these labels':^27}"
    lines = [
        (
            f"{len(cases)} series, {sum(len(case.values) for case in cases):,} steps, {found[0].windows} labelled "
            "windows; NAB's score: 0 is no alarm, 100 is perfect"
        ),
        head.rstrip(),
        f"{'detector':20}"
        + f"{'standard':>11}{'low FP':>8}{'low FN':>8}" * 3
        + f"{'found':>8}{'outside':>9}{'VUS-PR':>8}",
    ]
    for one in found:
        figures = "".join(
            f"{kind[name]:{width}.1f}"
            for kind in (one.stated, one.others, one.own)
            for name, width in zip(PROFILES, (11, 8, 8), strict=True)
        )
        vus = "-" if one.vus_pr is None else f"{one.vus_pr:.3f}"
        lines.append(f"{one.detector:20}{figures}{f'{one.found}/{one.windows}':>8}{one.flagged_outside:9.2%}{vus:>8}")
    lines.append(
        f"found, outside: windows hit and share of other steps flagged at the stated threshold, asked: {RATE:.1%}"
    )
    if found[0].vus_pr is None:
        lines.append("VUS-PR needs the package vus: pip install 'pulsecast[vus]'")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print every detector's scores."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.anomalies",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--refit", type=int, nargs="*", help="steps to train at; the probationary part's end")
    parser.add_argument("--epochs", type=int, help="most epochs")
    parser.add_argument("--no-network", action="store_true", help="only the simple detectors")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    try:
        cases = read_cases(options.data)
        found = [judge(name, cases, [detect(case) for case in cases]) for name, detect in BASELINES.items()]
        if not options.no_network:
            refits = sorted(options.refit or [min(probation(len(case.values)) for case in cases)])
            scores = network_scores(cases, refits, LineProgress(), epochs=options.epochs)
            either = [np.maximum(one, rolling_median(case)) for one, case in zip(scores, cases, strict=True)]
            found = [judge("pulsecast", cases, scores), *found, judge("pulsecast or median", cases, either)]
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        strict_json.dumps({"schema_version": 1, "scores": found}) if options.format == "json" else _text(found, cases)
    )
    return 0
