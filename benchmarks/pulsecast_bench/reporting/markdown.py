"""The Markdown report of one or several results; its content is in `sections.py`."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.pareto import Budget
from .section import Measured, Section
from .sections import merged, sections
from .table import grid


def markdown(parts: Sequence[Measured], budget: Budget | None = None, *, more: Sequence[Section] = ()) -> str:
    """Return the report of what `measured` found, with `more` at its end."""
    lines = ["# pulsecast benchmark"]
    if len(parts) > 1:
        lines += _section(merged(parts), level=2)
    for part in parts:
        lines += _part(part, budget or Budget(), several=len(parts) > 1)
    for section in more:
        lines += _section(section, level=2)
    return "\n\n".join(lines) + "\n"


def _part(part: Measured, budget: Budget, *, several: bool) -> list[str]:
    where = f", on {part.machine}" if several else ""
    lines = [f"## {part.heading}{where}"]
    for section in sections(part, budget):
        lines += _section(section, level=3)
    return lines


def _section(section: Section, *, level: int) -> list[str]:
    lines = [f"{'#' * level} {section.title}", *section.text]
    lines += [grid(head, rows) for head, rows in section.grids]
    if section.bullets:
        lines.append("\n".join(f"* {line}" for line in section.bullets))
    if section.code:
        lines.append(f"```\n{section.code}\n```")
    return lines
