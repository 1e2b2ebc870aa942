"""A constructed Result: every number in it is known, so that tables can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from pulsecast_bench.results.case import STEP_CALLS, BenchConfig, Call, Case
from pulsecast_bench.results.result import Failure, Machine, Model, Result, Skipped, Subject
from pulsecast_bench.results.run import Memory, Paired, Phases, Run, ScenarioRun, Steady, encode

MACHINE = Machine(
    cpu_model="Test CPU",
    cores=4,
    affinity=(0, 1),
    governor=None,
    cpu_limit=1.5,
    memory_bytes=8_000_000_000,
    platform="Linux x86_64",
    kernel="6.1",
    versions={"python": "3.11.7", "numpy": "2.4.6"},
    timer_overhead_ns=50.0,
    timer_resolution_ns=1.0,
)
MODEL = Model(
    name="shop",
    recipe="textbook",
    manifest_sha256="ab" * 32,
    context=50,
    features=1,
    horizon=1,
    scaler_range=100.0,
    truth=((10.0,), (20.0,)),
    reference=((11.0,), (18.0,)),
)


def run(
    artifact: str,
    *,
    batch: int = 1,
    leading: bool = True,
    repeat: int = 0,
    microseconds: tuple[int, ...] = (100,) * 150,
) -> Run:
    """Return a run of these latencies, cut into windows of 50 requests; its runtime costs 5 % over the bare engine."""
    latencies = [1000 * value for value in microseconds]
    return Run(
        case=Case(artifact=artifact, batch=batch, threads=1, leading=leading),
        repeat=repeat,
        order=repeat,
        engine="engine 1.0",
        device="CPU",
        threads=3,
        phases=Phases(
            start_ns=20_000_000,
            import_ns=100_000_000,
            load_ns=12_300_000,
            first_ns=700_000,
            warmup_ns=500_000_000,
            warmup_calls=5000,
        ),
        steady=Steady(
            latencies=encode(latencies),
            windows=tuple(range(0, len(latencies), 50)),
            wall_ns=sum(latencies),
            cpu_ns=sum(latencies),
            foreign_cpu=0.25,
        ),
        memory=Memory(imported=40_000_000, loaded=50_000_000, peak=60_000_000),
        forecasts=((12.0,), (18.0,)) if leading else None,
        paired=Paired(block=1, runtime=encode([105, 105]), bare=encode([100, 100])) if leading else None,
    )


def step(artifact: str, call: Call = "push", *, repeat: int = 0, microseconds: tuple[int, ...] = (110,) * 150) -> Run:
    """Return pushes of these latencies beside an engine whose window takes 100 us; of `streams` 1,000 at once."""
    streams = STEP_CALLS[call].streams
    one = run(artifact, leading=False, repeat=repeat, microseconds=microseconds)
    return replace(
        one,
        case=Case(artifact=artifact, batch=streams, threads=1, leading=False, call=call),
        paired=Paired(block=1, runtime=encode([1000 * microseconds[0]] * 2), bare=encode([100_000] * 2)),
    )


def scenario(artifact: str, name: str = "server", *, repeat: int = 0) -> ScenarioRun:
    """Return two queries, due at 0 and 1 ms: the first took 3 ms, the second waited 2 ms and took 3 ms."""
    return ScenarioRun(
        case=Case(artifact=artifact, batch=1, threads=1, leading=False, scenario=name),
        repeat=repeat,
        order=repeat,
        engine="engine 1.0",
        device="CPU",
        issuer="loop",
        generator="pulsecast loop",
        target_qps=1000.0 if name == "server" else None,
        windows=2,
        due=encode([0, 1_000_000]),
        latencies=encode([3_000_000, 5_000_000]),
        service=encode([3_000_000, 3_000_000]),
        wall_ns=6_000_000,
        cpu_ns=6_000_000,
        foreign_cpu=0.25,
        energy_uj=None,
        affinity=(0, 1),
        loadgen={},
    )


def subject(artifact: str, backend: str = "onnx") -> Subject:
    """Return a float32 artifact of 125,000 bytes."""
    return Subject(artifact=artifact, backend=backend, precision="float32", size_bytes=125_000, max_batch=None)


def result(*runs: Run, **changes: object) -> Result:
    """Return a result of `runs` and the other given values."""
    names = dict.fromkeys(one.case.artifact for one in runs)
    values: dict[str, object] = {
        "schema_version": 2,
        "began": "2026-01-02T03:04:05+00:00",
        "duration_s": 12.5,
        "config": BenchConfig(batches=(1, 8), repeats=2, sweep_repeats=1),
        "model": MODEL,
        "machine": MACHINE,
        "load_before": (0.5, 0.4, 0.3),
        "load_after": (1.0, 0.6, 0.4),
        "subjects": tuple(subject(name) for name in names),
        "runs": runs,
        "failures": (),
        "skipped": (),
    }
    return Result(**(values | changes))  # type: ignore[arg-type]


def eventful() -> Result:
    """Return a result with a stable artifact, an unstable one, one with a failed process and a skipped one."""
    drifting = (100,) * 100 + (130,) * 50
    return result(
        run("onnx"),
        run("onnx", repeat=1),
        run("onnx", batch=8, leading=False, microseconds=(400,) * 150),
        run("tflite", microseconds=drifting),
        subjects=(subject("onnx"), subject("tflite", "tflite"), subject("savedmodel", "savedmodel")),
        failures=(
            Failure(
                case=Case(artifact="tflite", batch=8, threads=1, leading=False),
                repeat=0,
                reason="crashed with SIGSEGV",
            ),
        ),
        skipped=(Skipped(artifact="savedmodel", reason="backend savedmodel is not installed"),),
    )
