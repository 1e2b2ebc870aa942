"""A file that exists whole or not at all: written under another name beside its place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import PulsecastError, UsageError
from .arguments import flag
from .staging import flush_folder, staged

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def check_file_free(target: Path, *, force: bool, read: Iterable[Path] = ()) -> None:
    """Raise UsageError unless `target` can become a file: with `force`, in the place of a plain file.

    A file that the same command has `read`, under whatever name, is never replaced by what follows from it.
    """
    force = flag("force", force)
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} is not writable")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise UsageError(f"{target} is not a plain file and is not replaced")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; pass --force to replace it")
    if target.exists() and any(path.exists() and path.samefile(target) for path in read):
        raise UsageError(f"{target} is read by this command, and would be replaced by its result; write it elsewhere")


def write_whole(target: Path, text: str, *, force: bool) -> None:
    """Write `text` to `target` as UTF-8, whole or not at all; raises as `whole_file` does."""
    with whole_file(target, force=force) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def whole_file(target: Path, *, force: bool, mode: int = 0o644, staging: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of `target` in one step if the block succeeds.

    A reader, or a kill at any moment, finds the old file or the new one, whole; two writers without `force` do not
    overwrite each other. `staging` is the folder of the temporary file, on the same file system; by default target's.
    Raises UsageError as `check_file_free` does, PulsecastError if the disk is full or refuses.
    """
    check_file_free(target, force=force)
    folder = staging or target.parent
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} is not writable")
    try:
        with staged(folder, target.name) as names:
            with os.fdopen(os.open(names.partial, _NEW, mode), "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _put_in_place(names.partial, target, force=force)
    except OSError as error:
        raise PulsecastError(f"{target} could not be written and is as it was: {error.strerror}") from error


def _put_in_place(partial: Path, target: Path, *, force: bool) -> None:
    check_file_free(target, force=force)
    if force:
        partial.replace(target)
    else:
        try:
            target.hardlink_to(partial)  # unlike a rename it fails if another writer was first
        except FileExistsError as error:
            raise UsageError(f"{target} exists; pass --force to replace it") from error
        except OSError:  # a file system without hard links
            partial.replace(target)
    flush_folder(target.parent)
