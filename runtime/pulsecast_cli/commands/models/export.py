"""`pulsecast export`: a model directory to a verified bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsecast.bundle.bundle import size_bytes
from pulsecast.bundle.manifest import MANIFEST_NAME, Manifest
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_directory import check_free
from pulsecast.model.scaler import Scaler

from ...terminal.output import Format, show, size_text, table, tell

MODEL_SUFFIXES = (".keras", ".h5")


def export(
    model: Annotated[
        Path, typer.Argument(exists=True, help="Model directory of `pulsecast train`, or your own .keras or .h5 file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Bundle directory to write.")],
    target: Annotated[list[str] | None, typer.Option("--target", help="Target id, repeatable; all by default.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle that is there, once the new one is verified.")
    ] = False,
    native_for: Annotated[
        str | None,
        typer.Option("--native-for", help="Platforms that the native targets get libraries for, e.g. aarch64-linux,…"),
    ] = None,
    heldout: Annotated[
        Path | None,
        typer.Option("--heldout", exists=True, dir_okay=False, help="Model file: .npz with windows and truth."),
    ] = None,
    step_s: Annotated[int, typer.Option("--step-s", min=1, help="Model file: seconds between two steps.")] = 3600,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Model file: name of an input column, repeatable, in order.")
    ] = None,
    scaler: Annotated[
        Path | None,
        typer.Option("--scaler", exists=True, dir_okay=False, help="Model file: scaler as JSON, as in a manifest."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Convert a model to every target and verify each one; the bundle appears whole or not at all."""
    from pulsecast_export.exporter import export_model

    targets = tuple(target or ())
    platforms = tuple(name.strip() for name in native_for.split(",")) if native_for else ()
    if model.is_dir():
        manifest = export_model(model, out, targets=targets, force=force, tell=tell, native_for=platforms)
    else:
        if model.suffix.lower() not in MODEL_SUFFIXES:
            raise UsageError(
                f"{model} is not a model; expected the folder that `pulsecast train` writes, "
                f"or a {' or '.join(MODEL_SUFFIXES)} file"
            )
        if heldout is None:
            raise UsageError(f"{model.name} is a model file: pass --heldout, windows and truth to verify it with")
        from pulsecast_export.keras_models.keras_import import ImportOptions, import_keras

        check_free(out, force=force, marker=MANIFEST_NAME)
        options = ImportOptions(
            name=model.stem, step_s=step_s, features=tuple(feature or ()), scaler=_scaler(scaler) if scaler else None
        )
        with tempfile.TemporaryDirectory(prefix="pulsecast-") as work:
            import_keras(model, heldout, options, Path(work) / "model", force=False)
            manifest = export_model(
                Path(work) / "model", out, targets=targets, force=force, tell=tell, native_for=platforms
            )
    show(
        format_,
        text=f"{artifacts_text(manifest)}{libraries_text(manifest)}\nnext: pulsecast bench {out} --out RESULT",
        document=_document(manifest),
    )


def _scaler(path: Path) -> Scaler:
    try:
        return strict_json.loads(Scaler, path.read_bytes(), where=path.name)
    except FormatError as error:
        raise UsageError(f"--scaler: {error}") from error


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


def libraries_text(manifest: Manifest) -> str:
    """Return a table of the prebuilt libraries, after an empty line, or nothing where there are none."""
    sizes = {entry.path: entry.size_bytes for entry in manifest.files}
    rows = [
        (
            library.platform,
            library.artifact,
            size_text(sizes[library.path]),
            library.engine or "built, not run",
            "-" if library.max_abs is None else f"{library.max_abs:.1e}",
        )
        for library in manifest.libraries
    ]
    head = ("library for", "artifact", "size", "checked as", "error / range")
    return f"\n\n{table(head, rows)}" if rows else ""


def _document(manifest: Manifest) -> dict[str, Any]:
    return {
        "command": "export",
        "name": manifest.name,
        "artifacts": manifest.artifacts,
        "libraries": manifest.libraries,
    }
