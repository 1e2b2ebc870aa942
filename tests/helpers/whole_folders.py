"""Whole directories of numbered files with one content: how the tests of `whole_directory` write and compare them."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from pulsecast.errors import FormatError
from pulsecast.foundation.folder_kind import FolderKind
from pulsecast.foundation.staging import Staged
from pulsecast.foundation.whole_directory import check_free, whole_directory

MARKER = "manifest.json"
FILES = 20


def _listed(marker: bytes) -> set[str]:
    if marker.decode().strip("abcdefghijklmnopqrstuvwxyz"):  # the marker holds the content of all files: one word
        raise FormatError(f"{MARKER}: expected one word")
    return {*map(str, range(FILES)), "nested/file", MARKER}


KIND = FolderKind(noun="folder of numbers", marker=MARKER, listed=_listed)


def whole(target: Path, *, force: bool = True) -> AbstractContextManager[Path]:
    return whole_directory(target, KIND, force=force)


def check(target: Path, *, force: bool = True) -> None:
    check_free(target, KIND, force=force)


def fill(folder: Path, content: str) -> None:
    """Write FILES numbered files and the marker last, all of the same content."""
    for number in range(FILES):
        (folder / f"{number}").write_text(content)
    (folder / "nested").mkdir()
    (folder / "nested" / "file").write_text(content)
    (folder / MARKER).write_text(content)


def make(target: Path, content: str) -> None:
    with whole(target) as folder:
        fill(folder, content)


def make_and_fail(target: Path) -> None:
    with whole(target) as folder:
        fill(folder, "new")
        raise RuntimeError("gate")


def content_of(target: Path) -> str:
    """Return the one content of a whole directory; fails if it is not whole."""
    files = [path for path in sorted(target.rglob("*")) if path.is_file()]
    assert len(files) == FILES + 2
    contents = {path.read_text() for path in files}
    assert len(contents) == 1
    return contents.pop()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_by_a_kill(folder: Path, target: str = "bundle", tag: str = "0123456789ab") -> Staged:
    """Return the names of a dead writer in `folder`: its lock file is there, and nobody holds the lock."""
    left = Staged(folder=folder, target=target, tag=tag)
    left.lock.touch()
    return left


def environment() -> dict[str, str]:
    """Return an environment in which a child process imports what this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
