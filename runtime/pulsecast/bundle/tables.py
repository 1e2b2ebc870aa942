"""What a manifest says, as rows of tables for people."""

from __future__ import annotations

from ..foundation.tables import size_text
from .bundle import size_bytes
from .manifest import Artifact, HeldOut, Manifest

ARTIFACTS = ("artifact", "precision", "size", "error / range", "limit", "MAE", "MAE change", "RMSE change")
LIBRARIES = ("library for", "artifact", "size", "checked as", "error / range")
ACCURACY = ("forecast", "MAE", "RMSE", "bias", "MAE / last value")

Row = tuple[str, ...]


def artifact_rows(manifest: Manifest) -> list[Row]:
    """Return a row of ARTIFACTS for each artifact: what was measured when the bundle was made."""
    return [
        (
            artifact.id,
            artifact.precision,
            size_text(size_bytes(manifest, artifact.path)),
            f"{artifact.parity.max_abs:.1e}",
            f"{artifact.tolerance.max_abs:.0e}",
            mae_of(manifest, artifact),
            f"{artifact.parity.mae_change:+.3%}",
            f"{artifact.parity.rmse_change:+.3%}",
        )
        for artifact in manifest.artifacts
    ]


def mae_of(manifest: Manifest, artifact: Artifact) -> str:
    """Return the held-out MAE of an artifact in raw units: that of the model, changed as it was measured."""
    found = manifest.heldout.forecasts.get("model")
    return "-" if found is None else f"{found.mae * (1 + artifact.parity.mae_change):,.4g}"


def library_rows(manifest: Manifest) -> list[Row]:
    """Return a row of LIBRARIES for each prebuilt library."""
    sizes = {entry.path: entry.size_bytes for entry in manifest.files}
    return [
        (
            library.platform,
            library.artifact,
            size_text(sizes[library.path]),
            library.engine or "built, not run",
            "-" if library.max_abs is None else f"{library.max_abs:.1e}",
        )
        for library in manifest.libraries
    ]


def accuracy_rows(heldout: HeldOut) -> list[Row]:
    """Return a row of ACCURACY for the model and for each naive forecast, raw units."""
    naive = heldout.forecasts.get("last_value")
    return [
        (
            name.replace("_", " "),
            f"{found.mae:,.4g}",
            f"{found.rmse:,.4g}",
            f"{found.bias:+,.3g}",
            f"{found.mae / naive.mae:.3f}" if naive and naive.mae > 0 else "-",
        )
        for name, found in heldout.forecasts.items()
    ]
