"""`pulsecast export`: a model directory to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.bundle.folder import BUNDLE_FOLDER

from ...terminal.dry_run import DryRun, show_fate
from ...terminal.output import Format, progress, show


def export(
    model: Annotated[
        Path, typer.Argument(exists=True, help="Model directory of `pulsecast train`, or your own .keras or .h5 file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write.")],
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Target id, repeatable; all but native and native-w8 by default."),
    ] = None,
    which: Annotated[
        str, typer.Option("--model", help="Of a model directory: whole, or ridge for its linear path alone.")
    ] = "whole",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing bundle, once the new one is verified.")
    ] = False,
    dry_run: DryRun = False,
    native_for: Annotated[
        str | None,
        typer.Option("--native-for", help="Platforms for libraries of the native targets, e.g. aarch64-linux,…"),
    ] = None,
    heldout: Annotated[
        Path | None,
        typer.Option("--heldout", exists=True, dir_okay=False, help="Keras file: .npz with windows and truth."),
    ] = None,
    step_s: Annotated[int, typer.Option("--step-s", min=1, help="Keras file: seconds between two steps.")] = 3600,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Keras file: name of an input column, repeatable, in order.")
    ] = None,
    scaler: Annotated[
        Path | None,
        typer.Option("--scaler", exists=True, dir_okay=False, help="Keras file: scaler as JSON, as in a manifest."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="Keras file: the output that is the forecast, of a model with several."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Convert a model to every target and verify each one; the bundle appears whole or not at all."""
    from pulsecast_export import export as run

    if dry_run:
        show_fate(out, BUNDLE_FOLDER, force=force, command="export", format_=format_)
        return
    with progress() as heard:
        found = run(
            model,
            out=out,
            targets=target or (),
            native_for=[name.strip() for name in native_for.split(",")] if native_for else (),
            heldout=heldout,
            step_s=step_s,
            features=feature or (),
            scaler=scaler,
            which=which,
            output=output,
            force=force,
            progress=heard,
        )
    manifest = found.manifest
    document = {
        "command": "export",
        "name": manifest.name,
        "artifacts": manifest.artifacts,
        "libraries": manifest.libraries,
        "heldout": manifest.heldout,
        "remarks": found.remarks,
    }
    show(format_, text=f"{found!r}\nnext: pulsecast bench {out} --out RESULT", document=document)
