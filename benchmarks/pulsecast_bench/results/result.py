"""A measurement as frozen records: raw nanoseconds and the machine. Statistics are computed on reading.

The file is JSON, one `Result`, read strictly; one process's records are in `run.py`. `schema_version` rises when a
reader of the old version would misread the new one; a new optional field with a default does not raise it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from pulsecast.bundle.manifest import Precision
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, one_path
from pulsecast.foundation.whole_file import write_whole

from .case import BenchConfig, Case
from .document import read_document
from .run import Run, ScenarioRun, WireRun

SCHEMA_VERSION: Literal[2] = 2


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A process that ended without a measurement."""

    case: Case
    repeat: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An artifact or peer that was not measured, or not in one scenario."""

    artifact: str
    reason: str
    scenario: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject of a measurement: an artifact of the bundle, or a peer, which needs no pulsecast.

    artifact    its name; a peer's name is not an id of the bundle
    backend     of an artifact; a peer's engine, e.g. `keras`
    size_bytes  of the files that it loads; None if a peer's file could not be made
    needs       distributions that it needs besides numpy, e.g. onnxruntime and its requirements;
                their sizes are in `Result.packages`. None if the installation does not record them
    about       a peer: the called function, in a few words
    """

    artifact: str
    backend: str
    precision: Precision
    size_bytes: int | None
    max_batch: int | None
    kind: Literal["artifact", "peer"] = "artifact"
    needs: tuple[str, ...] | None = None
    about: str | None = None


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed distribution and the bytes of its files; None if its record of files is missing."""

    name: str
    version: str
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Energy:
    """The source of joules: `source` names the counter, or is None and `reason` says why none can be read.

    A counter is of the whole machine (or its processor): it includes other processes.
    """

    source: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The bundle, without its path; `truth` and `reference` are the golden's, (windows, horizon), raw units.

    scaler_range  raw range of the training part, the unit of `error / range`
    unit          of a bundle of several series: that unit for each golden window, the range of its series
    timestamps    of each golden window's last step, Unix seconds, if the bundle has them
    last          each golden window's last target value: what "no change" would forecast
    step_s        seconds of a step
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
    timestamps: tuple[int, ...] | None = None
    last: tuple[float, ...] | None = None
    step_s: int | None = None
    unit: tuple[float, ...] | None = field(default=None, metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        if self.unit is not None and len(self.unit) != len(self.truth):
            raise ValueError(f"{len(self.unit)} units for {len(self.truth)} windows")
        if len(self.truth) != len(self.reference):
            raise ValueError(f"{len(self.truth)} windows of truth and {len(self.reference)} of reference")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What it ran on, without names of host or user; None is what this system does not report.

    affinity             processors that the processes could use
    cpu_limit            of the container, in processors
    timer_overhead_ns    median time between two clock readings with no work in between; it is not subtracted
    energy               None in results that were written before energy was measured
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
    energy: Energy | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """All of one benchmark; load averages are over 1, 5 and 15 minutes before the first and after the last process.

    runs       closed loop of one caller: the source of latency, throughput, memory, cold start and accuracy
    scenarios  further processes, one for each requested scenario
    steps      further processes: a call of STEP_CALLS in the same closed loop, `case.batch` streams a call
    wires      further processes, in the same rounds: callers of a running server
    packages   every distribution that a subject needs, and numpy
    label      the user's name for this machine, e.g. `pi4`
    """

    schema_version: Literal[2]
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
    scenarios: tuple[ScenarioRun, ...] = ()
    packages: tuple[Package, ...] = ()
    label: str | None = None
    steps: tuple[Run, ...] = ()
    wires: tuple[WireRun, ...] = field(default=(), metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        known = {subject.artifact for subject in self.subjects}
        cases = [run.case for run in (*self.runs, *self.steps)] + [run.case for run in self.scenarios]
        named = {case.artifact for case in cases} | {one.artifact for one in self.skipped}
        if named - known:
            raise ValueError(f"runs of artifacts that are not among the subjects: {', '.join(sorted(named - known))}")
        mixed = [str(run.case) for run in self.runs if run.case.call != "predict"]
        mixed += [str(run.case) for run in self.steps if run.case.call == "predict"]
        if mixed:
            raise ValueError(f"{'; '.join(mixed)}: expected windows among the runs and step calls among the steps")
        shape = (len(self.model.truth), self.model.horizon)
        for run in self.runs:
            if run.forecasts is not None and np.shape(run.forecasts) != shape:
                raise ValueError(f"forecasts of {run.case} have shape {np.shape(run.forecasts)}; expected {shape}")


def check_label(label: str | None) -> str | None:
    """Return a label; raises UsageError unless reports can show it in a column."""
    if label is not None and not re.fullmatch(r"[\w.+()-]([\w.+() -]{0,38}[\w.+()-])?", label):
        raise UsageError(f"label is {label!r}; expected 1 to 40 letters, digits, spaces or any of . + ( ) - _")
    return label


def write_result(result: Result, path: Path, *, force: bool) -> None:
    """Write `result` to `path` whole or not at all; raises as pulsecast.foundation.whole_file does."""
    write_whole(path, strict_json.dumps(result), force=force)


_OTHERS = {  # other files of this package have a `schema_version` too
    "ratios": "a baseline, not a result: `pulsecast compare RESULT --baseline {file}` takes one",
    "programs": "a microcontroller result, not one of `pulsecast bench`: `pulsecast report RESULT --microcontroller "
    "{file}` takes one",
}


def read_result(path: StrPath) -> Result:
    """Return the result at `path`.

    Raises UsageError if the file is of another kind, FormatError that lists every problem or names the unknown version.
    """
    file = one_path("path", path)
    document = read_document(file, "schema_version", "result of `pulsecast bench`", _OTHERS)
    version = document["schema_version"]
    if version == 1 and type(version) is int:
        document = _from_version_1(document)
    elif version != SCHEMA_VERSION:
        raise FormatError(
            f"{file.name}: schema_version is {version!r}; this version of pulsecast reads 1 and {SCHEMA_VERSION}; "
            "results are written by `pulsecast bench`"
        )
    return strict_json.parse(Result, document, where=file.name)


def _from_version_1(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return a result of version 1 as one of version 2: new fields get defaults, and no process was pinned then."""
    config = document.get("config")
    pinned = {**config, "pin": False} if isinstance(config, Mapping) else config
    return {**document, "schema_version": SCHEMA_VERSION, "config": pinned}
