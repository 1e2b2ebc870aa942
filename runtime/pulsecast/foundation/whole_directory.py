"""A directory that exists whole or not at all: filled under another name beside its place, then swapped in."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import PulsecastError, UsageError
from .arguments import flag
from .folder_kind import FolderKind, foreign
from .staging import Staged, flush_folder, staged, sweep

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # Linux renameat2: swap two paths atomically


def check_free(target: Path, kind: FolderKind, *, force: bool) -> None:
    """Raise UsageError unless `target` can become a folder of `kind`.

    With `force` it may exist if it is empty, or if every file in it belongs to a folder of that kind: nothing else is
    ever replaced. What a killed writer left beside it is swept first, and an old folder that it moved aside comes back.
    """
    force = flag("force", force)
    if target.name in ("", ".."):
        raise UsageError(f"{target} is not a name for a folder; give the new one a name of its own")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} is not writable")
    sweep(target.parent)
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise UsageError(f"{target} exists; pass --force to replace it")
    if target.is_symlink() or not target.is_dir():
        raise UsageError(f"{target} is not a folder and is not replaced")
    _check_own(target, kind, target)


def _check_own(folder: Path, kind: FolderKind, target: Path) -> None:
    """Raise UsageError, which names `target`, if `folder` holds more than a folder of `kind`."""
    if others := foreign(folder, kind):
        raise UsageError(f"{target} {others}; nothing is replaced: move your files away, or choose another folder")


@contextmanager
def whole_directory(target: Path, kind: FolderKind, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder beside `target`; if the block succeeds it takes target's place in one step.

    A reader, or a kill at any moment, finds the old directory or the new one, whole. If the block raises, `target` is
    as it was. Raises UsageError as `check_free` does, PulsecastError if the disk is full or refuses.

    Where the system cannot swap two folders, there is a moment without either. The next writer to the same parent
    folder ends it after a kill: it puts the old one back.
    """
    try:
        check_free(target, kind, force=force)
        with staged(target.parent, target.name) as names:
            names.partial.mkdir()
            yield names.partial
            flush(names.partial)
            check_free(target, kind, force=force)
            _put_in_place(names, target, kind, force=force)
    except OSError as error:
        raise PulsecastError(f"{target} could not be written and is as it was: {error.strerror or error}") from error


def _put_in_place(names: Staged, target: Path, kind: FolderKind, *, force: bool) -> None:
    try:
        names.partial.rename(target)  # onto nothing, or an empty folder
    except OSError as error:
        # also a folder that another process put there after the check
        if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _replace(names, target, kind)
    else:
        flush_folder(target.parent)


def _replace(names: Staged, target: Path, kind: FolderKind) -> None:
    """Put the new folder in the place of the old one, which `staged` puts back or removes."""
    if exchange(names.partial, target):
        names.partial.rename(names.old)
    else:
        target.rename(names.old)
        names.partial.rename(target)
    try:
        _check_own(names.old, kind, target)  # again: until now, files could come into it
        flush_folder(target.parent)
    except BaseException:
        target.rename(names.partial)
        raise


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; return False if the system cannot. Raises OSError."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux, or an old C library
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(other))


def flush(folder: Path) -> None:
    """Flush every file below `folder` to the disk before the rename that makes them visible."""
    for root, _, files in os.walk(folder):
        for name in files:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        flush_folder(Path(root))
