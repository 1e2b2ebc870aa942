"""The contract of a model as one line of JSON: `model_info()` in C, and a comment at the top of model.c."""

from __future__ import annotations

import json

from pulsecast.model.spec import FORECAST, LOWER, TIME, UPPER, VALUES
from pulsecast.stages.model_directory import ModelRecord

# The seam: once `pulsecast.bundle.contract` has `contract_text`, it stands in the place of this module.


def contract_text(record: ModelRecord) -> str:
    """Return what the artifact takes and gives, as JSON in ASCII without a line break."""
    spec, intervals = record.spec, record.intervals
    contract = {
        "format": record.format,
        "name": record.name,
        "inputs": [VALUES, *((TIME,) if spec.timed else ())],
        "outputs": [FORECAST, *((LOWER, UPPER) if intervals else ())],
        "context": spec.context,
        "measured": [feature.name for feature in spec.features[: spec.measured]],
        "horizon": spec.horizon,
        "step_s": spec.step_s,
        "level": intervals.default_level if intervals else None,
    }
    return json.dumps(contract)
