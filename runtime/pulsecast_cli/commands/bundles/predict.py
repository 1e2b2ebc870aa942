"""`pulsecast predict`: forecasts for the series in a log, or in thousands of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.calendars import utc_text
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import fraction, paths
from pulsecast.foundation.whole_file import write_whole
from pulsecast.plain_text import printable

from ...logs.options import UNSAID, LogOptions
from ...logs.reading import check_out, tell_findings
from ...logs.series_options import OF_ONE_SERIES, SeriesOptions, asked_document
from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import Format, progress, show, tell
from .batch_options import ONE_LOG, BatchOptions

if TYPE_CHECKING:
    from pulsecast_train.predicting.after_log import SeriesForecasts
    from pulsecast_train.series import Series

SUFFIXES = (".html", ".png", ".csv")


@grouped
def predict(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to forecast with.")],
    input_: Annotated[
        list[str],
        typer.Option("--input", help="Log to forecast, or a pattern in quotes, such as 'logs/*.parquet'; repeatable."),
    ],
    every: Annotated[bool, typer.Option("--every", help="Forecast after every step, not only after the last.")] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Learn from the log's own past, and give corrected forecasts as well.")
    ] = False,
    interval: Annotated[
        float | None,
        typer.Option("--interval", help="Coverage of the bounds, such as 0.9; the bundle's own by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", dir_okay=False, help="Page (.html), picture (.png) or table (.csv, .parquet)."),
    ] = None,
    clock: Annotated[
        str, typer.Option("--clock", help="Time zone of the dates in --out, such as Europe/Berlin.")
    ] = "UTC",
    batch: BatchOptions = ONE_LOG,
    of: SeriesOptions = OF_ONE_SERIES,
    model: ModelOptions = USUAL,
    log: LogOptions = UNSAID,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="text is CSV.")] = Format.text,
) -> None:
    """Forecast the steps after a log; it is read like the training log, unless an option says otherwise.

    Where the bundle has intervals, each forecast comes with its lower and upper bound. With --adapt the log is replayed
    as a stream that adapts: `adapted` then stands beside the exact forecast. A pattern in quotes, or --out with
    .parquet, forecasts many files, each read by itself; the same command after a kill goes on where it stopped.
    """
    from pulsecast_train.predicting.files import expanded

    if interval is not None:
        fraction("interval", interval, such_as=0.9)
    given = paths("input", input_)
    logs = expanded(given)
    if logs.patterned or batch.is_asked(out):
        table = batch.table(out, clock, bundle, input_)
        batch.run(
            bundle, given, table, of, model, log, every=every, adapt=adapt, interval=interval, force=force,
            format_=format_,
        )  # fmt: skip
        return
    check_out(out, SUFFIXES, clock, force=force, read=logs.files)
    if every and out is not None and out.suffix != ".csv":
        raise UsageError("a page or picture shows the forecast after the last step: leave --every out, or write .csv")
    from pulsecast_train import read_as_trained
    from pulsecast_train.predicting.after_log import Wanted, bounds_level, far_words, forecast_series

    forecaster = model.load(bundle)
    with progress() as heard:
        series, report = read_as_trained(logs.files, forecaster.manifest, log.changes(), progress=heard)
    tell_findings(report)
    asked = of.of(forecaster, series, log)
    tell(f"forecasting with {forecaster.artifact.id} on {forecaster.backend.engine}, {forecaster.backend.device}")
    wanted = Wanted(level=bounds_level(forecaster.manifest, interval), every=every, adapt=adapt)
    found = [forecast_series(forecaster, one, name, wanted) for one, name in zip(series, asked, strict=True)]
    for one in found:
        if one.far:
            tell(f"warning: series {printable(one.name)}: {far_words(one)}")
    rows = _all_rows(found, forecaster.manifest)
    if out is not None:
        drawn = Drawn(manifest=forecaster.manifest, clock=clock, level=wanted.level)
        _write(out, found, series, drawn, force=force)
        tell(f"written: {printable(str(out))}")
    document = {"command": "predict", "artifact": forecaster.artifact.id, "level": wanted.level, "forecasts": rows}
    show(format_, text=_csv(rows), document=document | asked_document(series, asked))


class Drawn(NamedTuple):
    """What a page of forecasts says beside them: the bundle's manifest, the clock of dates, the level of bounds."""

    manifest: Manifest
    clock: str
    level: float | None


def _all_rows(found: Sequence[SeriesForecasts], manifest: Manifest) -> list[dict[str, Any]]:
    return [row for one in found for row in _rows(one, manifest)]


def _rows(found: SeriesForecasts, manifest: Manifest) -> list[dict[str, Any]]:
    """Return a row for each step forecast."""
    spec = manifest.spec
    return [
        {
            "series": found.name,
            "time": utc_text(int(last) + (k + 1) * spec.step_s),
            "step": k + 1,
            **{name: float(answer[row, k]) for name, answer in found.answers.items()},
        }
        for row, last in enumerate(found.last)
        for k in range(spec.horizon)
    ]


def _csv(rows: list[dict[str, Any]]) -> str:
    from pulsecast_train.predicting.table import csv_text

    return csv_text(list(rows[0]), rows)


def _write(out: Path, found: Sequence[SeriesForecasts], series: Sequence[Series], drawn: Drawn, *, force: bool) -> None:
    """Write the forecasts as a table, or as pictures of the last one of each series."""
    if out.suffix == ".csv":
        write_whole(out, _csv(_all_rows(found, drawn.manifest)), force=force)
        return
    from pulsecast_train.pages.forecast_page import outlook, write_outlooks

    shown = [
        outlook(one, of, drawn.manifest, zone=drawn.clock, level=drawn.level)
        for one, of in zip(found, series, strict=True)
    ]
    write_outlooks(out, shown, force=force)
