"""The first lines of a packed benchmark (`pulsecast bench-pack`): unpack it, measure, remove the unpacked files.

It is copied to the top of the packed file, where its `__main__.py` calls `run` after a check of the Python version. So
it uses only the standard library until pulsecast's code has been unpacked.

Code and bundle are unpacked, not imported from the file, because every measurement is a process of its own, and its
cold start would include reading modules from a zip.
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
_REMOVALS = 30  # attempts, a tenth of a second apart
_YOUNG_S = 60  # a younger folder may not be locked yet


def run(argv: Sequence[str]) -> int:
    """Measure with the packed file `argv[0]` and return the exit code; an error is one sentence on stderr."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # also if a shell has started this with SIGINT ignored
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
        return _say(f"{Path(argv[0]).name} is damaged: {error}; copy it again", 5)
    except OSError as error:
        return _say(_reason(error), 1)


def _measure(folder: Path, argv: Sequence[str]) -> int:
    sys.path[:] = [str(folder / CODE), *(entry for entry in sys.path if entry != argv[0])]
    os.environ["PULSECAST_CACHE"] = str(folder / "cache")  # cache of compiled models: nothing stays on the device
    from pulsecast_bench.device.program import main

    with _temporary_files_in(folder / "tmp"):  # files of a killed run lie in the folder that the next run removes
        return main(argv[1:], bundle=folder / BUNDLE, program=Path(argv[0]).name)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    os.environ["TMPDIR"] = str(folder)  # for child processes
    try:
        yield
    finally:
        tempfile.tempdir = before


def numpy_problem() -> str | None:
    """Return the problem of this Python's numpy, or None."""
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

    It lies in the folder for temporary files (TMPDIR) and is locked while in use; the next run removes the folder of a
    killed run. Raises BadZipFile if the archive is damaged.
    """
    _remove_leftovers(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with zipfile.ZipFile(archive) as members:
            members.extractall(folder)  # checks every CRC; the bundle's hashes are checked when it is opened
        # not in the first process, whose import phase would include it; and only in this folder
        sys.pycache_prefix = None
        os.environ.pop("PYTHONPYCACHEPREFIX", None)
        compileall.compile_dir(folder / CODE, quiet=2)
        yield folder
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove `folder`, into which a child that is just ending may still write."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _remove_leftovers(temporary: Path) -> None:
    """Remove folders of this user that no living process has locked; process ids do not work across containers."""
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
