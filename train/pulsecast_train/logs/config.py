"""A user's description of an engagement log; nothing here opens a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pulsecast.foundation.arguments import invalid, require_types
from pulsecast.foundation.strict_json import OMITTED

from ..zones import known_zones

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EPOCH_FORMATS = ("epoch-s", "epoch-ms", "epoch-us", "epoch-ns")

# Names that are found without an option, compared by `plain`; nothing else is guessed. If two of a table are in one
# file, the user chooses.
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
# Totals that a post collects after the time in its row.
TOTALS = (
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
)
METRIC_ALIASES = ("value", "y", "count", "counts", "events", "mentions", *TOTALS, "users_here")
KINDS = ("inferred", "count", "gauge", "counter")
SEPARATORS = (",", ";", "|", "tab")
MOST_SKIPPED = 200
MOST_PHASE_S = 10**7
MOST_CATEGORIES = 16  # each is three inputs of the network


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """How to read a log: its columns, the meaning of its rows, and the treatment of its faults.

    columns       a column's name here -> its name in the file, such as {"likes": "favorites"}; all others keep theirs
    time          timestamp column; None = the one column whose name is in TIME_ALIASES
    metrics       value columns, the first one is forecast; () = rows per step (events), or the one in METRIC_ALIASES
    parts         columns that should add up to the first metric; rows in which they do not are only counted
    series        column whose values name several series in one file; None = every file is one series
    id            column that identifies an event, so that a repeated delivery is counted once
    category      column with the kind of an event, such as video or text
    categories    its values that are counted in each step, each in its own metric called `category=value`
    user          column with the user of an event; it is hashed on reading, and only a share is kept
    user_cap      most events of one user that are counted in one step; None = all
    events        rows are events to be aggregated; False = rows are samples of a regular series
    kind          "count" adds up within a step, "gauge" (people online) is averaged, "counter" (a running total) is
                  differenced and added up; "inferred" from names and values, or asked about where that matters
    allow_reset   a counter that falls has restarted from 0; without it a fall is refused
    maturity      for events whose value is a total that their post collects later, such as likes: how long this takes
                  ("2d"; each is counted when it is complete, and the incomplete ones are dropped), or "0" if they do
                  not grow
    step          "5m", "1h", "1d"; None = the usual spacing of the samples (events always need it)
    phase_s       seconds of each step after a multiple of the step: a log on another grid is refused; None = as the log
                  has it, or for a bundle with a calendar as its training log had it
    timezone      zone of timestamps that carry none, such as "UTC"; without it they are refused
    repeated_hour meaning of a local time in the hour that a clock change repeats: the "first" or the "second" one, or
                  "both": of two rows of a sample with that time, in a file in order of time, the second is the later
    time_format   strptime format, "epoch-s", "epoch-ms", "epoch-us" or "epoch-ns"; None = inferred from the column
    time_of_day   column with the hour or the time of day, where the time column has dates only
    separator     between cells: ",", ";", "|", "tab"; None = inferred from the first lines
    skip_lines    lines before the header; None = inferred
    sheet         sheet of a workbook (.xlsx); None = the only one that is shown and has cells
    decimal       decimal mark of numbers, "." or ","; None = inferred over the whole column
    missing       cells that mean "missing" besides the empty cell, such as "-1"
    on_conflict   copies that disagree: refuse, or keep the first or last one in the file
    max_gap       up to this many missing steps in a row are filled by linear interpolation

    Raises ValueError with every problem in one sentence.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    metrics: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    series: str | None = None
    id: str | None = None
    user: str | None = None
    user_cap: int | None = None
    events: bool = False
    kind: Literal["inferred", "count", "gauge", "counter"] = "inferred"
    allow_reset: bool = False
    maturity: str | None = None
    step: str | None = None
    timezone: str | None = None
    repeated_hour: Literal["refuse", "first", "second", "both"] = "refuse"
    time_format: str | None = None
    missing: tuple[str, ...] = ()
    on_conflict: Literal["refuse", "first", "last"] = "refuse"
    max_gap: int = 3
    category: str | None = field(default=None, metadata=OMITTED)
    categories: tuple[str, ...] = field(default=(), metadata=OMITTED)
    time_of_day: str | None = field(default=None, metadata=OMITTED)
    separator: str | None = field(default=None, metadata=OMITTED)
    skip_lines: int | None = field(default=None, metadata=OMITTED)
    decimal: str | None = field(default=None, metadata=OMITTED)
    sheet: str | None = field(default=None, metadata=OMITTED)
    phase_s: int | None = field(default=None, metadata=OMITTED)

    def __post_init__(self) -> None:
        require_types(self)
        problems = [
            *self._column_problems(),
            *self._choice_problems(),
            *self._event_problems(),
            *self._time_problems(),
        ]
        if problems:
            raise invalid(problems)

    @property
    def step_s(self) -> int | None:
        """The step in seconds, or None if it is inferred."""
        return None if self.step is None else parse_step(self.step)

    @property
    def maturity_s(self) -> int | None:
        """The maturity lag in seconds, 0 if values do not grow, or None if it is not given."""
        return None if self.maturity is None else 0 if self.maturity.strip() == "0" else parse_step(self.maturity)

    @property
    def category_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that count the categories."""
        return tuple(f"{self.category}={value}" for value in self.categories)

    def _column_problems(self) -> list[str]:
        roles = (
            self.time,
            self.time_of_day,
            self.series,
            self.id,
            self.user,
            self.category,
            *self.metrics,
            *self.parts,
        )
        named = [name for name in roles if name is not None]
        problems = self._empty_names()
        repeated = sorted({name for name in named if named.count(name) > 1})
        if repeated:
            problems.append(
                f"column {', '.join(repeated)} is named twice; time, series, id, user, category, metrics and parts are "
                "distinct"
            )
        sources = list(self.columns.values())
        twice = sorted({name for name in sources if sources.count(name) > 1})
        if twice:
            problems.append(f"columns gives {', '.join(twice)} two names; give it one")
        return problems

    def _empty_names(self) -> list[str]:
        one_each = {name: getattr(self, name) for name in ("time", "time_of_day", "series", "id", "user", "category")}
        empty = [name for name, column in one_each.items() if column == ""]
        empty += [name for name, columns in (("metrics", self.metrics), ("parts", self.parts)) if "" in columns]
        if "" in self.columns or "" in self.columns.values():
            empty.append("columns")
        return [f"{', '.join(empty)}: a column's name is empty; name a column, or leave it out"] if empty else []

    def _choice_problems(self) -> list[str]:
        problems = []
        if self.parts and not self.metrics:
            problems.append("parts need the metric that they add up to; name it")
        if self.max_gap < 0:
            problems.append(f"max_gap is {self.max_gap}; expected 0 or more steps")
        if self.skip_lines is not None and not 0 <= self.skip_lines <= MOST_SKIPPED:
            problems.append(f"skip_lines is {self.skip_lines}; expected 0 to {MOST_SKIPPED} lines")
        if self.decimal not in (None, ".", ","):
            problems.append(f"decimal is {self.decimal!r}; expected . or ,")
        if self.separator is not None and self.separator not in SEPARATORS:
            problems.append(f"separator is {self.separator!r}; expected one of {' '.join(SEPARATORS)}")
        if self.allow_reset and self.kind != "counter":
            problems.append("allow_reset is for kind counter; leave it out")
        return problems

    def _event_problems(self) -> list[str]:
        problems = []
        if self.events and self.step is None:
            problems.append("events need a step to be counted in, such as 1h")
        if self.events and self.kind == "gauge" and not self.metrics:
            problems.append("rows per step are a count; kind gauge needs a metric to average")
        if self.events and self.kind == "counter":
            problems.append("a counter's rows are samples; leave out events")
        if self.events and self.repeated_hour == "both":
            problems.append("repeated_hour both is for samples: events may share a time; choose first or second")
        if not self.events and self.maturity is not None:
            problems.append("maturity is for events; add --events")
        if not self.events and self.user is not None:
            problems.append("user is for events; add --events")
        if self.category is not None and not self.events:
            problems.append("category is for events; add --events")
        if self.categories and self.category is None:
            problems.append("categories are values of a column; name it as category")
        if len(self.categories) > MOST_CATEGORIES:
            problems.append(f"categories are {len(self.categories)} values; expected at most {MOST_CATEGORIES}")
        twice = [name for name in dict.fromkeys(self.categories) if self.categories.count(name) > 1]
        if twice:
            problems.append(f"category {', '.join(map(ascii, twice))} is named twice; name each once")
        if not all(value == value.strip() and value and value.isprintable() for value in self.categories):
            problems.append("a category is empty, begins or ends with a space, or cannot be printed")
        if self.user_cap is not None and (self.user is None or self.user_cap < 1):
            problems.append(f"user_cap is {self.user_cap}; expected 1 or more, and the column of users")
        return problems

    def _time_problems(self) -> list[str]:
        problems = []
        for name, text in (("step", self.step), ("maturity", self.maturity)):
            try:
                if text is not None and not (name == "maturity" and text.strip() == "0"):
                    parse_step(text)
            except ValueError as error:
                problems.append(f"{name}{str(error).removeprefix('step')}")
        if self.phase_s is not None and not 0 <= self.phase_s < MOST_PHASE_S:
            problems.append(f"phase_s is {self.phase_s}; expected 0 or more seconds, and less than the step")
        if self.timezone is not None and not _may_be_a_zone(self.timezone):
            problems.append(f"timezone is {self.timezone!r}; expected a name such as UTC or Europe/Berlin")
        if self.time_format is not None and self.time_format not in EPOCH_FORMATS and "%" not in self.time_format:
            problems.append(
                f"time_format is {self.time_format!r}; expected {', '.join(EPOCH_FORMATS)} or a format such as "
                "%d/%m/%Y %H:%M"
            )
        return problems


def _may_be_a_zone(name: str) -> bool:
    """Return whether `name` is a zone of this system, or this system has no zones: the reader checks again.

    The list of all zones takes 20 to 40 ms, so it is made only for a name other than UTC.
    """
    if name == "UTC":
        return True
    zones = known_zones()
    return not zones or name in zones


def plain(column: str) -> str:
    """Return a column's name in the form of the alias tables: lower case, without spaces and a leading #."""
    return bare(column).lower()


def bare(column: str) -> str:
    """Return a header's cell as a name: without spaces around it and a leading #."""
    return column.strip().lstrip("#").strip()


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
