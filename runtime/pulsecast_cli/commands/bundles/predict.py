"""`pulsecast predict`: forecasts for the series in a log."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pulsecast.computing.calendars import utc_text
from pulsecast.errors import DataError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.plain_text import printable

from ...logs.options import UNSAID, LogOptions
from ...logs.reading import tell_findings
from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train.series import Series

BATCH = 256


@grouped
def predict(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to forecast with.")],
    input_: Annotated[
        list[Path], typer.Option("--input", exists=True, dir_okay=False, help="Log to forecast, repeatable.")
    ],
    every: Annotated[bool, typer.Option("--every", help="Forecast after every step, not only after the last.")] = False,
    model: ModelOptions = USUAL,
    log: LogOptions = UNSAID,
    format_: Annotated[Format, typer.Option("--format", help="text is CSV.")] = Format.text,
) -> None:
    """Forecast the steps after a log; it is read like the training log, unless an option says otherwise."""
    from pulsecast_train import read_as_trained

    forecaster = model.load(bundle)
    with progress() as heard:
        series, report = read_as_trained(input_, forecaster.manifest, log.changes(), progress=heard)
    tell_findings(report)
    tell(f"forecasting with {forecaster.artifact.id} on {forecaster.backend.engine}, {forecaster.backend.device}")
    rows = [row for one in series for row in _forecast_rows(forecaster, one, every=every)]
    document = {"command": "predict", "artifact": forecaster.artifact.id, "forecasts": rows}
    show(format_, text=_csv(rows), document=document)


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=("series", "time", "step", "forecast"), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "series": printable(row["series"]), "forecast": f"{row['forecast']:.6g}"} for row in rows)
    return text.getvalue()


def _forecast_rows(model: Forecaster, series: Series, *, every: bool) -> list[dict[str, Any]]:
    spec = model.manifest.spec
    ends = _window_ends(series, spec.context, every=every)  # (windows,) index after each window's last step
    stamps, found = series.timestamps_s(), []
    for first in range(0, len(ends), BATCH):
        steps = ends[first : first + BATCH, np.newaxis] - np.arange(spec.context, 0, -1)  # (batch, context)
        forecasts = model.predict(series.values[steps], timestamps=stamps[steps])  # (batch, horizon)
        found += [
            {
                "series": series.name,
                "time": utc_text(int(last) + (k + 1) * spec.step_s),
                "step": k + 1,
                "forecast": float(row[k]),
            }
            for last, row in zip(stamps[steps[:, -1]], forecasts, strict=True)
            for k in range(spec.horizon)
        ]
    return found


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
