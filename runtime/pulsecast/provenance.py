"""What made a bundle, as an in-toto statement with a SLSA provenance predicate, for whoever keeps such statements.

The manifest holds all of it; this only gives it the shape that other tools read. It is not signed by itself: sign the
bundle, or hand the statement to what signs attestations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from . import records
from .manifest import MANIFEST_NAME, Manifest

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:pulsecast:export:1"
BUILDER = "urn:pulsecast:exporter"


def statement(manifest: Manifest, manifest_bytes: bytes) -> dict[str, Any]:
    """Return the statement about the manifest and every file that it lists."""
    made = manifest.provenance
    subjects = [_subject(entry.path, entry.sha256) for entry in manifest.files]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(MANIFEST_NAME, hashlib.sha256(manifest_bytes).hexdigest()), *subjects],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "commands": records.to_json(made.commands),
                    "targets": [artifact.id for artifact in manifest.artifacts],
                    "recipe": manifest.recipe,
                    "training": records.to_json(made.training),
                    "seed": made.seed,
                },
                "internalParameters": {"platform": made.platform},
                "resolvedDependencies": [*_data_files(made.data), *_packages(made.versions)],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": dict(made.versions)}},
        },
    }


def _subject(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def _data_files(data: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the log files that a model was trained on, if the data report names any with their hash."""
    files = data.get("files")
    found = [file for file in files if isinstance(file, Mapping)] if isinstance(files, list | tuple) else []
    return [_subject(str(file["name"]), str(file["sha256"])) for file in found if {"name", "sha256"} <= set(file)]


def _packages(versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the packages as package URLs."""
    return [
        {"uri": f"pkg:generic/python@{version}" if name == "python" else f"pkg:pypi/{name}@{version}"}
        for name, version in versions.items()
    ]
