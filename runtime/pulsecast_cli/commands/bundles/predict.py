"""`pulsecast predict`: forecasts for the series in a log."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.calendars import utc_text
from pulsecast.computing.intervals import split_interval
from pulsecast.errors import DataError, RangeWarning, UsageError
from pulsecast.forecasting.corrector import Correctors, replayed
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import fraction
from pulsecast.foundation.whole_file import write_whole
from pulsecast.model.series import scaling_of
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
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Learn from the log's own past, and give corrected forecasts as well.")
    ] = False,
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

    Where the bundle has intervals, each forecast comes with its lower and upper bound. With --adapt the log is replayed
    as a stream that adapts: `adapted` then stands beside the exact forecast.
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
        for row in _forecast_rows(forecaster, one, known_as, _Wanted(level=level, every=every, adapt=adapt))
    ]
    if out is not None:
        _write(out, rows, series, level, forecaster.manifest, clock, force=force)
        tell(f"written: {printable(str(out))}")
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


@dataclass(frozen=True)
class _Wanted:
    """What is asked of a series: bounds at a level, forecasts after every step, and corrected ones as well."""

    level: float | None
    every: bool
    adapt: bool


def _forecast_rows(model: Forecaster, series: Series, known_as: Asked, wanted: _Wanted) -> list[dict[str, Any]]:
    """Return a row for each step forecast."""
    spec = model.manifest.spec
    # where each window ends: the index after its last step, (windows,)
    if not wanted.every:
        _window_ends(series, spec.context, every=False)  # refuses a log whose last stretch is too short
    ends = _window_ends(series, spec.context, every=wanted.every or wanted.adapt)
    answers = _answers(model, series, ends, known_as, wanted)
    if wanted.adapt:
        answers |= _adapted(model, series, ends, known_as, answers[FORECAST], wanted.level)
    last = series.timestamps_s()[ends - 1]  # (windows,)
    return [
        {
            "series": series.name,
            "time": utc_text(int(last[row]) + (k + 1) * spec.step_s),
            "step": k + 1,
            **{name: float(answer[row, k]) for name, answer in answers.items()},
        }
        for row in range(0 if wanted.every else len(ends) - 1, len(ends))
        for k in range(spec.horizon)
    ]


def _answers(
    model: Forecaster, series: Series, ends: NDArray[np.int64], known_as: Asked, wanted: _Wanted
) -> dict[str, NDArray[np.floating]]:
    """Return forecasts, and bounds where there is a level: name -> (windows, horizon). Tells of windows far outside."""
    stamps, context, parts, far = series.timestamps_s(), model.manifest.spec.context, [], 0
    asked = len(ends) if wanted.every else 1  # windows that are shown, the last ones
    for first in range(0, len(ends), BATCH):
        steps = ends[first : first + BATCH, np.newaxis] - np.arange(context, 0, -1)  # (batch, context)
        windows = Windows(values=series.values[steps], time=stamps[steps[:, -1]])
        shown = first + np.arange(len(steps)) >= len(ends) - asked
        far += int(model.outside(windows, series=known_as)[shown].sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RangeWarning)  # told of all windows at once
            parts.append(_predicted(model, windows, known_as, wanted.level))
    if far:
        tell(
            f"warning: series {printable(series.name)}: {far:,} of {asked:,} windows lie far outside what training "
            "saw, so do not trust their forecasts: the units may be others, or the series"
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _predicted(
    model: Forecaster, windows: Windows, known_as: Asked, level: float | None
) -> dict[str, NDArray[np.floating]]:
    values, time = windows.values, windows.time
    if level is None:
        return {FORECAST: model.predict(values, timestamps=time, series=known_as)}
    return model.predict(values, timestamps=time, series=known_as, interval=level)._asdict()


def _adapted(
    model: Forecaster, series: Series, ends: NDArray[np.int64], known_as: Asked, exact: NDArray[np.floating],
    level: float | None,
) -> dict[str, NDArray[np.floating]]:  # fmt: skip
    """Return the forecasts of a stream that adapts, and their bounds: name -> (windows, horizon)."""
    table = model.series
    rows = None if table is None else np.array(table.names.rows(known_as, 1), np.int64)
    spec, scaler = model.manifest.spec, model.manifest.scaler
    correctors = Correctors(spec, scaling_of(scaler, table), rows, 1)
    found = replayed(correctors, series.values, series.timestamps_s(), dict(zip(ends.tolist(), exact, strict=True)))
    adapted = np.stack([found[end] for end in ends.tolist()]).astype(np.float32)
    if level is None or model.manifest.intervals is None:
        return {"adapted": adapted}
    every = None if rows is None else np.repeat(rows, len(ends))
    _, lower, upper = split_interval(model.manifest.intervals, adapted, level, table, every)
    return {"adapted": adapted, "adapted_lower": lower, "adapted_upper": upper}


def _window_ends(series: Series, context: int, *, every: bool) -> NDArray[np.int64]:
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
