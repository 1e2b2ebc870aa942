"""`pulsecast predict`: forecasts for the series in a log."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.calendars import utc_text
from pulsecast.errors import DataError, RangeWarning, UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import fraction
from pulsecast.foundation.whole_file import write_whole
from pulsecast.model.windows import FORECAST, LOWER, UPPER, Windows
from pulsecast.plain_text import printable

from ...logs.options import UNSAID, LogOptions
from ...logs.reading import check_out, tell_findings
from ...logs.series_options import OF_ONE_SERIES, Asked, SeriesOptions, asked_document
from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train.series import Series

BATCH = 256
SUFFIXES = (".html", ".png", ".csv")
BOUNDS = LOWER, UPPER


@grouped
def predict(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to forecast with.")],
    input_: Annotated[
        list[Path], typer.Option("--input", exists=True, dir_okay=False, help="Log to forecast, repeatable.")
    ],
    every: Annotated[bool, typer.Option("--every", help="Forecast after every step, not only after the last.")] = False,
    interval: Annotated[
        float | None,
        typer.Option("--interval", help="Coverage of the bounds, such as 0.9; the bundle's own by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Page (.html), picture (.png) or table (.csv).")
    ] = None,
    clock: Annotated[
        str, typer.Option("--clock", help="Time zone of the dates in --out, such as Europe/Berlin.")
    ] = "UTC",
    of: SeriesOptions = OF_ONE_SERIES,
    model: ModelOptions = USUAL,
    log: LogOptions = UNSAID,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="text is CSV.")] = Format.text,
) -> None:
    """Forecast the steps after a log; it is read like the training log, unless an option says otherwise.

    Where the bundle has intervals, each forecast comes with its lower and upper bound.
    """
    check_out(out, SUFFIXES, clock, force=force)
    if every and out is not None and out.suffix != ".csv":
        raise UsageError("a page or picture shows the forecast after the last step: leave --every out, or write .csv")
    if interval is not None:
        fraction("interval", interval, such_as=0.9)
    from pulsecast_train import read_as_trained

    forecaster = model.load(bundle)
    with progress() as heard:
        series, report = read_as_trained(input_, forecaster.manifest, log.changes(), progress=heard)
    tell_findings(report)
    asked = of.of(forecaster, series, log)
    tell(f"forecasting with {forecaster.artifact.id} on {forecaster.backend.engine}, {forecaster.backend.device}")
    level = _level(forecaster.manifest) if interval is None else interval
    rows = [
        row
        for one, known_as in zip(series, asked, strict=True)
        for row in _forecast_rows(forecaster, one, known_as, level, every=every)
    ]
    if out is not None:
        _write(out, rows, series, level, forecaster.manifest, clock, force=force)
        tell(f"written: {out}")
    document = {"command": "predict", "artifact": forecaster.artifact.id, "level": level, "forecasts": rows}
    show(format_, text=_csv(rows), document=document | asked_document(series, asked))


def _write(
    out: Path, rows: list[dict[str, Any]], series: Sequence[Series], level: float | None, manifest: Manifest,
    clock: str, *, force: bool,
) -> None:  # fmt: skip
    """Write the forecasts as a table, or as pictures of the last one of each series."""
    if out.suffix == ".csv":
        write_whole(out, _csv(rows), force=force)
        return
    from pulsecast_train.pages.forecast_page import Outlook, write_outlooks

    spec, found = manifest.spec, []
    for number, one in enumerate(series):
        own = rows[number * spec.horizon : (number + 1) * spec.horizon]
        columns = {name: np.array([row[name] for row in own]) for name in (FORECAST, *BOUNDS) if name in own[0]}
        stamps = one.timestamps_s()
        found.append(
            Outlook(
                series=one.name, column=spec.features[0].name, zone=clock, step_s=spec.step_s, seconds=stamps,
                values=one.values[:, 0], ahead=stamps[-1] + spec.step_s * np.arange(1, spec.horizon + 1),
                forecast=columns[FORECAST], lower=columns.get(LOWER), upper=columns.get(UPPER), level=level,
            )
        )  # fmt: skip
    write_outlooks(out, found, force=force)


def _level(manifest: Manifest) -> float | None:
    """Return the coverage of the bounds, None where a bundle has no intervals; in format 1 it is not written down."""
    if manifest.level is not None or manifest.intervals is None:
        return manifest.level
    return manifest.intervals.default_level


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: f"{cell:.6g}" if isinstance(cell, float) else cell for name, cell in row.items()}
        writer.writerow(cells | {"series": printable(row["series"])})
    return text.getvalue()


def _forecast_rows(
    model: Forecaster, series: Series, known_as: Asked, level: float | None, *, every: bool
) -> list[dict[str, Any]]:
    """Return a row for each step forecast: with bounds that cover with probability `level`, or without any."""
    spec = model.manifest.spec
    ends = _window_ends(series, spec.context, every=every)  # (windows,) index after each window's last step
    stamps, found, far = series.timestamps_s(), [], 0
    for first in range(0, len(ends), BATCH):
        steps = ends[first : first + BATCH, np.newaxis] - np.arange(spec.context, 0, -1)  # (batch, context)
        last = stamps[steps[:, -1]]  # (batch,)
        windows = Windows(values=series.values[steps], time=last)
        far += int(model.outside(windows, series=known_as).sum())
        answers = _answers(model, windows, known_as, level)
        found += [
            {
                "series": series.name,
                "time": utc_text(int(last[row]) + (k + 1) * spec.step_s),
                "step": k + 1,
                **{name: float(answer[row, k]) for name, answer in answers.items()},
            }
            for row in range(len(last))
            for k in range(spec.horizon)
        ]
    if far:
        tell(
            f"warning: series {printable(series.name)}: {far:,} of {len(ends):,} windows lie far outside what training "
            "saw, so do not trust their forecasts: the units may be others, or the series"
        )
    return found


def _answers(
    model: Forecaster, windows: Windows, known_as: Asked, level: float | None
) -> dict[str, NDArray[np.floating]]:
    """Return forecasts, and bounds where there is a level: name -> (batch, horizon)."""
    values, time = windows.values, windows.time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)  # told of all windows at once
        if level is None:
            return {FORECAST: model.predict(values, timestamps=time, series=known_as)}
        return model.predict(values, timestamps=time, series=known_as, interval=level)._asdict()


def _window_ends(series: Series, context: int, *, every: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
    whole = [(start, stop) for start, stop in series.segments if stop - start >= context]
    last_start, last_stop = series.segments[-1]
    if not whole or (not every and last_stop - last_start < context):
        raise DataError(
            f"series {series.name} ends with {last_stop - last_start} unbroken steps; this model takes {context}: "
            "bring a longer log, or fill longer gaps with --max-gap"
        )
    if not every:
        return np.array([last_stop])
    return np.concatenate([np.arange(start + context, stop + 1) for start, stop in whole])
