"""The machine and the noise on it, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.summary import Summary, foreign_cpu
from ..results.result import Machine, Result


def machine_lines(result: Result, summary: Summary) -> list[str]:
    """Return the machine, other processes' load, the clock's resolution, and the versions."""
    machine = result.machine
    foreign = foreign_cpu(result)
    return [
        f"{machine.cpu_model or 'processor unknown'}, {machine.cores} processors"
        + (f", usable {', '.join(map(str, machine.affinity))}" if machine.affinity is not None else "")
        + (f", limited to {machine.cpu_limit:g}" if machine.cpu_limit is not None else ""),
        f"{machine.platform}, kernel {machine.kernel}, frequency governor {machine.governor or 'not readable'}, memory "
        + (f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else "not readable"),
        f"load average before {_averages(result.load_before)}, after {_averages(result.load_after)}",
        "processor time of other processes in the steady phases: "
        + (f"median {foreign[0]:.1%}, largest {foreign[1]:.1%}" if foreign else "not readable"),
        f"clock: resolution {machine.timer_resolution_ns:.0f} ns, empty reading {machine.timer_overhead_ns:.0f} ns"
        + _timer_share(result, summary),
        "engines: " + "; ".join(dict.fromkeys(f"{run.engine} on {run.device}" for run in result.runs)),
        "versions: " + ", ".join(f"{name} {version}" for name, version in versions(machine).items()),
    ]


def versions(machine: Machine) -> dict[str, str]:
    """Return the recorded versions, by name."""
    return dict(sorted(machine.versions.items()))


def _timer_share(result: Result, summary: Summary) -> str:
    fastest = min((cell.p50_ns.value for row in summary.rows for cell in row.cells if cell.p50_ns.value), default=None)
    if fastest is None:
        return ""
    return f", {result.machine.timer_overhead_ns / fastest:.2%} of the fastest median; nothing is subtracted"


def _averages(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "not readable"
