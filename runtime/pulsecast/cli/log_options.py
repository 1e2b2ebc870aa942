"""The options that say how a log is read, shared by every command that reads one; `None` leaves it to the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .output import progress

PANEL = "Reading the log"
SHOWN_FROM_BYTES = 64 << 20  # smaller logs are read before a bar is seen

Logs = Annotated[
    list[Path],
    typer.Argument(
        exists=True, dir_okay=False, help="CSV, TSV, NDJSON (each also .gz or .zip) or Parquet; each file is a series."
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Column under another name, repeatable: likes=favorites.", rich_help_panel=PANEL),
]
Time = Annotated[
    str | None, typer.Option("--time", help="Timestamp column; found by usual names.", rich_help_panel=PANEL)
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Value column, repeatable; the first one is forecast.", rich_help_panel=PANEL),
]
Parts = Annotated[
    list[str] | None,
    typer.Option("--part", help="Column that is part of the metric; they should add up.", rich_help_panel=PANEL),
]
SeriesColumn = Annotated[
    str | None,
    typer.Option("--series-column", help="Column that names several series in one file.", rich_help_panel=PANEL),
]
Identity = Annotated[
    str | None, typer.Option("--id", help="Column that identifies an event, to count it once.", rich_help_panel=PANEL)
]
User = Annotated[
    str | None,
    typer.Option("--user", help="Column of who caused an event; only a share is kept of it.", rich_help_panel=PANEL),
]
UserCap = Annotated[
    int | None,
    typer.Option("--user-cap", help="Count at most so many events of a user in a step.", rich_help_panel=PANEL),
]
UserKey = Annotated[
    Path | None,
    typer.Option(
        "--user-key",
        exists=True,
        dir_okay=False,
        help="File with a secret; the report names the busiest user by HMAC under it.",
        rich_help_panel=PANEL,
    ),
]
AllowReset = Annotated[
    bool | None,
    typer.Option("--allow-reset/--refuse-reset", help="A counter may begin again from 0.", rich_help_panel=PANEL),
]
Maturity = Annotated[
    str | None,
    typer.Option(
        "--maturity", help="How long an event's total grows, such as 2d; 0: not at all.", rich_help_panel=PANEL
    ),
]
RepeatedHour = Annotated[
    str | None,
    typer.Option(
        "--repeated-hour", help="Local time when the clock is put back: refuse, first or second.", rich_help_panel=PANEL
    ),
]
Events = Annotated[
    bool | None,
    typer.Option("--events/--samples", help="Rows are single events, or samples of a series.", rich_help_panel=PANEL),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind", help="count adds up in a step, gauge is averaged, counter differenced.", rich_help_panel=PANEL
    ),
]
Step = Annotated[str | None, typer.Option("--step", help="Step, such as 5m, 1h or 1d.", rich_help_panel=PANEL)]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", help="Zone of timestamps that carry none, such as UTC.", rich_help_panel=PANEL),
]
TimeFormat = Annotated[
    str | None, typer.Option("--time-format", help="strptime format, epoch-s or epoch-ms.", rich_help_panel=PANEL)
]
Missing = Annotated[
    list[str] | None,
    typer.Option("--missing", help='Cell that means "missing", repeatable, such as -1.', rich_help_panel=PANEL),
]
OnConflict = Annotated[
    str | None,
    typer.Option("--on-conflict", help="Copies that disagree: refuse, first or last.", rich_help_panel=PANEL),
]
MaxGap = Annotated[
    int | None,
    typer.Option("--max-gap", help="Fill up to this many missing steps in a row.", rich_help_panel=PANEL),
]


def columns(pairs: list[str] | None) -> dict[str, str] | None:
    """Return the column map that "likes=favorites" and the like spell; raises UsageError for anything else."""
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


def secret(path: Path | None) -> bytes | None:
    """Return the key in the file at `path`, without a final newline; raises UsageError if it is under 16 bytes."""
    if path is None:
        return None
    key = path.read_bytes().rstrip(b"\r\n")
    if len(key) < 16:
        raise UsageError(f"{path.name} holds a key of {len(key)} bytes; expected at least 16, or ids can be guessed")
    return key


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Yield what is to hear of bytes read; it shows them in percent, for logs large enough that one waits."""
    with progress("reading") as steps:
        done = shown = 0

        def on_bytes(count: int, total: int) -> None:
            nonlocal done, shown
            done += count
            while total >= SHOWN_FROM_BYTES and shown < min(100 * done // total, 100):
                shown += 1
                steps.advance("%", 100)

        yield on_bytes


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, lists as tuples, under the names of `LogConfig` or `TrainConfig`."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None and value != []
    }
