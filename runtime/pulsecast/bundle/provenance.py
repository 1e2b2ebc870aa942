"""What made a bundle, as an in-toto statement with a SLSA provenance predicate, for tools that collect such statements.

The manifest holds all of it; this module only gives it the form that other tools read. The statement itself is not
signed: sign the bundle, or give the statement to a tool that signs attestations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ..foundation import strict_json
from .manifest import MANIFEST_NAME, Manifest, Provenance

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
                    "commands": strict_json.to_json(made.commands),
                    "targets": [artifact.id for artifact in manifest.artifacts],
                    "recipe": manifest.recipe,
                    "training": strict_json.to_json(made.training),
                    "seed": made.seed,
                },
                "internalParameters": {"platform": made.platform},
                "resolvedDependencies": [*_materials(made), *_packages(made.versions)],
            },
            # no time and no host: the same model gives the same bytes
            "runDetails": {"builder": {"id": BUILDER, "version": _builder_version(made.versions)}},
        },
    }


def _subject(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def _builder_version(versions: Mapping[str, str]) -> dict[str, str]:
    return {"pulsecast": versions["pulsecast"]} if "pulsecast" in versions else {}


def _materials(made: Provenance) -> list[dict[str, Any]]:
    """Return the files that a model was made from, by name and hash: logs, or a Keras file and its held-out windows."""
    files = made.data.get("files")
    found = [file for file in files if isinstance(file, Mapping)] if isinstance(files, list | tuple) else []
    imported, heldout = made.training.get("imported"), made.data.get("heldout")
    if isinstance(imported, Mapping) and "file" in imported:
        found.append({**imported, "name": imported["file"]})
    if isinstance(heldout, Mapping):
        found.append({**heldout, "name": "held-out windows"})
    return [_subject(str(file["name"]), str(file["sha256"])) for file in found if {"name", "sha256"} <= set(file)]


def _packages(versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the packages as package URLs."""
    return [
        {"uri": f"pkg:generic/python@{version}" if name == "python" else f"pkg:pypi/{name}@{version}"}
        for name, version in versions.items()
    ]
