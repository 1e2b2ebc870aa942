"""`pulsecast inspect`: what is in a bundle, or in one artifact outside a bundle, without any engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.contract import Contract, inputs_of, outputs_of
from pulsecast.bundle.lone_files import is_lone_file, lone_contract
from pulsecast.bundle.manifest import Manifest
from pulsecast.bundle.provenance import statement as in_toto
from pulsecast.bundle.signing import Signature
from pulsecast.bundle.tables import ARTIFACTS, artifact_rows
from pulsecast.errors import UsageError
from pulsecast.foundation.tables import size_text, text_table
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import SERIES, TIME
from pulsecast.model.words import network_words

from ...terminal.output import Format, put_document, show

Shapes = Mapping[str, tuple[int, ...]]  # -1 is any number


def inspect(
    bundle: Annotated[
        Path,
        typer.Argument(
            exists=True, help="Bundle to look into, or a file of one: .onnx, .tflite, model.c, micro_io.h, SavedModel."
        ),
    ],
    statement: Annotated[
        bool, typer.Option("--statement", help="Print its provenance as an in-toto statement (SLSA), and nothing else.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Print what a bundle holds: the model, its artifacts with measured errors, accuracy, and what made it.

    Of one file outside a bundle it prints what the file takes and gives, and which model it is of.
    """
    if is_lone_file(bundle):
        _inspect_file(bundle, format_, statement=statement)
        return
    opened = Bundle.open(bundle)
    if statement:
        put_document(in_toto(opened.manifest, opened.manifest_bytes()))
        return
    show(
        format_,
        text=_text(opened.manifest, opened.signature),
        document={"command": "inspect", "signature": opened.signature, "manifest": opened.manifest},
    )


def _inspect_file(path: Path, format_: Format, *, statement: bool) -> None:
    if statement:
        raise UsageError(f"{path.name} is one file; --statement is for the bundle that it comes from")
    contract = lone_contract(path)
    show(format_, text=_contract_text(contract), document={"command": "inspect", "contract": contract})


def _contract_text(contract: Contract) -> str:
    spec, level, many = contract.spec, contract.level, contract.series is not None
    raw = contract.units == "raw"
    inputs = inputs_of(spec, many=many) if raw else contract.inputs  # in their order
    outputs = outputs_of(spec, bounded=level is not None) if raw else contract.outputs
    lines = [
        f"{contract.name}: artifact {contract.artifact}, {contract.precision}, bundle format {contract.format}",
        *_taken_and_given(spec, inputs, outputs, level, contract.units),
        f"  model    {contract.digest}",
    ]
    if not raw:
        lines.append("  state    its caller scales around it, and resets its variables before every window")
    return "\n".join(lines)


def _taken_and_given(spec: ModelSpec, inputs: Shapes, outputs: Shapes, level: float | None, units: str) -> list[str]:
    """Return the lines that say what an artifact takes and gives, and what stands between."""
    measured = ", ".join(feature.name for feature in spec.features[: spec.measured])
    calendar = len(spec.features) - spec.measured
    taken = (f"{name} {_dtype(name)} {_shape(shape)}" for name, shape in inputs.items())
    bounds = "" if level is None else f"; bounds of {100 * level:g} %"
    given = f"{', '.join(outputs)} float32 {_shape(next(iter(outputs.values())))}"
    return [
        f"  takes    {', '.join(taken)}, {units} units",
        f"  gives    {given}, {units} units, one step every {spec.step_s} s{bounds}",
        f"  columns  {measured}" + (f", and {calendar} that follow from the time" if calendar else ""),
        f"  network  {network_words(spec)} over {spec.window} steps, {len(spec.channels)} channels",
    ]


def _dtype(name: str) -> str:
    return "int64" if name in (TIME, SERIES) else "float32"


def _shape(shape: tuple[int, ...]) -> str:
    sizes = ["batch" if size == -1 else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _text(manifest: Manifest, signature: Signature) -> str:
    spec, made = manifest.spec, manifest.provenance
    inputs, outputs = inputs_of(spec), outputs_of(spec, bounded=manifest.level is not None)
    if manifest.format == 1:
        inputs = {"window": (-1, spec.context, len(spec.features))}
    lines = [
        f"{manifest.name}: recipe {manifest.recipe}, bundle format {manifest.format}",
        *_taken_and_given(spec, inputs, outputs, manifest.level, "raw"),
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
