"""A file that this user alone reads and writes, with those that stand beside it: a database's, and its damage."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .arguments import shown

if TYPE_CHECKING:
    import sqlite3

BESIDE_SQLITE = ("-wal", "-shm", "-journal")  # files that SQLite reads with the one that is named


def require_private_file(path: Path, *, what: str, instead: str, beside: Sequence[str] = ()) -> None:
    """Make the file, readable by this user alone, if it is not there.

    what     how messages call it, such as "the store of streams"
    instead  how messages end: how another file is named
    beside   endings of files that are read with it, which are held to the same

    A file that is there is not opened: to close it would take away the locks that this process has on it. Raises
    UsageError if it cannot be made, is not a plain file, or others can read or change it, or one beside it.
    """
    name = f"{what} {shown(str(path))}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_folder(path.parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"{name} cannot be made: {error.strerror}; {instead}") from None
    if not path.is_file():
        raise UsageError(f"{name} is not a plain file; {instead}")
    if os.name != "posix":
        return
    near = [path.with_name(path.name + end) for end in beside]
    found = [(path, path.stat()), *((one, one.lstat()) for one in near if os.path.lexists(one))]  # a link is public
    for one, state in found:
        if state.st_uid != os.geteuid() or state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{what} {shown(str(one))} is not private to this user; make it so: chown it to this user, and chmod "
                f"600 {one}"
            )


def damage_of(database: sqlite3.Connection) -> str | None:
    """Return what is damaged in a database, its first fault; None if it is whole. Every page of it is read."""
    found: str = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    return None if found == "ok" else found.splitlines()[-1]


def _sync_folder(folder: Path) -> None:
    """Let a new file survive a power cut: a database syncs what is in it, but not that it is there."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
