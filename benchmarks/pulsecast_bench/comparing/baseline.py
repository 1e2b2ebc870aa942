"""A baseline that outlives its machine: ratios, each measured inside one run, never times.

Two kinds are stored, each with the value of every process or round, so that a reader can compute an interval:

    over bare   a call of `Forecaster.predict`, or of STEP_CALLS, over the bare engine's own, in one process
    over NAME   an artifact's median latency over that of the artifact NAME, in one round of processes

The first hardly depends on the machine. The second depends on its instruction set: a baseline says which processor it
was measured on, and a check on another architecture is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json

from ..analysis.run_figures import over_bare
from ..analysis.statistics import Estimate, median_of_runs, ratio_of_runs
from ..analysis.verdicts import leading_runs, medians
from ..reporting.protocol import command
from ..results.case import Call
from ..results.document import read_document
from ..results.result import Result
from .compare import Allowed, State, state_of

SCHEMA_VERSION: Literal[1] = 1
_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """`artifact` over `over`, which is "bare" or another artifact; one value per process.

    call  of the artifact: `predict` at the smallest batch, or a key of STEP_CALLS, which is always over "bare"
    """

    artifact: str
    over: str
    values: tuple[float, ...]
    call: Call = "predict"

    def __post_init__(self) -> None:
        if not self.values or min(self.values) <= 0:
            raise ValueError(f"{self.name} over {self.over} has values {self.values}; expected some above 0")

    @property
    def name(self) -> str:
        """The artifact, and its call if that is not `predict`."""
        return _name(self.artifact, self.call)


def _name(artifact: str, call: Call) -> str:
    return artifact if call == "predict" else f"{artifact} {call}"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Ratios of one model, with the model's shape, the processor and the settings of the measurement."""

    schema_version: Literal[1]
    recipe: str
    context: int
    features: int
    horizon: int
    threads: int
    platform: str
    cpu_model: str | None
    versions: Mapping[str, str]
    command: str
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A ratio of the baseline and the same one now; `change` is now over then."""

    artifact: str
    over: str
    then: Estimate
    now: Estimate
    change: Estimate
    state: State
    call: Call = "predict"

    @property
    def name(self) -> str:
        """The artifact, and its call if that is not `predict`."""
        return _name(self.artifact, self.call)


@dataclass(frozen=True, kw_only=True)
class BaselineCheck:
    """All ratios that both baseline and result have; `missing` are those that the result lacks."""

    max_slowdown: float
    ratios: tuple[Checked, ...]
    missing: tuple[str, ...]

    @property
    def slower(self) -> tuple[Checked, ...]:
        """Ratios whose whole interval lies above the threshold."""
        return tuple(one for one in self.ratios if one.state == "slower")

    @property
    def not_judged(self) -> tuple[Checked, ...]:
        """Ratios without an interval."""
        return tuple(one for one in self.ratios if one.state == "not judged")


def make_baseline(result: Result) -> Baseline:
    """Return the ratios of `result`: every artifact over bare, and over the float32 artifact of ONNX Runtime.

    Raises UsageError if there are none.
    """
    ratios = _ratios(result)
    if not ratios:
        raise UsageError("the result holds no call of a bare engine and no two artifacts: no ratio for a baseline")
    model = result.model
    return Baseline(
        schema_version=SCHEMA_VERSION,
        recipe=model.recipe,
        context=model.context,
        features=model.features,
        horizon=model.horizon,
        threads=result.config.threads,
        platform=result.machine.platform,
        cpu_model=result.machine.cpu_model,
        versions=dict(sorted(result.machine.versions.items())),
        command=command(result),
        ratios=tuple(ratios),
    )


def _ratios(result: Result) -> list[Ratio]:
    found = []
    names = [subject.artifact for subject in result.subjects if subject.kind == "artifact"]
    yardstick = medians(leading_runs(result, "onnx"))
    for name in names:
        runs = leading_runs(result, name)
        bare = [value for run in runs.values() if (value := over_bare(run)) is not None]
        if bare:
            found.append(Ratio(artifact=name, over="bare", values=_rounded(bare)))
        mine = medians(runs)
        rounds = sorted(mine.keys() & yardstick.keys()) if name != "onnx" else []
        if rounds:
            found.append(Ratio(artifact=name, over="onnx", values=_rounded([mine[i] / yardstick[i] for i in rounds])))
        found += _of_steps(result, name)
    return found


def _of_steps(result: Result, artifact: str) -> list[Ratio]:
    found: dict[Call, list[float]] = {}
    for run in result.steps:
        if run.case.artifact == artifact and (value := over_bare(run)) is not None:
            found.setdefault(run.case.call, []).append(value)
    return [Ratio(artifact=artifact, over="bare", values=_rounded(one), call=call) for call, one in found.items()]


def _rounded(values: list[float]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values)


def check_baseline(baseline: Baseline, result: Result, allowed: Allowed) -> BaselineCheck:
    """Return each ratio now over then.

    Raises UsageError if the model has another shape (unless `allowed.models`), the platform is another one (unless
    `allowed.machines`), the threads differ, or no ratio is in both.
    """
    _refuse(baseline, result, allowed)
    now = {(ratio.name, ratio.over): ratio for ratio in _ratios(result)}
    checked = [
        _checked(ratio, now[ratio.name, ratio.over], allowed.max_slowdown)
        for ratio in baseline.ratios
        if (ratio.name, ratio.over) in now
    ]
    if not checked:
        raise UsageError("the result has none of the baseline's ratios: measure its artifacts with `pulsecast bench`")
    missing = [f"{r.name} over {r.over}" for r in baseline.ratios if (r.name, r.over) not in now]
    return BaselineCheck(max_slowdown=allowed.max_slowdown, ratios=tuple(checked), missing=tuple(missing))


def _refuse(baseline: Baseline, result: Result, allowed: Allowed) -> None:
    fields = ("recipe", "context", "features", "horizon")
    differ = [
        f"{name} {getattr(baseline, name)} and {getattr(result.model, name)}"
        for name in fields
        if getattr(baseline, name) != getattr(result.model, name)
    ]
    problems = []
    if differ and not allowed.models:
        problems.append(f"the models differ ({'; '.join(differ)}): pass --across-models to compare them anyway")
    if baseline.platform != result.machine.platform and not allowed.machines:
        platforms = f"{baseline.platform} and {result.machine.platform}"
        problems.append(f"the platforms differ ({platforms}): pass --across-machines to compare them anyway")
    if baseline.threads != result.config.threads:
        problems.append(f"the baseline is of {baseline.threads} threads, the result of {result.config.threads}")
    if problems:
        raise UsageError(". ".join(problems))


def _checked(then: Ratio, now: Ratio, most: float) -> Checked:
    change = ratio_of_runs(then.values, now.values, seed=_SEED)
    return Checked(
        artifact=then.artifact,
        call=then.call,
        over=then.over,
        then=median_of_runs(then.values, seed=_SEED),
        now=median_of_runs(now.values, seed=_SEED),
        change=change,
        state=state_of(change, most),
    )


def read_baseline(path: Path) -> Baseline:
    """Return the baseline at `path`.

    Raises UsageError if the file is of another kind, FormatError that lists every problem or names the unknown version.
    """
    document = read_document(path, "ratios", "baseline; `pulsecast compare RESULT --save-baseline FILE` writes one")
    if document.get("schema_version") != SCHEMA_VERSION:
        version = document.get("schema_version")
        raise FormatError(
            f"{path.name}: schema_version is {version!r}; this version of pulsecast reads {SCHEMA_VERSION}"
        )
    return strict_json.parse(Baseline, document, where=path.name)
