"""The options that say how a log is read, shared by every command that reads one; `None` leaves it to the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "Reading the log"

Logs = Annotated[
    list[Path],
    typer.Argument(
        exists=True, dir_okay=False, help="CSV, TSV, NDJSON (each also .gz) or Parquet; each file is a series."
    ),
]
Time = Annotated[
    str | None, typer.Option("--time", help="Timestamp column; found by usual names.", rich_help_panel=PANEL)
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Value column, repeatable; the first one is forecast.", rich_help_panel=PANEL),
]
SeriesColumn = Annotated[
    str | None,
    typer.Option("--series-column", help="Column that names several series in one file.", rich_help_panel=PANEL),
]
Identity = Annotated[
    str | None, typer.Option("--id", help="Column that identifies an event, to count it once.", rich_help_panel=PANEL)
]
Events = Annotated[
    bool | None,
    typer.Option("--events/--samples", help="Rows are single events, or samples of a series.", rich_help_panel=PANEL),
]
Kind = Annotated[
    str | None, typer.Option("--kind", help="count adds up within a step, gauge is averaged.", rich_help_panel=PANEL)
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


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, lists as tuples, under the names of `LogConfig` or `TrainConfig`."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None and value != []
    }
