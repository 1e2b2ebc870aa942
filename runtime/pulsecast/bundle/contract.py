"""What a lone file says about itself: the contract of one artifact, which also stands inside it.

ONNX files have it in `metadata_props`, TFLite files in a metadata buffer, a SavedModel in `assets.extra`, C in a
comment and behind `model_info`. It is one line of ASCII JSON. A bundle's manifest says the same and more; a reader of a
bundle goes by the manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass
from ..model.scaler import Scaler
from ..model.series import SeriesNames, SeriesTable, table_arrays, write_names
from ..model.spec import ModelSpec
from ..model.windows import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES
from .manifest import check_printable, shown_of_spec

if TYPE_CHECKING:
    from ..model.weights import Weights

CONTRACT_KEY = "pulsecast"  # of the text in ONNX and TFLite metadata
CONTRACT_FILE = "assets.extra/pulsecast.json"  # in a SavedModel
_SHA256 = re.compile(r"[0-9a-f]{64}")


MOST_NAMES = 64  # that stand in a contract


@dataclass(frozen=True, kw_only=True)
class SeriesContract:
    """The series table of an artifact.

    rows          of the table; row 0 is the pool
    names_sha256  SHA-256 of the bundle's `series.txt`: the names from row 1 on, one a line
    names         the names themselves if there are few, else none
    """

    rows: int
    names_sha256: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows < 2 or not _SHA256.fullmatch(self.names_sha256):
            raise ValueError("rows or names_sha256 of series are malformed")
        if self.names and (self.rows, self.names_sha256) != _rows_and_hash(SeriesNames(names=self.names)):
            raise ValueError("names of series are not those of rows and names_sha256")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What an artifact takes and gives, and which model it is of.

    artifact  its id in the bundle, such as `onnx-w8`
    units     `raw`, or `scaled` for the file of full integers: `pulsecast.bundle.manifest.Artifact`
    digest    of spec, scaler and weights: two files with the same one are forms of the same model
    inputs    name -> shape; -1 is any number
    level     coverage of `lower` and `upper`, None without them
    """

    format: Literal[2]
    name: str
    artifact: str
    precision: str
    units: Literal["raw", "scaled"]
    digest: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    context: int
    step_s: int
    level: float | None
    series: SeriesContract | None
    spec: ModelSpec

    def __post_init__(self) -> None:
        spec = self.spec
        problems = []
        if (self.context, self.step_s) != (spec.context, spec.step_s):
            problems.append(f"context and step_s are {self.context} and {self.step_s}; spec says otherwise")
        if self.units == "raw" and self.inputs != inputs_of(spec, many=self.series is not None):
            problems.append("inputs are not those of spec")
        if self.units == "raw" and self.outputs != outputs_of(spec, bounded=self.level is not None):
            problems.append("outputs are not those of spec and level")
        if not self.inputs or not self.outputs:
            problems.append("inputs or outputs are empty")
        if self.level is not None and not 0 < self.level < 1:
            problems.append(f"level is {self.level}; expected a number between 0 and 1")
        if not _SHA256.fullmatch(self.digest):
            problems.append("digest is malformed")
        shown = (self.name, self.artifact, self.precision, *self.inputs, *self.outputs, *shown_of_spec(spec))
        problems += check_printable(shown)
        if problems:
            raise ValueError("; ".join(problems))


def inputs_of(spec: ModelSpec, *, many: bool = False) -> dict[str, tuple[int, ...]]:
    """Return the inputs of an artifact of raw units: name -> shape, -1 for the batch."""
    found: dict[str, tuple[int, ...]] = {VALUES: (-1, spec.context, spec.measured)}
    return found | ({TIME: (-1,)} if spec.timed else {}) | ({SERIES: (-1,)} if many else {})


def outputs_of(spec: ModelSpec, *, bounded: bool) -> dict[str, tuple[int, ...]]:
    """Return the outputs of an artifact of raw units: name -> shape."""
    return dict.fromkeys((FORECAST, LOWER, UPPER) if bounded else (FORECAST,), (-1, spec.horizon))


def contract_text(contract: Contract, *, brief: bool = False) -> str:
    """Return the contract as one line of ASCII JSON; the same contract gives the same text.

    brief  without the spec, for a library that is small
    """
    facts = strict_json.to_json(contract)
    facts = {key: value for key, value in facts.items() if key != "spec"} if brief else facts
    return json.dumps(facts, allow_nan=False, sort_keys=True, separators=(",", ":"))


def read_contract(text: bytes, *, where: str) -> Contract:
    """Return the contract in `text`; raises FormatError, naming `where`."""
    return strict_json.loads(Contract, text, where=where)


def series_contract(names: SeriesNames) -> SeriesContract:
    """Return what a contract says about a table of `names`."""
    rows, names_sha256 = _rows_and_hash(names)
    shown = names.names if len(names) <= MOST_NAMES else ()
    return SeriesContract(rows=rows, names_sha256=names_sha256, names=shown)


def _rows_and_hash(names: SeriesNames) -> tuple[int, str]:
    return len(names) + 1, hashlib.sha256(write_names(names)).hexdigest()


def model_digest(spec: ModelSpec, scaler: Scaler, weights: Weights, table: SeriesTable | None = None) -> str:
    """Return the SHA-256 of all that a forecast depends on: spec, scaler, weights, and the table of series if any."""
    described = json.dumps([strict_json.to_json(spec), strict_json.to_json(scaler)], sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(described.encode("ascii"))
    for name, array in sorted(weights.arrays(spec.network).items()):
        digest.update(f"{name}{array.shape}".encode("ascii"))
        digest.update(array.astype("<f4").tobytes())
    if table is not None:
        digest.update(write_names(table.names))
        for name, column in sorted(table_arrays(table).items()):
            digest.update(f"{name}{column.shape}".encode("ascii"))
            digest.update(column.tobytes())
    return digest.hexdigest()
