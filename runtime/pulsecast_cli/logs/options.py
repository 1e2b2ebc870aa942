"""The options that say how a log is read, shared by every command that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsecast import limits
from pulsecast.errors import UsageError
from pulsecast.foundation.plain_file import read_plain

from ..terminal.options import under

_option = under("Reading the log")

Logs = Annotated[
    list[Path],
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="CSV, TSV, NDJSON (each also .gz or .zip), Parquet or XLSX; each file is a series.",
    ),
]
UserKey = Annotated[
    Path | None,
    typer.Option(
        "--user-key",
        exists=True,
        dir_okay=False,
        help="File with a secret; the report names the busiest user by HMAC under it.",
        rich_help_panel="Reading the log",
    ),
]


Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Where a log can be read in several ways, take the proposed one and record it.",
        rich_help_panel="Reading the log",
    ),
]


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The options of a log, under the names of `LogConfig`; None means the default."""

    columns: Annotated[
        list[str] | None, _option("--column", "Column under another name, repeatable: likes=favorites.")
    ] = None
    time: Annotated[str | None, _option("--time", "Timestamp column; found by usual names.")] = None
    metrics: Annotated[
        list[str] | None, _option("--metric", "Value column, repeatable; the first one is forecast.")
    ] = None
    parts: Annotated[list[str] | None, _option("--part", "Column that is part of the metric; they should add up.")] = (
        None
    )
    series: Annotated[
        str | None,
        _option(
            "--series-column", "Column that names several series in one file; '' if the training log alone had it."
        ),
    ] = None
    id: Annotated[str | None, _option("--id", "Column that identifies an event, to count it once.")] = None
    category: Annotated[
        str | None, _option("--category", "Column of an event's kind, and kinds to count apart: type=video,text.")
    ] = None
    user: Annotated[str | None, _option("--user", "Column of an event's user; only a share of it is kept.")] = None
    user_cap: Annotated[int | None, _option("--user-cap", "Most events of a user that are counted in a step.")] = None
    events: Annotated[bool | None, _option("--events/--samples", "Rows are single events, or samples of a series.")] = (
        None
    )
    kind: Annotated[
        str | None,
        _option("--kind", "count adds up in a step, gauge is averaged, counter differenced; found by name and values."),
    ] = None
    allow_reset: Annotated[
        bool | None, _option("--allow-reset/--refuse-reset", "A counter may begin again from 0.")
    ] = None
    maturity: Annotated[
        str | None, _option("--maturity", "How long an event's total grows, such as 2d; 0: not at all.")
    ] = None
    step: Annotated[str | None, _option("--step", "Step, such as 5m, 1h or 1d.")] = None
    phase_s: Annotated[
        int | None, _option("--phase", "Seconds of each step after a whole one, if a bundle's training had others.")
    ] = None
    timezone: Annotated[str | None, _option("--timezone", "Zone of timestamps that carry none, such as UTC.")] = None
    repeated_hour: Annotated[
        str | None,
        _option("--repeated-hour", "Local time when the clock is put back: refuse, first, second or both."),
    ] = None
    time_format: Annotated[str | None, _option("--time-format", "strptime format, or epoch-s, -ms, -us, -ns.")] = None
    time_of_day: Annotated[
        str | None, _option("--time-of-day", "Column of the hour, where the time column has dates only.")
    ] = None
    missing: Annotated[list[str] | None, _option("--missing", 'Cell that means "missing", repeatable, such as -1.')] = (
        None
    )
    on_conflict: Annotated[str | None, _option("--on-conflict", "Copies that disagree: refuse, first or last.")] = None
    decimal: Annotated[str | None, _option("--decimal", "Decimal mark of numbers: . or ,")] = None
    separator: Annotated[str | None, _option("--separator", "Between cells: , ; | or tab; found by itself.")] = None
    skip_lines: Annotated[int | None, _option("--skip-lines", "Lines before the header; found by itself.")] = None
    sheet: Annotated[str | None, _option("--sheet", "Sheet of a workbook, where several have cells.")] = None
    max_gap: Annotated[int | None, _option("--max-gap", "Fill up to this many missing steps in a row.")] = None

    def changes(self) -> dict[str, Any]:
        """Return the given options as values of `LogConfig`; raises UsageError for a column that is not a pair."""
        return given(**{**vars(self), "columns": columns(self.columns), **categories(self.category)})


UNSAID = LogOptions()


def columns(pairs: list[str] | None) -> dict[str, str] | None:
    """Return the column map from texts such as "likes=favorites"; raises UsageError for anything else."""
    if not pairs:
        return None
    found = {}
    for pair in pairs:
        name, equals, source = pair.partition("=")
        if not (equals and name.strip() and source.strip()):
            raise UsageError(f"column is {pair!r}; expected a name, = and the column in the file, as likes=favorites")
        if name.strip() in found:
            raise UsageError(f"column {name.strip()} is given twice; one column of the file can have the name")
        found[name.strip()] = source.strip()
    return found


def categories(text: str | None) -> dict[str, Any]:
    """Return a log's `category` and `categories` from a text such as "type=video,text"; nothing for None."""
    if text is None:
        return {}
    name, _, values = text.partition("=")
    return {"category": name.strip(), "categories": [value.strip() for value in values.split(",") if value.strip()]}


def secret(path: Path | None) -> bytes | None:
    """Return the key in the file at `path`, without a final newline; raises UsageError if it is under 16 bytes."""
    if path is None:
        return None
    try:
        key = read_plain(path, limits.KEY_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read as a key: {error.strerror}") from None
    if len(key) < 16:
        raise UsageError(f"{path.name} holds a key of {len(key)} bytes; expected at least 16, or ids can be guessed")
    return key


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, lists as tuples, under the names of `LogConfig` or `TrainConfig`."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None and value != []
    }
