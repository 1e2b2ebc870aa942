"""Hides the text that inference engines write to stderr, unless the user asks for it or an error needs it.

TensorFlow and LiteRT log from C++, some of it before any setting of theirs holds. Python's own stderr stays as it is:
only file descriptor 2, which those libraries write to, points elsewhere.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from pulsecast.plain_text import printable_lines

TAIL_BYTES = 4000


@contextmanager
def engine_log(*, shown: bool) -> Iterator[None]:
    """Send file descriptor 2 to an unnamed file while the block runs; its end is printed if an exception gets out."""
    if shown or sys.stderr is None:  # None: the parent process closed stderr
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    usual = sys.stderr
    with (
        _unnamed_file() as log,
        _unbuffered(terminal) as ours,
    ):
        os.dup2(log.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        except Exception:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            ours.write(printable_lines(log.read().decode(errors="replace")))
            raise
        finally:
            ours.flush()
            os.dup2(terminal, 2)
            sys.stderr = usual


def _unnamed_file() -> BinaryIO:
    """Return a new file without a name: in memory where there is no folder for temporary files, as on a read-only root.

    Without either, what engines write is dropped.
    """
    try:
        return cast("BinaryIO", tempfile.TemporaryFile())
    except OSError:
        if hasattr(os, "memfd_create"):
            return os.fdopen(os.memfd_create("pulsecast-engine-log"), "w+b")
        return open(os.devnull, "r+b")  # noqa: PTH123  # a device, not a path


def _unbuffered(handle: int) -> io.TextIOWrapper:
    """Return text that goes to `handle` at once, as Python's own stderr does; a failed write is ignored."""
    raw = io.FileIO(handle, "w")
    return io.TextIOWrapper(cast("BinaryIO", raw), encoding="utf-8", errors="replace", write_through=True)
