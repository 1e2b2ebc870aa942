"""Compiled libraries, kept on disk from one process to the next: each under the SHA-256 of what it was made from.

A library is code that this process will run. So the store lies in a folder that only this user can change, and an
entry is read once, checked against its own SHA-256 and handed out as bytes: what was checked is what runs. An entry
that is damaged, cut short, a link or of another user counts as missing, and the next `keep` replaces it.

An entry is one file: 32 bytes, the SHA-256 of its key and its library, and then the library. It is written under
another name, flushed to the disk and renamed, so a reader finds it whole or not at all. Nobody reads an entry after it
was handed out, so removing one that a living process has loaded does not harm that process.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import EngineError
from ..foundation.private_folder import PrivateFolder, private_folder

CACHE_VARIABLE = "PULSECAST_CACHE"
LIMIT_BYTES = 256 * 2**20  # of all entries together; a library of the default model has 0.2 MB
ENTRY = ".library"
LOADABLE = ".dll" if sys.platform == "win32" else ".so"
_KEPT, _UNFINISHED = r"[0-9a-f]{64}\.(?:library|so|dll)", r"\.[0-9a-f]{64}\.[0-9a-f]{16}\.new"
_DIGEST_BYTES, _KEY_DIGITS = 32, 64
_LEFTOVER_S = 3600  # an unfinished entry that is older was left by a killed process: writing one takes milliseconds
_USED_S = 3600  # the time of the last use is written at most once in this time
# a pipe would block the open, a link would lead out of the folder
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def store_path() -> Path:
    """Return the store's folder: $PULSECAST_CACHE/native, or pulsecast/native below $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own) / "native"
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # no $HOME, and the user is not in the system's list
        raise EngineError(f"this user has no home folder; set {CACHE_VARIABLE} to a folder of yours") from error
    return Path(base) / "pulsecast" / "native"


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """Return the library kept under `key`, or else what `make` returns, which is then kept.

    key  64 hexadecimal digits that name all that the library is made from

    Warns if it cannot be kept, because the disk is full for example: it is then made again by the next process. Raises
    EngineError if the store cannot be made, or if others can change it or a folder above, and what `make` raises.
    """
    with open_store() as store:
        found = store.read(key)
        if found is not None:
            return found
        library = make()
        try:
            store.keep(key, library)
        except OSError as error:
            warnings.warn(
                f"the compiled model cannot be kept in {store_path()} ({error.strerror}), so each start compiles it "
                f"again; make room there or set {CACHE_VARIABLE} to another folder of yours",
                RuntimeWarning,
                stacklevel=2,
            )
        return library


@contextlib.contextmanager
def open_store() -> Iterator[NativeStore]:
    """Yield this user's store; raises EngineError if it cannot be made, or others can change it or a folder above."""
    with private_folder(store_path(), purpose="cache", variable=CACHE_VARIABLE) as folder:
        yield NativeStore(folder)


class NativeStore:
    """The entries of an open folder. Threads, processes and containers may read and keep at the same time."""

    def __init__(self, folder: PrivateFolder) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """Return the library kept under `key`, or None if there is not a whole one."""
        data = self._read(key + ENTRY)
        if data is None or data[:_DIGEST_BYTES] != _digest(key, data[_DIGEST_BYTES:]):
            return None
        return data[_DIGEST_BYTES:]

    def keep(self, key: str, library: bytes) -> None:
        """Keep `library` under `key`, and remove the entries used longest ago while all exceed LIMIT_BYTES.

        Raises OSError if it is too large or the disk refuses; what was kept under `key` is then as it was.
        """
        self._write(key + ENTRY, _digest(key, library) + library)

    def loadable(self, library: bytes) -> Path:
        """Return a file of these bytes, named by their SHA-256, for systems that load libraries from files only.

        Raises OSError if it is too large or the disk refuses.
        """
        name = hashlib.sha256(library).hexdigest() + LOADABLE
        if self._read(name) != library:
            self._write(name, library)
        return self._folder.path / name

    def _read(self, name: str) -> bytes | None:
        try:
            with os.fdopen(self._opened(name, _READ), "rb") as file:
                found = os.fstat(file.fileno())
                if not _is_plain_and_own(found) or found.st_size > LIMIT_BYTES:
                    return None
                data = file.read(LIMIT_BYTES)
            if abs(time.time() - found.st_mtime) > _USED_S:
                with contextlib.suppress(OSError):  # a disk that is read-only
                    os.utime(self._folder.at(name), dir_fd=self._folder.descriptor)
        except OSError:
            return None
        return data

    def _write(self, name: str, data: bytes) -> None:
        if len(data) > LIMIT_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        unfinished = f".{name[:_KEY_DIGITS]}.{os.urandom(8).hex()}.new"
        try:
            with os.fdopen(self._opened(unfinished, _NEW), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            held = self._folder.descriptor
            os.replace(self._folder.at(unfinished), self._folder.at(name), src_dir_fd=held, dst_dir_fd=held)
        except BaseException:
            self._remove(unfinished)
            raise
        if held is not None:
            with contextlib.suppress(OSError):  # the entry is whole without it; after a power cut it may be missing
                os.fsync(held)
        self._trim(name)

    def _trim(self, newest: str) -> None:
        """Remove what killed processes left, and the entries used longest ago while all exceed LIMIT_BYTES."""
        entries, total = [], 0
        for name, found in self._list():
            if re.fullmatch(_UNFINISHED, name) and abs(time.time() - found.st_mtime) > _LEFTOVER_S:
                self._remove(name)
            elif re.fullmatch(_KEPT, name):
                total += found.st_size
                entries.append((found.st_mtime, found.st_size, name))
        for _, size_bytes, name in sorted(entries):
            if total <= LIMIT_BYTES:
                return
            if name != newest:
                self._remove(name)
                total -= size_bytes

    def _list(self) -> Iterator[tuple[str, os.stat_result]]:
        held = self._folder.descriptor
        for name in os.listdir(self._folder.path if held is None else held):  # noqa: PTH208 - of an open folder
            with contextlib.suppress(OSError):  # another process has just removed it
                yield name, os.stat(self._folder.at(name), dir_fd=held, follow_symlinks=False)

    def _opened(self, name: str, flags: int) -> int:
        return os.open(self._folder.at(name), flags, 0o600, dir_fd=self._folder.descriptor)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):  # another process was first, or on Windows has it loaded
            os.unlink(self._folder.at(name), dir_fd=self._folder.descriptor)


def _digest(key: str, library: bytes) -> bytes:
    """Return the SHA-256 of both: an entry that got under another name is not that name's."""
    digest = hashlib.sha256(key.encode())
    digest.update(library)
    return digest.digest()


def _is_plain_and_own(found: os.stat_result) -> bool:
    if not stat.S_ISREG(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
