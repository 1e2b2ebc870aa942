"""What was found, repaired and left unrepaired in the data: a record for the model directory, a text for a terminal.

Holds names, numbers and line numbers only: no path, no identity of a user or an event.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from pulsecast.foundation.strict_json import OMITTED
from pulsecast.plain_text import printable
from pulsecast.stages.progress import Progress

from .config import step_text

MAX_LINES = 3  # a finding names its first lines only
MOST_RECORDED = (
    200  # parts of each kind in a model directory: a manifest may hold a megabyte, and a part takes 500 bytes
)


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file that was read: its columns, how they were found, and how its time was read.

    `earliest` and `latest` are the first and last instant in ISO 8601, UTC.
    """

    name: str
    sha256: str
    bytes: int
    rows: int
    time_column: str
    time_format: str
    columns: tuple[str, ...] = ()
    earliest: str = ""
    latest: str = ""

    def __post_init__(self) -> None:
        if "/" in self.name or "\\" in self.name:
            raise ValueError(f"file name {self.name!r} is a path; the report holds names only")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One policy that was applied: the number of rows (or steps), and the first places.

    `file` and `lines` are None and () if a finding is about steps of a series, not about lines.
    """

    policy: str
    sentence: str
    rows: int
    file: str | None = None
    lines: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.rows < 1 or len(self.lines) > MAX_LINES:
            raise ValueError(f"finding {self.policy} has {self.rows} rows and {len(self.lines)} lines")


@dataclass(frozen=True, kw_only=True)
class SeriesSummary:
    """One resulting series; minimum, median and maximum are of the first metric.

    `first` and `last` are the first and last step in ISO 8601, UTC. `filled` counts interpolated steps, `gaps` the
    stretches left open and `gap_steps` the steps in them, `edges_dropped` the incomplete steps cut off at either end.
    `joined` says how the values of one step are one: "sum", "mean" or "difference" (of a running total).
    """

    name: str
    metrics: tuple[str, ...]
    first: str
    last: str
    step_s: int
    steps: int
    filled: int
    gaps: int
    gap_steps: int
    edges_dropped: int
    minimum: float
    median: float
    maximum: float
    joined: str = dataclasses.field(default="", metadata=OMITTED)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.minimum, self.median, self.maximum))):
            raise ValueError(f"summary of {self.name} has a value that is not finite")


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The whole report on reading a log; `pulsecast.foundation.strict_json` writes and reads it as JSON.

    kind  count, gauge or counter, as stated or as names and values show it; "" where nothing shows it and each step has
          one sample, so that it changes no number
    """

    files: tuple[FileRecord, ...]
    rows_read: int
    findings: tuple[Finding, ...]
    series: tuple[SeriesSummary, ...]
    warnings: tuple[str, ...]
    kind: str = dataclasses.field(default="", metadata=OMITTED)

    def brief(self) -> tuple[DataReport, dict[str, int]]:
        """Return the report with at most MOST_RECORDED files, findings, series and warnings, and how many it lacks."""
        parts = {name: getattr(self, name) for name in ("files", "findings", "series", "warnings")}
        lacking = {name: len(part) - MOST_RECORDED for name, part in parts.items() if len(part) > MOST_RECORDED}
        return dataclasses.replace(self, **{name: parts[name][:MOST_RECORDED] for name in lacking}), lacking

    def tell(self, progress: Progress) -> None:
        """Tell `progress` the report, line by line: a name of the log that holds a line end stays in its line."""
        for line in self._lines():
            progress.tell(line)

    def text(self) -> str:
        """Return the report as lines for a terminal, with a final newline; a name's own line ends are escaped."""
        return "\n".join(map(printable, self._lines())) + "\n"

    def _lines(self) -> list[str]:
        lines = [f"{self.rows_read:,} rows from {len(self.files)} file{'s' if len(self.files) > 1 else ''}"]
        lines += [_file_text(file) for file in self.files]
        lines += [_series_text(series) for series in self.series]
        lines += ["found" if self.findings else "found nothing to repair"]
        lines += [_finding_text(finding) for finding in self.findings]
        return lines + [f"warning: {warning}" for warning in self.warnings]


def _file_text(file: FileRecord) -> str:
    size = f"{file.bytes:,} bytes, sha256 {file.sha256[:12]}"
    columns = f"; {', '.join(file.columns)}" if file.columns else ""
    span = f", {file.earliest} to {file.latest}" if file.earliest else ""
    time = f"time in {file.time_column} ({file.time_format}{span})"
    return f"  {file.name}: {file.rows:,} rows, {size}, {time}{columns}"


def _series_text(series: SeriesSummary) -> str:
    span = f"{series.steps:,} steps of {step_text(series.step_s)}, {series.first} to {series.last}"
    mended = (
        f"{series.filled} filled, {series.gaps} gaps ({series.gap_steps} steps), {series.edges_dropped} edge steps cut"
    )
    spread = f"min {series.minimum:g}, median {series.median:g}, max {series.maximum:g}"
    joined = f"; {series.joined} per step" if series.joined else ""
    return f"  series {series.name} ({', '.join(series.metrics)}{joined}): {span}; {mended}; {spread}"


def _finding_text(finding: Finding) -> str:
    where = f"{finding.file} " if finding.file else ""
    if finding.lines:
        more = ", ..." if finding.rows > len(finding.lines) else ""
        where += f"line{'s' if finding.rows > 1 else ''} {', '.join(map(str, finding.lines))}{more}"
    place = f" [{where.strip()}]" if where else ""
    return f"  {finding.rows:,} {finding.policy}: {finding.sentence}{place}"
