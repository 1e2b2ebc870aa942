"""What can be exported: one literal table, a row per target. A new target is a row and a writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pulsecast.bundle.manifest import BackendId, Precision, Tolerance
from pulsecast.errors import UsageError
from pulsecast.model.spec import ModelSpec
from pulsecast.model.words import network_words

Family = Literal["savedmodel", "onnx", "tflite", "tflite-int8", "native"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A row of TARGETS.

    path      in the bundle: a file, or a folder (SavedModel, native)
    beside    further files that its writer writes, and that are nowhere without it
    family    targets of one family are written by one child process, in the table's order
    writer    `module:function` of this package, called with (model directory, path to write, path of its source)
    graph_writer  the same for a layer graph; None if the target does not exist for one
    source    the target that it is made from, or None for the weights
    plain_only  whether it exists for the plain LSTM stack only
    layered   whether it exists for models with recurrent layers only: its file holds these
    alone     whether it exists for models of one series only: what it writes beside the network scales by one scaler
    level     tolerance for a network that forecasts a scaled level (`textbook`), in fractions of the range
    asked     only exported if it is named: its speed is measured on x86-64, not yet on other processors
    change    the same when it forecasts a change on a log scale (`recommended`): undoing the logarithm multiplies an
              error by the value itself, and series with bursts have forecasts far above the usual
    """

    path: str
    backend: BackendId
    family: Family
    writer: str
    graph_writer: str | None = None
    source: str | None
    precision: Precision
    units: Literal["raw", "scaled"] = "raw"
    max_batch: int | None = None
    beside: tuple[str, ...] = ()
    asked: bool = False
    plain_only: bool = False
    layered: bool = False
    alone: bool = False
    level: Tolerance
    change: Tolerance


REFERENCE = "numpy"  # the artifact that runs from the bundle's weights
FLOAT32 = Tolerance(max_abs=2e-6, accuracy_change=0.01)
FLOAT32_CHANGE = Tolerance(max_abs=1e-5, accuracy_change=0.01)
FLOAT16 = Tolerance(max_abs=5e-4, accuracy_change=0.01)
FLOAT16_CHANGE = Tolerance(max_abs=2e-3, accuracy_change=0.01)
WEIGHTS8 = Tolerance(max_abs=3e-3, accuracy_change=0.01)
WEIGHTS8_CHANGE = Tolerance(max_abs=2e-2, accuracy_change=0.01)
INT8 = Tolerance(max_abs=2e-2, accuracy_change=0.01)
INT8_CHANGE = Tolerance(max_abs=1e-1, accuracy_change=0.01)

TARGETS = {
    "savedmodel": Target(
        path="savedmodel/1",
        backend="savedmodel",
        family="savedmodel",
        writer="graphs.savedmodel:write_savedmodel",
        graph_writer="layer_graphs.writers:write_savedmodel",
        source=None,
        precision="float32",
        level=FLOAT32,
        change=FLOAT32_CHANGE,
    ),
    "onnx": Target(
        path="onnx/model.onnx",
        backend="onnx",
        family="onnx",
        writer="graphs.onnx_writer:write_onnx",
        graph_writer="layer_graphs.writers:write_onnx",
        source=None,
        precision="float32",
        level=FLOAT32,
        change=FLOAT32_CHANGE,
    ),
    "onnx-w8": Target(
        path="onnx/model.w8.onnx",
        backend="onnx",
        family="onnx",
        writer="graphs.onnx_writer:write_onnx_w8",
        graph_writer="graphs.onnx_writer:write_onnx_w8",
        source="onnx",
        precision="int8 weights",
        level=WEIGHTS8,
        change=WEIGHTS8_CHANGE,
    ),
    "tflite": Target(
        path="tflite/model.tflite",
        backend="tflite",
        family="tflite",
        writer="graphs.tflite_writer:write_tflite",
        graph_writer="layer_graphs.writers:write_tflite",
        source=None,
        precision="float32",
        level=FLOAT32,
        change=FLOAT32_CHANGE,
    ),
    "tflite-fp16": Target(
        path="tflite/model.fp16.tflite",
        backend="tflite",
        family="tflite",
        writer="graphs.tflite_writer:write_tflite_fp16",
        graph_writer="layer_graphs.writers:write_tflite_fp16",
        source="tflite",
        precision="float16 weights",
        level=FLOAT16,
        change=FLOAT16_CHANGE,
    ),
    "tflite-w8": Target(
        path="tflite/model.w8.tflite",
        backend="tflite",
        family="tflite",
        writer="graphs.tflite_writer:write_tflite_w8",
        graph_writer="layer_graphs.writers:write_tflite_w8",
        source="tflite",
        precision="int8 weights",
        level=WEIGHTS8,
        change=WEIGHTS8_CHANGE,
    ),
    "tflite-int8": Target(
        path="tflite/model.int8.tflite",
        backend="tflite",
        family="tflite-int8",
        writer="graphs.int8_writer:write_tflite_int8",
        source=None,
        precision="int8",
        units="scaled",
        max_batch=1,
        beside=("tflite/micro_io.h", "tflite/micro_io.c"),
        plain_only=True,
        layered=True,
        alone=True,
        level=INT8,
        change=INT8_CHANGE,
    ),
    "native": Target(
        path="native",
        backend="native",
        family="native",
        writer="native.writer:write_native",
        source=None,
        asked=True,
        precision="float32",
        level=FLOAT32,
        change=FLOAT32_CHANGE,
    ),
    "native-w8": Target(
        path="native-w8",
        backend="native",
        family="native",
        writer="native.writer:write_native_w8",
        source=None,
        layered=True,
        asked=True,
        precision="int8 weights",
        level=WEIGHTS8,
        change=WEIGHTS8_CHANGE,
    ),
}


def find_targets(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the requested ids in the table's order; without `names`, all that need not be named.

    Raises UsageError that lists the known ones.
    """
    if REFERENCE in names:
        raise UsageError(f"{REFERENCE} is in every bundle and is not a target; known: {', '.join(TARGETS)}")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        raise UsageError(f"no target {', '.join(map(repr, unknown))}; known: {', '.join(TARGETS)}")
    return tuple(name for name, target in TARGETS.items() if (name in names if names else not target.asked))


def fitting(
    names: tuple[str, ...], chosen: tuple[str, ...], spec: ModelSpec, *, many: bool
) -> tuple[tuple[str, ...], list[str]]:
    """Return the targets in `chosen` that exist for a model, and in words why the others do not.

    many  whether the model is of several series

    Raises UsageError if one of `names` does not exist for it.
    """
    beyond = [name for name in chosen if not _exists(TARGETS[name], spec)]
    bare = [name for name in chosen if TARGETS[name].layered and not spec.layered]
    several = [name for name in chosen if many and TARGETS[name].alone and name not in (*beyond, *bare)]
    reasons = []
    if beyond:
        reasons.append(
            f"{', '.join(beyond)} exists for a plain stack of LSTM layers with a linear dense head only; this model "
            f"has other layers or activations ({network_words(spec)})"
        )
    if bare:
        reasons.append(
            f"{', '.join(bare)} exists for a model with recurrent layers only; this one is a linear path alone: take "
            "native, which runs on the same devices"
        )
    if several:
        reasons.append(
            f"{', '.join(several)} exists for a model of one series only; this one has a table of several: train the "
            "series that the device serves alone"
        )
    missing = (*beyond, *bare, *several)
    if set(missing) & set(names):
        raise UsageError(f"target {'; '.join(reasons)}")
    return tuple(name for name in chosen if name not in missing), reasons


def _exists(target: Target, spec: ModelSpec) -> bool:
    if spec.graph is not None:
        return target.graph_writer is not None
    return spec.is_plain or not (target.plain_only or (target.family == "native" and spec.linear is not None))


def tolerance(target: Target, spec: ModelSpec, *, imported: bool = False) -> Tolerance:
    """Return the tolerance of `target` for a model of this spec.

    Imported models and networks beyond the plain stack have the wider set: relu keeps rounding errors that tanh would
    damp, and small ones lose more by 8-bit weights (9.5e-3 of the range measured on one of three layers).
    """
    wide = imported or spec.target != "level" or not spec.is_plain
    return target.change if wide else target.level
