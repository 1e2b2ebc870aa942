"""Where a bundle's bytes come from: a folder, or one `.pulse` file, behind the same two methods.

A source does not check hashes. It hands out plain files only, never more bytes than were asked for, and never follows
a link out of the bundle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from .. import limits
from ..errors import FormatError, IntegrityError, UsageError
from ..foundation.plain_file import NotPlainError, TooLongError, read_plain
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
        """See `Source.listing`; raises FormatError if there is more than any bundle holds, before all of it is seen."""
        found: dict[str, int | str] = {}
        pending, folders = [""], 0
        while pending:
            folder = pending.pop()
            if folder.count("/") >= limits.PATH_PARTS:
                raise FormatError(
                    f"{self.root.name} is not a bundle: its folders are nested {limits.PATH_PARTS} deep or more"
                )
            for name, state in self._entries(folder):
                if state == "is a folder":
                    pending.append(f"{folder}{name}/")
                    folders += 1
                else:
                    found[f"{folder}{name}"] = state
                if len(found) + folders > limits.ENTRIES:
                    raise FormatError(
                        f"{self.root.name} is not a bundle: it holds more than {limits.ENTRIES} files and folders"
                    )
        return dict(sorted(found.items()))

    def _entries(self, folder: str) -> Iterator[tuple[str, int | str]]:
        """Yield the names in `folder` with the size of a file, or with what is there instead."""
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    yield entry.name, _state(entry)
        except OSError as error:
            yield "", f"cannot be read: {error.strerror}"

    def read(self, relative: str, at_most: int) -> bytes:
        """See `Source.read`."""
        try:
            return read_plain(self.root / relative, at_most, links=False)
        except (NotPlainError, TooLongError) as error:
            raise IntegrityError(f"{relative} {error.strerror}") from error
        except OSError as error:
            raise IntegrityError(f"{relative} cannot be read: {error.strerror}") from error


def _state(entry: os.DirEntry[str]) -> int | str:
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if stat.S_ISREG(state.st_mode):
        return state.st_size
    if stat.S_ISDIR(state.st_mode):
        return "is a folder"
    return "is a link" if stat.S_ISLNK(state.st_mode) else "is not a plain file"


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
