"""Where a command's output goes: results to stdout, as text or as one JSON document; everything else to stderr."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pulsecast.foundation import strict_json
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
        print(strict_json.dumps({"schema_version": SCHEMA_VERSION, **document}), end="", flush=True)
    else:
        print(text.rstrip("\n"), flush=True)


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield the progress of long work: bars on a terminal, about ten lines where stderr is not one, or under CI."""
    if os.environ.get("CI"):
        yield LineProgress()
        return
    with RichProgress() as bars:
        yield bars
