"""A bundle's folder, as a kind that may replace its like: it holds what its manifest lists, and nothing else."""

from __future__ import annotations

from ..foundation.folder_kind import FolderKind
from .manifest import MANIFEST_NAME, SIGNATURE_NAME, check_format, parse_manifest


def _listed(manifest: bytes) -> set[str]:
    check_format(manifest)
    return {entry.path for entry in parse_manifest(manifest).files} | {MANIFEST_NAME, SIGNATURE_NAME}


BUNDLE_FOLDER = FolderKind(noun="bundle", marker=MANIFEST_NAME, listed=_listed)
