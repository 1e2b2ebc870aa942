"""A file that exists whole or not at all: written under another name beside its place, then renamed."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import PulsecastError, UsageError
from .whole_directory import flush_folder, is_alive

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def check_file_free(target: Path, *, force: bool) -> None:
    """Raise UsageError unless `target` can become a file: with `force`, in the place of a plain file."""
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} is not writable")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise UsageError(f"{target} is not a plain file and is not replaced")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; pass --force to replace it")


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
    _remove_leftovers(folder, target.name)
    partial = folder / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.partial"
    try:
        handle = os.open(partial, _NEW, mode)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(partial, target, force=force)
    except OSError as error:
        raise PulsecastError(f"{target} could not be written and is as it was: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


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


def _remove_leftovers(folder: Path, name: str) -> None:
    """Remove what killed processes left; a living process, this one included, keeps its own."""
    pattern = re.compile(rf"\.{re.escape(name)}\.(\d+)\.[0-9a-f]{{8}}\.partial")
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if not match or not path.is_file() or int(match.group(1)) == os.getpid():
            continue
        if not is_alive(int(match.group(1))):
            path.unlink(missing_ok=True)
