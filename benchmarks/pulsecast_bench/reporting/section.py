"""A report as data, for both Markdown and HTML: its sections, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.scenario_summary import ScenarioRow, scenario_rows
from ..analysis.statistics import Estimate
from ..analysis.summary import Summary, summarise
from ..results.result import Result
from .table import number

Grid = tuple[tuple[str, ...], list[list[str]]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    text      paragraphs before the table
    grids     tables: head and rows
    bullets   lines after them
    code      a command to type
    picture   which pictures go here: latency, pareto, batch, accuracy, scenarios, noise or ""
    """

    title: str
    text: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    bullets: tuple[str, ...] = ()
    code: str = ""
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result with its statistics; `machine` is the machine's name in the report, different for each result."""

    result: Result
    summary: Summary
    scenarios: tuple[ScenarioRow, ...]
    machine: str

    @property
    def heading(self) -> str:
        """The title of its part of the report."""
        model = self.result.model.name
        return f"{model}, {self.result.began}, profile {self.result.config.profile}"


def measured(results: Sequence[Result]) -> list[Measured]:
    """Return each result with its statistics and a name for its machine."""
    names = [result.label or result.machine.cpu_model or "processor unknown" for result in results]
    unique = [f"{name} #{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [
        Measured(result=result, summary=summarise(result), scenarios=scenario_rows(result), machine=name)
        for result, name in zip(results, unique, strict=True)
    ]


def interval(estimate: Estimate, factor: float) -> str:
    """Return a value with its interval, if there is one, e.g. `96.4 (95.9 to 97.2)`."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, factor)
    low, high = number(estimate.low, factor), number(estimate.high, factor)
    return f"{number(estimate.value, factor)} ({low} to {high})"
