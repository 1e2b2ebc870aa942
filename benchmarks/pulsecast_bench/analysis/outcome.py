"""A benchmark's exit code and its reason, for the command and for a packed benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulsecast.stages.exits import FAILED, OK, UNSTABLE

if TYPE_CHECKING:
    from pulsecast_bench.analysis.summary import Summary


def judge(summary: Summary) -> tuple[int, str]:
    """Return the exit code and a sentence (empty if all is well): failed processes are worse than unstable rows."""
    failures = [failure for row in summary.rows for failure in row.failures]
    if failures:
        return FAILED, f"error: {len(failures)} processes ended without a measurement; the others are kept"
    if summary.unstable:
        rows = ", ".join(summary.unstable)
        return UNSTABLE, f"unstable: {rows}; repeat it on a quiet machine, or use the row only as a hint"
    return OK, ""
