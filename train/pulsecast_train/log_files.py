"""A log file of any supported kind to columns: text from CSV, typed from Parquet and NDJSON; no polars traceback."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pulsecast.errors import DataError

from .log_config import METRIC_ALIASES, TIME_ALIASES, LogConfig, plain

# file ending -> how it is read; each text kind also with .gz behind it
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_SEPARATOR = {"csv": ",", "tsv": "\t"}
_FIRST_LINE = {"csv": 2, "tsv": 2, "ndjson": 1, "parquet": 1}
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True, kw_only=True, eq=False)
class LogFile:
    """One file in memory: its bytes (unpacked), what they are, and the hash and size on disk."""

    name: str
    stem: str
    kind: str
    data: bytes
    sha256: str
    size_bytes: int

    @property
    def first_line(self) -> int:
        """The line number of row 0."""
        return _FIRST_LINE[self.kind]

    def where(self, row: int) -> str:
        """Return how a message names row `row`: "log.csv line 7"."""
        return f"{self.name} {'row' if self.kind == 'parquet' else 'line'} {row + self.first_line}"


def open_log(path: Path) -> LogFile:
    """Return the file at `path`; raises DataError if it is no readable, non-empty file of a known kind."""
    name = path.name.lower()
    packed = name.endswith(".gz")
    ending = Path(name.removesuffix(".gz")).suffix
    kind = ENDINGS.get(ending)
    if path.is_dir():
        raise DataError(f"{path.name} is a directory; name the log files in it")
    if kind is None or (packed and kind == "parquet"):
        known = f"{', '.join(ENDINGS)}, and .gz behind any but .parquet"
        raise DataError(f"{path.name} has an ending that is not read; known: {known}")
    raw, data = _contents(path, packed=packed)
    if not data.strip(b"\xef\xbb\xbf\r\n\t "):
        raise DataError(f"{path.name} is empty")
    if kind != "parquet":
        data = data.removeprefix(b"\xef\xbb\xbf")
        _refuse_binary(path.name, data)
    return LogFile(
        name=path.name,
        stem=log_stem(path),
        kind=kind,
        data=data,
        sha256=hashlib.sha256(raw).hexdigest(),
        size_bytes=len(raw),
    )


def _contents(path: Path, *, packed: bool) -> tuple[bytes, bytes]:
    """Return the bytes on disk and, for a gzip file, the bytes in it."""
    try:
        raw = path.read_bytes()
        return raw, gzip.decompress(raw) if packed else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is not a whole gzip file; copy it again") from error
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or 'unknown failure'}") from error


def log_stem(path: Path) -> str:
    """Return the file's name without the ending that says how it is read.

    >>> log_stem(Path("logs/AAPL.v2.csv.gz"))
    'AAPL.v2'
    """
    return Path(path.name[:-3] if path.name.lower().endswith(".gz") else path.name).stem


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """The columns of a log that are read: `needed` holds all of them, each once."""

    time: str
    metrics: tuple[str, ...]
    needed: tuple[str, ...]


def choose_columns(log: LogFile, config: LogConfig) -> LogColumns:
    """Return the columns that `config` names, or that the alias tables find; raises DataError if one is not there."""
    names = column_names(log)
    time = config.time or _only(log, names, TIME_ALIASES, "--time")
    others = tuple(name for name in (config.series, config.id) if name is not None)
    metrics = config.metrics
    if not (metrics or config.events):
        free = [name for name in names if name not in (time, *others)]
        metrics = (_only(log, free, METRIC_ALIASES, "--metric"),)
    needed = tuple(dict.fromkeys((time, *others, *metrics)))
    absent = [name for name in needed if name not in names]
    if absent:
        raise DataError(f"{log.name} has no column {', '.join(absent)}; its columns are {_listed(names)}")
    return LogColumns(time=time, metrics=metrics, needed=needed)


def _only(log: LogFile, names: Sequence[str], aliases: Sequence[str], option: str) -> str:
    fitting = [name for name in names if plain(name) in aliases]
    if len(fitting) == 1:
        return fitting[0]
    what = "time" if option == "--time" else "value"
    problem = f"several {what} columns ({', '.join(fitting)})" if fitting else f"no column with a usual {what} name"
    raise DataError(f"{log.name} has {problem}; choose {option} from {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    """Return up to 30 column names for a message."""
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def column_names(log: LogFile) -> tuple[str, ...]:
    """Return the names of the log's columns, in order."""
    try:
        if log.kind in _SEPARATOR:
            header = io.BytesIO(log.data)
            return tuple(pl.read_csv(header, n_rows=0, infer_schema=False, separator=_SEPARATOR[log.kind]).columns)
        if log.kind == "parquet":
            return tuple(pl.read_parquet_schema(io.BytesIO(log.data)))
        return tuple(pl.read_ndjson(io.BytesIO(log.data), infer_schema_length=None).columns)
    except _FAILURES as error:
        raise _unreadable(log) from error


def read_columns(log: LogFile, names: Sequence[str]) -> pl.DataFrame:
    """Return the columns `names` in that order; CSV cells are text, and an empty cell is null.

    Rows at the very end in which all of them are empty are left out: blank lines, not data.
    """
    wanted = list(names)
    try:
        if log.kind in _SEPARATOR:
            source, separator = io.BytesIO(log.data), _SEPARATOR[log.kind]
            # Every column, although few are kept: with a projection polars lets a row with too many fields pass, and a
            # stray comma would shift another column's numbers into the metric.
            frame = pl.read_csv(source, infer_schema=False, separator=separator)
        elif log.kind == "parquet":
            frame = pl.read_parquet(io.BytesIO(log.data), columns=wanted)
        else:
            frame = pl.read_ndjson(io.BytesIO(log.data), infer_schema_length=None)
        frame = frame.select(wanted)
    except _FAILURES as error:
        raise _unreadable(log) from error
    filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series().arg_true()
    if len(filled) == 0:
        raise DataError(f"{log.name} has a header and no rows" if log.kind in _SEPARATOR else f"{log.name} has no rows")
    return frame.head(int(filled[-1]) + 1)


def _refuse_binary(name: str, data: bytes) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16 text; save it as UTF-8")
    if b"\0" in data[:65536]:
        raise DataError(f"{name} is binary, not text; check its ending")


def _unreadable(log: LogFile) -> DataError:
    """Return the one sentence that says where and why `log` cannot be read."""
    if log.kind == "parquet":
        return DataError(f"{log.name} is not a whole Parquet file; write it again")
    try:
        text = log.data.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = log.data.count(b"\n", 0, broken.start) + 1
        return DataError(f"{log.name} line {line} is not UTF-8 text (byte {broken.start}); save the file as UTF-8")
    if log.kind == "ndjson":
        return _bad_json(log)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATOR[log.kind])
    try:
        fields = len(next(rows))
        found = next(((i + 2, len(row)) for i, row in enumerate(rows) if len(row) > fields), None)
    except (csv.Error, StopIteration):
        found = None
    if found is not None:
        return DataError(
            f"{log.name} line {found[0]} has {found[1]} fields; the header has {fields}; quote the extra one"
        )
    return DataError(f"{log.name} is not a well-formed table; look for an open quote or a broken line")


def _bad_json(log: LogFile) -> DataError:
    for row, line in enumerate(log.data.splitlines()):
        try:
            found = json.loads(line) if line.strip() else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return DataError(f"{log.where(row)} is not a JSON object; write one per line")
    return DataError(f"{log.name} mixes kinds of values (numbers, text, objects) in one column; write one kind")
