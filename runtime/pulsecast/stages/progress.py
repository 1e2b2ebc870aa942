"""Progress of long work, and ready ways to show it.

Every public function that takes long has a parameter `progress`. It is silent by default. It takes any object with the
two methods of `Progress`; ready ones print lines, or draw bars of tqdm or rich. They escape what could act on a
terminal: a line may quote a log or a bundle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, TextIO, runtime_checkable

from ..errors import UsageError
from ..foundation.arguments import shown
from ..foundation.tables import duration_text
from ..plain_text import printable


@runtime_checkable
class Progress(Protocol):
    """Receives the progress of long work. Methods may be called often, from the calling thread only."""

    def tell(self, line: str) -> None:
        """Take one line: a stage that begins, or what was found. A line end in it is shown as an escape."""
        ...

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Take the state of the work `what`: `done` of `total` pieces are finished; `note` is about the last one."""
        ...


def require_progress(value: object) -> None:
    """Raise UsageError unless `value` has the two methods of `Progress`."""
    if isinstance(value, type) or not isinstance(value, Progress):
        raise UsageError(f"progress is {shown(value)}; expected an object with the methods of pulsecast.Progress")


class Silent:
    """Ignores all progress."""

    def tell(self, line: str) -> None:
        """Say nothing."""

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Say nothing."""

    def __repr__(self) -> str:
        return "SILENT"


SILENT = Silent()


TOLD_S = 5.0


class LineProgress:
    """Prints lines, by default to stderr: every line, and about ten for each work that advances.

    These say how long the rest will take, at the pace so far, if that is TOLD_S seconds or more.
    """

    def __init__(self, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}  # of each work: when it was first heard of, and what was done

    def tell(self, line: str) -> None:
        """Print the line; if the file cannot be written, the work continues."""
        with suppress(OSError):
            print(printable(line), file=self._file or sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Print every tenth part of the work, and its end."""
        now = self._clock()
        began, first = self._began.setdefault(what, (now, done))
        left_s = (now - began) / (done - first) * (total - done) if done > first else 0.0
        left = f", about {duration_text(left_s)} to go" if left_s >= TOLD_S else ""
        if done == total:
            del self._began[what]
        if done == total or (done and done % max(1, total // 10) == 0):
            self.tell(f"{f'{what} {done}/{total} {note}'.rstrip()}{left}")


class TqdmProgress:
    """Bars of tqdm, or of anything that is called like it.

    from tqdm.auto import tqdm
    train("mentions.csv", out="model", progress=TqdmProgress(tqdm))
    """

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bars: dict[str, Any] = {}

    def tell(self, line: str) -> None:
        """Print the line above the bars."""
        self._tqdm.write(printable(line))

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move the bar of `what`; it is made at its first step and closed at its last."""
        bar = self._bars.get(what)
        if bar is None:
            bar = self._bars[what] = self._tqdm(total=total, desc=printable(what))
        bar.total = total
        bar.set_postfix_str(printable(note), refresh=False)
        bar.update(done - bar.n)
        if done >= total:
            self._bars.pop(what).close()


class RichProgress:
    """Bars of rich on a terminal, and lines where stderr is not one, or `console` says so. Needs the extra `cli`.

    As a context manager it takes its bars off the screen when the work ends early.
    """

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._console = console or Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}
        self._lines = None if self._console.is_terminal else LineProgress()

    def tell(self, line: str) -> None:
        """Print the line as it is, above the bars."""
        if self._lines is not None:
            self._lines.tell(line)
        else:
            self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move the bar of `what`, which is on the screen from its first step to its last."""
        if self._lines is not None:
            self._lines.advance(what, done, total, note)
            return
        if not self._tasks:
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(printable(what), total=total, note="")
        self._bars.update(self._tasks[what], completed=done, total=total, note=printable(note))
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))
            if not self._tasks:
                self._bars.stop()

    def __enter__(self) -> RichProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._tasks:
            self._bars.stop()
