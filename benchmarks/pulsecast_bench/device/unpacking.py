"""The first lines of a packed benchmark (`pulsecast bench-pack`): unpack it, measure, remove what was unpacked.

It is copied to the top of the packed file, where its `__main__.py` calls `run` once it knows that this Python is new
enough. So it uses the standard library only, and no pulsecast code until that has been unpacked.

Code and bundle are unpacked rather than imported from the file, since every measurement is a process of its own, and
reading modules from a zip would be part of the cold start that it measures.
"""

from __future__ import annotations

import compileall
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

CODE, BUNDLE = "code", "bundle"  # folders of the packed file
OLDEST_NUMPY = (1, 24)  # Debian 12's, with Python 3.11: the same forecasts, though an installed pulsecast asks for 1.26
_PREFIX = "pulsecast-bench-"
_YOUNG_S = 60  # a folder may be that young and not yet locked


def run(argv: Sequence[str]) -> int:
    """Measure with the packed file `argv[0]` and return the exit code; an error is one sentence on stderr."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # also where a shell has started this with SIGINT ignored
    try:
        problem = numpy_problem()
        if problem:
            return _say(problem, 6)
        with unpacked(Path(argv[0])) as folder:
            return _measure(folder, argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except zipfile.BadZipFile as error:
        return _say(f"{Path(argv[0]).name} is damaged: {error}; copy it anew", 5)
    except OSError as error:
        return _say(_reason(error), 1)


def _measure(folder: Path, argv: Sequence[str]) -> int:
    sys.path[:] = [str(folder / CODE), *(entry for entry in sys.path if entry != argv[0])]
    os.environ["PULSECAST_CACHE"] = str(folder / "cache")  # of compiled models: nothing stays on the device
    from pulsecast_bench.device.program import main

    with _temporary_files_in(folder / "tmp"):  # what a kill leaves lies in the folder that the next run removes
        return main(argv[1:], bundle=folder / BUNDLE, program=Path(argv[0]).name)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    os.environ["TMPDIR"] = str(folder)  # of the processes that are started
    try:
        yield
    finally:
        tempfile.tempdir = before


def numpy_problem() -> str | None:
    """Return what is wrong with the numpy of this Python, or None."""
    at = f"Python {sys.version_info[0]}.{sys.version_info[1]} at {sys.executable}"
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        if error.name == "numpy":
            return f"numpy is not installed for {at}: pip install numpy"
        return f"numpy cannot be imported by {at}: {error}"
    except ImportError as error:
        lines = str(error).strip().splitlines() or ["no reason given"]
        return f"numpy cannot be imported by {at}: {lines[0]}"
    found = tuple(int(part) for part in np.__version__.split(".")[:2])
    if found < OLDEST_NUMPY:
        return (
            f"numpy {np.__version__} is too old for this; expected {'.'.join(map(str, OLDEST_NUMPY))} or newer for {at}"
        )
    return None


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Yield a new private folder with the code (compiled) and the bundle, and remove it when the block ends.

    It lies in the folder for temporary files (TMPDIR) and is locked while in use; one that a killed run has left is
    removed by the next. Raises BadZipFile if the archive is damaged.
    """
    _remove_leftovers(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with zipfile.ZipFile(archive) as members:
            members.extractall(folder)  # checks every CRC; the bundle's hashes are checked when it is opened
        # not left to the first process, whose import phase it would be; and not elsewhere than in this folder
        sys.pycache_prefix = None
        os.environ.pop("PYTHONPYCACHEPREFIX", None)
        compileall.compile_dir(folder / CODE, quiet=2)
        yield folder
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # once more Ctrl-C must not leave half of it
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(temporary: Path) -> None:
    """Remove folders of this user that no living process has locked: process ids would not tell across containers."""
    for path in temporary.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            state = path.lstat()
            if state.st_uid != os.getuid() or path.is_symlink() or time.time() - state.st_mtime < _YOUNG_S:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{tempfile.gettempdir()} is full; name a folder with more room in TMPDIR"
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _say(sentence: str, code: int) -> int:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    return code


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt
