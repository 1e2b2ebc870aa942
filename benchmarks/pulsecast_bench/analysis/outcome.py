"""A benchmark's exit code and its reason, for the command and for a packed benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulsecast.stages.exits import FAILED, OK, OUT_OF_TOLERANCE, UNSTABLE

if TYPE_CHECKING:
    from pulsecast_bench.analysis.summary import Summary


def judge(summary: Summary) -> tuple[int, str]:
    """Return the exit code and a sentence (empty if all is well).

    Wrong answers of a server are worse than failed processes, and those than unstable rows.
    """
    wrong = [wire for wire in summary.wires if wire.wrong]
    if wrong:
        rows = ", ".join(f"{wire.wrong:,} of {wire.name}" for wire in wrong)
        return OUT_OF_TOLERANCE, f"error: answers of the server are not the bundle's forecasts: {rows}"
    failures = [failure for row in summary.rows for failure in row.failures]
    failures += [failure for wire in summary.wires for failure in wire.failures]
    if failures:
        return FAILED, f"error: {len(failures)} processes ended without a measurement; the others are kept"
    if summary.unstable:
        rows = ", ".join(summary.unstable)
        return UNSTABLE, f"unstable: {rows}; repeat it on a quiet machine, or use the row only as a hint"
    return OK, ""
