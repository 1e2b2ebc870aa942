"""One piece of a batch: its files are read once each, and the windows of their series are forecast together.

It runs in a process of its own, on this machine or another. A file or series that cannot be forecast is a note, and the
others go on; what is wrong with the bundle, an engine or an option ends the batch.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import polars as pl

from pulsecast.errors import DataError, InputError, UsageError
from pulsecast.forecasting.forecaster import Forecaster

from ..logs.as_trained import read_fitting
from ..logs.data_report import DataReport
from ..logs.files import LogFile, open_log
from ..logs.parquet.trial import try_parquets
from ..series import Series
from .after_log import (
    BATCH,
    LastWindow,
    SeriesForecasts,
    Wanted,
    far_words,
    forecast_last,
    forecast_series,
    last_window,
)
from .kept import Made, Note, Source
from .plan import InputFile, Task
from .table import frame_of, schema_of


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """Windows that wait for a call, and what came of those before."""

    model: Forecaster
    level: float | None
    windows: list[tuple[str, LastWindow]] = field(default_factory=list)  # file, window

    def put(self, file: str, window: LastWindow) -> Iterator[tuple[str, str, SeriesForecasts | InputError]]:
        """Take a window; yield file, series and forecast of all that waited, if they are enough for a call."""
        self.windows.append((file, window))
        if len(self.windows) >= BATCH:
            yield from self.end()

    def end(self) -> Iterator[tuple[str, str, SeriesForecasts | InputError]]:
        """Yield file, series and forecast of all that waited."""
        waited, self.windows = self.windows, []
        if waited:
            found = forecast_last(self.model, [window for _, window in waited], self.level)
            for (file, window), one in zip(waited, found, strict=True):
                yield file, window.name, one


def run_piece(task: Task) -> Made:
    """Return the forecasts of the piece's files, in their order; raises what ends the batch."""
    model = _loaded(task.model)
    notes: list[Note] = []
    found = list(_forecasts(model, task, notes))
    frames, sources = [], []
    for file, series, one in found:
        if isinstance(one, Exception):
            notes.append(Note(kind="failed", file=file, series=series, text=str(one)))
            continue
        if one.far:
            notes.append(Note(kind="far", file=file, series=series, text=far_words(one)))
        frames.append(frame_of(file, one, model.manifest.spec))
        sources.append(Source(file=file, series=series, rows=len(frames[-1])))
    order = {file.name: i for i, file in enumerate(task.files)}
    notes.sort(key=lambda note: order[note.file])
    return Made(table=_packed(frames, task.wanted), sources=tuple(sources), notes=tuple(notes))


def nothing_but(note: Note, wanted: Wanted) -> Made:
    """Return what a piece without forecasts gives."""
    return Made(table=_packed([], wanted), sources=(), notes=(note,))


def merged(parts: Sequence[Made]) -> Made:
    """Return what pieces give together."""
    return Made(
        table=_ipc(pl.concat([pl.read_ipc(part.table) for part in parts])),
        sources=tuple(source for part in parts for source in part.sources),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _packed(frames: Sequence[pl.DataFrame], wanted: Wanted) -> bytes:
    """Return the rows of `frames` as Arrow IPC, with the columns of the result in their order."""
    schema = schema_of(wanted)
    return _ipc(pl.concat(frames).select(list(schema)) if frames else pl.DataFrame(schema=schema))


def _ipc(table: pl.DataFrame) -> bytes:
    packed = io.BytesIO()
    table.write_ipc(packed, compression="zstd")
    return packed.getvalue()


@functools.lru_cache(maxsize=1)
def _loaded(model: bytes) -> Forecaster:
    """Return the model; raises IntegrityError if its bundle is another one now."""
    return cast("Forecaster", pickle.loads(model))  # noqa: S301  # it came with the task, which was unpickled as well


def _forecasts(
    model: Forecaster, task: Task, notes: list[Note]
) -> Iterator[tuple[str, str, SeriesForecasts | InputError]]:
    """Yield file, series and forecast of all series in order; adds to `notes` what else there is to say."""
    waiting = _Waiting(model=model, level=task.wanted.level)
    names = None if model.series is None else model.series.names
    alone = task.wanted.every or task.wanted.adapt  # a series has many windows of its own
    for file, one in _series(model, task, notes):
        try:
            known_as = task.asking.of(names, one.name, task.config)
            if alone:
                yield file, one.name, forecast_series(model, one, known_as, task.wanted)
            else:
                yield from waiting.put(file, last_window(model, one, known_as))
        except (DataError, UsageError, InputError) as error:
            notes.append(Note(kind="failed", file=file, series=one.name, text=str(error)))
    yield from waiting.end()


def _series(model: Forecaster, task: Task, notes: list[Note]) -> Iterator[tuple[str, Series]]:
    """Yield the series of every file that can be read, one file after the other, and note the others."""
    _try_parquets(task)
    for file in task.files:
        try:
            series, report = _read(model, file, task)
        except (DataError, UsageError) as error:
            notes.append(Note(kind="failed", file=file.name, series="", text=str(error)))
            continue
        notes.extend(_report_notes(file.name, report))
        if task.asking.name is not None and len(series) > 1:
            text = f"{task.asking.name[:60]!r} is the name of one series, and the file holds {len(series):,}"
            notes.append(Note(kind="failed", file=file.name, series="", text=text))
            continue
        for one in series:
            yield file.name, one


def _try_parquets(task: Task) -> None:
    """Try all Parquet files of the piece in one child; one that cannot be looked at fails when it is read."""
    logs: list[LogFile] = []
    for file in task.files:
        try:
            log = open_log(Path(file.path))
        except (DataError, UsageError):
            continue
        if log.kind == "parquet" and log.size_bytes:
            logs.append(log)
    if logs:
        try_parquets(logs, task.config)


def _read(model: Forecaster, file: InputFile, task: Task) -> tuple[tuple[Series, ...], DataReport]:
    """Return the series in `file`; raises DataError, also if it is not the file of the batch's beginning."""
    try:
        changed = file.has_changed()
        found = None if changed else read_fitting(file.path, model.manifest, task.config)
        changed = changed or file.has_changed()
    except OSError as error:
        raise DataError(f"it is not there any more, or this worker does not see it: {error.strerror}") from error
    if found is None or changed:
        raise DataError("it was changed while the batch ran; run the same command again")
    return found


def _report_notes(file: str, report: DataReport) -> Iterator[Note]:
    for finding in report.findings:
        lines = f" [line {', '.join(map(str, finding.lines))}]" if finding.lines else ""
        text = f"{finding.policy}: {finding.sentence}{lines}"
        yield Note(kind="repair", file=file, series="", text=text, rows=finding.rows)
    for warning in report.warnings:
        yield Note(kind="warning", file=file, series="", text=warning)
