"""Is an artifact with smaller numbers worthwhile on this machine? The rule, and its answer for each artifact.

Every artifact that is not float32 is compared with the float32 artifact of the same engine, at the smallest batch:

    speed     ratio of median latencies within each round of processes, median over rounds, 95 % interval
    accuracy  relative change of RMSE on the same held-out windows, 95 % interval
    size      ratio of the files' bytes

    accuracy lost: the interval lies above +1 %          -> no
    accuracy unclear: +1 % lies in it                    -> cannot tell (no, if it is slower as well)
    kept, and faster: the interval lies below 0.95       -> yes
    kept, speed alike: it lies within 0.90 and 1.10      -> for size, if at most 0.80 of the size; otherwise no
    kept, and slower: it lies above 1.05                 -> no, unless size decides (or plainly no, if not smaller)
    kept, speed unclear, or no interval                  -> cannot tell
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..results.result import Result, Subject
from ..results.run import Run, decode
from .forecast_errors import rmse_change
from .statistics import Estimate, paired_ratio

MAX_RMSE_CHANGE = 0.01
FASTER, SLOWER = 0.95, 1.05
ALIKE = (0.90, 1.10)
SMALLER = 0.80

Answer = Literal["yes", "for size", "no, unless size decides", "no", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether `artifact` is worthwhile beside `against`, the float32 artifact of the same engine.

    time_ratio   of median latencies, below 1 is faster
    rmse_change  relative; 0.01 is 1 %
    size_ratio   of the files' bytes, below 1 is smaller
    """

    artifact: str
    against: str
    answer: Answer
    why: str
    time_ratio: Estimate
    rmse_change: Estimate
    size_ratio: float


def verdicts(result: Result) -> tuple[Verdict, ...]:
    """Return the verdict of every artifact that is not float32 and has a float32 one beside it."""
    found = []
    for subject in result.subjects:
        base = _base(result, subject)
        if base is not None and subject.size_bytes and base.size_bytes:
            found.append(_verdict(result, subject, base, subject.size_bytes / base.size_bytes))
    return tuple(found)


def _base(result: Result, subject: Subject) -> Subject | None:
    """Return the float32 artifact of the same engine, if `subject` is another one."""
    if subject.precision == "float32" or subject.kind == "peer":
        return None
    ours = [one for one in result.subjects if one.kind == "artifact" and one.precision == "float32"]
    return next((one for one in ours if one.backend == subject.backend), None)


def _verdict(result: Result, subject: Subject, base: Subject, size_ratio: float) -> Verdict:
    mine, theirs = leading_runs(result, subject.artifact), leading_runs(result, base.artifact)
    time = paired_ratio(medians(theirs), medians(mine), seed=result.config.seed)
    change = _rmse_change(result, mine, theirs)
    answer, why = judge(time, change, size_ratio)
    return Verdict(
        artifact=subject.artifact,
        against=base.artifact,
        answer=answer,
        why=why,
        time_ratio=time,
        rmse_change=change,
        size_ratio=size_ratio,
    )


def leading_runs(result: Result, artifact: str) -> dict[int, Run]:
    """Return the processes of the artifact's smallest batch, by round."""
    return {run.repeat: run for run in result.runs if run.case.artifact == artifact and run.case.leading}


def medians(runs: Mapping[int, Run]) -> dict[int, float]:
    """Return each process's median latency in nanoseconds, by round."""
    latencies = {turn: decode(run.steady.latencies) for turn, run in runs.items()}
    return {turn: float(np.median(calls)) for turn, calls in latencies.items() if len(calls)}


def forecasts_of(runs: Mapping[int, Run]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    """Return the forecasts of the golden (windows, horizon) from the first of `runs` that has them."""
    return next((np.array(run.forecasts) for run in runs.values() if run.forecasts is not None), None)


def _rmse_change(result: Result, mine: Mapping[int, Run], theirs: Mapping[int, Run]) -> Estimate:
    found, base = forecasts_of(mine), forecasts_of(theirs)
    if found is None or base is None:
        return Estimate(value=None, reason="not measured")
    return rmse_change(found, base, np.array(result.model.truth))


def judge(time: Estimate, change: Estimate, size_ratio: float) -> tuple[Answer, str]:
    """Apply the rule: return the answer and its reason."""
    missing = [one.reason or "not measured" for one in (change, time) if one.low is None or one.high is None]
    if missing:
        return "cannot tell", missing[0]
    change_low, change_high, low, high = (value or 0.0 for value in (change.low, change.high, time.low, time.high))
    if change_low > MAX_RMSE_CHANGE:
        return "no", f"RMSE rises by more than {MAX_RMSE_CHANGE:.0%}"
    if change_high <= MAX_RMSE_CHANGE:
        return _judge_speed(low, high, smaller=size_ratio <= SMALLER)
    unclear = f"RMSE may or may not rise by more than {MAX_RMSE_CHANGE:.0%}"
    return ("no", f"slower, and {unclear}") if low > SLOWER else ("cannot tell", unclear)


def _judge_speed(low: float, high: float, *, smaller: bool) -> tuple[Answer, str]:
    """Return the answer for an artifact that keeps its accuracy; `low` to `high` is the time ratio's interval."""
    if high < FASTER:
        return "yes", "faster and smaller" if smaller else "faster"
    if low > SLOWER:
        return ("no, unless size decides", "smaller but slower") if smaller else ("no", "slower and not smaller")
    if ALIKE[0] <= low and high <= ALIKE[1]:
        return ("for size", "smaller, as fast") if smaller else ("no", "neither faster nor smaller")
    return "cannot tell", f"the time ratio's interval {low:.2f} to {high:.2f} is too wide"
