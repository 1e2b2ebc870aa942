"""The Markdown report of one or several results: table, batch sweep, what is missing, machine, how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from .case import BenchConfig, find_profile
from .result import Machine, Result
from .statistics import BOOTSTRAP_RUNS, STABLE_RATIO, Estimate
from .summary import Row, Summary, cores_used, foreign_cpu, summarise
from .table import COLUMNS, MISSING, cells, notes, number


def markdown(results: Sequence[Result]) -> str:
    """Return the report; statistics are computed anew from the raw nanoseconds."""
    parts = ["# pulsecast benchmark"]
    for result in results:
        parts += _sections(result, summarise(result))
    return "\n\n".join(parts) + "\n"


def _sections(result: Result, summary: Summary) -> list[str]:
    heading = f"## {result.model.name}, {result.began}, profile {result.config.profile}"
    found = [heading, _what(result), _comparison(summary)]
    remarks = notes(summary)
    if remarks:
        found += ["### What is missing or unstable", "\n".join(f"* {line}" for line in remarks)]
    found += ["### Latency in us a call, with 95 % intervals", _latencies(summary)]
    found += ["### Batch sweep", _sweep(summary)]
    found += ["### From process start to the first forecast, in ms", _phases(result, summary)]
    found += ["### Machine and noise", _machine(result)]
    found += ["### How it was measured", _protocol(result), f"```\n{command(result)}\n```"]
    return found


def _what(result: Result) -> str:
    model = result.model
    return (
        f"Recipe {model.recipe}; windows of {model.context} steps and {model.features} features, horizon "
        f"{model.horizon}; accuracy on {len(model.truth)} held-out windows in raw units. The manifest's SHA-256 is "
        f"`{model.manifest_sha256}`."
    )


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def _comparison(summary: Summary) -> str:
    head = [f"{column.name} {column.unit}".strip() for column in COLUMNS]
    legend = (
        "p50 to p99 are of one call at the smallest batch; windows/s at the best batch of the sweep; load is "
        "`pulsecast.load`, hashes included; peak is of the whole process; RMSE change and error / range are against "
        "the float64 reference; over bare is what `Forecaster.predict` adds to the engine's own call."
    )
    return f"{_grid(head, cells(summary.rows))}\n\n{legend}"


def interval(estimate: Estimate, factor: float) -> str:
    """Return a value with its interval where it has one, e.g. `96.4 (95.9 to 97.2)`."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, factor)
    low, high = number(estimate.low, factor), number(estimate.high, factor)
    return f"{number(estimate.value, factor)} ({low} to {high})"


def _latencies(summary: Summary) -> str:
    rows = [
        [row.artifact, str(cell.batch), *(interval(p, 1e-3) for p in percentiles), f"{cell.processes}, {cell.calls}"]
        for row in summary.rows
        for cell in row.cells
        for percentiles in [(cell.p50_ns, cell.p90_ns, cell.p95_ns, cell.p99_ns, cell.p999_ns)]
    ]
    return _grid(("artifact", "batch", "p50", "p90", "p95", "p99", "p99.9", "processes, calls"), rows)


def _sweep(summary: Summary) -> str:
    batches = sorted({cell.batch for row in summary.rows for cell in row.cells})
    rows = []
    for row in summary.rows:
        by_batch = {cell.batch: cell for cell in row.cells}
        shown = [
            interval(by_batch[batch].windows_per_s, 1) + ("" if by_batch[batch].stable is not False else " unstable")
            if batch in by_batch
            else MISSING
            for batch in batches
        ]
        rows.append([row.artifact, *shown])
    return _grid(("windows/s at batch", *map(str, batches)), rows)


def _phases(result: Result, summary: Summary) -> str:
    head = ("artifact", "import", "load", "first", "process start to first", "RSS after load MB", "processors busy")
    rows = [[row.artifact, *_phase_texts(row), number(cores_used(result, row.artifact))] for row in summary.rows]
    return _grid(head, rows)


def _phase_texts(row: Row) -> list[str]:
    times = [interval(one, 1e-6) for one in (row.import_ns, row.load_ns, row.first_ns, row.cold_start_ns)]
    return [*times, interval(row.loaded_bytes, 1e-6)]


def _machine(result: Result) -> str:
    machine = result.machine
    foreign = foreign_cpu(result)
    lines = [
        f"{machine.cpu_model or 'processor unknown'}, {machine.cores} processors"
        + (f", usable {', '.join(map(str, machine.affinity))}" if machine.affinity is not None else "")
        + (f", limited to {machine.cpu_limit:g}" if machine.cpu_limit is not None else ""),
        f"{machine.platform}, kernel {machine.kernel}, frequency governor {machine.governor or 'not readable'}, memory "
        + (f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else "not readable"),
        f"load average before {_averages(result.load_before)}, after {_averages(result.load_after)}",
        "processor time of other processes in the steady phases: "
        + (f"median {foreign[0]:.1%}, largest {foreign[1]:.1%}" if foreign else "not readable"),
        f"clock: resolution {machine.timer_resolution_ns:.0f} ns, empty reading {machine.timer_overhead_ns:.0f} ns"
        + _timer_share(result),
        "engines: " + "; ".join(dict.fromkeys(f"{run.engine} on {run.device}" for run in result.runs)),
        "versions: " + ", ".join(f"{name} {version}" for name, version in versions(machine).items()),
    ]
    return "\n".join(f"* {line}" for line in lines)


def versions(machine: Machine) -> dict[str, str]:
    """Return the recorded versions, by name."""
    return dict(sorted(machine.versions.items()))


def _timer_share(result: Result) -> str:
    fastest = min(
        (cell.p50_ns.value for row in summarise(result).rows for cell in row.cells if cell.p50_ns.value), default=None
    )
    if fastest is None:
        return ""
    return f", {result.machine.timer_overhead_ns / fastest:.2%} of the fastest median; nothing is subtracted"


def _averages(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "not readable"


def _protocol(result: Result) -> str:
    config = result.config
    sentences = (
        f"{len(result.runs)} processes in {result.duration_s:.0f} s, one after the other in a shuffled order",
        f"(seed {config.seed}): {config.repeats} for an artifact's smallest batch, {config.sweep_repeats} for others.",
        f"Each: import, load, first forecast, warm-up (at least {config.warmup_calls} calls, {config.warmup_s:g} s),",
        f"steady phase (at least {config.calls} calls, {config.steady_s:g} s; at most {config.limit_s:g} s).",
        f"Stable: the last three windows (at least {config.window_calls} requests, {config.window_s:g} s) differ by",
        f"no more than {STABLE_RATIO - 1:.0%} in median latency and in rate.",
        "Percentiles are of all processes' calls together and appear only with the calls they need;",
        f"intervals resample processes and need {BOOTSTRAP_RUNS} of them.",
        "The whole protocol is in `benchmarks/README.md`.",
    )
    return " ".join(sentences)


def command(result: Result) -> str:
    """Return the command line that repeats this benchmark on a bundle of that name."""
    config, usual = result.config, find_profile(result.config.profile)
    words = ["pulsecast", "bench", result.model.name, "--out", "RESULT", "--profile", config.profile]
    words += [word for name in config.artifacts for word in ("--artifact", name)]
    if config.batches != usual.batches:
        words += [word for batch in config.batches for word in ("--batch", str(batch))]
    words += _number_options(config, usual)
    return " ".join(words)


def _number_options(config: BenchConfig, usual: BenchConfig) -> list[str]:
    given = {"--threads": "threads", "--repeats": "repeats", "--seed": "seed"}
    changed = {
        option: getattr(config, name) for option, name in given.items() if getattr(config, name) != getattr(usual, name)
    }
    return [word for option, value in changed.items() for word in (option, str(value))]
