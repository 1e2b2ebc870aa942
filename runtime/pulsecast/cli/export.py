"""`pulsecast export`: a model directory to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..bundle import size_bytes
from ..manifest import Manifest
from .output import Format, show, size_text, table, tell


def export(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Model directory of `pulsecast train`.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle directory to write.")],
    target: Annotated[list[str] | None, typer.Option("--target", help="Target id, repeatable; all by default.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle that is there, once the new one is verified.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Convert a model to every target and verify each one; the bundle appears whole or not at all."""
    from pulsecast_export.exporter import export_model

    manifest = export_model(model, out, targets=tuple(target or ()), force=force, tell=tell)
    show(
        format_,
        text=f"{artifacts_text(manifest)}\nnext: pulsecast bench {out} --out RESULT",
        document=_document(manifest),
    )


def artifacts_text(manifest: Manifest) -> str:
    """Return a table of the artifacts with what was measured when the bundle was made."""
    rows = [
        (
            artifact.id,
            artifact.precision,
            size_text(size_bytes(manifest, artifact.path)),
            f"{artifact.parity.max_abs:.1e}",
            f"{artifact.tolerance.max_abs:.0e}",
            f"{artifact.parity.mae_change:+.3%}",
            f"{artifact.parity.rmse_change:+.3%}",
        )
        for artifact in manifest.artifacts
    ]
    return table(("artifact", "precision", "size", "error / range", "limit", "MAE change", "RMSE change"), rows)


def _document(manifest: Manifest) -> dict[str, Any]:
    return {"command": "export", "name": manifest.name, "artifacts": manifest.artifacts}
