"""Where a command's output goes: results to stdout, as text or as one JSON document; everything else to stderr.

This is the one place where text becomes fit for a terminal: what a bundle, a log or a result says may not move the
cursor, hide a line or turn the reading order. JSON keeps every character, as an escape.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pulsecast.foundation import strict_json
from pulsecast.plain_text import printable_lines
from pulsecast.stages.progress import LineProgress, Progress, RichProgress

SCHEMA_VERSION = 1


class Format(enum.StrEnum):
    """How a result is printed."""

    text = "text"
    json = "json"


def tell(line: str) -> None:
    """Print one line of progress to stderr; if it cannot be written, the work continues."""
    LineProgress().tell(line)


def show(chosen: Format, *, text: str, document: dict[str, Any]) -> None:
    """Print a result: `text`, or `document` as JSON with `schema_version` first."""
    if chosen is Format.json:
        put_document({"schema_version": SCHEMA_VERSION, **document})
    else:
        put(text)


def put(text: str) -> None:
    """Print lines to stdout; everything that is not printable is escaped, except the line ends."""
    print(printable_lines(text.rstrip("\n")), flush=True)


def put_document(document: dict[str, Any]) -> None:
    """Print JSON to stdout: readable, but what is not printable stands as its escape, which a parser undoes."""
    print("".join(map(_json_escaped, strict_json.dumps(document).rstrip("\n"))), flush=True)


def _json_escaped(character: str) -> str:
    if character.isprintable() or character == "\n":  # JSON's own; one in a string is an escape already
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield the progress of long work: bars on a terminal, about ten lines where stderr is not one, or under CI."""
    if os.environ.get("CI"):
        yield LineProgress()
        return
    with RichProgress() as bars:
        yield bars
