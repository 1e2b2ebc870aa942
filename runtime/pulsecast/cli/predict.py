"""`pulsecast predict`: forecasts for the series in a log."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .. import records
from ..calendars import utc_text
from ..errors import DataError, FormatError
from ..forecaster import Forecaster, load
from . import log_options as log
from .options import Key, TrustCode
from .output import Format, show, tell

if TYPE_CHECKING:
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.series import Series

    from ..manifest import Manifest
    from ..spec import ModelSpec

BATCH = 256


def predict(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to forecast with.")],
    input_: Annotated[
        list[Path], typer.Option("--input", exists=True, dir_okay=False, help="Log to forecast, repeatable.")
    ],
    every: Annotated[bool, typer.Option("--every", help="Forecast after every step, not only after the last.")] = False,
    backend: Annotated[
        str, typer.Option("--backend", help="auto, numpy, onnx, tflite, savedmodel or native.")
    ] = "auto",
    artifact: Annotated[str | None, typer.Option("--artifact", help="Artifact id of the bundle.")] = None,
    key: Key = None,
    trust_code: TrustCode = False,
    threads: Annotated[int, typer.Option("--threads", help="Threads of one call.")] = 1,
    column: log.Columns = None,
    time: log.Time = None,
    metric: log.Metrics = None,
    part: log.Parts = None,
    series_column: log.SeriesColumn = None,
    id_: log.Identity = None,
    user: log.User = None,
    user_cap: log.UserCap = None,
    events: log.Events = None,
    kind: log.Kind = None,
    allow_reset: log.AllowReset = None,
    maturity: log.Maturity = None,
    step: log.Step = None,
    timezone: log.Timezone = None,
    repeated_hour: log.RepeatedHour = None,
    time_format: log.TimeFormat = None,
    missing: log.Missing = None,
    on_conflict: log.OnConflict = None,
    max_gap: log.MaxGap = None,
    format_: Annotated[Format, typer.Option("--format", help="text is CSV.")] = Format.text,
) -> None:
    """Forecast what follows a log; it is read as the training log was, unless an option says otherwise."""
    from pulsecast_train.logs.reader import read_log
    from pulsecast_train.train_config import with_changes

    model = load(bundle, backend=backend, artifact=artifact, threads=threads, key=key, trust_code=trust_code)
    reading = log.given(
        columns=log.columns(column), time=time, metrics=metric, parts=part, series=series_column, id=id_, user=user,
        user_cap=user_cap, events=events, kind=kind, allow_reset=allow_reset, maturity=maturity, step=step,
        timezone=timezone, repeated_hour=repeated_hour, time_format=time_format, missing=missing,
        on_conflict=on_conflict, max_gap=max_gap,
    )  # fmt: skip
    with log.reading() as on_bytes:
        series, report = read_log(input_, with_changes(as_trained(model.manifest), reading), on_bytes=on_bytes)
    for finding in report.findings:
        tell(f"{finding.rows:,} {finding.policy}: {finding.sentence}")
    tell(f"forecasting with {model.artifact.id} on {model.backend.engine}, {model.backend.device}")
    rows = [row for one in series for row in _forecast_rows(model, one, every=every)]
    document = {"command": "predict", "artifact": model.artifact.id, "forecasts": rows}
    show(format_, text=_csv(rows), document=document)


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=("series", "time", "step", "forecast"), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "forecast": f"{row['forecast']:.6g}"} for row in rows)
    return text.getvalue()


def as_trained(manifest: Manifest) -> LogConfig:
    """Return how the training log was read, which the bundle's provenance records."""
    from pulsecast_train.logs.config import LogConfig

    recorded = manifest.provenance.training.get("log")
    try:
        return LogConfig() if recorded is None else records.parse(LogConfig, recorded, where="provenance")
    except FormatError:  # made by a version with other options: the options given have to say it all
        return LogConfig()


def _forecast_rows(model: Forecaster, series: Series, *, every: bool) -> list[dict[str, Any]]:
    spec = model.manifest.spec
    check_series(spec, series)
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


def check_series(spec: ModelSpec, series: Series) -> None:
    """Raise DataError unless `series` has the metrics and the step that a model of `spec` takes."""
    measured = tuple(feature.name for feature in spec.features[: spec.measured])
    if series.metrics != measured:
        raise DataError(
            f"series {series.name} has {', '.join(series.metrics)}; this model takes {', '.join(measured)}: "
            "choose --metric"
        )
    if series.step_s != spec.step_s:
        raise DataError(
            f"series {series.name} has a step of {series.step_s} s; this model takes {spec.step_s} s: choose --step"
        )


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
