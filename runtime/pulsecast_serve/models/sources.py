"""Where bundles are: paths that were named, or a folder of models with a folder for each version.

    DIR/NAME/VERSION/        a bundle; VERSION is a whole number, the largest one answers
    DIR/NAME/VERSION.pulse   the same as one file
    DIR/NAME/labels.json     {"stable": 3, "canary": 4}: which versions are kept loaded, and which one answers
    DIR/NAME/, DIR/NAME.pulse   a bundle itself is version 1

Names that begin with a dot are for files on their way; everything else is left alone.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulsecast.bundle.manifest import MANIFEST_NAME
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation.arguments import shown
from pulsecast.foundation.plain_file import read_plain
from pulsecast.limits import ENTRIES

from .served import STABLE

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
LABEL_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
PACKED = ".pulse"
LABELS_NAME = "labels.json"
_LABELS_BYTES = 4096

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The versions of one model on disk: number -> path, and its labels (`problem` says why there are none)."""

    versions: Mapping[int, Path]
    labels: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None


def named(bundles: Iterable[str]) -> dict[str, Path]:
    """Return the model name and path of each of `bundles`, given as PATH, or as NAME=PATH.

    Raises UsageError, for all of them at once, if a name cannot be one, or stands twice.
    """
    found: dict[str, Path] = {}
    problems = []
    for given in bundles:
        name, path = _name_and_path(given)
        if not MODEL_NAME.fullmatch(name):
            problems.append(f"{shown(name)} cannot be part of an address: serve it as NAME={shown(str(path))}")
        elif name in found:
            problems.append(f"two bundles are called {name}: serve one of them as NAME={shown(str(path))}")
        found[name] = path
    if problems:
        raise UsageError("; ".join(problems))
    return found


def _name_and_path(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if equals and not os.path.lexists(given):
        return name, Path(path)
    from pulsecast.bundle.bundle import Bundle

    return Bundle.open(given).manifest.name, Path(given)


def in_folder(folder: Path) -> dict[str, Found]:
    """Return the models in a folder; raises UsageError if it cannot be read."""
    try:
        entries = sorted(_few(os.scandir(folder)), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"the folder of models {shown(str(folder))} cannot be read: {error.strerror}; expected "
            "DIR/NAME/VERSION/ with a bundle in it"
        ) from None
    found = {}
    for entry in entries:
        name = entry.name.removesuffix(PACKED)
        if not MODEL_NAME.fullmatch(name):
            continue
        path = Path(entry.path)
        if entry.name.endswith(PACKED) or (path / MANIFEST_NAME).is_file():
            found[name] = Found(versions={1: path})
        elif entry.is_dir():
            found[name] = _versions(path)
    return found


def _few(entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for count, entry in enumerate(entries):
        if count == ENTRIES:
            return
        yield entry


def _versions(folder: Path) -> Found:
    versions = {}
    try:
        for entry in _few(os.scandir(folder)):
            name = entry.name.removesuffix(PACKED)
            if _VERSION.fullmatch(name) and (entry.is_dir() or entry.name.endswith(PACKED)):
                versions[int(name)] = Path(entry.path)
    except OSError as error:
        return Found(versions={}, problem=f"cannot be read: {error.strerror}")
    problem = f"has no version; expected {folder.name}/1/ with a bundle in it, and other folders elsewhere"
    try:
        labels = read_labels(folder / LABELS_NAME)
        return Found(versions=versions, labels=labels, problem=None if versions else problem)
    except FormatError as error:
        return Found(versions=versions, problem=str(error))


def read_labels(path: Path) -> dict[str, int]:
    """Return the labels in a file, {} where it is not there; raises FormatError."""
    try:
        labels = json.loads(read_plain(path, _LABELS_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        raise FormatError(f'{path.name} cannot be read; expected {{"{STABLE}": 3, "canary": 4}}') from None
    if not isinstance(labels, dict) or not all(
        LABEL_NAME.fullmatch(name) and type(version) is int and version > 0 for name, version in labels.items()
    ):
        raise FormatError(f'{path.name} holds something else than labels; expected {{"{STABLE}": 3, "canary": 4}}')
    return labels


def stamp(path: Path) -> Stamp:
    """Return what changes if a bundle on disk does: name, size, time and inode of each of its files."""
    if not path.is_dir():
        return (_stamped(path, ""),)
    files = []
    for root, folders, names in os.walk(path):
        folders.sort()
        files += [_stamped(Path(root) / name, os.path.relpath(Path(root) / name, path)) for name in sorted(names)]
        if len(files) > ENTRIES:
            break
    return tuple(files)


def _stamped(path: Path, name: str) -> tuple[str, int, int, int]:
    try:
        state = path.lstat()
    except OSError:
        return name, -1, 0, 0
    return name, state.st_size if stat.S_ISREG(state.st_mode) else -1, state.st_mtime_ns, state.st_ino
