"""One case in this process: load, first forecast, warm-up, steady phase, then the bare engine for comparison."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation import strict_json
from pulsecast.model.windows import Windows

from ..analysis.statistics import JUDGED_WINDOWS, stability
from ..results.case import BenchConfig, Case
from ..results.run import Memory, Paired, Phases, Run, ScenarioRun, Steady, encode
from ..subjects.bare import BARE, engine_of
from ..subjects.peers import PeerFile
from ..subjects.subject import UNVOUCHED, LoadedSubject, Trust, open_artifact
from .calls import Timed, predicting, rotation
from .machine import affinity, peak_resident_bytes, resident_bytes, threads_alive
from .scenarios import Answer, Answered, Load, loop
from .spending import Spending
from .steps import steps_of

_MOST_WINDOWS = 20  # of requests: a phase that is not stable by then counts as unstable
_BLOCK_CALLS = 6  # of runtime or bare engine before the other's turn
_LEAST_BLOCKS = 3  # of each four, even if a call is slow


@dataclass(frozen=True, kw_only=True)
class Request:
    """The task of one process; `peer` is the file of a peer, None for an artifact."""

    case: Case
    repeat: int
    order: int
    config: BenchConfig
    trust: Trust = UNVOUCHED
    peer: PeerFile | None = None


def answer(bundle_path: str, request_json: str, *, start_ns: int, import_ns: int) -> str:
    """Return a `Run`, or a `ScenarioRun` if the case has a scenario, as one line of JSON.

    Raises PulsecastError if the artifact or peer cannot be loaded or run.
    """
    request = strict_json.loads(Request, request_json.encode(), where="the request")
    path = Path(bundle_path)
    if request.case.scenario is not None:
        run: Run | ScenarioRun = measure_scenario(path, request)
    else:
        run = measure(path, request, start_ns=start_ns, import_ns=import_ns)
    return json.dumps(strict_json.to_json(run), allow_nan=False)


def measure(path: Path, request: Request, *, start_ns: int, import_ns: int) -> Run:
    """Return the measurement of `request` in this process; see `answer`."""
    case, config = request.case, request.config
    imported_bytes = resident_bytes()
    subject, load_ns = _load(path, request)
    loaded_bytes = resident_bytes()
    golden = Bundle.open(path).golden()
    inputs = rotation(golden.windows, case.batch, seed=config.seed + request.repeat)
    call = _call(subject, request, golden.windows, inputs)
    first_ns = call(0)
    warmup = _warm_up(call, config)
    steady = _steady(call, case, config)
    memory = Memory(imported=imported_bytes, loaded=loaded_bytes, steady=resident_bytes(), peak=peak_resident_bytes())
    alive = threads_alive()
    forecasts = subject.forecast(golden.windows) if case.leading else None  # (windows, horizon)
    return Run(
        case=case,
        repeat=request.repeat,
        order=request.order,
        engine=subject.engine,
        device=subject.device,
        threads=alive,
        phases=Phases(
            start_ns=start_ns,
            import_ns=import_ns,
            load_ns=load_ns,
            first_ns=first_ns,
            warmup_ns=sum(warmup),
            warmup_calls=len(warmup),
        ),
        steady=steady,
        memory=memory,
        forecasts=None if forecasts is None else tuple(tuple(row) for row in forecasts.astype(np.float64).tolist()),
        paired=_over_engine(subject.forecaster, call, inputs, request),
        affinity=affinity(),
    )


def measure_scenario(path: Path, request: Request) -> ScenarioRun:
    """Return this process's answers to the queries of the request's scenario."""
    case, config = request.case, request.config
    subject, _ = _load(path, request)
    windows = Bundle.open(path).golden().windows
    at_once = min(case.batch, subject.max_batch or case.batch)
    inputs = rotation(windows, at_once, seed=config.seed + request.repeat)
    warmup = _warm_up(predicting(subject.predict, inputs, subject.names), config)
    rate = at_once * 1e9 / float(np.mean(warmup[len(warmup) // 2 :]))  # windows a second, slow calls included
    load = Load(
        scenario=case.scenario or "",
        windows=len(windows),
        least_s=config.scenario_s,
        target_qps=config.target_qps or config.server_load * rate,
        expected_qps=rate,
        seed=config.seed + request.repeat,
    )

    def answer_queries(indices: Sequence[int]) -> int:
        batch = windows.take(list(indices))
        began = time.perf_counter_ns()
        subject.forecast(batch)
        return time.perf_counter_ns() - began

    with Spending() as spent:
        answered = _issuer(config)(load, answer_queries)
    ended = max(due + latency for due, latency in zip(answered.due, answered.latencies, strict=True))
    return ScenarioRun(
        case=case,
        repeat=request.repeat,
        order=request.order,
        engine=subject.engine,
        device=subject.device,
        issuer="loadgen" if config.issuer == "loadgen" else "loop",
        generator=answered.generator,
        target_qps=load.target_qps if case.scenario == "server" else None,
        windows=answered.windows,
        due=encode(answered.due),
        latencies=encode(answered.latencies),
        service=encode(answered.service),
        wall_ns=ended - min(answered.due),
        cpu_ns=spent.cpu_ns,
        foreign_cpu=spent.foreign_cpu,
        energy_uj=spent.energy_uj,
        affinity=affinity(),
        loadgen=answered.summary,
    )


def _issuer(config: BenchConfig) -> Callable[[Load, Answer], Answered]:
    """Return the issuer of queries; the benchmark chose it before it started this process."""
    if config.issuer != "loadgen":
        return loop
    from .loadgen import loadgen

    return loadgen


def _load(path: Path, request: Request) -> tuple[LoadedSubject, int]:
    """Return the subject, and the nanoseconds of its load; a peer's spec and scaler are read before."""
    case, peer = request.case, request.peer
    bundle = Bundle.open(path) if peer is not None else None
    began = time.perf_counter_ns()
    if bundle is None or peer is None:
        subject = open_artifact(path, case.artifact, case.threads, request.trust)
    else:
        from ..subjects.peer_engines import open_peer

        subject = open_peer(bundle, case.artifact, peer, case.threads)
    return subject, time.perf_counter_ns() - began


def _call(subject: LoadedSubject, request: Request, windows: Windows, inputs: Sequence[Windows]) -> Timed:
    """Return the case's call; streams are filled."""
    case = request.case
    if case.call == "predict":
        return predicting(subject.predict, inputs, subject.names)
    if subject.forecaster is None:
        raise UsageError(f"{case.artifact} is a peer, and only artifacts have streams")
    seed = request.config.seed + request.repeat
    return steps_of(subject.forecaster, case.call, windows, case.batch, seed=seed).timed


def _warm_up(call: Timed, config: BenchConfig) -> list[int]:
    until = time.perf_counter_ns() + round(config.warmup_s * 1e9)
    latencies: list[int] = []
    while len(latencies) < config.warmup_calls or time.perf_counter_ns() < until:
        latencies.append(call(len(latencies)))
    return latencies


def _steady(call: Timed, case: Case, config: BenchConfig) -> Steady:
    """Call until there are enough calls, time and stable windows of requests, or the limit is reached."""
    enough = config.calls if case.leading else JUDGED_WINDOWS * config.window_calls
    latencies: list[int] = []
    windows: list[int] = []
    with Spending() as spent:
        began = time.perf_counter_ns()
        limit = began + round(config.limit_s * 1e9)
        now = began
        while now < limit:
            windows.append(len(latencies))
            now = _window(call, latencies, config, limit)
            if len(latencies) < enough or now - began < config.steady_s * 1e9:
                continue
            judged = stability(np.array(latencies, np.int64), windows, config.window_calls)
            if judged.stable or (judged.stable is False and len(windows) >= _MOST_WINDOWS):
                break
    return Steady(
        latencies=encode(latencies),
        windows=tuple(windows),
        wall_ns=now - began,
        cpu_ns=spent.cpu_ns,
        foreign_cpu=spent.foreign_cpu,
        energy_uj=spent.energy_uj,
    )


def _window(call: Timed, latencies: list[int], config: BenchConfig, limit: int) -> int:
    """Add one window of requests to `latencies` and return when it ended."""
    clock, at = time.perf_counter_ns, len(latencies)
    full = at + config.window_calls
    now = clock()
    until = now + round(config.window_s * 1e9)
    while (at < full or now < until) and now < limit:
        latencies.append(call(at))
        now = clock()
        at += 1
    return now


def _over_engine(
    forecaster: Forecaster | None, call: Timed, inputs: Sequence[Windows], request: Request
) -> Paired | None:
    """Return calls beside the engine's own of as many windows: of a leading case with an engine, and of a step call."""
    case, config = request.case, request.config
    if forecaster is None or not config.paired_s:
        return None
    if case.call == "predict" and (not case.leading or forecaster.artifact.backend not in BARE):
        return None
    engine = engine_of(forecaster)
    return _paired(call, predicting(engine.call, [engine.prepare(batch) for batch in inputs]), config)


def _paired(runtime: Timed, bare: Timed, config: BenchConfig) -> Paired:
    """Return calls of the runtime and of the bare engine in alternating blocks: A B B A A B B A ...

    Between processes a call differs by more than the few percent of interest, so this one comparison is made inside a
    process: same engine object, same inputs, at the same time.
    """
    sides: tuple[tuple[Timed, list[int]], ...] = ((runtime, []), (bare, []))
    until = time.perf_counter_ns() + round(config.paired_s * 1e9)
    at = 0
    while time.perf_counter_ns() < until or at < _LEAST_BLOCKS * _BLOCK_CALLS:
        for side in (0, 1, 1, 0):  # all four blocks get the same inputs
            call, latencies = sides[side]
            call(at)  # not counted: it refills the caches after the other side
            latencies += [call(turn) for turn in range(at, at + _BLOCK_CALLS)]
        at += _BLOCK_CALLS
    return Paired(block=_BLOCK_CALLS, runtime=encode(sides[0][1]), bare=encode(sides[1][1]))
