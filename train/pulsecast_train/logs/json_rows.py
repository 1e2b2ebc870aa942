"""Rows of NDJSON before they are parsed: what would take the parser time or memory without end is refused.

Everything here is linear in the block. The parser's time grows with the square of the number of names, and it calls
itself for every level.
"""

from __future__ import annotations

import json
import re

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
    return DataError(f"{name} mixes kinds of values (numbers, text, objects) in one column; write one kind")


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
