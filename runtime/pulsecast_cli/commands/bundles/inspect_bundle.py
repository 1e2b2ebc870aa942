"""`pulsecast inspect`: what is in a bundle, without any engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Manifest
from pulsecast.bundle.provenance import statement as in_toto
from pulsecast.bundle.signing import Signature
from pulsecast.bundle.tables import ARTIFACTS, artifact_rows
from pulsecast.foundation.tables import size_text, text_table
from pulsecast.model.words import network_words

from ...terminal.output import Format, put_document, show


def inspect(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to look into.")],
    statement: Annotated[
        bool, typer.Option("--statement", help="Print its provenance as an in-toto statement (SLSA), and nothing else.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Print what a bundle holds: the model, its artifacts with measured errors, accuracy, and what made it."""
    opened = Bundle.open(bundle)
    if statement:
        put_document(in_toto(opened.manifest, opened.manifest_bytes()))
        return
    show(
        format_,
        text=_text(opened.manifest, opened.signature),
        document={"command": "inspect", "signature": opened.signature, "manifest": opened.manifest},
    )


def _text(manifest: Manifest, signature: Signature) -> str:
    spec, made = manifest.spec, manifest.provenance
    measured = ", ".join(feature.name for feature in spec.features[: spec.measured])
    calendar = len(spec.features) - spec.measured
    lines = [
        f"{manifest.name}: recipe {manifest.recipe}, bundle format {manifest.format}",
        f"  takes    window float32 (batch, {spec.context}, {len(spec.features)}): {measured}"
        + (f" and {calendar} calendar features" if calendar else ""),
        f"  gives    forecast float32 (batch, {spec.horizon}), one step every {spec.step_s} s, raw units",
        f"  network  {network_words(spec)} over {spec.window} steps, {len(spec.channels)} channels",
        f"  files    {len(manifest.files)}, {size_text(sum(f.size_bytes for f in manifest.files))}, all hashes match",
        f"  signed   {signature}",
        f"  golden   {manifest.golden.windows} windows",
        f"  made on  {made.platform}, seed {made.seed}, {_versions(manifest)}",
        "",
        f"accuracy on {manifest.heldout.windows:,} held-out windows (MAE, RMSE, raw units)",
    ]
    for name, found in manifest.heldout.forecasts.items():
        lines.append(f"  {name.replace('_', ' '):16s}{found.mae:>12,.4g}{found.rmse:>12,.4g}")
    return "\n".join([*lines, "", text_table(ARTIFACTS, artifact_rows(manifest))])


def _versions(manifest: Manifest) -> str:
    shown = ("pulsecast", "tensorflow", "keras", "tf2onnx", "onnxruntime", "ai-edge-litert")
    versions = manifest.provenance.versions
    return ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)
