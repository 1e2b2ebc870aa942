"""`python -m pulsecast_bench.anomalies.injected DATA`: how many injected faults each detector finds.

DATA holds CSV logs without known faults. The network is trained on the first half of all series together. Then each
series gets one fault of each kind (`injections`), in turn at one of three places in its last part, and every detector
goes through the whole series, step by step. A fault counts as found if an alarm is raised while it lasts.

Two thresholds: the detector's own for its default false-alarm rate; and the one at which it raises one false alarm a
week in the last part of the same series without faults, so that detectors compare.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError, PulsecastError
from pulsecast.forecasting.departures import Departures, default_rate, default_window
from pulsecast.forecasting.watching.incidents import quiet_steps
from pulsecast.forecasting.watching.judge import Judge
from pulsecast.foundation import strict_json
from pulsecast.model.spec import WEEK_S
from pulsecast.stages.progress import LineProgress
from pulsecast_train.series import Series

from .detectors import past_median
from .incidents import JUST_ABOVE, before_alarm
from .injections import INJECTIONS, injected
from .networks import Pool, fit_pool

TRAINED = 0.5  # of the steps
JUDGED = 0.65  # from this share of the steps on, every detector can judge
PLACES = (0.68, 0.75, 0.82)
SEED = 7
ALARMS_A_WEEK = 1.0

Scores = NDArray[np.float64]
Detect = Callable[[Series, Scores], Scores]


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What one detector finds, in percent by kind of fault, and its false alarms in a week of one series.

    stated  at its own threshold; the false alarms beside it
    weekly  at the threshold of one false alarm a week
    """

    detector: str
    stated: dict[str, float]
    false_alarms_a_week: float
    weekly: dict[str, float]
    threshold: float


def detector(series: Series, forecasts: Scores) -> Scores:
    """Return the scores (steps,) of pulsecast's detector at its default rate."""
    judge = Judge(false_alarm_rate=default_rate(series.step_s), step_s=series.step_s)
    return np.array(
        [judge.judge(float(f), float(v)).score for f, v in zip(forecasts, series.values[:, 0], strict=True)]
    )


def by_forecast(series: Series, forecasts: Scores) -> Scores:
    """Return the scores of residuals alone."""
    rate = default_rate(series.step_s)
    judge = Departures(false_alarm_rate=rate, window=default_window(series.step_s, rate))
    known = np.isfinite(forecasts) & np.isfinite(series.values[:, 0])
    found = np.zeros(len(known))
    found[known] = [
        judge.judge(float(f), float(v)).score for f, v in zip(forecasts[known], series.values[known, 0], strict=True)
    ]
    return found


def by_median(series: Series, forecasts: Scores) -> Scores:
    """Return the scores of the rolling median alone."""
    del forecasts
    window = default_window(series.step_s, default_rate(series.step_s))
    return by_forecast(series, np.expm1(past_median(series.values[:, 0], window)[0]))


DETECTORS: dict[str, Detect] = {
    "pulsecast": detector,
    "network alone": by_forecast,
    "rolling median": by_median,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A series, the network's forecasts of it (steps,), and the steps that matter: those of a fault."""

    series: Series
    forecasts: Scores
    steps: slice


def trials(every: Sequence[Series], pool: Pool, kind: str | None) -> list[Trial]:
    """Return a trial of each series with a fault of `kind`; None is the last part without faults."""
    found = []
    for number, ordinary in enumerate(every):
        one, steps = ordinary, slice(int(JUDGED * len(ordinary.values)), None)
        if kind is not None:
            at = int(PLACES[number % len(PLACES)] * len(one.values))
            values, steps = injected(one.values[:, 0], at, kind, one.step_s, SEED)
            one = dataclasses.replace(one, values=values[:, np.newaxis])
        found.append(Trial(series=one, forecasts=pool.forecast(one), steps=steps))
    return found


def recall(name: str, clean: Sequence[Trial], faults: Mapping[str, Sequence[Trial]]) -> Recall:
    """Return what the detector `name` finds."""
    step_s = clean[0].series.step_s
    quiet, detect = quiet_steps(step_s, default_rate(step_s)), DETECTORS[name]

    def ranges(every: Sequence[Trial]) -> list[Ranges]:
        scored = [(detect(one.series, one.forecasts), one.steps) for one in every]
        return [Ranges(scores[steps], before_alarm(scores, quiet)[steps]) for scores, steps in scored]

    ordinary, found = ranges(clean), {kind: ranges(every) for kind, every in faults.items()}
    weeks = sum(len(one.scores) for one in ordinary) * step_s / WEEK_S
    threshold = _threshold(ordinary, round(ALARMS_A_WEEK * weeks))
    return Recall(
        detector=name,
        stated={kind: _found(parts, JUST_ABOVE) for kind, parts in found.items()},
        false_alarms_a_week=sum(int(one.raised(JUST_ABOVE).sum()) for one in ordinary) / weeks,
        weekly={kind: _found(parts, threshold) for kind, parts in found.items()},
        threshold=threshold,
    )


class Ranges(NamedTuple):
    """The thresholds at which steps raise an alarm: above `before` (steps,), up to `scores` (steps,)."""

    scores: Scores
    before: Scores

    def raised(self, threshold: float) -> NDArray[np.bool_]:
        """Return whether each step raises an alarm: (steps,)."""
        return (self.scores >= threshold) & (self.before < threshold)


def _threshold(ordinary: Sequence[Ranges], alarms: int) -> float:
    """Return the lowest threshold at which `ordinary` raises at most so many alarms, and at no higher one more."""
    candidates = np.unique(np.concatenate([one.scores[one.scores > one.before] for one in ordinary]))[::-1]
    lowest = float("inf")
    for threshold in candidates:
        if sum(int(one.raised(threshold).sum()) for one in ordinary) > alarms:
            break
        lowest = float(threshold)
    return lowest


def _found(parts: Sequence[Ranges], threshold: float) -> float:
    return 100.0 * float(np.mean([one.raised(threshold).any() for one in parts]))


def _text(found: Sequence[Recall], every: Sequence[Series]) -> str:
    lines = [
        f"{len(every)} series, a fault of each kind in each; recall in percent, false alarms in a week of a series",
        f"{'':16}{'':12}{'a week':>8}" + "".join(f"{kind:>14}" for kind in INJECTIONS),
    ]
    for one in found:
        rows = (("stated", one.false_alarms_a_week, one.stated), ("one a week", ALARMS_A_WEEK, one.weekly))
        lines += [
            f"{one.detector:16}{name:12}{alarms:8.2f}" + "".join(f"{share:14.0f}" for share in shares.values())
            for name, alarms, shares in rows
        ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print every detector's recall."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.anomalies.injected",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--metric", help="column of values; as pulsecast train finds it")
    parser.add_argument("--kind", choices=("count", "gauge"), default="count")
    parser.add_argument("--step", help="such as 1h; the usual spacing")
    parser.add_argument("--missing", action="append", default=[], help="text of a missing cell, repeatable")
    parser.add_argument("--epochs", type=int, help="most epochs")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    try:
        every = _read(options)
        heard = LineProgress()
        heard.tell(f"training on the first half of {len(every)} series")
        pool = fit_pool(every, int(TRAINED * min(len(one.values) for one in every)), epochs=options.epochs)
        clean, faults = trials(every, pool, None), {kind: trials(every, pool, kind) for kind in INJECTIONS}
        found = [recall(name, clean, faults) for name in DETECTORS]
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    document = {"schema_version": 1, "series": len(every), "recall": found}
    print(strict_json.dumps(document) if options.format == "json" else _text(found, every))
    return 0


def _read(options: argparse.Namespace) -> tuple[Series, ...]:
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.logs.reader import read_log

    logs = sorted(options.data.glob("*.csv"))
    if not logs:
        raise DataError(f"{options.data} holds no CSV log; expected one for each series")
    config = LogConfig(
        timezone="UTC",
        metrics=() if options.metric is None else (options.metric,),
        kind=options.kind,
        step=options.step,
        missing=tuple(options.missing),
    )
    return read_log(logs, config).series


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
