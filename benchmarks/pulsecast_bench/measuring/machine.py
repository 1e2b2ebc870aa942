"""What this machine reports about itself and about the noise on it; None where it reports nothing."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pulsecast
from pulsecast.stages.environment import installed_versions, platform_name

from ..results.result import Machine
from .energy import describe_energy

_CPU = Path("/sys/devices/system/cpu")


def describe_machine() -> Machine:
    """Return the machine that the benchmark runs on."""
    return Machine(
        cpu_model=_field(Path("/proc/cpuinfo"), "model name") or _board() or platform.processor() or None,
        cores=os.cpu_count() or 1,
        affinity=affinity(),
        governor=_text(_CPU / "cpu0/cpufreq/scaling_governor"),
        cpu_limit=_cpu_limit(),
        memory_bytes=_kilobytes(Path("/proc/meminfo"), "MemTotal"),
        platform=platform_name(),
        kernel=platform.release(),
        versions={"pulsecast": pulsecast.__version__, **installed_versions()},
        timer_overhead_ns=_timer_overhead_ns(),
        timer_resolution_ns=time.get_clock_info("perf_counter").resolution * 1e9,
        energy=describe_energy(),
    )


def affinity() -> tuple[int, ...] | None:
    """Return the processors that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


def load_average() -> tuple[float, ...]:
    """Return the load averages over 1, 5 and 15 minutes, or ()."""
    try:
        return os.getloadavg()
    except OSError:
        return ()


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """Processor seconds since boot of the whole machine, idle ones apart, and of this process with all its threads."""

    busy_s: float
    total_s: float
    own_s: float


def cpu_times() -> CpuTimes | None:
    """Return processor times now."""
    line = _text(Path("/proc/stat"))
    if line is None:
        return None
    # user nice system idle iowait irq softirq steal; guest times are in user already
    ticks = [int(word) for word in line.splitlines()[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    total = sum(ticks)
    return CpuTimes(
        busy_s=(total - ticks[3] - ticks[4]) / second, total_s=total / second, own_s=time.process_time_ns() / 1e9
    )


def foreign_share(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    """Return the share of all processor time between two readings that other processes took, 0 to 1.

    The kernel counts in ticks (usually 10 ms), so that a share over less than a second is coarse.
    """
    if before is None or after is None or after.total_s <= before.total_s:
        return None
    foreign = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return min(1.0, max(0.0, foreign / (after.total_s - before.total_s)))


def resident_bytes() -> int | None:
    """Return the resident memory of this process."""
    return _kilobytes(Path("/proc/self/status"), "VmRSS")


def peak_resident_bytes() -> int:
    """Return the largest resident memory of this process so far.

    VmHWM if there is one: `getrusage` also counts the parent's memory before this program replaced it.
    """
    peak = _kilobytes(Path("/proc/self/status"), "VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def threads_alive() -> int | None:
    """Return how many threads this process has."""
    text = _field(Path("/proc/self/status"), "Threads")
    return int(text) if text else None


def _board() -> str | None:
    """Return the board's name, e.g. `Raspberry Pi 4 Model B Rev 1.4`: on ARM, Linux does not name the processor."""
    return (_text(Path("/proc/device-tree/model")) or "").rstrip("\0") or None


def _timer_overhead_ns() -> float:
    clock = time.perf_counter_ns
    return float(statistics.median(-(clock() - clock()) for _ in range(10_001)))


def _cpu_limit() -> float | None:
    limit = (_text(Path("/sys/fs/cgroup/cpu.max")) or "max").split()
    return None if limit[0] == "max" else int(limit[0]) / int(limit[1])


def _kilobytes(path: Path, name: str) -> int | None:
    text = _field(path, name)
    return int(text.split()[0]) * 1024 if text else None


def _field(path: Path, name: str) -> str | None:
    """Return the text after `name:` in a file of such lines."""
    for line in (_text(path) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
