"""A bundle on disk: opening checks every byte against the manifest, or raises; nothing is ever half-loaded."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import FormatError, IntegrityError
from .golden import Golden, read_golden
from .manifest import MANIFEST_NAME, FileEntry, Manifest, check_format, parse_manifest
from .records import MAX_JSON_BYTES
from .weights import Weights, read_weights


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle: its folder, and its manifest that has been held against every file."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Return the bundle at `path` after checking the size and SHA-256 of every file.

        Raises FormatError if there is no readable manifest, IntegrityError that lists every file that is missing,
        changed, unlisted or a link.
        """
        root = Path(path)
        manifest = parse_manifest(_read_manifest(root))
        listed = {entry.path for entry in manifest.files}
        problems = [problem for entry in manifest.files if (problem := _problem(root, entry))]
        problems += [f"{name} is not in the manifest" for name in _files_below(root) if name not in listed]
        if problems:
            raise IntegrityError(f"bundle {root.name} was changed after export: " + "; ".join(problems))
        return cls(path=root, manifest=manifest)

    def read(self, relative: str) -> bytes:
        """Return the bytes of one listed file, checked once more, so that what was checked is what is used."""
        entry = next(entry for entry in self.manifest.files if entry.path == relative)
        try:
            data = (self.path / relative).read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"{relative} was changed while the bundle was open: it cannot be read ({error.strerror})"
            ) from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise IntegrityError(f"{relative} was changed while the bundle was open")
        return data

    def golden(self) -> Golden:
        """Return the held-out windows and their reference forecasts."""
        return read_golden(self.read(self.manifest.golden.path), self.manifest.spec)

    def weights(self) -> Weights:
        """Return the network's weights."""
        return read_weights(self.read(self.manifest.weights.path), self.manifest.spec)


def size_bytes(manifest: Manifest, artifact_path: str) -> int:
    """Return the bytes of an artifact: of its file, or of all files in its folder."""
    return sum(
        f.size_bytes for f in manifest.files if f.path == artifact_path or f.path.startswith(f"{artifact_path}/")
    )


def entry_for(root: Path, relative: str) -> FileEntry:
    """Return the manifest's entry for the file at `root`/`relative` as it is now."""
    data = (root / relative).read_bytes()
    return FileEntry(path=relative, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _read_manifest(root: Path) -> bytes:
    path = root / MANIFEST_NAME
    try:
        if path.is_symlink():
            raise FormatError(f"{MANIFEST_NAME} in {root.name} is a link; a bundle holds plain files")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{MANIFEST_NAME} in {root.name} is larger than {MAX_JSON_BYTES} bytes")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise FormatError(f"{root} is not a bundle: it has no {MANIFEST_NAME}") from error
    except OSError as error:
        raise FormatError(f"{root} is not a readable bundle: {error.strerror}") from error
    check_format(data)
    return data


def _problem(root: Path, entry: FileEntry) -> str | None:
    path = root / entry.path
    try:
        if any(link.is_symlink() for link in (path, *path.parents[: entry.path.count("/")])):
            return f"{entry.path} is a link"
        size = path.stat().st_size
        if size != entry.size_bytes:
            return f"{entry.path} has {size} bytes, the manifest says {entry.size_bytes}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                return f"{entry.path} has another SHA-256"
    except FileNotFoundError:
        return f"{entry.path} is missing"
    except OSError as error:
        return f"{entry.path} cannot be read: {error.strerror}"
    return None


def _files_below(root: Path) -> list[str]:
    found = []
    for folder, names, files in os.walk(root):
        base = Path(folder).relative_to(root)
        linked = [name for name in names if (Path(folder) / name).is_symlink()]
        found += [(base / name).as_posix() for name in (*files, *linked)]
    return sorted(name for name in found if name != MANIFEST_NAME)
