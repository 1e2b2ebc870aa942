"""Where a command's words go: results to stdout, as text or as one JSON document; everything else to stderr."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pulsecast.foundation import strict_json

SCHEMA_VERSION = 1


class Format(enum.StrEnum):
    """How a result is printed."""

    text = "text"
    json = "json"


def tell(line: str) -> None:
    """Print one line about what is going on; where stderr takes nothing, the work goes on without it."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def show(chosen: Format, *, text: str, document: dict[str, Any]) -> None:
    """Print a result: `text`, or `document` as JSON with `schema_version` first."""
    if chosen is Format.json:
        print(strict_json.dumps({"schema_version": SCHEMA_VERSION, **document}), end="", flush=True)
    else:
        print(text.rstrip("\n"), flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned lines: the first column to the left, all others to the right.

    >>> print(table(("artifact", "bytes"), [("onnx", "125,092")]))
    artifact    bytes
    onnx      125,092
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def size_text(size_bytes: int) -> str:
    """Return a size for people.

    >>> size_text(140_056)
    '140 kB'
    """
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}" if size_bytes < 100 * unit else f"{size_bytes / unit:.0f} {name}"
    return f"{size_bytes} B"


class Steps(Protocol):
    """What `progress` gives: `advance` by one step, of `total` in all, with a short note."""

    def advance(self, note: str, total: int) -> None:
        """One more step is done."""
        ...


@contextmanager
def progress(what: str) -> Iterator[Steps]:
    """Yield something to report steps to: a bar on a terminal, about ten lines where stderr is none, or under CI."""
    console = Console(stderr=True)
    if not console.is_terminal or os.environ.get("CI"):
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bars = Progress(*columns, console=console, transient=True)
    try:
        yield _Bar(bars, what)
    finally:
        bars.stop()


class _Lines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._done = 0

    def advance(self, note: str, total: int) -> None:
        self._done += 1
        if self._done == total or self._done % max(1, total // 10) == 0:
            tell(f"{self._what} {self._done}/{total} {note}".rstrip())


class _Bar:
    """A bar from its first step to its last: one terminal shows one at a time, so none may wait for its turn."""

    def __init__(self, bars: Progress, what: str) -> None:
        self._bars = bars
        self._task = bars.add_task(what, total=None, note="")

    def advance(self, note: str, total: int) -> None:
        self._bars.start()
        self._bars.update(self._task, advance=1, total=total, note=note)
        if self._bars.finished:
            self._bars.stop()
