"""The plan of a measurement: cases, their durations, and the order of their processes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pulsecast.backends import AUTO_ORDER
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import invalid, require_types

Call = Literal["predict", "push", "back_to_back", "detector", "streams"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One artifact or peer, called with `batch` windows at a time; each repeat is a fresh process.

    leading   the smallest batch: latency, accuracy, and the runtime's overhead over the bare engine come from here; the
              other batches give the throughput
    scenario  a key of SCENARIOS whose queries it answers, `batch` windows each; None is the closed loop
    call      what is called: `predict` takes whole windows, a key of STEP_CALLS one step of each of `batch` streams
    connections  of a server, whose name is then its protocol's: each asks for `batch` windows once it has its answer
    """

    artifact: str
    batch: int
    threads: int
    leading: bool
    scenario: str | None = None
    call: Call = "predict"
    connections: int | None = field(default=None, metadata=strict_json.OMITTED)

    def __str__(self) -> str:
        if self.connections is not None:
            return f"{self.artifact}, {self.connections} connection{'s' if self.connections > 1 else ''}"
        what = f"batch {self.batch}" if self.call == "predict" else self.call
        return f"{self.artifact}, {self.scenario or what}, threads {self.threads}"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The arrival of queries; the names and rules are MLPerf's, the durations are not.

    batch  windows a query
    text   for people
    """

    batch: int
    text: str


# Literal on purpose: the error for an unknown name lists these.
SCENARIOS = {
    "single-stream": Scenario(batch=1, text="one window a query, the next when the last is answered"),
    "multi-stream": Scenario(batch=8, text="eight windows a query, the next when the last is answered"),
    "server": Scenario(batch=1, text="one window a query, in a Poisson process; latency from when it was due"),
    "offline": Scenario(batch=64, text="all windows at once, answered 64 at a time"),
}


@dataclass(frozen=True, kw_only=True)
class StepCall:
    """A call that takes one step of every stream and forecasts from all steps before it; `streams` of them.

    Before it, untimed, `settle` does what the push before has postponed, as an app may while it waits for a value.
    """

    streams: int
    text: str


# Literal on purpose, like SCENARIOS.
STEP_CALLS: dict[Call, StepCall] = {
    "push": StepCall(streams=1, text="Stream.push(value, timestamp=...)"),
    "back_to_back": StepCall(
        streams=1, text="the same without a settle before it: with what the push before postponed"
    ),
    "detector": StepCall(streams=1, text="AnomalyDetector.push(value, timestamp=...)"),
    "streams": StepCall(streams=1000, text="Stream.push of 1,000 streams at once, a stream's share"),
}


# Literal on purpose, like SCENARIOS; `wire.protocols` has a row for each.
PROTOCOLS = {
    "timeseries": "KServe's time-series API",
    "tensorflow": "TensorFlow Serving, REST",
    "inference": "Open Inference v2, REST",
    "tensorflow-grpc": "TensorFlow Serving, gRPC",
    "inference-grpc": "Open Inference v2, gRPC",
}
MOST_CONNECTIONS = 1024


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What to measure and for how long; every duration is for one process.

    artifacts        ids; () is all of the bundle
    batches          windows per call; the smallest is the leading one
    threads          that one call may use
    repeats          processes per leading case
    most_repeats     the limit if more are needed to know their median (`statistics.is_known`); 0 adds none
    sweep_repeats    processes per other case
    warmup_calls, warmup_s  at least; discarded
    calls            at least, in the steady phase of a leading case (others: three windows of requests)
    steady_s         at least
    limit_s          at most; a figure without enough calls by then is reported as missing
    window_calls, window_s  both at least: a window of requests, whose last three decide on stability
    paired_s         runtime and bare engine in alternation, after the steady phase of a leading case
    seed             of the order of processes, the rotation of inputs and the bootstrap
    peers            rows of PEERS to measure beside the artifacts
    pin              each process with one thread is bound to one processor
    scenarios        keys of SCENARIOS
    issuer           what issues the queries of a scenario: LoadGen, the loop here, or LoadGen where it is installed
    scenario_s       of a scenario, at least
    target_qps       queries a second in `server`; None is `server_load` times a process's capacity, measured in its
                     warm-up
    scenario_repeats processes per scenario and subject
    step_calls       keys of STEP_CALLS, for the artifacts that `leading_artifacts` names; `sweep_repeats` processes of
                     each
    protocol         key of PROTOCOLS, in which a server is asked where one was named
    concurrency      connections to it at once; `sweep_repeats` processes of each
    """

    profile: str = "standard"
    artifacts: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 8, 64, 256, 1024)
    threads: int = 1
    repeats: int = 5
    sweep_repeats: int = 5
    warmup_calls: int = 10
    warmup_s: float = 0.5
    calls: int = 150
    steady_s: float = 3.0
    limit_s: float = 120.0
    window_calls: int = 50
    window_s: float = 1.0
    paired_s: float = 1.0
    seed: int = 7
    peers: tuple[str, ...] = ()
    pin: bool = True
    scenarios: tuple[str, ...] = ()
    issuer: Literal["auto", "loadgen", "loop"] = "auto"
    scenario_s: float = 10.0
    target_qps: float | None = None
    server_load: float = 0.5
    scenario_repeats: int = 5
    most_repeats: int = 0
    step_calls: tuple[str, ...] = ()
    protocol: str = field(default="timeseries", metadata=strict_json.OMITTED)
    concurrency: tuple[int, ...] = field(default=(1, 8, 32), metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        require_types(self)
        problems = [
            f"{name} is {value}; expected at least {least}"
            for name, least in _LEAST.items()
            if (value := getattr(self, name)) < least
        ]
        if not self.batches or min(self.batches) < 1 or len(set(self.batches)) < len(self.batches):
            problems.append(f"batches are {self.batches}; expected different numbers from 1")
        if unknown := [name for name in self.scenarios if name not in SCENARIOS]:
            problems.append(f"no scenario {', '.join(unknown)}; known: {', '.join(SCENARIOS)}")
        if unknown := [name for name in self.step_calls if name not in STEP_CALLS]:
            problems.append(f"no step call {', '.join(unknown)}; known: {', '.join(STEP_CALLS)}")
        if self.protocol not in PROTOCOLS:
            problems.append(f"no protocol {self.protocol!r}; known: {', '.join(PROTOCOLS)}")
        if not self.concurrency or len(set(self.concurrency)) < len(self.concurrency):
            problems.append(f"concurrency is {self.concurrency}; expected different numbers of connections")
        elif not 1 <= min(self.concurrency) <= max(self.concurrency) <= MOST_CONNECTIONS:
            problems.append(f"concurrency is {self.concurrency}; expected numbers from 1 to {MOST_CONNECTIONS}")
        if self.target_qps is not None and self.target_qps <= 0:
            problems.append(f"target_qps is {self.target_qps}; expected more than 0")
        if self.server_load <= 0:
            problems.append(f"server_load is {self.server_load}; expected more than 0")
        if self.steady_s > self.limit_s:
            problems.append(f"steady_s is {self.steady_s}, more than limit_s {self.limit_s}")
        if problems:
            raise invalid(problems)


_LEAST = {
    "threads": 1,
    "repeats": 1,
    "sweep_repeats": 1,
    "warmup_calls": 10,
    "warmup_s": 0.5,
    "window_calls": 50,
    "window_s": 0.0,
    "steady_s": 0.0,
    "paired_s": 0.0,
    "calls": 1,
    "seed": 0,
    "scenario_s": 0.0,
    "scenario_repeats": 1,
    "most_repeats": 0,
}

PROFILES = {
    "standard": BenchConfig(most_repeats=15, step_calls=("push", "back_to_back", "detector", "streams")),
    # For a first look, not for a decision: 332 calls in each of two processes are enough for p99, too few for
    # intervals.
    "quick": BenchConfig(
        profile="quick",
        batches=(1, 64),
        repeats=2,
        sweep_repeats=1,
        calls=332,
        steady_s=0.3,
        limit_s=0.75,
        window_s=0.1,
        paired_s=0.1,
        scenario_s=1.0,
        scenario_repeats=2,
        step_calls=("push", "detector"),
    ),
}


def find_profile(name: str) -> BenchConfig:
    """Return a row of PROFILES; raises UsageError that lists them."""
    if name not in PROFILES:
        raise UsageError(f"no profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def change(config: BenchConfig, **given: object) -> BenchConfig:
    """Return `config` with the given values (None is not given); `repeats` is then exact, for every case.

    Raises UsageError with every wrong value.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if "repeats" in values:
        values.setdefault("sweep_repeats", values["repeats"])
        values.setdefault("scenario_repeats", values["repeats"])
        values.setdefault("most_repeats", values["repeats"])
    try:
        return dataclasses.replace(config, **values)  # type: ignore[arg-type]  # names and types are the caller's
    except ValueError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Measurable:
    """The subject of a case, for the plan: a peer, or an artifact."""

    id: str
    max_batch: int | None


def leading_artifacts(artifacts: Sequence[Artifact], config: BenchConfig) -> tuple[str, ...]:
    """Return the ids of the artifacts whose step calls are measured: those that were named.

    If none was named: the one that `pulsecast.load` takes by itself, and `native`, of those that can be measured.
    """
    if config.artifacts:
        return tuple(artifact.id for artifact in artifacts)
    first = {artifact.backend: artifact.id for artifact in reversed(artifacts)}
    chosen = next((backend for backend in AUTO_ORDER if backend in first), None)
    return tuple(first[backend] for backend in (chosen, "native") if backend in first)


def plan_cases(
    subjects: Sequence[Measurable | Artifact], config: BenchConfig, stepped: Collection[str] = ()
) -> tuple[Case, ...]:
    """Return the cases of `subjects`: every batch, every scenario, and every step call of those in `stepped`.

    A batch above a subject's `max_batch` has none.
    """
    cases = []
    for subject in subjects:
        batches = sorted(b for b in config.batches if _takes(subject, b))
        cases += [
            Case(artifact=subject.id, batch=batch, threads=config.threads, leading=batch == batches[0])
            for batch in batches
        ]
        cases += [
            Case(
                artifact=subject.id,
                batch=SCENARIOS[scenario].batch,
                threads=config.threads,
                leading=False,
                scenario=scenario,
            )
            for scenario in config.scenarios
        ]
        cases += [
            Case(artifact=subject.id, batch=row.streams, threads=config.threads, leading=False, call=call)
            for call, row in STEP_CALLS.items()
            if subject.id in stepped and call in config.step_calls and _takes(subject, row.streams)
        ]
    return tuple(cases)


def server_cases(config: BenchConfig) -> tuple[Case, ...]:
    """Return the cases of a server: each number of connections."""
    return tuple(
        Case(artifact=config.protocol, batch=1, threads=config.threads, leading=False, connections=connections)
        for connections in sorted(config.concurrency)
    )


def _takes(subject: Measurable | Artifact, batch: int) -> bool:
    return subject.max_batch is None or batch <= subject.max_batch


def _repeats(config: BenchConfig) -> Callable[[Case], int]:
    """Return the function that gives a case's number of processes."""

    def of(case: Case) -> int:
        if case.scenario is not None:
            return config.scenario_repeats
        return config.repeats if case.leading else config.sweep_repeats

    return of


def schedule(cases: Sequence[Case], config: BenchConfig) -> tuple[tuple[Case, int], ...]:
    """Return (case, repeat) in the order of their processes: in every repeat all cases, in a new random order.

    A slow minute of the machine then meets every case alike, and none has always the same one before it.
    """
    rng = random.Random(config.seed)  # noqa: S311  # an order, not a secret
    order = []
    for repeat in range(max(map(_repeats(config), cases), default=0)):
        due = [case for case in cases if repeat < _repeats(config)(case)]
        rng.shuffle(due)
        order += [(case, repeat) for case in due]
    return tuple(order)
