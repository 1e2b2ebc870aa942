"""The sources of native artifacts, for the programs that compile them in ways of their own."""

from __future__ import annotations

from pathlib import Path

from pulsecast.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast.manifest import MANIFEST_NAME
from pulsecast.native_library import HEADER, SOURCE


def bundle_of(path: Path, folder: Path, targets: tuple[str, ...]) -> Path:
    """Return `path` if it is a bundle, else the model directory there exported with `targets` into `folder`.

    Raises what exporting raises, for a path that is neither, too.
    """
    if (path / MANIFEST_NAME).exists() or not path.is_dir():
        return path
    from pulsecast_export.exporter import export_model

    out = folder / "bundle"
    export_model(path, out, targets=targets, force=False, tell=lambda _: None)
    return out


def require_artifacts(bundle: Bundle, name: str, artifacts: tuple[str, ...]) -> None:
    """Raise UsageError, naming them, unless the bundle called `name` has all of `artifacts`."""
    present = {artifact.id for artifact in bundle.manifest.artifacts}
    if missing := [each for each in artifacts if each not in present]:
        raise UsageError(f"bundle {name} has no {', '.join(missing)}; export it with targets {', '.join(artifacts)}")


def write_sources(bundle: Bundle, artifact_id: str, folder: Path) -> Path:
    """Write model.c and model.h of a native artifact into the new folder `folder`, and return it."""
    folder.mkdir()
    for name in (SOURCE, HEADER):
        (folder / name).write_bytes(bundle.read(f"{bundle.manifest.artifact(artifact_id).path}/{name}"))
    return folder
