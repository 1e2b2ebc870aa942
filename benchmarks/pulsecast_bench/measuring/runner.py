"""Runs the benchmark: one child process after the other, never two at a time, in an interleaved order."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pulsecast.backends import BACKENDS, UNTRUSTED, is_installed, is_trusted
from pulsecast.bundle.bundle import Bundle, size_bytes
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import EngineError, FormatError, MissingExtraError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.progress import SILENT, Progress

from ..analysis.statistics import Latencies, is_known
from ..results.case import BenchConfig, Case, Measurable, leading_artifacts, plan_cases, schedule, server_cases
from ..results.result import SCHEMA_VERSION, Failure, Model, Result, Skipped, Subject
from ..results.run import Run, ScenarioRun, WireRun, decode
from ..subjects.peers import PeerFile, PeerRow, find_peers
from ..subjects.subject import UNVOUCHED, Trust
from ..wire.http_connection import ANSWER_S
from ..wire.probing import probe
from ..wire.server import Server
from .caller import Visit
from .child import run_worker
from .footprint import DISTRIBUTIONS, closure, packages
from .machine import affinity, describe_machine, load_average
from .peer_making import make_peers
from .phases import Request

TIMEOUT_S = 300.0  # of one process beyond its measuring time: TensorFlow on a small board takes a minute to import


Outcome = Run | ScenarioRun | WireRun


def run_benchmark(
    path: Path,
    config: BenchConfig,
    progress: Progress = SILENT,
    trust: Trust = UNVOUCHED,
    server: Server | None = None,
) -> Result:
    """Measure the artifacts of the bundle at `path`, peers, and a running server, and return the raw result.

    A subject that cannot run here is `skipped`; a process that crashes is a `failure` and the others continue.
    KeyboardInterrupt leaves no child process behind.

    Raises FormatError or IntegrityError (the bundle), UsageError (unknown artifact or peer), MissingExtraError (LoadGen
    was asked for and is not installed), EngineError if no process at all gave a measurement; of the server, before
    anything is measured, ToleranceError (its forecasts are not the bundle's) and EngineError (it does not answer).
    """
    began = datetime.datetime.now(datetime.UTC)
    bundle = Bundle.open(path, key=trust.key)
    chosen, peers = _chosen(bundle, config), find_peers(config.peers)
    resolved = dataclasses.replace(config, issuer=_issuer(config))
    machine, load_before, clock = describe_machine(), load_average(), time.monotonic()
    with temporary_folder() as folder:
        skipped, measured = _sort_out(bundle, chosen, config, trust)
        against = None if server is None else _against(bundle, measured, config, server)
        asked = () if server is None else server_cases(config)
        steps = _Steps(progress, len(_planned(measured, peers, {}, config, asked)))
        unmade, files = make_peers(peers, path, folder, steps.one_more)
        order = _planned(measured, files, files, config, asked)
        steps.set_left(len(order))

        def request(case: Case, repeat: int, place: int) -> Request | Visit:
            if server is not None and against is not None and case.connections is not None:
                return Visit(
                    case=case, repeat=repeat, order=place, config=config, server=server, against=against, trust=trust
                )
            file = files.get(case.artifact)
            return Request(case=case, repeat=repeat, order=place, config=resolved, peer=file, trust=trust)

        requests = [request(case, repeat, place) for place, (case, repeat) in enumerate(order)]
        modules = _modules(chosen, peers)
        runs, failures = _run_all(path, requests, modules, steps.done)
        for repeat in range(config.repeats, config.most_repeats):
            if not (unknown := _unknown(runs, failures, config, repeat)):
                break
            taken = len(runs) + len(failures)
            more = [request(case, repeat, taken + place) for place, case in enumerate(unknown)]
            new_runs, new_failures = _run_all(path, more, modules, steps.one_more)
            runs, failures = [*runs, *new_runs], [*failures, *new_failures]
        subjects = _subjects(bundle, chosen, peers, files)
    if failures and not runs:
        raise EngineError(f"no measurement succeeded; first failure, {failures[0].case}: {failures[0].reason}")
    return Result(
        schema_version=SCHEMA_VERSION,
        began=began.isoformat(timespec="seconds"),
        duration_s=round(time.monotonic() - clock, 3),
        config=config,
        model=_model(bundle),
        machine=machine,
        load_before=load_before,
        load_after=load_average(),
        subjects=tuple(subjects),
        runs=tuple(run for run in runs if isinstance(run, Run) and run.case.call == "predict"),
        failures=tuple(failures),
        skipped=(*skipped, *unmade),
        scenarios=tuple(run for run in runs if isinstance(run, ScenarioRun)),
        packages=packages(subject.needs for subject in subjects),
        steps=tuple(run for run in runs if isinstance(run, Run) and run.case.call != "predict"),
        wires=tuple(run for run in runs if isinstance(run, WireRun)),
    )


def _issuer(config: BenchConfig) -> Literal["loadgen", "loop"]:
    """Return the issuer of the queries of scenarios; LoadGen is never replaced if it was requested by name."""
    installed = importlib.util.find_spec("mlperf_loadgen") is not None
    if config.issuer == "loadgen" and config.scenarios and not installed:
        raise MissingExtraError("--issuer loadgen needs mlcommons-loadgen: pip install 'pulsecast[loadgen]'")
    return "loadgen" if config.issuer != "loop" and installed else "loop"


def _run_all(
    path: Path, requests: Sequence[Request | Visit], modules: Mapping[str, str], tell: Callable[[str], None]
) -> tuple[list[Outcome], list[Failure]]:
    runs: list[Outcome] = []
    failures: list[Failure] = []
    for request in requests:
        case = request.case
        outcome: Outcome | str = (
            _run_caller(path, request)
            if isinstance(request, Visit)
            else _run_worker(path, modules[case.artifact], request)
        )
        if isinstance(outcome, str):
            failures.append(Failure(case=case, repeat=request.repeat, reason=outcome))
        else:
            runs.append(outcome)
        tell(str(case))
    return runs, failures


def _unknown(
    runs: Sequence[Outcome], failures: Sequence[Failure], config: BenchConfig, repeat: int
) -> tuple[Case, ...]:
    """Return the leading cases without a failure whose `repeat` processes differ too much to know their median.

    The median of a case with fewer processes was already known in an earlier round.
    """
    latencies: dict[Case, list[Latencies]] = {}
    for run in runs:
        if isinstance(run, Run) and run.case.leading:
            latencies.setdefault(run.case, []).append(decode(run.steady.latencies))
    failed = {failure.case for failure in failures}
    return tuple(
        case
        for case, calls in latencies.items()
        if len(calls) == repeat and case not in failed and not is_known(calls, seed=config.seed)
    )


def _modules(chosen: Sequence[Artifact], peers: Mapping[str, PeerRow]) -> dict[str, str]:
    """Return the module that each subject's import phase imports."""
    found = {artifact.id: f"pulsecast.backends{BACKENDS[artifact.backend].module}" for artifact in chosen}
    return found | {name: row.imports for name, row in peers.items()}


def _planned(
    artifacts: Sequence[Artifact],
    peers: Iterable[str],
    files: Mapping[str, PeerFile],
    config: BenchConfig,
    asked: tuple[Case, ...],
) -> tuple[tuple[Case, int], ...]:
    """Return (case, repeat) in the order of their processes; a peer whose file is not made yet takes any batch.

    asked  cases of a server
    """
    others = [Measurable(id=name, max_batch=files[name].max_batch if name in files else None) for name in peers]
    cases = plan_cases([*artifacts, *others], config, leading_artifacts(artifacts, config))
    return schedule((*cases, *asked), config)


def _against(bundle: Bundle, measured: tuple[Artifact, ...], config: BenchConfig, server: Server) -> str:
    """Return the artifact that answers of a server are compared with: the first that was named, or that `load` takes.

    Raises what `probe` raises, and UsageError if there is none.
    """
    named = [artifact.id for artifact in measured if artifact.id in config.artifacts[:1]]
    found = named[0] if named else next(iter(leading_artifacts(measured, config)), None)
    if found is None:
        raise UsageError("answers of a server are compared with an artifact, and none of those chosen can run here")
    probe(bundle, found, server, config.protocol)
    return found


class _Steps:
    """Counts processes for `progress`: the files of peers first, then the `left` measurements known so far."""

    def __init__(self, progress: Progress, left: int) -> None:
        self._progress = progress
        self._done = 0
        self._total = left

    def one_more(self, what: str) -> None:
        """Count a process that was not among those left."""
        self._total += 1
        self.done(what)

    def set_left(self, left: int) -> None:
        self._total = self._done + left

    def done(self, what: str) -> None:
        self._done += 1
        self._progress.advance("measuring", self._done, self._total, what)


def _chosen(bundle: Bundle, config: BenchConfig) -> tuple[Artifact, ...]:
    if not config.artifacts:
        return bundle.manifest.artifacts
    return tuple(bundle.manifest.artifact(name) for name in dict.fromkeys(config.artifacts))


def _sort_out(
    bundle: Bundle, chosen: tuple[Artifact, ...], config: BenchConfig, trust: Trust
) -> tuple[tuple[Skipped, ...], tuple[Artifact, ...]]:
    """Return the skipped subjects with their reasons, and the subjects to measure."""
    skipped, left = [], []
    for artifact in chosen:
        if not is_installed(artifact.backend):
            extra = BACKENDS[artifact.backend].extra
            reason = f"backend {artifact.backend} is not installed: pip install 'pulsecast[{extra}]'"
            skipped.append(Skipped(artifact=artifact.id, reason=reason))
        elif not trust.code and not is_trusted(bundle, artifact):
            skipped.append(Skipped(artifact=artifact.id, reason=UNTRUSTED))
        elif artifact.max_batch is not None and min(config.batches) > artifact.max_batch:
            reason = f"it takes at most {artifact.max_batch} windows a call, and the batches start at "
            skipped.append(Skipped(artifact=artifact.id, reason=reason + str(min(config.batches))))
        else:
            left.append(artifact)
    return tuple(skipped), tuple(left)


def _run_caller(path: Path, visit: Visit) -> WireRun | str:
    """Return what callers of a server heard, or the reason for its absence."""
    config, connections = visit.config, visit.case.connections or 1
    done = run_worker(
        "pulsecast_bench.measuring.caller",
        [str(path), strict_json.dumps(visit)],
        threads=visit.case.threads,
        timeout_s=TIMEOUT_S + config.warmup_s + config.limit_s + connections * ANSWER_S,
    )
    if done.failed or not done.answer:
        return done.reason
    try:
        return strict_json.loads(WireRun, done.answer.encode(), where="the measurement")
    except FormatError as error:
        return str(error)


def _run_worker(path: Path, module: str, request: Request) -> Run | ScenarioRun | str:
    """Return the run, or the reason for its absence."""
    config, case = request.config, request.case
    kind: type[Run] | type[ScenarioRun] = Run if case.scenario is None else ScenarioRun
    phases_s = config.warmup_s + config.limit_s + config.paired_s + 10 * config.scenario_s
    done = run_worker(
        "pulsecast_bench.measuring.worker",
        [str(time.perf_counter_ns()), processor(case, config), module, str(path), strict_json.dumps(request)],
        threads=case.threads,
        timeout_s=TIMEOUT_S + phases_s,
    )
    if done.failed or not done.answer:
        return done.reason
    try:
        return strict_json.loads(kind, done.answer.encode(), where="the measurement")
    except FormatError as error:
        return str(error)


def processor(case: Case, config: BenchConfig) -> str:
    """Return the processor that a case's process is bound to, or "any": one call's thread then never moves.

    It is the last one of those that may be used: the first is where most systems serve their interrupts. A scenario is
    not bound: its issuing thread is not part of the measurement and must not take its processor time.
    """
    allowed = affinity() or ()
    bound = config.pin and case.threads == 1 and case.scenario is None and len(allowed) > 1
    return str(allowed[-1]) if bound else "any"


def _model(bundle: Bundle) -> Model:
    manifest, golden = bundle.manifest, bundle.golden()
    spec, (values, times, _) = manifest.spec, golden.windows.inputs
    return Model(
        name=manifest.name,
        recipe=manifest.recipe,
        manifest_sha256=hashlib.sha256(bundle.manifest_bytes()).hexdigest(),
        context=spec.context,
        features=len(spec.features),
        horizon=spec.horizon,
        scaler_range=manifest.scaler.range,
        truth=tuple(tuple(row) for row in golden.truth.tolist()),
        reference=tuple(tuple(row) for row in golden.reference.tolist()),
        timestamps=None if times is None else tuple(times.tolist()),
        last=tuple(values[:, -1, 0].astype(float).tolist()),
        step_s=spec.step_s,
        unit=None if golden.windows.series is None else tuple(golden.unit.tolist()),
    )


def _subjects(
    bundle: Bundle, chosen: Sequence[Artifact], peers: Mapping[str, PeerRow], files: Mapping[str, PeerFile]
) -> list[Subject]:
    artifacts = [_subject(bundle, artifact) for artifact in chosen]
    return artifacts + [_peer_subject(name, row, files.get(name)) for name, row in peers.items()]


def _subject(bundle: Bundle, artifact: Artifact) -> Subject:
    return Subject(
        artifact=artifact.id,
        backend=artifact.backend,
        precision=artifact.precision,
        size_bytes=size_bytes(bundle.manifest, artifact.path),
        max_batch=artifact.max_batch,
        needs=closure(DISTRIBUTIONS[artifact.backend]),
    )


def _peer_subject(name: str, row: PeerRow, file: PeerFile | None) -> Subject:
    return Subject(
        artifact=name,
        backend=row.engine,
        precision="float32",
        size_bytes=None if file is None else Path(file.path).stat().st_size,
        max_batch=None if file is None else file.max_batch,
        kind="peer",
        needs=closure(row.needs),
        about=row.about if file is None or file.note is None else f"{row.about}; {file.note}",
    )
