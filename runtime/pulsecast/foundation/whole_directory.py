"""A directory that exists whole or not at all: filled under another name beside its place, then swapped in."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import PulsecastError, UsageError

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # Linux renameat2: swap two paths atomically
_numbers = itertools.count()  # two threads of one process fill different folders
_being_filled: set[Path] = set()


def check_free(target: Path, *, force: bool, marker: str) -> None:
    """Raise UsageError unless `target` can become a directory that holds a file named `marker`.

    With `force` it may exist if it is empty or holds `marker`: nothing else is ever replaced.
    """
    if target.name in ("", ".."):
        raise UsageError(f"{target} is not a name for a folder; give the new one a name of its own")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} is not writable")
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise UsageError(f"{target} exists; pass --force to replace it")
    if target.is_symlink() or not target.is_dir():
        raise UsageError(f"{target} is not a folder and is not replaced")
    if any(target.iterdir()) and not (target / marker).is_file():
        raise UsageError(f"{target} holds other files (no {marker}) and is not replaced")


@contextmanager
def whole_directory(target: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """Yield an empty folder beside `target`; if the block succeeds it takes target's place in one step.

    A reader, or a kill at any moment, finds the old directory or the new one, whole. If the block raises, `target` is
    as it was. Raises UsageError as `check_free` does, PulsecastError if the disk is full or refuses.
    """
    check_free(target, force=force, marker=marker)
    if _remove_leftovers(target):
        check_free(target, force=force, marker=marker)
    staging = target.parent / f".{target.name}.{os.getpid()}.{next(_numbers)}.partial"
    _being_filled.add(staging)
    try:
        staging.mkdir()
        yield staging
        _flush(staging)
        check_free(target, force=force, marker=marker)
        _put_in_place(staging, target, force=force)
    except OSError as error:
        raise PulsecastError(f"{target} could not be written and is as it was: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _being_filled.discard(staging)


def _put_in_place(staging: Path, target: Path, *, force: bool) -> None:
    try:
        staging.rename(target)  # onto nothing, or an empty folder
    except OSError as error:
        # also a folder that another process put there after the check
        if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _exchange(staging, target)  # staging now holds the old directory and is removed by the caller
    flush_folder(target.parent)


def _exchange(one: Path, other: Path) -> None:
    """Swap two paths in one step, or, where the system cannot, by two renames that keep the old one until the last."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux, or an old C library
        rename = None
    if rename is not None:
        done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
        if done == 0:
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(other))
    old = other.with_name(f"{one.name}.old")
    other.rename(old)
    one.rename(other)
    old.rename(one)


def _remove_leftovers(target: Path) -> bool:
    """Remove what killed processes left beside `target`; a living process keeps its own.

    Returns True if one was killed between the two renames of `_exchange`, and the old directory was put back.
    """
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.\d+\.partial(\.old)?")
    restored = False
    for path in sorted(target.parent.iterdir()):
        match = pattern.fullmatch(path.name)
        if not match or path in _being_filled or is_alive(int(match.group(1))):
            continue
        if match.group(2) and not target.exists():
            path.rename(target)
            restored = True
        else:
            shutil.rmtree(path, ignore_errors=True)
    return restored


def is_alive(pid: int) -> bool:
    """Return whether another process with this id runs."""
    if pid == os.getpid():
        return False  # left by a dead process that had this one's number
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False
    except PermissionError:
        return True
    return True


def _flush(folder: Path) -> None:
    """Flush every file below `folder` to the disk before the rename that makes them visible."""
    for root, _, files in os.walk(folder):
        for name in files:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        flush_folder(Path(root))


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
