"""Rows of NDJSON before they are parsed: what would take the parser time or memory without end is refused.

Everything here is linear in the block. The parser's time grows with the square of the number of names, and it calls
itself for every level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import polars as pl

from pulsecast.errors import DataError

from .files import Block
from .limits import MAX_DEPTH, MOST_CELLS, MOST_FIELDS

_BRACKETS = b"{}[]"
_BUT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_BUT_BRACKETS_AND_LINES = bytes(set(range(256)) - set(_BRACKETS + b"\n"))


def check_json(name: str, block: Block) -> None:
    """Raise DataError if the objects of a block are too deep, have too many names, or hardly share their names."""
    if not re.match(rb"\s*\{", block.data):  # polars would unpack what looks packed
        raise bad_json(name, block)
    _refuse_depth(name, block)
    text = pl.Series([_without_escapes(block.data).decode("utf-8")])
    keys = text.str.extract_all(r'"[^"]*"\s*:').explode()
    names = keys.n_unique()
    if names > MOST_FIELDS:
        raise DataError(
            f"{name} line {block.line} and those after it have {names:,} names in their objects; at most "
            f"{MOST_FIELDS:,} are read: write values that vary into a field of their own"
        )
    objects = block.data.count(b"\n") + 1 + int(text.str.count_matches(r"\}\s*,\s*\{").sum())
    if objects * names > MOST_CELLS:
        raise DataError(
            f"{name} line {block.line} and those after it have {objects:,} objects of up to {names:,} names, most of "
            "them left out; write the same few names in each"
        )


def bad_json(name: str, block: Block) -> DataError:
    """Return the error for a block that was not parsed, with the first line that is the reason."""
    for row, line in enumerate(block.data.split(b"\n")):
        try:
            found = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return DataError(f"{name} line {block.line + row} is not a JSON object; write one per line")
    return DataError(
        f"{name} holds a value that the reader of NDJSON refuses; write numbers, text, true, false or null"
    )


class _Number(str):
    """A JSON number as it is written: an id keeps all its digits."""

    __slots__ = ()


def loose_frame(name: str, block: Block, as_text: Sequence[str]) -> pl.DataFrame:
    """Return the objects of a block in which a field holds several kinds of values, as in dumps of some services.

    A field that holds numbers alone is a column of numbers, any other one of text; fields of objects are named by
    their paths. Raises DataError at a line that is not an object.
    """
    rows: list[dict[str, object]] = []
    for line in block.data.split(b"\n"):
        if not line.strip():
            continue
        try:
            found = json.loads(line, parse_float=_Number, parse_int=_Number)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise bad_json(name, block)
        rows.append(dict(_leaves(found)))
    names = dict.fromkeys(key for row in rows for key in row)
    return pl.DataFrame([_column(key, [row.get(key) for row in rows], as_text) for key in names])


def _leaves(found: dict[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for key, value in found.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def _column(name: str, cells: Sequence[object], as_text: Sequence[str]) -> pl.Series:
    if name not in as_text and all(cell is None or isinstance(cell, _Number) for cell in cells):
        whole = all(cell is None or re.fullmatch(r"-?\d{1,18}", str(cell)) for cell in cells)
        text = pl.Series(name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)
        return text.cast(pl.Int64 if whole else pl.Float64)
    shown = [None if cell is None else str(cell) if isinstance(cell, str) else json.dumps(cell) for cell in cells]
    return pl.Series(name, shown, dtype=pl.String)


def _refuse_depth(name: str, block: Block) -> None:
    brackets = block.data.translate(None, _BUT_BRACKETS_AND_LINES).split(b"\n")
    if len(max(brackets, key=len)) <= MAX_DEPTH:
        return
    lines = block.data.split(b"\n")
    for row, found in enumerate(brackets):
        if len(found) > MAX_DEPTH and _deep(lines[row]):
            raise DataError(
                f"{name} line {block.line + row} is nested more than {MAX_DEPTH} levels deep, or is not a JSON object"
            )


def _deep(line: bytes) -> bool:
    """Return whether a row is nested too deeply, brackets within text left out."""
    text = re.sub(rb'"[^"]*"', b"", _without_escapes(line))
    left = text.translate(None, _BUT_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    return len(left) > 0


def _without_escapes(data: bytes) -> bytes:
    """Return JSON without its escaped backslashes and quotes: every quote that is left begins or ends a string."""
    return data.replace(b"\\\\", b"").replace(b'\\"', b"")
