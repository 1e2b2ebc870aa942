"""`pulsecast inspect`: what is in a bundle, or in one artifact outside a bundle, without any engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.contract import Contract, SeriesContract, inputs_of, outputs_of
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pulsecast.model.series import SeriesTable

SHOWN_NAMES = 10
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
    table = opened.series
    document = {"command": "inspect", "signature": opened.signature, "manifest": opened.manifest}
    show(
        format_,
        text=_text(opened.manifest, opened.signature, table),
        document=document | ({} if table is None else {"series": _series_document(table)}),
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
    if contract.series is not None:
        lines.append(_series_contract_text(contract.series))
    if not raw:
        lines.append("  state    its caller scales around it, and resets its variables before every window")
    return "\n".join(lines)


def _taken_and_given(spec: ModelSpec, inputs: Shapes, outputs: Shapes, level: float | None, units: str) -> list[str]:
    """Return the lines that say what an artifact takes and gives, and what stands between."""
    measured = ", ".join(spec.measured_names)
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


def _series_contract_text(series: SeriesContract) -> str:
    rows = f"  series   {series.rows - 1:,}, rows 1 to {series.rows - 1}, and row 0 for one that training never saw"
    names = _shown(series.names) if series.names else f"names in the bundle's file of sha256 {series.names_sha256}"
    return f"{rows}: {names}"


def _shown(names: Sequence[str]) -> str:
    left = len(names) - SHOWN_NAMES
    return ", ".join([*names[:SHOWN_NAMES], *([f"and {left:,} more (--format json has all)"] if left > 0 else [])])


def _series_text(table: SeriesTable) -> list[str]:
    """Return the first names, and a table of how the series' scales differ; nothing for none."""
    head = ("scale of the series", "least", "median", "largest")
    rows = [(name, *(f"{value:,.6g}" for value in values.values())) for name, values in _scales(table).items()]
    return ["", f"{len(table.names):,} series, and the pool: {_shown(table.names.names)}", text_table(head, rows)]


def _scales(table: SeriesTable) -> dict[str, dict[str, float]]:
    """Return least, median and largest value over the series, without the pool, of what scales their forecasts."""
    of = "log1p of the forecast column"
    return {
        f"mean of {of}": _range(table.offset[1:, 0]),
        f"standard deviation of {of}": _range(table.scale[1:, 0]),
        "range of the forecast column": _range(table.unit[1:]),
    }


def _range(values: NDArray[np.floating]) -> dict[str, float]:
    import numpy as np

    return {"least": float(values.min()), "median": float(np.median(values)), "largest": float(values.max())}


def _series_document(table: SeriesTable) -> dict[str, object]:
    keys = ("offset", "scale", "unit")
    return {"names": table.names.names, **dict(zip(keys, _scales(table).values(), strict=True))}


def _text(manifest: Manifest, signature: Signature, table: SeriesTable | None = None) -> str:
    spec, made = manifest.spec, manifest.provenance
    inputs, outputs = inputs_of(spec, many=table is not None), outputs_of(spec, bounded=manifest.level is not None)
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
    lines += _interval_lines(manifest, many=table is not None)
    lines += [] if table is None else _series_text(table)
    return "\n".join([*lines, "", text_table(ARTIFACTS, artifact_rows(manifest))])


def _interval_lines(manifest: Manifest, *, many: bool) -> list[str]:
    """Return how wide the intervals are, at the first and the last step ahead."""
    split = manifest.intervals
    if split is None:
        return ["", "intervals: none; train and export the model again for some"]
    of = "of all series together; each has its own" if many else f"from {split.windows:,} held-out windows"
    lines = ["", f"intervals, {of}"]
    for level, radii in zip(split.levels, split.radii, strict=True):
        ends = dict.fromkeys((0, len(radii) - 1))
        said = [f"{_reach(radii[at], split.scale)} at step {at + 1}" for at in ends]
        lines.append(f"  {100 * level:>5g} %  {', '.join(said)}")
    return lines


def _reach(radius: float, scale: str) -> str:
    """Return a radius in words; on the scale log1p it is a factor of a value plus 1."""
    return f"within a factor of {math.exp(radius):.3g}" if scale == "log1p" else f"within {radius:,.4g}"


def _versions(manifest: Manifest) -> str:
    shown = ("pulsecast", "tensorflow", "keras", "tf2onnx", "onnxruntime", "ai-edge-litert")
    versions = manifest.provenance.versions
    return ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)
