"""Where a bundle's bytes come from: a folder, or one `.pulse` file, behind the same two methods.

A source does not check hashes. It hands out plain files only, never more bytes than were asked for, and never follows
a link out of the bundle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..errors import FormatError, IntegrityError, UsageError
from .archive import SUFFIX, read_archive

if TYPE_CHECKING:
    from pathlib import Path


class Source(Protocol):
    """Files by relative POSIX path."""

    def listing(self) -> Mapping[str, int | str]:
        """Return every file with its size in bytes, or with what is wrong with it (`is a link`)."""
        ...

    def read(self, relative: str, at_most: int) -> bytes:
        """Return the bytes of a plain file; raises IntegrityError if it has more than `at_most`, or cannot be read."""
        ...


class DirectorySource:
    """A folder. Its path may go through a link; no file in it may be a link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self) -> dict[str, int | str]:
        """See `Source.listing`."""
        found: dict[str, int | str] = {}
        from pathlib import Path

        for folder, names, files in os.walk(self.root):
            base = Path(folder)
            for path in (base / name for name in (*files, *names)):
                relative = path.relative_to(self.root).as_posix()
                try:
                    state = path.lstat()
                except OSError as error:
                    found[relative] = f"cannot be read: {error.strerror}"
                    continue
                if stat.S_ISLNK(state.st_mode):
                    found[relative] = "is a link"
                elif stat.S_ISREG(state.st_mode):
                    found[relative] = state.st_size
                elif not stat.S_ISDIR(state.st_mode):
                    found[relative] = "is not a plain file"
        return dict(sorted(found.items()))

    def read(self, relative: str, at_most: int) -> bytes:
        """See `Source.read`."""
        path = self.root / relative
        # a pipe would block the open, a link would leave the bundle; the flags are missing on Windows only
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise IntegrityError(f"{relative} is not a plain file")
                data = file.read(at_most + 1)
        except OSError as error:
            raise IntegrityError(f"{relative} cannot be read: {error.strerror}") from error
        if len(data) > at_most:
            raise IntegrityError(f"{relative} has more than {at_most} bytes")
        return data


def open_source(path: Path) -> Source:
    """Return the source at `path`: a folder, or a `.pulse` file whose every header has been checked.

    Raises FormatError if there is neither, UsageError for a file of another kind.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise FormatError(f"{path} is not a bundle: it has no manifest.json, there is nothing at this path") from error
    except OSError as error:
        raise FormatError(f"{path} is not a readable bundle: {error.strerror}") from error
    except ValueError as error:  # a zero byte in the name
        raise FormatError(f"{str(path)!r} is not a bundle: {error}") from error
    if stat.S_ISDIR(mode):
        return DirectorySource(path)
    if stat.S_ISREG(mode):
        if path.suffix.lower() != SUFFIX and not _begins_as_zip(path):
            raise UsageError(
                f"{path} is not a bundle; expected the folder that `pulsecast export` writes, or a {SUFFIX} file"
            )
        return read_archive(path)
    raise FormatError(f"{path} is not a bundle: neither a folder nor a .pulse file")


def _begins_as_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError as error:
        raise FormatError(f"{path} is not a readable bundle: {error.strerror}") from error
