"""A look at a log as text for a terminal, with a small picture of each series.

Each line is made printable by itself: a name with a line end in it would forge another line, such as a command.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pulsecast.plain_text import printable

from ...series import Series
from ..data_report import DataReport
from ..text.dialects import SEPARATOR_WORDS
from .choices import Choice
from .roles import is_private
from .samples import Column, LookedFile

WIDTH = 64  # characters of a picture
_BARS = "▁▂▃▄▅▆▇█"
_MOST_COLUMNS, _MOST_PICTURES = 24, 5


def look_text(
    files: Sequence[LookedFile],
    choices: Sequence[Choice],
    series: Sequence[Series],
    report: DataReport | None,
    end: str,
) -> str:
    """Return everything that was seen and what is open, with `end` below it."""
    parts = [*map(_file_text, files)]
    if choices:
        count = sum(one.is_question for one in choices)
        said = "1 question" if count == 1 else f"{count or 'no'} questions"
        settled = " (?), and what is taken as proposed (-)" if count < len(choices) else ""
        parts.append("\n".join([f"open: {said}{settled}", *map(choice_text, choices)]))
    if report is not None:
        parts.append(report.text().rstrip("\n"))
    parts.append(_lines(_pictures(series)))
    return "\n\n".join([*filter(None, parts), end]) + "\n"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(map(printable, lines))


def command_text(command: str, toml: str) -> str:
    """Return the end of a look at a log that can be read."""
    return f"train with\n  {printable(command)}\nor put this into train.toml (--config train.toml)\n\n{toml.rstrip()}"


def problem_text(problem: str) -> str:
    """Return the end of a look at a log that cannot be read."""
    return printable(f"this stands in the way: {problem}")


def choice_text(choice: Choice) -> str:
    """Return an open thing with its readings, the proposed one first."""
    mark = "?" if choice.is_question else "-"
    reason = f" ({choice.reason})" if choice.reason else ""
    others = [f"      or: {reading.words}" for reading in choice.readings[1:]]
    return _lines([f"  {mark} {choice.what}", f"      proposed: {choice.proposed.words}{reason}", *others])


def _file_text(file: LookedFile) -> str:
    separated = f", separated by {SEPARATOR_WORDS.get(file.separator, file.separator)}" if file.separator else ""
    shown = file.columns[:_MOST_COLUMNS]
    width = min(max((len(one.name) for one in shown), default=0), 30)
    lines = [f"{file.name}: {len(file.columns)} columns{separated}"]
    lines += [f"  {printable(one.name)[:30]:<{width}}  {one.kind:<6}  {cells_text(one)}" for one in shown]
    if len(file.columns) > len(shown):
        lines.append(f"  and {len(file.columns) - len(shown)} more")
    return _lines(lines)


def cells_text(one: Column) -> str:
    """Return a column's first values, and how many differ; those of users are not shown."""
    shown = "values are not shown" if is_private(one) else ", ".join(one.first)
    return f"{shown} ({one.distinct:,} different in {one.filled:,})" if one.filled else "empty"


def _pictures(series: Sequence[Series]) -> list[str]:
    lines = []
    for one in series[:_MOST_PICTURES]:
        column = one.values[:, 0]
        lines += [f"{one.name}: {one.metrics[0]}, {np.nanmin(column):g} to {np.nanmax(column):g}", f"  {bars(column)}"]
    if len(series) > _MOST_PICTURES:
        lines.append(f"and {len(series) - _MOST_PICTURES} more series")
    return lines


def bars(values: NDArray[np.float64], width: int = WIDTH) -> str:
    """Return `values` (steps,) as bars, each the mean of a part; a part without values is a space.

    >>> bars(np.array([0.0, 1.0, np.nan, 7.0]))
    '▁▂ █'
    """
    parts = np.array_split(values, min(width, len(values)))
    means = np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])
    low, high = np.nanmin(means), np.nanmax(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if np.isnan(mean) else _BARS[round((mean - low) * scale)] for mean in means)
