"""A library loaded from bytes in memory: what was checked is what runs, whatever happens to any file meanwhile.

A file can be exchanged between a check and `dlopen`, and a mapped file that is cut short later kills the process with
SIGBUS. On Linux the bytes are copied into a sealed file in memory, which nobody can change. Elsewhere, and where such
files are forbidden, they are loaded from a file in the private store.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os

from .native_store import open_store

# by SHA-256: Python never unloads a library, so one that is loaded again must not be mapped again
_loaded: dict[bytes, ctypes.CDLL] = {}
_numbers = itertools.count(1)


def load_bytes(library: bytes) -> ctypes.CDLL:
    """Return the library of these bytes, loaded; functions of the returned object may be typed by the caller.

    Raises OSError if they are not a library for this platform, EngineError if a file is needed and the store is not
    private.
    """
    digest = hashlib.sha256(library).digest()
    first = _loaded.get(digest)
    if first is None:
        first = _loaded.setdefault(digest, _map(library))
    return ctypes.CDLL(first._name, handle=first._handle)


def _map(library: bytes) -> ctypes.CDLL:
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return _map_memory(library)
    with open_store() as store:
        return ctypes.CDLL(str(store.loadable(library)))


def _map_memory(library: bytes) -> ctypes.CDLL:
    import fcntl

    descriptor = os.memfd_create("pulsecast-model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "wb") as file:
        file.write(library)
        file.flush()
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        return ctypes.CDLL(_path_of(descriptor))


def _path_of(descriptor: int) -> str:
    """Return a path of an open file that this process has not used before.

    The loader takes a path that it has seen for the library that it loaded then, and numbers of open files return once
    they are closed. So the path counts: `./` and `/` stand for the digits 1 and 0.

    >>> _path_of(7)  # doctest: +SKIP
    '/proc/self/fd/.//./7'
    """
    count = "".join("./" if digit == "1" else "/" for digit in f"{next(_numbers):b}")
    return f"/proc/self/fd/{count}{descriptor}"
