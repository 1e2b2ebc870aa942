"""How a result was measured, in words, and the command line that repeats it."""

from __future__ import annotations

from ..analysis.statistics import BOOTSTRAP_RUNS, STABLE_RATIO
from ..results.case import BenchConfig, find_profile
from ..results.result import Result


def protocol(result: Result) -> str:
    """Return the protocol that `result` followed, in sentences."""
    config, processes = result.config, len(result.runs) + len(result.steps) + len(result.wires)
    sentences = (
        f"{processes} processes in {result.duration_s:.0f} s, one after the other in a shuffled order",
        f"(seed {config.seed}): {_processes(config)} for an artifact's smallest batch,",
        f"{config.sweep_repeats} for others" + (" and for each step call." if result.steps else "."),
        f"Each: import, load, first forecast, warm-up (at least {config.warmup_calls} calls, {config.warmup_s:g} s),",
        f"steady phase (at least {config.calls} calls, {config.steady_s:g} s; at most {config.limit_s:g} s).",
        f"Stable: the last three windows (at least {config.window_calls} requests, {config.window_s:g} s) differ by",
        f"no more than {STABLE_RATIO - 1:.0%} in median latency and in rate.",
        "Percentiles are of all processes' calls together and appear only if there are enough calls;",
        f"intervals resample processes and need {BOOTSTRAP_RUNS} of them.",
        "The whole protocol is in `benchmarks/README.md`.",
    )
    return " ".join(sentences)


def _processes(config: BenchConfig) -> str:
    if config.most_repeats <= config.repeats:
        return str(config.repeats)
    until = f"until the interval of p50 is at most {STABLE_RATIO - 1:.0%} wide"
    return f"{config.repeats} and more {until}, {config.most_repeats} at most,"


def command(result: Result) -> str:
    """Return the command line that repeats this benchmark on the bundle `name`."""
    config, usual = result.config, find_profile(result.config.profile)
    words = ["pulsecast", "bench", result.model.name, "--out", "RESULT", "--profile", config.profile]
    words += [word for name in config.artifacts for word in ("--artifact", name)]
    if config.batches != usual.batches:
        words += [word for batch in config.batches for word in ("--batch", str(batch))]
    words += ["--peers", ",".join(config.peers)] if config.peers else []
    words += ["--scenario", ",".join(config.scenarios)] if config.scenarios else []
    if config.step_calls != usual.step_calls:
        words += ["--step-call", ",".join(config.step_calls) or "none"]
    if result.wires:
        words += ["--url", "URL", "--protocol", config.protocol]
        words += ["--concurrency", ",".join(map(str, config.concurrency))]
    words += [] if config.pin else ["--no-pin"]
    words += _number_options(config, usual)
    return " ".join(words)


def _number_options(config: BenchConfig, usual: BenchConfig) -> list[str]:
    given = {
        "--threads": "threads",
        "--repeats": "repeats",
        "--seed": "seed",
        "--target-qps": "target_qps",
        "--issuer": "issuer",
    }
    changed = {
        option: getattr(config, name) for option, name in given.items() if getattr(config, name) != getattr(usual, name)
    }
    if config.most_repeats != usual.most_repeats:
        changed["--repeats"] = config.repeats
    return [word for option, value in changed.items() for word in (option, str(value))]
