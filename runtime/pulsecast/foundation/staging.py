"""What one writer fills before it appears: names beside its target, held by a lock, and swept after a killed writer.

    .TARGET.pulsecast-TAG.lock      locked as long as the writer lives; it is made first and removed last
    .TARGET.pulsecast-TAG.partial   what is being written; rubbish once its writer is dead
    .TARGET.pulsecast-TAG.old       the whole folder that the new one replaces, until the new one stands

The tag is random. A process id would not do: in two containers that share a volume, both writers are process 1.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from .quick_dataclass import dataclass

_LOCK_NAME = re.compile(r"\.(.+)\.pulsecast-([0-9a-f]{12})\.lock", re.DOTALL)
_LOCK = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a link or a pipe is not ours


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The names that one writer uses for `target`, which may lie in another folder of the same file system."""

    folder: Path
    target: str
    tag: str

    @property
    def lock(self) -> Path:
        """The file whose lock shows that the writer lives."""
        return self._named("lock")

    @property
    def partial(self) -> Path:
        """Where the new thing is written, and the old one waits for its removal."""
        return self._named("partial")

    @property
    def old(self) -> Path:
        """Where the old folder lies, always whole, until the new one stands."""
        return self._named("old")

    def _named(self, ending: str) -> Path:
        return self.folder / f".{self.target}.pulsecast-{self.tag}.{ending}"


@contextlib.contextmanager
def staged(folder: Path, target: str) -> Iterator[Staged]:
    """Yield names in `folder` that no other writer uses; at the end nothing is left under them.

    A partial thing is removed; an old folder comes back unless a new one stands in its place. First it sweeps the
    folder. Raises OSError if the folder cannot be written to.
    """
    sweep(folder)
    names, lock = _begun(folder, target)
    try:
        yield names
    finally:
        with contextlib.suppress(OSError):  # what cannot be removed now keeps its lock file, for a later sweep
            _end(names)
        os.close(lock)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`, for any target; what a living one holds stays.

    An old folder that was moved aside comes back if nothing stands at its place. Where the file system or the system
    has no locks, nobody can be known to be dead, and nothing is swept.
    """
    for names in _found(folder):
        with contextlib.suppress(OSError), _taken(names.lock):  # another user's, or one that still lives
            _end(names)


@contextlib.contextmanager
def held(lock: Path) -> Iterator[bool]:
    """Yield whether this process alone holds the file `lock`, which is made if missing and stays.

    It is let go at the end of the block, or of the process. Where there are no locks it is True. Raises OSError.
    """
    handle = os.open(lock, _LOCK | os.O_CREAT, 0o600)
    try:
        while not _is_at(lock, handle):  # its last holder has removed it since
            os.close(handle)
            handle = os.open(lock, _LOCK | os.O_CREAT, 0o600)
        yield _is_locked(handle) is not False and _is_at(lock, handle)
    finally:
        os.close(handle)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _begun(folder: Path, target: str) -> tuple[Staged, int]:
    """Return new names and the handle that holds their lock."""
    while True:
        names = Staged(folder=folder, target=target, tag=os.urandom(6).hex())
        handle = os.open(names.lock, _LOCK | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if _is_locked(handle) is not False and _is_at(names.lock, handle):
                return names, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # a sweeper was quicker than the lock; it removes the file


def _is_locked(handle: int) -> bool | None:
    """Lock a file unless another handle has; return whether this one has, or None if locks do not work here."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Return whether `path` still names the file that is open as `handle`."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _taken(lock: Path) -> Iterator[None]:
    """Hold the lock of a dead writer; raises OSError if the writer lives, has ended well, or cannot be known."""
    handle = os.open(lock, _LOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode) or not _is_locked(handle) or not _is_at(lock, handle):
            raise BlockingIOError
        yield
    finally:
        os.close(handle)


def _found(folder: Path) -> list[Staged]:
    """Return every writer's names in `folder`, by their locks: without a lock a name is not known to be ours."""
    try:
        matches = [_LOCK_NAME.fullmatch(name) for name in sorted(os.listdir(folder))]  # noqa: PTH208  # only names
    except OSError:  # a folder may be writable and not readable
        return []
    return [Staged(folder=folder, target=match.group(1), tag=match.group(2)) for match in matches if match]


def _end(names: Staged) -> None:
    """Leave the old thing or the new one at its place, and nothing else; raises OSError if something stays."""
    _put_back(names)
    if names.partial.is_dir() and not names.partial.is_symlink():
        shutil.rmtree(names.partial)
    else:
        names.partial.unlink(missing_ok=True)
    if not os.path.lexists(names.old):
        names.lock.unlink(missing_ok=True)


def _put_back(names: Staged) -> None:
    """Move an old folder back to its place if the new one did not come to stand there."""
    place = names.folder / names.target
    if not os.path.lexists(names.old):
        return
    if not os.path.lexists(place):
        names.old.rename(place)
    elif not os.path.lexists(names.partial):  # the new one stands: the old one may go
        names.old.rename(names.partial)  # first by its name: `old` is always whole
