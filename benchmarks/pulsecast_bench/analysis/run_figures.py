"""Single figures of one process's `Run`, for a summary and for a comparison."""

from __future__ import annotations

from ..results.run import Run, decode
from .statistics import paired_overhead


def cold_start_ns(run: Run) -> float:
    """Return the time from before the process was made to its first forecast."""
    phases = run.phases
    return phases.start_ns + phases.import_ns + phases.load_ns + phases.first_ns


def overhead(run: Run) -> float | None:
    """Return a call's overhead over the bare engine's, 0.05 is 5 %; None without an engine."""
    paired = run.paired
    return None if paired is None else paired_overhead(decode(paired.runtime), decode(paired.bare), paired.block)


def over_bare(run: Run) -> float | None:
    """Return a call's time over the bare engine's, 1.05 is 5 % more; None without an engine."""
    beyond = overhead(run)
    return None if beyond is None else 1 + beyond
