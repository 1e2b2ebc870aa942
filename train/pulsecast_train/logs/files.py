"""A log file of any supported kind to blocks of whole rows, in memory that does not grow with the file.

This module knows packed and plain files, and the line of each row. `text` knows how text is written, and `tables` reads
the content of a row.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError, UsageError
from pulsecast.foundation.zip_directory import open_zip

from .limits import BLOCK_BYTES, FREE_INFLATION_BYTES, MAX_DIRECTORY_BYTES, MAX_INFLATION
from .text.quotes import inside_quotes, line_ends

# file ending -> how it is read; each text kind also with .gz or .zip behind it, those of PACKED never
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
PACKINGS = (".gz", ".zip")
PACKED = ("parquet", "xlsx")  # kinds that are packed by themselves

OnBytes = Callable[[int, int], None]  # bytes read from disk since the last call; bytes of all files


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One file on disk: `stem` names its series, `kind` is a value of ENDINGS, `packing` "" or one of PACKINGS."""

    path: Path
    name: str
    stem: str
    kind: str
    packing: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Whole rows of text: `line` is the number of the first line, `last` says that no block follows."""

    data: bytes
    line: int
    last: bool
    quoted: bool = True  # a newline between quotes does not end a row; False for JSON: its strings hold none

    @functools.cached_property
    def line_ends(self) -> int:
        """The number of line feeds in `data`, counted once."""
        return line_ends(self.data)

    def row_lines(self, rows: int) -> NDArray[np.int64]:
        """Return the line on which each of `rows` rows begins: int64 (rows,)."""
        lines = self.line_ends + (not self.data.endswith(b"\n"))
        starts = np.arange(lines, dtype=np.int64)
        if self.quoted and b'"' in self.data:
            starts = np.concatenate(([0], np.flatnonzero(~inside_quotes(self.data)) + 1)).astype(np.int64)
        elif not self.quoted and lines > rows:  # blank lines are not JSON
            starts = np.array([i for i, text in enumerate(self.data.split(b"\n")) if text.strip()], dtype=np.int64)
        return self.line + starts[:rows]


def open_log(path: Path) -> LogFile:
    """Return the file at `path` described; raises DataError if it cannot be opened or is of an unknown kind."""
    if "\\" in path.name or not path.name.isprintable():
        raise DataError(
            f"the file name {path.name!a} holds a backslash or a character that is not shown; rename the file"
        )
    if path.is_dir():
        raise DataError(f"{path.name} is a folder; name the log files in it")
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise DataError(f"{path.name} is not a plain file; write the log to one")
    packing = next((ending for ending in PACKINGS if path.name.lower().endswith(ending)), "")
    inner = path.name[: len(path.name) - len(packing)]
    if packing == ".zip" and Path(inner).suffix.lower() not in ENDINGS and path.exists():
        inner = _only_member(path).filename  # "archive.zip": its content decides how it is read
    kind = ENDINGS.get(Path(inner).suffix.lower())
    if kind is None or (packing and kind in PACKED):
        known = f"{', '.join(ENDINGS)}, and .gz or .zip behind those of text"
        raise UsageError(f"{path.name} has an unknown ending; known: {known}")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or 'unknown failure'}") from error
    return LogFile(path=path, name=path.name, stem=log_stem(path), kind=kind, packing=packing, size_bytes=size)


def log_ending(name: str) -> str:
    """Return the ending by which a file is known as a log, such as `.csv.gz`; empty if there is none.

    >>> log_ending("AAPL.v2.csv.gz"), log_ending("AAPL.txt")
    ('.csv.gz', '')
    """
    packing = next((ending for ending in PACKINGS if name.lower().endswith(ending)), "")
    inner = Path(name[: len(name) - len(packing)]).suffix.lower()
    if inner in ENDINGS and not (packing and ENDINGS[inner] in PACKED):
        return inner + packing
    return packing if packing == ".zip" else ""  # the name inside says how it is read


def log_stem(path: Path) -> str:
    """Return the file's name without the endings that say how it is read.

    >>> log_stem(Path("logs/AAPL.v2.csv.gz"))
    'AAPL.v2'
    """
    name = path.name
    for endings in (PACKINGS, tuple(ENDINGS)):
        if Path(name).suffix.lower() in endings:
            name = Path(name).stem
    return name


class Source(io.RawIOBase):
    """The bytes of a file as they lie on disk, hashed and counted while they are read."""

    def __init__(self, file: io.FileIO, total_bytes: int, on_bytes: OnBytes | None) -> None:
        self._file = file
        self._total_bytes = total_bytes
        self._on_bytes = on_bytes
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Return True: this is a stream to read from."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer` and return how many bytes were read."""
        view = memoryview(cast(bytearray, buffer))
        count = self._file.readinto(view)
        self._hash.update(view[:count])
        if self._on_bytes and count:
            self._on_bytes(count, self._total_bytes)
        return count

    def finish(self) -> str:
        """Read what an unpacker left, close the file and return its sha256 in hex."""
        while self.read(1 << 20):
            pass
        self._file.close()
        return self._hash.hexdigest()


def source(log: LogFile, total_bytes: int, on_bytes: OnBytes | None) -> Source:
    """Return the file's bytes as a stream; raises DataError if it cannot be opened."""
    try:
        return Source(io.FileIO(log.path), total_bytes, on_bytes)
    except OSError as error:
        raise DataError(f"{log.name} cannot be read: {error.strerror or 'unknown failure'}") from error


def text_chunks(log: LogFile, raw: Source) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes in `raw`, unpacked, about BLOCK_BYTES each, and whether they are the last ones.

    Raises DataError if they cannot be unpacked, or unpack to very much more than the file.
    """
    stream, unpacked, last = _unpacked(log, raw), 0, False
    while not last:
        read = _read(log, stream)
        unpacked += len(read)
        if log.packing and unpacked > max(FREE_INFLATION_BYTES, MAX_INFLATION * log.size_bytes):
            raise DataError(f"{log.name} unpacks to over {MAX_INFLATION} times its size; unpack it and look at it")
        last = len(read) < BLOCK_BYTES
        yield read, last


def _unpacked(log: LogFile, raw: Source) -> BinaryIO:
    if log.packing == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=io.BufferedReader(raw, 1 << 20)))
    if log.packing == ".zip":
        # A zip file is read from its end, so its hash needs a second reading (`Source.finish`).
        member = _only_member(log.path)
        with _explained(log.name, "zip"):
            return cast(BinaryIO, _zip(log.path).open(member))
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 20))


def _read(log: LogFile, stream: BinaryIO) -> bytes:
    """Return the next BLOCK_BYTES bytes, fewer only at the end."""
    with _explained(log.name, {".gz": "gzip", ".zip": "zip", "": log.kind}[log.packing]):
        return stream.read(BLOCK_BYTES)


@contextmanager
def _explained(name: str, kind: str) -> Iterator[None]:
    """Turn an unpacker's exceptions into one sentence; every call of an unpacker is made in it."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{name} has a password or an unusual packing; unpack it first") from error
    except Exception as error:  # zlib.error, LZMAError, EOFError, BadZipFile: unpackers raise what damage makes of them
        if isinstance(error, OSError) and error.strerror:  # the disk's; that of an unpacker has no number
            raise DataError(f"{name} cannot be read: {error.strerror}") from error
        raise DataError(f"{name} is not a whole {kind} file; copy it again") from error


def _zip(path: Path) -> zipfile.ZipFile:
    return open_zip(path.open("rb"), directory_bytes=MAX_DIRECTORY_BYTES)


def _only_member(path: Path) -> zipfile.ZipInfo:
    with _explained(path.name, "zip"), _zip(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        listed = ", ".join(ascii(member.filename)[1:-1][:60] for member in members[:5]) or "nothing"
        raise DataError(f"{path.name} holds {len(members)} files ({listed}); expected one: unpack it first")
    return members[0]
