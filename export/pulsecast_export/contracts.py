"""The contract that stands inside each exported file, and how it gets there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pulsecast.bundle.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    Contract,
    contract_text,
    inputs_of,
    model_digest,
    outputs_of,
)
from pulsecast.bundle.manifest import FORMAT
from pulsecast.stages.model_directory import ModelDirectory

from .targets import TARGETS, Family


def contract_of(model: ModelDirectory, target_id: str) -> Contract:
    """Return the contract of one artifact of `model`."""
    record, target = model.record, TARGETS[target_id]
    spec, bounded = record.spec, record.intervals is not None and target.units == "raw"
    if target.units == "raw":
        inputs, outputs = inputs_of(spec), outputs_of(spec, bounded=bounded)
    else:
        inputs, outputs = {"channels": (1, spec.window, len(spec.channels))}, {"output": (1, spec.horizon)}
    return Contract(
        format=FORMAT,
        name=record.name,
        artifact=target_id,
        precision=target.precision,
        units=target.units,
        digest=model_digest(spec, record.scaler, model.weights),
        inputs=inputs,
        outputs=outputs,
        context=spec.context,
        step_s=spec.step_s,
        level=record.intervals.default_level if record.intervals and bounded else None,
        series=None,
        spec=spec,
    )


def write_contract(model: ModelDirectory, target_id: str, path: Path) -> None:
    """Put the contract into the artifact at `path`; a native one has it from its writer."""
    writer = _WRITERS.get(TARGETS[target_id].family)
    if writer is not None:
        writer(path, contract_text(contract_of(model, target_id)))


def _into_onnx(path: Path, text: str) -> None:
    import onnx

    found = onnx.load(path)
    del found.metadata_props[:]
    onnx.helper.set_model_props(found, {CONTRACT_KEY: text})
    path.write_bytes(found.SerializeToString(deterministic=True))


def _into_tflite(path: Path, text: str) -> None:
    from .graphs.tflite_file import write_contract as write

    write(path, text)


def _into_savedmodel(path: Path, text: str) -> None:
    (path / CONTRACT_FILE).write_text(text + "\n", encoding="ascii")


_WRITERS: dict[Family, Callable[[Path, str], None]] = {
    "savedmodel": _into_savedmodel,
    "onnx": _into_onnx,
    "tflite": _into_tflite,
    "tflite-int8": _into_tflite,
}
