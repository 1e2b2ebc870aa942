"""Two results of the same model on the same machine, case by case: ratios with intervals, and whether one is slower.

A ratio is second over first, of medians over processes; its 95 % interval resamples the processes of each side. A case
is slower if the whole interval lies above the threshold, so noise alone seldom makes a case slower. A case without an
interval (fewer than five processes on a side) is not judged, and a comparison with such a case does not pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pulsecast.errors import UsageError

from ..analysis.forecast_errors import rmse_change
from ..analysis.run_figures import cold_start_ns, over_bare
from ..analysis.statistics import Estimate, median_of_runs, ratio_of_runs, stability
from ..analysis.verdicts import forecasts_of, leading_runs
from ..results.case import Case
from ..results.result import Machine, Result
from ..results.run import Run, decode

MAX_SLOWDOWN = 1.10
_SEED = 7

State = Literal["slower", "faster", "within", "not judged"]


@dataclass(frozen=True, kw_only=True)
class CaseRatio:
    """A case in both results; the first's median latency, and second over first.

    state     slower: the interval lies above the threshold; faster: below its inverse; else within
    unstable  the side that is not stable, "" if none
    """

    case: Case
    first_ns: Estimate
    second_ns: Estimate
    ratio: Estimate
    state: State
    unstable: str


@dataclass(frozen=True, kw_only=True)
class ArtifactRatio:
    """Other changes of an artifact: second over first, at its smallest batch.

    bare         ratio of a call's time over the bare engine's, each measured inside its own process: a machine that
                 became slower between the two results does not change it
    rmse_change  paired over the same held-out windows; None across models
    """

    artifact: str
    cold_start: Estimate
    peak: Estimate
    size: float | None
    bare: Estimate
    rmse_change: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`first` and `second` name the results; `notes` list differences and cases in only one of them."""

    first: str
    second: str
    max_slowdown: float
    cases: tuple[CaseRatio, ...]
    artifacts: tuple[ArtifactRatio, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def slower(self) -> tuple[CaseRatio, ...]:
        """Cases whose whole interval lies above the threshold."""
        return tuple(one for one in self.cases if one.state == "slower")

    @property
    def not_judged(self) -> tuple[CaseRatio, ...]:
        """Cases without an interval."""
        return tuple(one for one in self.cases if one.state == "not judged")


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Allowed differences in a comparison, and how much slower a case may become."""

    models: bool = False
    machines: bool = False
    max_slowdown: float = MAX_SLOWDOWN

    def __post_init__(self) -> None:
        if not 1 <= self.max_slowdown < float("inf"):
            raise UsageError(f"--max-slowdown is {self.max_slowdown:g}; expected a factor from 1, such as 1.10")


def compare_results(first: Result, second: Result, names: tuple[str, str], allowed: Allowed) -> Comparison:
    """Return `second` over `first`; `names` are the names of the two.

    Raises UsageError if the models or the machines differ without permission, or if no case is in both.
    """
    _refuse(first, second, allowed)
    before, after = _by_case(first), _by_case(second)
    shared = [case for case in before if case in after]
    if not shared:
        raise UsageError(
            f"{names[0]} and {names[1]} share no case (artifact, batch, threads); measure the same ones with "
            "`pulsecast bench`"
        )
    same_model = first.model.manifest_sha256 == second.model.manifest_sha256
    artifacts = dict.fromkeys(case.artifact for case in shared)
    return Comparison(
        first=names[0],
        second=names[1],
        max_slowdown=allowed.max_slowdown,
        cases=tuple(_case_ratio(case, (first, before[case]), (second, after[case]), allowed) for case in shared),
        artifacts=tuple(_artifact_ratio(name, first, second, same_model=same_model) for name in artifacts),
        lost=tuple(str(case) for case in before if case not in after and _failed(second, case)),
        notes=_notes(first, second, names, (before, after)),
    )


def _refuse(first: Result, second: Result, allowed: Allowed) -> None:
    problems = []
    if first.model.manifest_sha256 != second.model.manifest_sha256 and not allowed.models:
        differ = "; ".join(f"{name} {one} and {other}" for name, one, other in _model_differences(first, second))
        problems.append(f"the models differ ({differ}): pass --across-models to compare them anyway")
    machines = machine_differences(first.machine, second.machine)
    if machines and not allowed.machines:
        problems.append(f"the machines differ ({'; '.join(machines)}): pass --across-machines to compare them anyway")
    if problems:
        raise UsageError(". ".join(problems))


def _model_differences(first: Result, second: Result) -> list[tuple[str, object, object]]:
    one, other = first.model, second.model
    found: list[tuple[str, object, object]] = [("manifest", one.manifest_sha256[:12], other.manifest_sha256[:12])]
    fields = ("name", "recipe", "context", "features", "horizon")
    return found + [(f, getattr(one, f), getattr(other, f)) for f in fields if getattr(one, f) != getattr(other, f)]


def machine_differences(one: Machine, other: Machine) -> list[str]:
    """Return the differences between two machines; versions and kernel do not count, memory only by more than 2 %."""
    fields = ("cpu_model", "cores", "affinity", "governor", "cpu_limit", "platform")
    found = [
        f"{name.replace('_', ' ')} {getattr(one, name)} and {getattr(other, name)}"
        for name in fields
        if getattr(one, name) != getattr(other, name)
    ]
    if one.memory_bytes and other.memory_bytes and not 0.98 < one.memory_bytes / other.memory_bytes < 1.02:
        found.append(f"memory {one.memory_bytes / 1e9:.1f} GB and {other.memory_bytes / 1e9:.1f} GB")
    return found


def _by_case(result: Result) -> dict[Case, list[Run]]:
    found: dict[Case, list[Run]] = {}
    for subject in result.subjects:
        runs = [run for run in result.runs if run.case.artifact == subject.artifact]
        steps = [run for run in result.steps if run.case.artifact == subject.artifact]
        for run in [*sorted(runs, key=lambda run: run.case.batch), *steps]:
            if run.steady.latencies:
                found.setdefault(_key(run.case), []).append(run)
    return found


def _key(case: Case) -> Case:
    """Return the case without `leading`, which depends on the other cases."""
    return dataclasses.replace(case, leading=False)


def _failed(result: Result, case: Case) -> bool:
    return any(_key(failure.case) == case for failure in result.failures)


def _case_ratio(case: Case, first: tuple[Result, list[Run]], second: tuple[Result, list[Run]], a: Allowed) -> CaseRatio:
    before, after = (_medians(runs) for _, runs in (first, second))
    ratio = ratio_of_runs(before, after, seed=_SEED)
    unsettled = [name for name, side in (("first", first), ("second", second)) if _unstable(*side)]
    return CaseRatio(
        case=case,
        first_ns=median_of_runs(before, seed=_SEED),
        second_ns=median_of_runs(after, seed=_SEED),
        ratio=ratio,
        state=state_of(ratio, a.max_slowdown),
        unstable=" and ".join(unsettled),
    )


def state_of(ratio: Estimate, most: float) -> State:
    """Return the state of a ratio's interval compared with the threshold `most`."""
    if ratio.low is None or ratio.high is None:
        return "not judged"
    if ratio.low > most:
        return "slower"
    return "faster" if ratio.high < 1 / most else "within"


def _medians(runs: list[Run]) -> list[float]:
    return [float(np.median(decode(run.steady.latencies))) for run in runs]


def _unstable(result: Result, runs: list[Run]) -> bool:
    least = result.config.window_calls
    return any(stability(decode(run.steady.latencies), run.steady.windows, least).stable is False for run in runs)


def _artifact_ratio(artifact: str, first: Result, second: Result, *, same_model: bool) -> ArtifactRatio:
    before, after = (list(leading_runs(result, artifact).values()) for result in (first, second))

    def ratio(measure: Callable[[Run], float | None]) -> Estimate:
        sides = [[value for run in runs if (value := measure(run)) is not None] for runs in (before, after)]
        return ratio_of_runs(sides[0], sides[1], seed=_SEED)

    return ArtifactRatio(
        artifact=artifact,
        cold_start=ratio(cold_start_ns),
        peak=ratio(lambda run: run.memory.peak),
        size=_size_ratio(artifact, first, second),
        bare=ratio(over_bare),
        rmse_change=_rmse_change(artifact, first, second) if same_model else None,
    )


def _size_ratio(artifact: str, first: Result, second: Result) -> float | None:
    sizes = [s.size_bytes for result in (first, second) for s in result.subjects if s.artifact == artifact]
    return sizes[1] / sizes[0] if len(sizes) == 2 and sizes[0] and sizes[1] else None


def _rmse_change(artifact: str, first: Result, second: Result) -> Estimate:
    before, after = (forecasts_of(leading_runs(result, artifact)) for result in (first, second))
    if before is None or after is None:
        return Estimate(value=None, reason="not measured")
    return rmse_change(after, before, np.array(first.model.truth))


def _notes(
    first: Result, second: Result, names: tuple[str, str], sides: tuple[dict[Case, list[Run]], dict[Case, list[Run]]]
) -> tuple[str, ...]:
    found = []
    for name, mine, others in ((names[0], sides[0], sides[1]), (names[1], sides[1], sides[0])):
        if alone := [str(case) for case in mine if case not in others]:
            found.append(f"only in {name}: {'; '.join(alone)}")
    old, new = dict(first.machine.versions), dict(second.machine.versions)
    changed = [f"{n} {old.get(n, '-')} -> {new.get(n, '-')}" for n in sorted(old | new) if old.get(n) != new.get(n)]
    if changed:
        found.append(f"versions: {', '.join(changed)}")
    if first.machine.kernel != second.machine.kernel:
        found.append(f"kernel {first.machine.kernel} -> {second.machine.kernel}")
    if first.config.profile != second.config.profile:
        found.append(f"profiles differ: {first.config.profile} and {second.config.profile}")
    return tuple(found)
