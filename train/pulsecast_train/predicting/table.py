"""The result of a batch as a table: Parquet with types, or CSV as `pulsecast predict` prints it; and its notes."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import polars as pl

from pulsecast.computing.calendars import utc_text
from pulsecast.errors import UsageError
from pulsecast.foundation.whole_file import check_file_free, whole_file
from pulsecast.plain_text import printable

from .kept import Note

if TYPE_CHECKING:
    from pulsecast.model.spec import ModelSpec

    from .after_log import SeriesForecasts, Wanted

ENDINGS = (".parquet", ".csv")
GROUP_ROWS = 1 << 17  # of a row group: the same rows give the same bytes, however many threads write them
NOTE_COLUMNS = ("kind", "file", "series", "rows", "text")
_NOTES_HEADER = (",".join(NOTE_COLUMNS) + "\n").encode()
_MICROS = 1_000_000


def schema_of(wanted: Wanted) -> dict[str, pl.DataType]:
    """Return the columns of a result and their types; numbers are raw units, times UTC."""
    fixed = {"file": pl.String(), "series": pl.String(), "time": pl.Datetime("us", "UTC"), "step": pl.Int32()}
    return {**fixed, **dict.fromkeys(wanted.columns, pl.Float64())}


def frame_of(file: str, found: SeriesForecasts, spec: ModelSpec) -> pl.DataFrame:
    """Return a row for each step forecast of a series: the windows in order, the steps of each in order."""
    ahead = np.arange(1, spec.horizon + 1, dtype=np.int64)
    seconds = (found.last[:, np.newaxis] + spec.step_s * ahead).ravel()  # (windows x horizon,)
    rows = len(seconds)
    return pl.DataFrame(
        {
            "file": pl.repeat(file, rows, dtype=pl.String, eager=True),
            "series": pl.repeat(found.name, rows, dtype=pl.String, eager=True),
            "time": pl.Series(seconds * _MICROS).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "step": np.tile(ahead, len(found.last)).astype(np.int32),
            **{name: answer.astype(np.float64).ravel() for name, answer in found.answers.items()},
        }
    )


def write_result(out: Path, tables: Sequence[Path], dropped: Collection[str], *, force: bool) -> None:
    """Write the rows of `tables` (Arrow IPC) one after the other to `out`, whole or not at all, in bounded memory.

    dropped  series that are left out
    """
    with whole_file(out, force=force) as file:
        if out.suffix == ".parquet":
            rows = _kept(pl.scan_ipc([*tables]), dropped)
            rows.sink_parquet(file, compression="zstd", row_group_size=GROUP_ROWS, maintain_order=True)
        else:
            _write_csv(file, tables, dropped)


def _kept(rows: pl.LazyFrame, dropped: Collection[str]) -> pl.LazyFrame:
    return rows.filter(~pl.col("series").is_in(sorted(dropped))) if dropped else rows


def _write_csv(file: BinaryIO, tables: Sequence[Path], dropped: Collection[str]) -> None:
    for number, table in enumerate(tables):
        frame = _kept(pl.scan_ipc(table), dropped).collect()
        seconds = frame.with_columns(pl.col("time").dt.epoch("s"))
        rows = ({**row, "time": utc_text(row["time"])} for row in seconds.iter_rows(named=True))
        file.write(csv_text(frame.columns, rows, header=number == 0).encode("utf-8"))


def csv_text(names: Sequence[str], rows: Iterable[Mapping[str, object]], *, header: bool = True) -> str:
    """Return rows as CSV: numbers to six digits, and names that a terminal may show."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        cells = {name: f"{cell:.6g}" if isinstance(cell, float) else cell for name, cell in row.items()}
        said = {name: printable(str(row[name])) for name in ("file", "series") if name in row}
        writer.writerow(cells | said)
    return text.getvalue()


def notes_path(out: Path) -> Path:
    """Return where the notes of a result are written: beside it."""
    return out.with_name(f"{out.name}.notes.csv")


def check_notes_free(path: Path) -> None:
    """Raise UsageError unless there is nothing at `path`, or the notes of an earlier result."""
    if not os.path.lexists(path):
        return
    check_file_free(path, force=True)
    with path.open("rb") as file:
        if file.read(len(_NOTES_HEADER)) != _NOTES_HEADER:
            raise UsageError(
                f"{path} is not the notes of a forecast, and is not replaced; move it, or choose another --out"
            )


def write_notes(path: Path, notes: Iterator[Note]) -> None:
    """Write a row for each note, one after the other; replaces what is there."""
    with whole_file(path, force=True) as file:
        file.write(_NOTES_HEADER)
        for note in notes:
            row = {name: getattr(note, name) for name in NOTE_COLUMNS} | {"text": printable(note.text)}
            file.write(csv_text(NOTE_COLUMNS, [row], header=False).encode("utf-8"))
