"""What a server's writer is asked for, and what it answers: bytes of files, by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact

from ..options import ServeOptions
from .example import Example

USER = 65534  # the usual id of the user without rights


@dataclass(frozen=True, kw_only=True)
class Order:
    """A bundle to be served.

    artifact  the one that the server runs
    example   a golden window, to warm up with and for the README
    """

    bundle: Bundle
    artifact: Artifact
    options: ServeOptions
    example: Example


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a serving folder, all by their path in it, but those of the version by their path in its directory.

    root     the folder of the version directories
    version  of this version's directory
    around   beside the versions: they describe the newest one
    lasting  beside the versions, as the first one brought them
    remark   what a client must know and could not guess, in a sentence
    """

    root: str
    version: Mapping[str, bytes]
    around: Mapping[str, bytes]
    lasting: Mapping[str, bytes] = field(default_factory=dict)
    remark: str = ""


def below(bundle: Bundle, folder: str) -> dict[str, bytes]:
    """Return the files of an artifact that is a folder, by their path in it."""
    found = [entry.path for entry in bundle.manifest.files if PurePosixPath(entry.path).is_relative_to(folder)]
    return {str(PurePosixPath(path).relative_to(folder)): bundle.read(path) for path in found}


def whole(bundle: Bundle) -> dict[str, bytes]:
    """Return all files of a bundle, its manifest and signature too."""
    signature = bundle.signature_bytes()
    return {
        MANIFEST_NAME: bundle.manifest_bytes(),
        **({} if signature is None else {SIGNATURE_NAME: signature}),
        **{entry.path: bundle.read(entry.path) for entry in bundle.manifest.files},
    }


def encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    """Return the texts as the bytes of files."""
    return {path: text.encode("utf-8") for path, text in texts.items()}
