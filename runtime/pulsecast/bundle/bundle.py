"""A bundle: opening checks every byte against the manifest, or raises; nothing is ever half-loaded."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import limits
from ..errors import FormatError, IntegrityError, UsageError
from ..foundation.arguments import one_path, shown, text
from ..foundation.quick_dataclass import dataclass
from ..plain_text import Problems
from .manifest import MANIFEST_NAME, SIGNATURE_NAME, FileEntry, Manifest, check_format, parse_manifest
from .signing import Key, Signature, examine
from .source import Source, open_source

if TYPE_CHECKING:  # imported when a bundle is opened, not when the runtime is imported
    from pathlib import Path

    from ..model.series import Scaling, SeriesNames, SeriesTable
    from ..model.weights import Weights
    from .golden import Golden


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle, a folder or a `.pulse` file; every file was checked against the manifest.

    signature  what is known about its maker: see `pulsecast.bundle.signing`
    """

    path: Path
    manifest: Manifest
    source: Source
    signature: Signature

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, key: Key | None = None) -> Bundle:
        """Return the bundle at `path` after checking the size and SHA-256 of every file.

        key  Ed25519 public key (a PEM file's path, PEM bytes or 32 raw bytes) that must have signed the manifest

        Raises FormatError if there is no readable manifest, SignatureError if it is not signed by `key`, IntegrityError
        that lists the files that are missing, changed, unlisted or links.
        """
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"{shown(path)} is not a path; expected the path of a bundle, a folder or a .pulse file")
        root = one_path("the bundle", path)
        source = open_source(root)
        listing = source.listing()
        content = _read_manifest(source, listing, root)
        signature = examine(content, _read_signature(source, listing), key)
        check_format(content)
        manifest = parse_manifest(content)
        if problems := Problems(_problems(source, listing, manifest)):
            raise IntegrityError(f"bundle {root.name} was changed after export: {problems}")
        return cls(path=root, manifest=manifest, source=source, signature=signature)

    def read(self, relative: str) -> bytes:
        """Return the bytes of one listed file, checked again at this read."""
        relative = text("relative", relative)
        entry = self._entries.get(relative)
        if entry is None:
            raise FormatError(f"{relative} is not among the files of this bundle")
        try:
            return _checked(self.source, entry)
        except IntegrityError as error:
            raise IntegrityError(f"{relative} was changed while the bundle was open: {error}") from error

    @functools.cached_property
    def _entries(self) -> Mapping[str, FileEntry]:
        return {entry.path: entry for entry in self.manifest.files}

    @contextmanager
    def unpacked(self, relative: str) -> Iterator[Path]:
        """Yield a private copy of a file or folder of the bundle, for an engine that only takes paths.

        The copy is written from checked bytes into a new folder that only this user may enter, and is removed when the
        block ends: no other user can swap the files between the check and the engine's reading. Raises EngineError if
        the folder for temporary files, or one above it, can be exchanged by others.
        """
        relative = text("relative", relative)
        paths = [f.path for f in self.manifest.files if f.path == relative or f.path.startswith(f"{relative}/")]
        if not paths:
            raise FormatError(f"{relative} is not in this bundle")
        from ..foundation.private_folder import temporary_folder

        with temporary_folder() as private:
            for path in paths:
                (private / path).parent.mkdir(parents=True, exist_ok=True)
                (private / path).write_bytes(self.read(path))
            yield private / relative

    def golden(self) -> Golden:
        """Return the held-out windows and their reference forecasts."""
        from .golden import read_golden

        return read_golden(self.read(self.manifest.golden.path), self.manifest)

    @functools.cached_property
    def series_names(self) -> SeriesNames | None:
        """The names of the series; None where the bundle is of one series. Raises FormatError."""
        entry = self.manifest.series
        if entry is None:
            return None
        from ..model.series import read_names

        names = read_names(self.read(entry.names))
        if len(names) != entry.count:
            raise FormatError(f"{entry.names} has {len(names)} names; the manifest says {entry.count}")
        return names

    @functools.cached_property
    def series(self) -> SeriesTable | None:
        """The table of series; None where the bundle is of one series. Raises FormatError."""
        entry, names = self.manifest.series, self.series_names
        if entry is None or names is None:
            return None
        from ..model.series import read_table

        manifest = self.manifest
        levels = 0 if manifest.intervals is None else len(manifest.intervals.levels)
        return read_table(self.read(entry.table), names, manifest.scaler, manifest.spec, levels)

    @property
    def scaling(self) -> Scaling:
        """How windows are scaled: by the one scaler, or by the table of series."""
        from ..model.series import scaling_of

        return scaling_of(self.manifest.scaler, self.series)

    def weights(self) -> Weights:
        """Return the network's weights."""
        from ..model.weights import read_weights

        return read_weights(self.read(self.manifest.weights.path), self.manifest.spec)

    def manifest_bytes(self) -> bytes:
        """Return the bytes of `manifest.json`; raises IntegrityError if they changed after opening."""
        content = self.source.read(MANIFEST_NAME, limits.MANIFEST_BYTES)
        if parse_manifest(content) != self.manifest:
            raise IntegrityError(f"{MANIFEST_NAME} was changed while the bundle was open")
        return content

    def signature_bytes(self) -> bytes | None:
        """Return the bytes of `manifest.sig`, or None."""
        return _read_signature(self.source, self.source.listing())


def size_bytes(manifest: Manifest, artifact_path: str) -> int:
    """Return the bytes of an artifact: of its file, or of all files in its folder."""
    return sum(
        f.size_bytes for f in manifest.files if f.path == artifact_path or f.path.startswith(f"{artifact_path}/")
    )


def entry_for(root: Path, relative: str) -> FileEntry:
    """Return the manifest's entry for the file at `root`/`relative` as it is now."""
    data = (root / relative).read_bytes()
    return FileEntry(path=relative, size_bytes=len(data), sha256=_sha256(data))


def _read_manifest(source: Source, listing: Mapping[str, int | str], root: Path) -> bytes:
    found = listing.get(MANIFEST_NAME)
    if found is None:
        raise FormatError(f"{root} is not a bundle: it has no {MANIFEST_NAME}")
    if isinstance(found, str):
        raise FormatError(f"{MANIFEST_NAME} in {root.name} {found}; a bundle holds plain files")
    if found > limits.MANIFEST_BYTES:
        raise FormatError(f"{MANIFEST_NAME} in {root.name} is larger than {limits.MANIFEST_BYTES} bytes")
    try:
        return source.read(MANIFEST_NAME, limits.MANIFEST_BYTES)
    except IntegrityError as error:
        raise FormatError(f"{root} is not a readable bundle: {error}") from error


def _read_signature(source: Source, listing: Mapping[str, int | str]) -> bytes | None:
    found = listing.get(SIGNATURE_NAME)
    if found is None:
        return None
    if isinstance(found, str):
        raise FormatError(f"{SIGNATURE_NAME} {found}; a bundle holds plain files")
    return source.read(SIGNATURE_NAME, limits.SIGNATURE_BYTES)


def _problems(source: Source, listing: Mapping[str, int | str], manifest: Manifest) -> Iterator[str]:
    """Yield what differs between manifest and files; a file is read only if its size is right."""
    listed = {entry.path for entry in manifest.files} | {MANIFEST_NAME, SIGNATURE_NAME}
    yield from (f"{name} is not in the manifest" for name in listing if name not in listed)
    for entry in manifest.files:
        found = listing.get(entry.path, "is missing")
        if isinstance(found, str):
            yield f"{entry.path} {found}"
        elif found != entry.size_bytes:
            yield f"{entry.path} has {found} bytes, the manifest says {entry.size_bytes}"
        elif found > limits.FILE_BYTES:
            yield f"{entry.path} has {found} bytes; at most {limits.FILE_BYTES} are read"
        else:
            try:
                _checked(source, entry)
            except IntegrityError as error:
                yield str(error)


def _checked(source: Source, entry: FileEntry) -> bytes:
    data = source.read(entry.path, entry.size_bytes)
    if _sha256(data) != entry.sha256:
        raise IntegrityError(f"{entry.path} has another SHA-256 than the manifest says")
    return data


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
