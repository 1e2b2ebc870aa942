"""A kind of folder that pulsecast writes: which one it is, and which files in it are its own.

Only a folder whose every file is its own is ever replaced. Each kind is described by the module that writes it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import limits
from ..errors import FormatError
from .plain_file import NotPlainError, TooLongError, read_plain

_MOST_NAMED = 3  # foreign files in a message
_MOST_LOOKS = 100  # at a folder that other writers exchange; each takes milliseconds


@dataclass(frozen=True, kw_only=True)
class FolderKind:
    """A kind of folder.

    noun    its name in messages, such as `bundle`
    marker  the file that every folder of this kind has
    listed  returns every file that such a folder may hold, by relative POSIX path, from the marker's bytes; raises
            FormatError unless the bytes are a marker of this kind
    """

    noun: str
    marker: str
    listed: Callable[[bytes], Collection[str]]


def foreign(folder: Path, kind: FolderKind) -> str | None:
    """Return what `folder` holds that no folder of `kind` does, as the end of a sentence; None if it is all its own.

    An empty folder is of every kind. Contents are not compared: a damaged file is still its own. If another writer
    exchanges the folder meanwhile, the new one is looked at.
    """
    for _ in range(_MOST_LOOKS):
        before = folder.stat()
        try:
            found = _foreign(folder, kind)
        except FileNotFoundError:  # what was listed is gone
            continue
        if os.path.samestat(before, folder.stat()):
            return found
    return "changes all the time"


def _foreign(folder: Path, kind: FolderKind) -> str | None:
    if not any(folder.iterdir()):
        return None
    try:
        listed = set(kind.listed(_read(folder / kind.marker)))
    except FileNotFoundError:
        return f"holds other files (no {kind.marker}): {few(sorted(path.name for path in folder.iterdir()))}"
    except (FormatError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"holds a {kind.marker} that is not of a {kind.noun} ({_shown(reason or type(error).__name__)})"
    others = sorted(path for path, plain in _entries(folder) if not plain or path not in listed)
    return f"holds what its {kind.marker} does not list: {few(others)}" if others else None


def few(names: Sequence[str]) -> str:
    """Return the first of `names`, safe to print, and how many more there are.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(_shown, names[:_MOST_NAMED])) + more


def size_of(folder: Path) -> tuple[int, int]:
    """Return how many files `folder` holds, links included, and their bytes together."""
    sizes = [(folder / path).lstat().st_size for path, _ in _entries(folder)]
    return len(sizes), sum(sizes)


def _read(marker: Path) -> bytes:
    """Return the bytes of the marker; raises FormatError unless it is a plain file, which a link or a pipe is not."""
    if marker.is_symlink():
        raise FormatError("it is not a plain file")
    try:
        return read_plain(marker, limits.JSON_BYTES, links=False)
    except (NotPlainError, TooLongError) as error:
        raise FormatError(f"it {error.strerror}") from error


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield everything below `folder` but folders, by relative path, and whether it is a plain file.

    A folder that cannot be read is yielded too: what is in it is not known.
    """
    unreadable: list[str] = []
    for root, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(error.filename)):
        for name in (*files, *folders):
            path = Path(root) / name
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                yield path.relative_to(folder).as_posix(), stat.S_ISREG(mode)
    yield from ((Path(path).relative_to(folder).as_posix(), False) for path in unreadable)


def _shown(text: str) -> str:
    """Return text of another maker, short and without control characters, for a message."""
    plain = text if text.isprintable() else ascii(text)
    return plain if len(plain) <= 100 else f"{plain[:97]}..."
