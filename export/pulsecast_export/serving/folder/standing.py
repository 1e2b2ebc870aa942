"""What stands in a serving folder now, by its marker and by a look at every file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pulsecast import limits
from pulsecast.errors import UsageError
from pulsecast.foundation.folder_kind import few, foreign
from pulsecast.foundation.plain_file import read_plain
from pulsecast.stages.model_directory import sha256

from .marker import LABELS, MARKER, SERVING_FOLDER, Marker, read_marker


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A serving folder as it is; None for `marker` is an empty one.

    files     every file but the marker -> SHA-256
    labelled  versions that `labels.json` names
    """

    marker: Marker | None
    files: Mapping[str, str]
    labelled: frozenset[int] = frozenset()

    def versions(self, root: str) -> tuple[int, ...]:
        """Return the numbers of the version directories, ascending."""
        return tuple(sorted({number for path in self.files if (number := version_of(path, root)) is not None}))

    def of_version(self, root: str, number: int) -> dict[str, str]:
        """Return the files of one version, by their path in its directory."""
        start = f"{root}/{number}/"
        return {path.removeprefix(start): digest for path, digest in self.files.items() if path.startswith(start)}


def standing(out: Path) -> Standing:
    """Return what stands in `out`; raises UsageError if it holds anything that is not a serving folder's own."""
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out} is not a folder and is not replaced")
    if others := foreign(out, SERVING_FOLDER):
        raise UsageError(f"{out} {others}; nothing is replaced: move your files away, or choose another folder")
    if not (out / MARKER).exists():
        return Standing(marker=None, files={})
    marker = read_marker((out / MARKER).read_bytes())
    return Standing(
        marker=marker, files=_looked_at(out, marker), labelled=frozenset(_labelled(out / marker.root / LABELS))
    )


def _labelled(path: Path) -> Iterator[int]:
    """Yield the versions in the user's file of labels; what is wrong with it is for the server to say."""
    try:
        labels = json.loads(read_plain(path, limits.JSON_BYTES, links=False))
    except (OSError, ValueError, RecursionError):
        return
    yield from (number for number in labels.values() if type(number) is int) if isinstance(labels, dict) else ()


def version_of(path: str, root: str) -> int | None:
    """Return the number of the version directory that a file is in, None for one beside them.

    >>> version_of("models/pulsecast/2/model.onnx", "models/pulsecast"), version_of("README.md", "models/pulsecast")
    (2, None)
    """
    parts = PurePosixPath(path).parts
    above = PurePosixPath(root).parts
    if parts[: len(above)] != above or len(parts) < len(above) + 2 or not parts[len(above)].isdecimal():
        return None
    return int(parts[len(above)])


def _looked_at(out: Path, marker: Marker) -> dict[str, str]:
    """Return the digest of every file; raises UsageError if one is not as the marker says.

    A version that is gone as a whole was removed by hand, and what stands beside the versions is written anew.
    """
    found: dict[str, str] = {}
    edited: list[str] = []
    missing: list[str] = []
    for path in sorted({*marker.files, *marker.changing}):
        known = {marker.files.get(path), marker.changing.get(path)}
        try:
            digest = sha256((out / path).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            if path not in marker.changing:
                missing.append(path)
            continue
        if digest in known:
            found[path] = digest
        else:
            edited.append(path)
    problems = [f"edited since: {few(edited)}"] if edited else []
    if torn := list(_torn(missing, [*found, *edited], marker)):
        problems.append(f"missing: {few(torn)}")
    if problems:
        raise UsageError(
            f"{out} is not as pulsecast wrote it ({'; '.join(problems)}); nothing is written: put the files back, or "
            "write into a new folder"
        )
    return found


def _torn(missing: Iterable[str], present: Iterable[str], marker: Marker) -> Iterator[str]:
    """Yield the missing files of versions of which others are there."""
    partly = {version_of(path, marker.root) for path in present} - {None}
    yield from (path for path in missing if version_of(path, marker.root) in partly)
