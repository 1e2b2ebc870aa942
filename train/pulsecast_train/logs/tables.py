"""A log's header and rows: the columns to read with their names, and blocks of text or Parquet as polars frames.

Cells of CSV are text, those of Parquet and NDJSON have their own types. No polars error leaves this module.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import polars as pl

from pulsecast.errors import DataError

from .config import METRIC_ALIASES, TIME_ALIASES, LogConfig, bare, plain
from .data_report import Finding
from .files import Block, LogFile, Source
from .json_rows import check_json, loose_frame
from .limits import MOST_CELLS, PARQUET_ROWS
from .parquet.trial import try_parquet
from .places import Places
from .text.blocks import Opening, checked_names, json_blocks, table_blocks
from .workbooks.marks import settled, without_marks

_LEAST_STEPS = 8  # numbered columns that look like steps
_Made = TypeVar("_Made")
FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """The columns to read: `sources` has name -> column of the file; `used` says in words how each was found.

    `found` is what stands before the rows.
    """

    time: str
    metrics: tuple[str, ...]
    sources: Mapping[str, str]
    used: tuple[str, ...]
    found: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some rows of a log: `frame` has the columns of `LogColumns.sources`, `places` the place of each row.

    `ragged` are the lines with empty fields beyond the header's. `open_end` says that the text ends with a cell that is
    read, and without a line end: the rest of that cell may be missing. `plus` says whether some cell may hold a plus
    sign: to look for one in the text of all takes a twentieth of the time that it takes cell by cell.
    """

    frame: pl.DataFrame
    places: Places
    ragged: tuple[int, ...] = ()
    open_end: bool = False
    plus: bool = True


def read_batches(log: LogFile, config: LogConfig, raw: Source) -> tuple[LogColumns, Generator[Batch, None, None]]:
    """Return the log's columns and its rows, batch by batch.

    CSV cells are text, and an empty cell is null. Rows at the very end in which all columns that are read are empty are
    left out: blank lines, not data. Raises DataError, at once or with a batch, if the log cannot be used.
    """
    if log.kind == "parquet":
        return _parquet(log, config)
    if log.kind == "ndjson":
        blocks = json_blocks(log, raw)
        first = next(blocks)
        names = checked_names(log, list(_json_fields(_json_frame(log, first, ()).schema)))
        columns = choose_columns(log.name, names, config)
        identities = (config.series, config.id, config.user, config.category)
        as_text = tuple(columns.sources[name] for name in identities if name is not None)
        rows = (_json_batch(log, columns, block, as_text) for block in itertools.chain([first], blocks))
    else:
        opening, blocks = table_blocks(log, raw, config)
        columns = choose_columns(log.name, opening.header, config, before=opening.found)
        rows = _csv_batches(log, opening, columns, blocks)
    return columns, _ahead(_without_blank_end(log, rows))


def first_rows(log: LogFile, config: LogConfig, raw: Source, most: int) -> tuple[pl.DataFrame, str, float]:
    """Return up to `most` rows with all columns as text, the separator ("" if none), and the share of the file.

    Columns without a name, and all but the first of one name, are left out; of Parquet there are names and no rows.
    """
    if log.kind == "parquet":
        try:  # the schema alone: a damaged page may end the process that reads it
            named = list(pl.scan_parquet(log.path, glob=False).collect_schema())
        except FAILURES as error:
            raise DataError(f"{log.name} is not a whole Parquet file; write it again") from error
        return pl.DataFrame(schema=dict.fromkeys(named, pl.String)), "", 1.0
    if log.kind == "ndjson":
        block = next(json_blocks(log, raw))
        loose = loose_frame(log.name, block, ())
        return loose.head(most).select(pl.all().cast(pl.String)), "", _share(log, block, len(loose), most)
    opening, blocks = table_blocks(log, raw, config)
    block = next(blocks)
    table = _csv_frame(opening, block, ragged=True)
    names = {name: str(i) for i, name in reversed(list(enumerate(opening.header))) if name}
    taken = [pl.col(names[name]).alias(name) for name in dict.fromkeys(opening.header) if name]
    rows, share = table.head(most).select(taken), _share(log, block, len(table), most)
    if log.kind == "xlsx":
        return rows.select(without_marks(pl.all())), "", share
    return rows, opening.separator, share


def _share(log: LogFile, block: Block, rows: int, most: int) -> float:
    part = 1.0 if block.last or log.packing or log.kind == "xlsx" else len(block.data) / max(log.size_bytes, 1)
    return part * min(most / max(rows, 1), 1.0)


def _ahead(made: Generator[_Made, None, None]) -> Generator[_Made, None, None]:
    """Yield what is `made` while a thread makes the next one, so that reading, parsing and the caller run side by side.

    Closing it waits for this thread, and closes `made`.
    """
    with closing(made), ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, made, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield one


def choose_columns(
    file: str, found: Sequence[str], config: LogConfig, *, before: tuple[Finding, ...] = ()
) -> LogColumns:
    """Return the columns that `config` names, or that the alias tables find; raises DataError if one is missing.

    `found` are the names in the file. Renaming (`config.columns`) comes first.
    """
    new_names = {bare(old): new for new, old in config.columns.items()}
    names = [new_names.get(name, name) for name in found]
    absent = [old for old in new_names if old not in found]
    time = None if config.time is None else _stated(config.time, names)
    roles = (config.time_of_day, config.series, config.id, config.user, config.category, *config.parts)
    others = [_stated(name, names) for name in roles if name is not None]
    metrics = tuple(_stated(name, names) for name in config.metrics)
    chosen = time or (None if absent else _only(file, names, TIME_ALIASES, "--time"))
    if not (metrics or config.events or absent):
        free = [name for name in names if name not in (chosen, *others)]
        metrics = (_only(file, free, METRIC_ALIASES, "--metric"),)
    needed = [name for name in (chosen, *others, *metrics) if name is not None]
    absent += [name for name in needed if name not in names]
    if absent or chosen is None:
        hint = _renaming([name for name in config.metrics if name in absent])
        raise DataError(f"{file} has no column {', '.join(absent)}; its columns are {_listed(found)}{hint}")
    twice = [name for name in needed if names.count(name) > 1]
    if twice:
        raise DataError(f"{file} has {names.count(twice[0])} columns called {twice[0]}; give each its own name")
    used = [f"time {chosen}" + ("" if time else " (usual name)")]
    used += [f"metric {name}" + ("" if config.metrics else " (usual name)") for name in metrics]
    used += [f"{new} from {old}" for old, new in new_names.items()]
    return LogColumns(
        time=chosen,
        metrics=metrics,
        sources={name: found[names.index(name)] for name in dict.fromkeys(needed)},
        used=tuple(used),
        found=before,
    )


def _stated(name: str, names: Sequence[str]) -> str:
    return name if name in names else bare(name)


def _only(file: str, names: Sequence[str], aliases: Sequence[str], option: str) -> str:
    fitting = [name for name in names if plain(name) in aliases]
    if len(fitting) == 1:
        return fitting[0]
    what = "time" if option == "--time" else "value"
    if not any(names):
        raise DataError(
            f"{file} has no {what} column: all its columns are taken; if rows are single events, pass --events"
        )
    if option == "--time" and not fitting:
        _refuse_steps_in_columns(file, names)
    problem = f"several {what} columns ({', '.join(fitting)})" if fitting else f"no column with a usual {what} name"
    raise DataError(f"{file} has {problem}; choose {option} from {_listed(names)}")


def _refuse_steps_in_columns(file: str, names: Sequence[str]) -> None:
    """Refuse a table whose columns are numbered steps, as TS1 to TS144: no column of it is a time."""
    parts = [found.groups() for name in names if (found := re.fullmatch(r"(.*\D)0*(\d{1,6})", name))]
    stem, count = Counter(stem for stem, _ in parts).most_common(1)[0] if parts else ("", 0)
    numbers = sorted(int(number) for one, number in parts if one == stem)
    if count < _LEAST_STEPS or 2 * count <= len(names) or numbers != list(range(numbers[0], numbers[0] + count)):
        return
    others = [name for name in names if not re.fullmatch(re.escape(stem) + r"\d+", name)]
    raise DataError(
        f"{file} has no times, and {count:,} numbered columns, {stem}{numbers[0]} to {stem}{numbers[-1]}: they look "
        "like steps of one series in each row. A log has a row for each step: write the time of the step, "
        f"{'the name of the series' if not others else _listed(others)} and the value in it, then pass --series-column"
    )


def _renaming(metrics: Sequence[str]) -> str:
    """Return the advice for a metric with another name in this file."""
    return f"; if {metrics[0]} has another name, pass --column {metrics[0]}=NAME" if metrics else ""


def _listed(names: Sequence[str]) -> str:
    """Return up to 30 column names for a message."""
    shown = [name[:60] for name in names if name]
    return ", ".join(shown[:30]) + (f" and {len(shown) - 30} more" if len(shown) > 30 else "")


def _without_blank_end(log: LogFile, batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    """Yield the batches that have rows, without the empty rows at the end of the last one."""
    before: Batch | None = None
    empty = True
    with closing(batches):
        for batch in batches:
            if before is not None and len(before.frame):
                yield before
                empty = False
            before = batch
    if before is not None:
        filled = before.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series().arg_true()
        rows = int(filled[-1]) + 1 if len(filled) else 0
        if rows:
            kept = before.places.only(pl.arange(rows, eager=True))
            whole = rows == len(before.frame)
            yield replace(before, frame=before.frame.head(rows), places=kept, open_end=before.open_end and whole)
            empty = False
    if empty:
        raise DataError(
            f"{log.name} has a header and no rows" if log.kind in ("csv", "tsv", "xlsx") else f"{log.name} has no rows"
        )


# --- CSV and TSV ----------------------------------------------------------------------------------------------------


def _csv_batches(
    log: LogFile, opening: Opening, columns: LogColumns, blocks: Generator[Block, None, None]
) -> Generator[Batch, None, None]:
    with closing(_ahead(blocks)) as ready:
        for block in ready:
            yield _csv_batch(log, opening, columns, block)


def _csv_batch(log: LogFile, opening: Opening, columns: LogColumns, block: Block) -> Batch:
    ragged: tuple[int, ...] = ()
    header = opening.header
    cells = (block.line_ends + 1) * len(header)
    if cells > MOST_CELLS:  # full rows have at least a byte per cell, and a block has fewer
        raise DataError(f"{log.name} line {block.line} and those after it are much shorter than the header; fill them")
    try:
        frame = _csv_frame(opening, block, ragged=False)
    except FAILURES as error:
        ragged = _longer_rows(log, opening, block)
        if not ragged:
            raise _not_a_table(log) from error
        try:
            frame = _csv_frame(opening, block, ragged=True)
        except FAILURES as still:
            raise _not_a_table(log) from still
    taken = [pl.col(str(header.index(old))).alias(new) for new, old in columns.sources.items()]
    is_sheet = log.kind == "xlsx"
    places = Places(file=log.name, word="row" if is_sheet else "line", lines=block.row_lines(len(frame)))
    found = frame.select(taken)
    if is_sheet:
        return Batch(frame=settled(found, places, columns.metrics), places=places, ragged=ragged)
    open_end = block.last and _ends_within(block.data, opening, frozenset(columns.sources.values()))
    return Batch(frame=found, places=places, ragged=ragged, open_end=open_end, plus=b"+" in block.data)


def _ends_within(data: bytes, opening: Opening, read: frozenset[str]) -> bool:
    """Return whether the text may end within one of the columns that are `read`: no line end follows its last cell."""
    separator = opening.separator.encode()
    if data.endswith((b"\n", b'"', separator)):  # behind any of them a cell is whole, or counted as empty
        return False
    line = data[data.rfind(b"\n") + 1 :]
    if b'"' in line:  # a separator may be text there
        return True
    place = min(line.count(separator), len(opening.header) - 1)
    return opening.header[place] in read


def _not_a_table(log: LogFile) -> DataError:
    return DataError(f"{log.name} is not a well-formed table; look for an open quote or a broken line")


def _csv_frame(opening: Opening, block: Block, *, ragged: bool) -> pl.DataFrame:
    """Return every column as text, named by its position.

    It reads every column, although few are kept: with a projection polars accepts a row with too many fields, and a
    stray comma would move another column's numbers into the metric.
    """
    names = opening.separator.join(map(str, range(len(opening.header)))).encode()
    return pl.read_csv(
        io.BytesIO(names + b"\n" + block.data),
        infer_schema=False,
        separator=opening.separator,
        truncate_ragged_lines=ragged,
    )


def _longer_rows(log: LogFile, opening: Opening, block: Block) -> tuple[int, ...]:
    """Return the lines with more fields than the header, all of them empty; raises DataError if one is not."""
    rows = csv.reader(io.StringIO(block.data.decode("utf-8"), newline=""), delimiter=opening.separator)
    fields = len(opening.header)
    found, line = [], block.line
    try:
        for row in rows:
            if any(row[fields:]):
                raise DataError(
                    f"{log.name} line {line} has {len(row)} fields; the header has {fields}; quote the extra one"
                )
            if len(row) > fields:
                found.append(line)
            line = block.line + rows.line_num
    except csv.Error:
        return ()
    return tuple(found)


# --- NDJSON ---------------------------------------------------------------------------------------------------------


def _json_batch(log: LogFile, columns: LogColumns, block: Block, as_text: Sequence[str]) -> Batch:
    frame = _json_frame(log, block, as_text)
    fields = _json_fields(frame.schema)
    taken = [fields.get(old, pl.lit(None)).alias(new) for new, old in columns.sources.items()]
    made = frame.select(taken) if len(frame) else frame.clear().select(taken)
    return Batch(frame=made, places=Places(file=log.name, word="line", lines=block.row_lines(len(frame))))


def _json_frame(log: LogFile, block: Block, as_text: Sequence[str]) -> pl.DataFrame:
    """Return the rows; columns `as_text` are text even if they hold numbers, because numbers could lose last digits."""
    if not block.data.strip():
        return pl.DataFrame()
    check_json(log.name, block)
    overrides = {name: pl.String for name in as_text if "." not in name}
    try:
        return pl.read_ndjson(io.BytesIO(block.data), infer_schema_length=None, schema_overrides=overrides)
    except FAILURES:
        return loose_frame(log.name, block, as_text)


def _json_fields(schema: Mapping[str, pl.DataType], above: pl.Expr | None = None, path: str = "") -> dict[str, pl.Expr]:
    """Return every field by name; a field of an object by its path, such as public_metrics.like_count."""
    fields: dict[str, pl.Expr] = {}
    for name, kind in schema.items():
        field = pl.col(name) if above is None else above.struct.field(name)
        fields[path + name] = field
        if isinstance(kind, pl.Struct):
            inner = {part.name: part.dtype for part in kind.fields}
            fields |= _json_fields(inner, field, f"{path}{name}.")  # type: ignore[arg-type]
    return fields


# --- Parquet --------------------------------------------------------------------------------------------------------


def _parquet(log: LogFile, config: LogConfig) -> tuple[LogColumns, Generator[Batch, None, None]]:
    if log.size_bytes == 0:
        raise DataError(f"{log.name} is empty")
    try_parquet(log, config)
    return tried_parquet(log, config)


def tried_parquet(log: LogFile, config: LogConfig) -> tuple[LogColumns, Generator[Batch, None, None]]:
    """Return the columns and rows of a file that has been read in a child process; else it may end this one."""
    try:
        names = list(pl.scan_parquet(log.path, glob=False).collect_schema())
    except FAILURES as error:
        raise DataError(f"{log.name} is not a whole Parquet file; write it again") from error
    columns = choose_columns(log.name, checked_names(log, names), config)
    return columns, _without_blank_end(log, _parquet_batches(log, columns))


def _parquet_batches(log: LogFile, columns: LogColumns) -> Generator[Batch, None, None]:
    taken = [pl.col(old).alias(new) for new, old in columns.sources.items()]
    start = 0
    while True:
        try:
            frame = pl.scan_parquet(log.path, glob=False).slice(start, PARQUET_ROWS).select(taken).collect()
        except FAILURES as error:
            raise DataError(f"{log.name} is not a whole Parquet file; write it again") from error
        lines = np.arange(start + 1, start + len(frame) + 1, dtype=np.int64)
        yield Batch(frame=frame, places=Places(file=log.name, word="row", lines=lines))
        start += PARQUET_ROWS
        if len(frame) < PARQUET_ROWS:
            return
