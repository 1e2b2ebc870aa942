"""One process's measurement as frozen records: raw nanoseconds, no computed figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .case import PROTOCOLS, Case

_NUMBERS = re.compile(r"(\d+( \d+)*)?")


def encode(values: Sequence[int] | NDArray[np.int64]) -> str:
    """Return whole nanoseconds as decimal numbers with a space between: compact, fast to parse, legible."""
    return " ".join(str(value) for value in np.asarray(values, np.int64).tolist())


def decode(text: str) -> NDArray[np.int64]:
    """Return the numbers that `encode` wrote, (calls,)."""
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
    cpu_ns       processor time of all threads of the process in this phase
    foreign_cpu  share of the machine's processor time taken by other processes; None if unreadable
    energy_uj    microjoules of the machine in this phase (`Machine.energy`); None if no counter can be read
    """

    latencies: str
    windows: tuple[int, ...]
    wall_ns: int
    cpu_ns: int
    foreign_cpu: float | None
    energy_uj: int | None = None

    def __post_init__(self) -> None:
        _check_packed(latencies=self.latencies)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident bytes of the process; None where the system does not report them.

    imported  after the imports
    loaded    after load
    steady    at the end of the steady phase
    peak      the most from the process's start to the end of the steady phase
    """

    imported: int | None
    loaded: int | None
    peak: int | None
    steady: int | None = None


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A call and the bare engine's, in alternating blocks of `block` calls: packed nanoseconds of each.

    The call is `Forecaster.predict`, or that of STEP_CALLS; the engine forecasts as many windows as the call does.
    The order is runtime, bare, bare, runtime, repeated; one such round has 2 * block calls of each side.
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
    affinity   processors that the process could use; None if the system has no affinity
    forecasts  (golden windows, horizon) of a leading case
    paired     of a leading case with an engine, and of a step call
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
    affinity: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ScenarioRun:
    """One process that answered the queries of one scenario (`case.scenario`), `case.batch` windows each.

    A query has a due time: in `server` from the Poisson process, else when it is issued. `offline`
    has one query of all windows, whose parts of `case.batch` windows are stored like queries, all due at 0. Packed
    nanoseconds, one of each for every query, in the order of answering:

    due        from the start of the phase to when the query was due
    latencies  from due to answered: a scenario's latency, including waiting
    service    inside `predict`; in `server`, latency without it is waiting

    issuer       its clock decided when queries came; the latencies are its own
    generator    name and version of it
    target_qps   planned queries a second (`server`), else None
    windows      total number of forecasts
    wall_ns      from the first query's due time to the last answer
    loadgen      LoadGen's own summary, line by line (e.g. "Result is": "VALID"); {} of the loop
    """

    case: Case
    repeat: int
    order: int
    engine: str
    device: str
    issuer: Literal["loadgen", "loop"]
    generator: str
    target_qps: float | None
    windows: int
    due: str
    latencies: str
    service: str
    wall_ns: int
    cpu_ns: int
    foreign_cpu: float | None
    energy_uj: int | None
    affinity: tuple[int, ...] | None
    loadgen: Mapping[str, str]

    def __post_init__(self) -> None:
        _check_packed(due=self.due, latencies=self.latencies, service=self.service)
        counts = {len(text.split()) for text in (self.due, self.latencies, self.service)}
        if len(counts) > 1 or not self.latencies:
            raise ValueError(
                f"{self.case}: due, latencies and service hold {sorted(counts)} numbers; expected the same"
            )


@dataclass(frozen=True, kw_only=True)
class WireRun:
    """One process that asked a running server: `case.connections` callers, each with a connection that stays open.

    protocol    key of PROTOCOLS; `tls` where the connections are encrypted
    against     artifact whose forecasts in this process every answer was compared with
    latencies   packed nanoseconds from before a request was sent until its answer was whole, in the order of answers
    windows     where each window of requests begins, as an index of an answer
    wall_ns     from the first request to the last answer
    cpu_ns      processor time of the callers: what asking costs
    deviation   largest |answer - in-process| of all answers, the warm-up's too, as a fraction of the training range
    tolerance   of `against`: what it may be
    wrong       number of answers that differ by more
    """

    case: Case
    repeat: int
    order: int
    protocol: str
    tls: bool
    against: str
    latencies: str
    windows: tuple[int, ...]
    wall_ns: int
    cpu_ns: int
    foreign_cpu: float | None
    deviation: float
    tolerance: float
    wrong: int

    def __post_init__(self) -> None:
        _check_packed(latencies=self.latencies)
        problems = []
        if not self.latencies or self.wall_ns <= 0:
            problems.append(f"{self.case}: expected at least one answer")
        if self.protocol not in PROTOCOLS or self.case.connections is None:
            problems.append(f"{self.case}: expected a protocol and its connections")
        if (
            not 0 <= self.deviation < math.inf
            or self.wrong < 0
            or (self.wrong > 0) != (self.deviation > self.tolerance)
        ):
            problems.append(f"{self.case}: {self.wrong} wrong answers do not fit a deviation of {self.deviation}")
        if problems:
            raise ValueError("; ".join(problems))
