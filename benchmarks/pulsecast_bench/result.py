"""What was measured, as frozen records: raw nanoseconds and the machine. Statistics are computed on reading.

The file is JSON, one `Result`, read strictly. `schema_version` rises when a reader of the old version would
misread the new one; a new optional field with a default does not raise it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulsecast import records
from pulsecast.errors import FormatError
from pulsecast.manifest import Precision
from pulsecast.whole_file import write_whole

from .case import BenchConfig, Case

SCHEMA_VERSION: Literal[1] = 1
_NUMBERS = re.compile(r"(\d+( \d+)*)?")


def pack(values: Sequence[int] | NDArray[np.int64]) -> str:
    """Return whole nanoseconds as decimal numbers with a space between: compact, fast to parse, legible."""
    return " ".join(str(value) for value in np.asarray(values, np.int64).tolist())


def unpack(text: str) -> NDArray[np.int64]:
    """Return the numbers that `pack` wrote, (calls,)."""
    return np.array(text.split(), np.int64)


def _check_packed(**fields: str) -> None:
    wrong = [name for name, text in fields.items() if not _NUMBERS.fullmatch(text)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: expected whole numbers with one space between")


@dataclass(frozen=True, kw_only=True)
class Phases:
    """One process up to the steady phase, in nanoseconds.

    start_ns   from before the process was made to its first line of Python
    import_ns  numpy, pulsecast and the engine
    load_ns    `pulsecast.load`: hashes, manifest, engine
    first_ns   the first forecast
    warmup_ns  calls of the warm-up phase together; `warmup_calls` of them
    """

    start_ns: int
    import_ns: int
    load_ns: int
    first_ns: int
    warmup_ns: int
    warmup_calls: int


@dataclass(frozen=True, kw_only=True)
class Steady:
    """The steady phase.

    latencies    packed nanoseconds of every call, in order
    windows      where each window of requests begins, as an index of a call
    wall_ns      of the whole phase
    cpu_ns       processor time of all threads of the process meanwhile
    foreign_cpu  share of the machine's processor time that other processes took meanwhile; None where unreadable
    """

    latencies: str
    windows: tuple[int, ...]
    wall_ns: int
    cpu_ns: int
    foreign_cpu: float | None

    def __post_init__(self) -> None:
        _check_packed(latencies=self.latencies)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident bytes of the process; None where the system does not tell. The peak is of load to steady phase."""

    imported: int | None
    loaded: int | None
    peak: int | None


@dataclass(frozen=True, kw_only=True)
class Paired:
    """`Forecaster.predict` and the bare engine in alternating blocks of `block` calls: packed nanoseconds of each.

    The order is runtime, bare, bare, runtime, and again; so 2 * block calls of each side belong to one such round.
    """

    block: int
    runtime: str
    bare: str

    def __post_init__(self) -> None:
        _check_packed(runtime=self.runtime, bare=self.bare)
        calls = len(self.runtime.split()), len(self.bare.split())
        if self.block < 1 or calls[0] != calls[1] or not calls[0] or calls[0] % (2 * self.block):
            raise ValueError(f"{calls[0]} and {calls[1]} calls; expected whole rounds of 2 x {self.block} on each side")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process.

    order      place in the sequence of all processes
    engine     name and version
    device     where it really ran
    threads    threads alive in the process after the steady phase, helpers of the engine included
    forecasts  (golden windows, horizon) of a leading case
    paired     of a leading case, where there is an engine beneath the runtime
    """

    case: Case
    repeat: int
    order: int
    engine: str
    device: str
    threads: int | None
    phases: Phases
    steady: Steady
    memory: Memory
    forecasts: tuple[tuple[float, ...], ...] | None
    paired: Paired | None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A process that ended without a measurement."""

    case: Case
    repeat: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An artifact that was not measured."""

    artifact: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One artifact of the bundle that was asked for."""

    artifact: str
    backend: str
    precision: Precision
    size_bytes: int
    max_batch: int | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The bundle, without its path; `truth` and `reference` are the golden's, (windows, horizon), raw units.

    scaler_range  raw range of the training part, the unit of `error / range`
    """

    name: str
    recipe: str
    manifest_sha256: str
    context: int
    features: int
    horizon: int
    scaler_range: float
    truth: tuple[tuple[float, ...], ...]
    reference: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if len(self.truth) != len(self.reference):
            raise ValueError(f"{len(self.truth)} windows of truth and {len(self.reference)} of reference")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What it ran on, without names of host or user; None is what this system does not tell.

    affinity             processors that the processes might use
    cpu_limit            of the container, in processors
    timer_overhead_ns    median of what two clock readings with nothing between them show; nothing is subtracted
    """

    cpu_model: str | None
    cores: int
    affinity: tuple[int, ...] | None
    governor: str | None
    cpu_limit: float | None
    memory_bytes: int | None
    platform: str
    kernel: str
    versions: Mapping[str, str]
    timer_overhead_ns: float
    timer_resolution_ns: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """All of one benchmark; load averages are over 1, 5 and 15 minutes before the first and after the last process."""

    schema_version: Literal[1]
    began: str
    duration_s: float
    config: BenchConfig
    model: Model
    machine: Machine
    load_before: tuple[float, ...]
    load_after: tuple[float, ...]
    subjects: tuple[Subject, ...]
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]

    def __post_init__(self) -> None:
        known = {subject.artifact for subject in self.subjects}
        named = {run.case.artifact for run in self.runs} | {one.artifact for one in self.skipped}
        if named - known:
            raise ValueError(f"runs of artifacts that are not among the subjects: {', '.join(sorted(named - known))}")
        shape = (len(self.model.truth), self.model.horizon)
        for run in self.runs:
            if run.forecasts is not None and np.shape(run.forecasts) != shape:
                raise ValueError(f"forecasts of {run.case} have shape {np.shape(run.forecasts)}; expected {shape}")


def write_result(result: Result, path: Path, *, force: bool) -> None:
    """Write `result` to `path` whole or not at all; raises as pulsecast.whole_file does."""
    write_whole(path, records.dumps(result), force=force)


def read_result(path: Path) -> Result:
    """Return the result at `path`; raises FormatError that lists every problem, or names the unknown version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} is not a readable result: {error.strerror}") from error
    document = records.loads(Mapping[str, object], data, where=path.name)  # type: ignore[type-abstract]
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise FormatError(
            f"{path.name}: schema_version is {version!r}; this version of pulsecast reads {SCHEMA_VERSION}; "
            "results are written by `pulsecast bench`"
        )
    return records.parse(Result, document, where=path.name)
