"""Runs the benchmark: one child process after the other, never two at a time, in an interleaved order."""

from __future__ import annotations

import datetime
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pulsecast import records
from pulsecast.backends import BACKENDS, UNTRUSTED, is_installed, is_trusted
from pulsecast.bundle import Bundle, size_bytes
from pulsecast.errors import EngineError, FormatError
from pulsecast.manifest import Artifact

from .case import BenchConfig, plan_cases, schedule
from .machine import describe_machine, load_average
from .measuring import UNVOUCHED, Request, Trust
from .result import SCHEMA_VERSION, Failure, Model, Result, Skipped, Subject
from .run import Run

TIMEOUT_S = 300.0  # of one process beyond its measuring time: TensorFlow on a small board takes a minute to import


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who hears of a benchmark: `on_process(done, total, what)` after each process."""

    on_process: Callable[[int, int, str], None]


def run_benchmark(path: Path, config: BenchConfig, listener: Listener, trust: Trust = UNVOUCHED) -> Result:
    """Measure the artifacts of the bundle at `path` and return the raw result.

    An artifact whose engine is not installed is `skipped`; a process that crashes is a `failure` and the others go on.
    KeyboardInterrupt leaves no child process behind.

    Raises FormatError or IntegrityError (the bundle), UsageError (unknown artifact), EngineError if no process at all
    gave a measurement.
    """
    began = datetime.datetime.now(datetime.UTC)
    bundle = Bundle.open(path, key=trust.key)
    chosen = _chosen(bundle, config)
    skipped, measured = _sort_out(bundle, chosen, config, trust)
    order = schedule(plan_cases(measured, config), config)
    machine, load_before, clock = describe_machine(), load_average(), time.monotonic()
    runs: list[Run] = []
    failures: list[Failure] = []
    backends = {artifact.id: artifact.backend for artifact in chosen}
    for place, (case, repeat) in enumerate(order):
        request = Request(case=case, repeat=repeat, order=place, config=config, trust=trust)
        outcome = _run_worker(path, backends[case.artifact], request)
        if isinstance(outcome, Run):
            runs.append(outcome)
        else:
            failures.append(Failure(case=case, repeat=repeat, reason=outcome))
        listener.on_process(place + 1, len(order), str(case))
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
        subjects=tuple(_subject(bundle, artifact) for artifact in chosen),
        runs=tuple(runs),
        failures=tuple(failures),
        skipped=skipped,
    )


def _chosen(bundle: Bundle, config: BenchConfig) -> tuple[Artifact, ...]:
    if not config.artifacts:
        return bundle.manifest.artifacts
    return tuple(bundle.manifest.artifact(name) for name in dict.fromkeys(config.artifacts))


def _sort_out(
    bundle: Bundle, chosen: tuple[Artifact, ...], config: BenchConfig, trust: Trust
) -> tuple[tuple[Skipped, ...], tuple[Artifact, ...]]:
    """Return what is skipped, each with its reason, and what is left to measure."""
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


def _run_worker(path: Path, backend: str, request: Request) -> Run | str:
    """Return the run, or why there is none."""
    config = request.config
    text = records.dumps(request)
    command = [sys.executable, "-P", "-m", "pulsecast_bench.worker", str(os.getpid())]
    limit = TIMEOUT_S + config.warmup_s + config.limit_s + config.paired_s
    try:
        done = subprocess.run(  # kills and reaps the child when it is interrupted
            [*command, str(time.perf_counter_ns()), backend, str(path), text],
            capture_output=True,
            text=True,
            errors="replace",
            env=worker_environment(request.case.threads),
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {limit:.0f} s"
    if done.returncode < 0:
        return f"it crashed with {signal.Signals(-done.returncode).name}"
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"])[-1]
    try:
        return records.loads(Run, lines[-1].encode(), where="the measurement")
    except FormatError as error:
        return str(error)


def worker_environment(threads: int) -> dict[str, str]:
    """Return the child's environment: imports from where this process does, and numpy's BLAS with `threads` threads."""
    path = os.pathsep.join(p for p in sys.path if p)
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return os.environ | limits | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _model(bundle: Bundle) -> Model:
    manifest, golden = bundle.manifest, bundle.golden()
    spec = manifest.spec
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
    )


def _subject(bundle: Bundle, artifact: Artifact) -> Subject:
    return Subject(
        artifact=artifact.id,
        backend=artifact.backend,
        precision=artifact.precision,
        size_bytes=size_bytes(bundle.manifest, artifact.path),
        max_batch=artifact.max_batch,
    )
