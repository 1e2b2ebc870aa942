"""The comparison of artifacts as columns of text: one list of columns for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pulsecast.foundation.tables import html_table

from ..analysis.cells import Cell
from ..analysis.forecast_errors import Fidelity
from ..analysis.statistics import Estimate
from ..analysis.step_summary import StepRow
from ..analysis.summary import Row, Summary
from ..analysis.wire_summary import WireRow

MISSING = "-"
PROCESSES_ALIKE = 1.25  # largest over smallest median of a row's processes without a remark


@dataclass(frozen=True, kw_only=True)
class Column:
    """`unit` may be empty; `text` gives a row's cell."""

    name: str
    unit: str
    text: Callable[[Row], str]


def _microseconds(of: Callable[[Cell], Estimate]) -> Callable[[Row], str]:
    return lambda row: number(of(row.leading).value, 1e-3) if row.leading else MISSING


def number(value: float | None, factor: float = 1.0) -> str:
    """Return `value * factor` with about three digits, or "-".

    >>> number(96_412, 1e-3), number(1_306_000, 1e-3), number(2.5), number(None)
    ('96.4', '1306', '2.50', '-')
    """
    if value is None:
        return MISSING
    scaled = value * factor
    return f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:.1f}" if abs(scaled) >= 10 else f"{scaled:.2f}"


def _fidelity(text: Callable[[Fidelity], str]) -> Callable[[Row], str]:
    return lambda row: text(row.fidelity) if row.fidelity else MISSING


def _overhead(row: Row) -> str:
    return MISSING if row.overhead.value is None else f"{row.overhead.value:+.1%}"


def _stable(row: Row) -> str:
    return stable_text(row.stable) if row.cells else MISSING


def stable_text(stable: bool | None) -> str:
    """Return "yes", "NO", or "-" where it could not be judged."""
    return {True: "yes", False: "NO", None: MISSING}[stable]


COLUMNS = (
    Column(name="artifact", unit="", text=lambda row: row.artifact),
    Column(name="p50", unit="us", text=_microseconds(lambda cell: cell.p50_ns)),
    Column(name="p90", unit="us", text=_microseconds(lambda cell: cell.p90_ns)),
    Column(name="p99", unit="us", text=_microseconds(lambda cell: cell.p99_ns)),
    Column(name="windows", unit="/s best", text=lambda row: number(row.best.windows_per_s.value) if row.best else "-"),
    Column(name="at", unit="batch", text=lambda row: str(row.best_batch or MISSING)),
    Column(name="load", unit="ms", text=lambda row: number(row.load_ns.value, 1e-6)),
    Column(name="first", unit="ms", text=lambda row: number(row.first_ns.value, 1e-6)),
    Column(name="peak", unit="MB", text=lambda row: number(row.peak_bytes.value, 1e-6)),
    Column(name="size", unit="kB", text=lambda row: number(row.size_bytes, 1e-3)),
    Column(name="MAE", unit="raw", text=_fidelity(lambda found: number(found.accuracy.mae))),
    Column(name="RMSE", unit="change", text=_fidelity(lambda found: f"{found.rmse_change:+.2%}")),
    Column(name="error", unit="/range", text=_fidelity(lambda found: f"{found.max_error:.1e}")),
    Column(name="over", unit="bare", text=_overhead),
    Column(name="stable", unit="", text=_stable),
)


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Return the text of every row, column by column."""
    return [[column.text(row) for column in COLUMNS] for row in rows]


def text_table(summary: Summary) -> str:
    """Return the table for a terminal, with a line for everything missing; at most 120 columns."""
    lines = [[column.name for column in COLUMNS], [column.unit for column in COLUMNS], *cells(summary.rows)]
    return "\n".join([*aligned(lines), "", *_steps(summary), *_wires(summary), *choices(summary), *notes(summary)])


def html_summary(summary: Summary) -> str:
    """Return the tables for a notebook."""
    head = [f"{column.name} ({column.unit})" if column.unit else column.name for column in COLUMNS]
    table = html_table(head, cells(summary.rows), caption="; ".join([*choices(summary)[:1], *notes(summary)]))
    steps = html_table(STEP_HEAD, step_cells(summary)) if summary.steps else ""
    return table + steps + (html_table(WIRE_HEAD, wire_cells(summary)) if summary.wires else "")


STEP_HEAD = ("one step at a time", "call", "us p50", "p90", "p99", "over the engine's window", "stable")
_STEP_CALLS = {
    "push": "push",
    "back_to_back": "push, back to back",
    "detector": "detector push",
    "streams": "push of {:,} streams, each",
}


def step_cells(summary: Summary) -> list[list[str]]:
    """Return one line per step call, under STEP_HEAD: microseconds of a step of one stream."""
    return [
        [
            row.artifact,
            _STEP_CALLS[row.call].format(row.cell.batch),
            *(number(one.value, 1e-3 / row.cell.batch) for one in (row.cell.p50_ns, row.cell.p90_ns, row.cell.p99_ns)),
            span(row.over_engine, "x"),
            stable_text(row.cell.stable),
        ]
        for row in summary.steps
    ]


def _steps(summary: Summary) -> list[str]:
    return [*aligned([STEP_HEAD, *step_cells(summary)]), ""] if summary.steps else []


WIRE_HEAD = (
    "through the wire", "connections", "us p50", "p90", "p99", "requests/s", "over in-process", "client us", "error",
    "stable",
)  # fmt: skip


def wire_cells(summary: Summary) -> list[list[str]]:
    """Return one line for each number of connections, under WIRE_HEAD."""
    return [
        [
            row.protocol,
            str(row.connections),
            *(number(one.value, 1e-3) for one in (row.p50_ns, row.p90_ns, row.p99_ns)),
            number(row.requests_per_s.value),
            span(row.over_in_process, "x"),
            number(row.client_ns, 1e-3),
            MISSING if row.deviation is None else f"{row.deviation:.1e}{' WRONG' if row.wrong else ''}",
            stable_text(row.stable),
        ]
        for row in summary.wires
    ]


def _wires(summary: Summary) -> list[str]:
    return [*aligned([WIRE_HEAD, *wire_cells(summary)]), ""] if summary.wires else []


def choices(summary: Summary) -> list[str]:
    """Return the Pareto front and the verdicts as lines, with an empty one after them; nothing if there are none."""
    lines = []
    if summary.front:
        lines.append(f"not beaten in p50, RMSE and size together: {', '.join(summary.front)}")
    if summary.verdicts:
        lines += aligned([VERDICT_HEAD, *verdict_rows(summary)])
    return [*lines, ""] if lines else []


VERDICT_HEAD = ("worth quantising here?", "answer", "time", "of", "size", "RMSE")


def verdict_rows(summary: Summary) -> list[list[str]]:
    """Return one line per verdict, under VERDICT_HEAD: ratios and change are to the float32 artifact in `of`."""
    return [
        [
            one.artifact,
            one.answer,
            span(one.time_ratio, "x"),
            one.against,
            f"{one.size_ratio:.2f}x",
            span(one.rmse_change, "%"),
        ]
        for one in summary.verdicts
    ]


def span(estimate: Estimate, kind: Literal["x", "%"]) -> str:
    """Return a ratio or a relative change with its interval.

    >>> span(Estimate(value=1.012, low=0.99, high=1.034), "x")
    '1.01x (0.99 to 1.03)'
    >>> span(Estimate(value=0.004, low=-0.01, high=0.0201), "%")
    '+0.40% (-1.00 to +2.01)'
    """
    if estimate.value is None:
        return MISSING
    text = f"{estimate.value:.2f}x" if kind == "x" else f"{estimate.value:+.2%}"
    if estimate.low is None or estimate.high is None:
        return text
    if kind == "x":
        return f"{text} ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{text} ({estimate.low * 100:+.2f} to {estimate.high * 100:+.2f})"


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return `lines` as text: the first column to the left, the others to the right, two spaces between."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            word.rjust(width) if i else word.ljust(width)
            for i, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def notes(summary: Summary) -> list[str]:
    """Return one line with the reason for each subject that was skipped, failed, is unstable or could not be judged."""
    found = []
    for row in summary.rows:
        if row.skipped:
            found.append(f"{row.artifact}: skipped: {row.skipped}")
        found += [f"{row.artifact}: failed: {failure}" for failure in row.failures]
        found += [
            f"{row.artifact}: batch {cell.batch} is unstable: {cell.instability}"
            for cell in row.cells
            if cell.stable is False
        ]
        found += [f"{row.artifact}: batch {cell.batch}: {apart}" for cell in row.cells if (apart := _apart(cell))]
    for step in summary.steps:
        if step.cell.stable is False:
            found.append(f"{step.name}: it is unstable: {step.cell.instability}")
        if apart := _apart(step.cell):
            found.append(f"{step.name}: {apart}")
    found += [note for wire in summary.wires for note in _wire_notes(wire)]
    return [*found, *_missing(summary)]


def _wire_notes(wire: WireRow) -> list[str]:
    found = [f"{wire.name}: failed: {failure}" for failure in wire.failures]
    if wire.wrong:
        found.append(
            f"{wire.name}: {wire.wrong:,} answers are WRONG: they differ from {wire.against} in this process by up to "
            f"{wire.deviation:.1e} of the range"
        )
    if wire.stable is False:
        found.append(f"{wire.name}: it is unstable: {wire.instability}")
    return found


def _apart(cell: Cell) -> str:
    """Return a remark if the medians of steady processes differ too much, else ""."""
    low, high = cell.medians_ns
    if not cell.stable or high <= PROCESSES_ALIKE * low:
        return ""
    return (
        f"its processes differ by {high / low:.2f}x, from {number(low, 1e-3)} to "
        f"{number(high, 1e-3)} us, although each was steady: the machine changed between them, so repeat it"
    )


def _missing(summary: Summary) -> list[str]:
    """Return the reasons for dashes: artifacts with the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for row in summary.rows:
        for what, reason in _reasons(row):
            reasons.setdefault(f"no {what}: {reason}", []).append(row.artifact)
    for step in summary.steps:
        for what, reason in _step_reasons(step):
            reasons.setdefault(f"no {what}: {reason}", []).append(step.name)
    for wire in summary.wires:
        for what, reason in _wire_reasons(wire):
            reasons.setdefault(f"no {what}: {reason}", []).append(wire.name)
    for one in summary.verdicts:
        if one.answer == "cannot tell":
            reasons.setdefault(f"no verdict: {one.why}", []).append(one.artifact)
    return [f"{', '.join(artifacts)}: {reason}" for reason, artifacts in reasons.items()]


def _reasons(row: Row) -> list[tuple[str, str]]:
    found = []
    if row.leading:
        found += _no_percentiles(row.leading)
        if row.overhead.value is None and row.overhead.reason:
            found.append(("overhead over a bare engine", row.overhead.reason))
    found += [(f"stability at batch {cell.batch}", cell.instability or "") for cell in row.cells if cell.stable is None]
    return found


def _step_reasons(step: StepRow) -> list[tuple[str, str]]:
    found = _no_percentiles(step.cell)
    return found if step.cell.stable is not None else [*found, ("stability", step.cell.instability or "")]


def _wire_reasons(wire: WireRow) -> list[tuple[str, str]]:
    found = _no_percentiles(wire) if wire.answers else []
    if wire.answers and wire.over_in_process.value is None:
        found.append(("ratio to the call in-process", wire.over_in_process.reason or ""))
    return [*found, ("stability", wire.instability)] if wire.instability and wire.stable is None else found


def _no_percentiles(cell: Cell | WireRow) -> list[tuple[str, str]]:
    shown = (cell.p50_ns, cell.p90_ns, cell.p99_ns)
    return [("percentile", one.reason) for one in shown if one.value is None and one.reason]
