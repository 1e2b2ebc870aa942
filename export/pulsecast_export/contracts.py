"""The contract of each artifact of a model."""

from __future__ import annotations

from pulsecast.bundle.contract import Contract, inputs_of, model_digest, outputs_of, series_contract
from pulsecast.bundle.manifest import FORMAT
from pulsecast.stages.model_directory import ModelDirectory

from .targets import TARGETS


def contract_of(model: ModelDirectory, target_id: str) -> Contract:
    """Return the contract of one artifact of `model`."""
    record, target = model.record, TARGETS[target_id]
    spec, bounded = record.spec, record.intervals is not None and target.units == "raw"
    if target.units == "raw":
        inputs, outputs = inputs_of(spec, many=model.table is not None), outputs_of(spec, bounded=bounded)
    else:
        inputs, outputs = {"channels": (1, spec.window, len(spec.channels))}, {"output": (1, spec.horizon)}
    return Contract(
        format=FORMAT,
        name=record.name,
        artifact=target_id,
        precision=target.precision,
        units=target.units,
        digest=model_digest(spec, record.scaler, model.weights, model.table),
        inputs=inputs,
        outputs=outputs,
        context=spec.context,
        step_s=spec.step_s,
        level=record.intervals.default_level if record.intervals and bounded else None,
        series=None if model.table is None else series_contract(model.table.names),
        spec=spec,
    )
