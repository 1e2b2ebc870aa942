"""A plain file that someone else may have put there: opened without waiting for a pipe, and never read without end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# a pipe would block the open, and a terminal would become this process's own; Windows has neither
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class NotPlainError(OSError):
    """There is something at the path, but not a plain file: a folder, a pipe, a device."""


class TooLongError(OSError):
    """The file has more bytes than may be read."""


def read_plain(path: Path, at_most: int, *, links: bool = True) -> bytes:
    """Return the bytes of the plain file at `path`; a link to one is followed unless not `links`.

    Raises NotPlainError, TooLongError if it has more than `at_most` bytes, OSError if it cannot be read. Their
    `strerror` is the end of a sentence that begins with "it".
    """
    handle = os.open(path, _FLAGS | (0 if links else _NO_LINK))
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise NotPlainError(None, "is not a plain file")
        most = min(at_most, state.st_size)  # memory is taken before the bytes are there
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(handle)
    if len(data) > most:
        raise TooLongError(None, f"has more than {most} bytes")
    return data
