"""The sources of native artifacts, for the programs that compile them in other ways."""

from __future__ import annotations

from pathlib import Path

from pulsecast.backends.native_library import read_sources
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME
from pulsecast.bundle.packing import unpack
from pulsecast.errors import UsageError


def bundle_of(path: Path, folder: Path, targets: tuple[str, ...]) -> Path:
    """Return the bundle at `path`; a file is unpacked, a model directory exported with `targets`, in `folder`.

    Raises what opening, unpacking and exporting raise.
    """
    if (path / MANIFEST_NAME).exists():
        return path.resolve()
    out = folder / path.resolve().stem
    if not path.is_dir():
        unpack(path, out)
        return out
    from pulsecast_export.exporter import export_model

    export_model(path, out, targets=targets)
    return out


def is_lstm_stack(bundle: Bundle) -> bool:
    """Return whether the model is a plain stack of LSTMs, perhaps with a linear path beside it."""
    spec = bundle.manifest.spec
    return spec.is_plain and spec.layered


def require_artifacts(bundle: Bundle, name: str, artifacts: tuple[str, ...]) -> None:
    """Raise UsageError, which names the missing ones, unless the bundle called `name` has all of `artifacts`.

    A bundle of several series is refused too: the programs in C and JavaScript around an artifact pass none.
    """
    if (series := bundle.manifest.series) is not None:
        raise UsageError(f"bundle {name} holds {series.count:,} series; this measures models of one: see `bench`")
    present = {artifact.id for artifact in bundle.manifest.artifacts}
    if missing := [each for each in artifacts if each not in present]:
        raise UsageError(f"bundle {name} has no {', '.join(missing)}; export it with targets {', '.join(artifacts)}")


def write_sources(bundle: Bundle, artifact_id: str, folder: Path) -> Path:
    """Write model.c and model.h of a native artifact into the new folder `folder`, and return it."""
    folder.mkdir()
    for name, data in read_sources(bundle, bundle.manifest.artifact(artifact_id).path).items():
        (folder / name).write_bytes(data)
    return folder
