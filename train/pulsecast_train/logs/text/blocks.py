"""The header of a text log and its rows, in blocks of whole rows: UTF-8, line feeds, quotes as RFC 4180 says."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from pulsecast.errors import DataError

from ..config import LogConfig, bare
from ..data_report import Finding
from ..files import Block, LogFile, Source, text_chunks
from ..limits import MAX_HEADER_BYTES, MAX_NAME_CHARACTERS, MAX_ROW_BYTES, MOST_COLUMNS
from ..workbooks.sheet import read_sheet, sheet_chunks
from .dialects import find_dialect, looks_like_values
from .encodings import Utf8
from .quotes import QuoteReader, line_ends, row_end


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What stands before the rows of a table: its names ("" for trailing empty columns), and how it is separated."""

    header: tuple[str, ...]
    separator: str
    found: tuple[Finding, ...] = ()


def json_blocks(log: LogFile, raw: Source) -> Iterator[Block]:
    """Yield the text in `raw`, unpacked, in blocks of whole lines of about BLOCK_BYTES.

    Raises DataError if it is empty, cut, binary, not UTF-8 (with line and byte), or has a row without an end.
    """
    utf8 = Utf8(name=log.name)
    carry, line, offset = b"", 1, 0
    for read, last in text_chunks(log, raw):
        data = carry + utf8.turn(read, last=last)
        cut = len(data) if last else row_end(data, quoted=False)
        _refuse_endless(log, cut, data, line)
        whole, carry = data[:cut], data[cut:]
        _refuse_encoding(log.name, whole, line, utf8.marks + offset)
        block = Block(data=whole, line=line, last=last, quoted=False)
        if whole or last:
            yield block
        line, offset = line + block.line_ends, offset + len(whole)


def table_blocks(log: LogFile, raw: Source, config: LogConfig) -> tuple[Opening, Generator[Block, None, None]]:
    """Return the opening of the table in `raw`, unpacked, and its rows in blocks of about BLOCK_BYTES.

    Raises DataError as `json_blocks` does, and if the quotes of a row cannot be read.
    """
    utf8, (chunks, before) = Utf8(name=log.name), _chunks(log, raw, config)
    read, last = next(chunks)
    data = utf8.turn(read, last=last)
    while not last and row_end(data) == 0 and len(data) <= MAX_HEADER_BYTES:
        read, last = next(chunks)
        data += utf8.turn(read, last=last)
    dialect = find_dialect(log.name, log.kind, data, config)
    start = _after_lines(data, dialect.skipped)
    header, end = _header(log, data[start:], dialect.skipped + 1, dialect.separator)
    found = (*before, *_preamble(log, dialect.preamble))
    opening = Opening(header=tuple(header), separator=dialect.separator, found=found)
    begin = start + end
    first = (data[begin:], 1 + data.count(b"\n", 0, begin), begin + utf8.marks, last)
    return opening, _table_rows(log, opening, utf8, chunks, first)


def _chunks(log: LogFile, raw: Source, config: LogConfig) -> tuple[Iterator[tuple[bytes, bool]], tuple[Finding, ...]]:
    """Return the text of a table in chunks, and what is to be said of the workbook that it is in."""
    if log.kind != "xlsx":
        return text_chunks(log, raw), ()
    sheet = read_sheet(log, config.sheet)
    return sheet_chunks(sheet.text), sheet.found


def _table_rows(
    log: LogFile,
    opening: Opening,
    utf8: Utf8,
    chunks: Iterator[tuple[bytes, bool]],
    first: tuple[bytes, int, int, bool],
) -> Generator[Block, None, None]:
    style = "doubled" if log.kind == "xlsx" else ""
    quotes = QuoteReader(name=log.name, separator=opening.separator, fields=len(opening.header), style=style)
    data, line, offset, last = first
    while True:
        whole, taken = quotes.take(data, line, last=last)
        _refuse_endless(log, len(taken), data, line)
        _refuse_encoding(log.name, taken, line, offset)
        block = Block(data=whole, line=line, last=last)
        if whole or last:
            yield block
        if last:
            return
        line += block.line_ends if whole is taken else line_ends(taken)
        offset, carry = offset + len(taken), data[len(taken) :]
        read, last = next(chunks)
        data = carry + utf8.turn(read, last=last)


def _preamble(log: LogFile, lines: int) -> tuple[Finding, ...]:
    if not lines:
        return ()
    sentence = "lines stand before the header and were skipped"
    return (Finding(policy="preamble", sentence=sentence, rows=lines, file=log.name),)


def _refuse_endless(log: LogFile, cut: int, data: bytes, line: int) -> None:
    if cut == 0 and len(data) > MAX_ROW_BYTES:
        raise DataError(f"{log.name} line {line} does not end within {MAX_ROW_BYTES >> 20} MB; close its quote")


def _after_lines(data: bytes, lines: int) -> int:
    end = 0
    for _ in range(lines):
        end = data.find(b"\n", end) + 1 or len(data)
    return end


def _header(log: LogFile, data: bytes, line: int, separator: str) -> tuple[list[str], int]:
    """Return the names in the header, which is on `line`, and where it ends in `data`."""
    end = _header_end(data)
    if end > MAX_HEADER_BYTES:
        raise DataError(f"{log.name} line {line} is a header of over {MAX_HEADER_BYTES >> 20} MB; shorten its names")
    _refuse_encoding(log.name, data[:end], line, 0)
    text = data[:end].decode("utf-8")
    try:
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error as error:  # a name of over 128 kB
        raise DataError(f"{log.name} line {line} is not a header; the first line must name the columns") from error
    header = checked_names(log, [bare(name) for name in names])
    if not any(header):
        raise DataError(f"{log.name} line {line} is not a header; the first line must name the columns")
    if looks_like_values(names):
        raise DataError(
            f"{log.name} line {line} holds values and not names: write a first line that names the columns, such as "
            f"timestamp{separator}value, or pass --skip-lines if the names stand further below"
        )
    return header, end


def _header_end(data: bytes) -> int:
    """Return where the first row ends, quoted newlines included; it looks at little more than MAX_HEADER_BYTES."""
    start, end, quotes = 0, 0, 0
    while end < min(len(data), MAX_HEADER_BYTES + 1):
        end = data.find(b"\n", start) + 1 or len(data)
        quotes += data.count(b'"', start, end)
        if quotes % 2 == 0:
            break
        start = end
    return end


def checked_names(log: LogFile, names: Sequence[str]) -> list[str]:
    """Return `names`; raises DataError if there are too many, or one is too long."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{log.name} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read: leave the others out"
        )
    longest = max(names, key=len, default="")
    if len(longest) > MAX_NAME_CHARACTERS:
        raise DataError(
            f"{log.name} has a column whose name begins with {longest[:40]!a} and has {len(longest):,} characters; at "
            f"most {MAX_NAME_CHARACTERS:,} are read"
        )
    return list(names)


def _refuse_encoding(name: str, data: bytes, line: int, offset: int) -> None:
    if data.isascii():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as broken:
        at = line + data.count(b"\n", 0, broken.start)
        byte = f"0x{data[broken.start]:02x}"
        raise DataError(
            f"{name} line {at} is not UTF-8 text ({byte} at byte {offset + broken.start}); save the file as UTF-8"
        ) from broken
