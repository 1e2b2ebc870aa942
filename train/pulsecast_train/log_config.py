"""What a user says about an engagement log; nothing here opens a file."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from typing import Literal

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EPOCH_FORMATS = ("epoch-s", "epoch-ms")

TIME_ALIASES = (
    "timestamp",
    "time",
    "datetime",
    "date",
    "ds",
    "created_at",
    "created_utc",
    "created_time",
    "event_time",
    "action_timestamp",
    "post_timestamp",
    "pull_timestamp",
    "published_at",
    "status_published",
)
METRIC_ALIASES = (
    "value",
    "y",
    "count",
    "counts",
    "events",
    "mentions",
    "views",
    "likes",
    "favorites",
    "favourites",
    "reactions",
    "num_reactions",
    "num_points",
    "ups",
    "shares",
    "retweets",
    "comments",
    "replies",
    "users_here",
)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """How to read a log: which columns, what its rows are, and what to do with its faults.

    time          timestamp column; None = the one column whose name is in TIME_ALIASES
    metrics       value columns, the first one is forecast; () = rows per step (events), or the one in METRIC_ALIASES
    series        column whose values name several series in one file; None = every file is one series
    id            column that identifies an event, so that a repeated delivery is counted once
    events        rows are events to be aggregated; False = rows are samples of a regular series
    kind          "count" adds up within a step, "gauge" (people online) is averaged
    step          "5m", "1h", "1d"; None = the usual spacing of the samples (events always need it)
    timezone      zone of timestamps that carry none, such as "UTC"; without it they are refused
    time_format   strptime format, "epoch-s" or "epoch-ms"; None = inferred over the whole column
    missing       cells that mean "missing" besides the empty cell, such as "-1"
    on_conflict   copies that disagree: refuse, or keep the first or last one in the file
    max_gap       up to this many missing steps in a row are filled by linear interpolation

    Raises ValueError with every problem in one sentence.
    """

    time: str | None = None
    metrics: tuple[str, ...] = ()
    series: str | None = None
    id: str | None = None
    events: bool = False
    kind: Literal["count", "gauge"] = "count"
    step: str | None = None
    timezone: str | None = None
    time_format: str | None = None
    missing: tuple[str, ...] = ()
    on_conflict: Literal["refuse", "first", "last"] = "refuse"
    max_gap: int = 3

    def __post_init__(self) -> None:
        problems = [*self._column_problems(), *self._choice_problems(), *self._time_problems()]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def step_s(self) -> int | None:
        """The step in seconds, or None where it is inferred."""
        return None if self.step is None else parse_step(self.step)

    def _column_problems(self) -> list[str]:
        named = [name for name in (self.time, self.series, self.id, *self.metrics) if name is not None]
        problems = [] if all(named) else ["a column name is empty"]
        repeated = sorted({name for name in named if named.count(name) > 1})
        if repeated:
            problems.append(f"column {', '.join(repeated)} is named twice; time, series, id and metrics are distinct")
        return problems

    def _choice_problems(self) -> list[str]:
        problems = []
        if self.kind not in ("count", "gauge"):
            problems.append(f"kind is {self.kind!r}; expected count or gauge")
        if self.on_conflict not in ("refuse", "first", "last"):
            problems.append(f"on_conflict is {self.on_conflict!r}; expected refuse, first or last")
        if self.max_gap < 0:
            problems.append(f"max_gap is {self.max_gap}; expected 0 or more steps")
        if self.events and self.step is None:
            problems.append("events need a step to be counted in, such as 1h")
        if self.events and self.kind == "gauge" and not self.metrics:
            problems.append("rows per step are a count; kind gauge needs a metric to average")
        return problems

    def _time_problems(self) -> list[str]:
        problems = []
        if self.step is not None:
            try:
                parse_step(self.step)
            except ValueError as error:
                problems.append(str(error))
        zones = zoneinfo.available_timezones()  # empty on a system without a zone database; the reader checks again
        if self.timezone is not None and self.timezone != "UTC" and zones and self.timezone not in zones:
            problems.append(f"timezone is {self.timezone!r}; expected a name such as UTC or Europe/Berlin")
        if self.time_format is not None and self.time_format not in EPOCH_FORMATS and "%" not in self.time_format:
            problems.append(
                f"time_format is {self.time_format!r}; expected epoch-s, epoch-ms or a format such as %d/%m/%Y %H:%M"
            )
        return problems


def plain(column: str) -> str:
    """Return a column's name as the alias tables have it: lower case, without spaces and a leading #."""
    return column.strip().lstrip("#").strip().lower()


def parse_step(text: str) -> int:
    """Return the seconds of a step such as "30s", "5m", "1h", "1d" or "1w".

    >>> parse_step("5m")
    300

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"step is {text!r}; expected a number and s, m, h, d or w, such as 5m, 1h or 1d")
    return int(match[1]) * UNIT_S[match[2]]


def step_text(step_s: float) -> str:
    """Return `step_s` seconds in the largest unit that divides it: the inverse of `parse_step`.

    >>> step_text(5400)
    '90m'
    """
    for unit in ("w", "d", "h", "m"):
        if step_s >= UNIT_S[unit] and step_s % UNIT_S[unit] == 0:
            return f"{step_s // UNIT_S[unit]:.0f}{unit}"
    return f"{step_s:g}s"
