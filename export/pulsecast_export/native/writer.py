"""Writer of the native targets: the model as C, from the templates in `native/` and the model's numbers.

model.c.in    the data, the instruction sets and the interface
kernels/      the network's arithmetic over a vector type, in the order of KERNELS; becomes the second part of model.c
model.h.in    the interface, documented
example.c     a program that forecasts a CSV, and Makefile, which builds it; the same for all models

The templates hold the text that is the same for all models; this module only fills in numbers.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.computing import reference
from pulsecast.model.spec import Feature, Holidays, ModelSpec
from pulsecast.model.weights import CellWeights, Weights
from pulsecast.stages.model_directory import ModelDirectory

from ..quantisation import quantise_rows
from ..targets import TARGETS, tolerance

SOURCE, HEADER = "model.c", "model.h"
AS_THEY_ARE = ("example.c", "Makefile")
KERNELS = ("arithmetic", "sums", "window", "block", "stream")
GOLDEN_WINDOWS = 1  # more would make a library of the usual size exceed its limit
TRIPLE = 3  # inputs of one sum by pairs, as in kernels/sums.c.in
# Largest sum of |w0 w1| over a column's pairs for which pairs are summed. Trained models have 1.4 to 2.2; with 3 the
# error of a forecast is 1.3 times that of single products, with 6 it is 1.7 times, with 50 2.4 times, with 190 7 times.
MOST_PAIRED = 4.0
# Allowed error of a self-test with 8-bit weights, in multiples of float32's: sums by integers round a layer's output to
# 16 bits. The largest error of seven trained models was 4.9e-5 of the range, the usual one 1e-6 to 1e-5.
STATE_ROUNDING = 100
LANE_PADDING = 16  # floats of the widest vector that the kernels use
PHASE_PADDING = 32  # windows in the largest block of the kernels
# sigmoid(x) = 1 / (1 + 2^z) with z = -x / ln 2, tanh(x) = (1 - 2^z) / (1 + 2^z) with z = -2 x / ln 2
_SIGMOID, _TANH = -1 / np.log(2), -2 / np.log(2)
Number = TypeVar("Number", np.float32, np.int8)
_GATE_FACTORS = (_SIGMOID, _SIGMOID, _TANH, _SIGMOID)  # of i, f, c, o


@dataclass(frozen=True, kw_only=True)
class PackedLayer:
    """A layer as the kernels read it.

    kernel     (inputs, columns) float32 or int8
    recurrent  (units, columns) likewise
    bias       (columns,), with 8-bit weights followed by the ratio of the kernel's scale to the recurrent weights' one
    scale      (columns,) of the recurrent weights, or None for float32
    """

    inputs: int
    units: int
    columns: int
    kernel: NDArray[np.float32] | NDArray[np.int8]
    recurrent: NDArray[np.float32] | NDArray[np.int8]
    bias: NDArray[np.float32]
    scale: NDArray[np.float32] | None = None


def write_native(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Write `model.c` and `model.h`, float32, with example and Makefile, into the target's folder."""
    del source
    _write(model, path, "native")


def write_native_w8(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Write `model.c` and `model.h` with 8-bit weights, one scale a column.

    Biases, head and gates are float32; sums are float32, or integers where that is faster.
    """
    del source
    _write(model, path, "native-w8")


def _write(model: ModelDirectory, folder: Path, target_id: str) -> None:
    folder.mkdir(parents=True)
    for name, text in sources(model, target_id).items():
        (folder / name).write_text(text, encoding="ascii", newline="\n")
    for name in AS_THEY_ARE:
        (folder / name).write_bytes(files(__package__).joinpath("templates", name).read_bytes())


def sources(model: ModelDirectory, target_id: str) -> dict[str, str]:
    """Return the texts of model.c and model.h; the same model gives the same texts."""
    target = TARGETS[target_id]
    spec = model.record.spec
    eight_bits = target.precision == "int8 weights"
    layers = [(for_kernels8 if eight_bits else for_kernels)(layer) for layer in model.weights.layers]
    rounding = tolerance(TARGETS["native"], spec).max_abs * (STATE_ROUNDING if eight_bits else 1)
    values = _dimensions(spec, layers) | {
        "NAME": plain(model.record.name),
        "PRECISION": target.precision,
        "FEATURE_LINES": _feature_lines(spec),
        "HOLIDAYS": _holidays(spec),
        "TOLERANCE": repr(rounding * model.record.scaler.range),
        "SCALES": ", ".join(
            f"{{{int(s.transform == 'log1p')}, {_float(s.offset)}, {_float(s.scale)}}}"
            for s in model.record.scaler.features
        ),
        "CHANNEL_ROWS": ", ".join(f"{{{c.feature}, {c.lag}}}" for c in spec.channels),
        "WEIGHTS8": str(int(eight_bits)),
        "STATE_SCALE": _float(state_scale(layers) if eight_bits else 1.0),
        "SMALL_WEIGHTS": str(int(not eight_bits and are_small(layers))),
        "WEIGHTS": _weights(model, layers, dequantised(model.weights) if eight_bits else model.weights),
    }
    values["KERNELS"] = "\n".join(filled(f"kernels/{part}.c.in", values) for part in KERNELS)
    return {SOURCE: filled("model.c.in", values), HEADER: filled("model.h.in", values)}


def for_kernels(layer: CellWeights) -> PackedLayer:
    """Return `layer` multiplied by its gates' factors (in float64)."""
    factors = np.repeat(_GATE_FACTORS, layer.units)  # (4*units,)
    kernel, recurrent, bias = (
        _wide((matrix.astype(np.float64) * factors).astype(np.float32))
        for matrix in (layer.kernel, layer.recurrent, layer.bias)
    )
    return PackedLayer(
        inputs=len(layer.kernel),
        units=layer.units,
        columns=len(bias),
        kernel=kernel,
        recurrent=recurrent,
        bias=bias,
    )


def are_small(layers: Sequence[PackedLayer]) -> bool:
    """Return whether sums by pairs are accurate enough: no column's |w0 w1| add up to more than MOST_PAIRED."""
    products = (np.abs(_pair_products(matrix)) for matrix in _between_units(layers))  # (triples, columns) each
    return all(product.sum(axis=0).max(initial=0.0) <= MOST_PAIRED for product in products)


def _between_units(layers: Sequence[PackedLayer]) -> list[NDArray[np.float32] | NDArray[np.int8]]:
    """Return the matrices (inputs, columns) with outputs of a layer as inputs: all except the first layer's kernel."""
    return [layer.recurrent for layer in layers] + [layer.kernel for layer in layers[1:]]


def _pair_products(matrix: NDArray[np.float32] | NDArray[np.int8]) -> NDArray[np.float64]:
    """Return w0 w1 of every triple of inputs, (triples, columns)."""
    columns = matrix.shape[-1]
    triples = matrix[: len(matrix) // TRIPLE * TRIPLE].astype(np.float64).reshape(-1, TRIPLE, columns)
    return np.asarray(triples[:, 0] * triples[:, 1])


def paired_bias(layer: PackedLayer, *, kernel_too: bool) -> NDArray[np.float32]:
    """Return the bias (columns,) minus the surplus of sums by pairs in every window: w0 w1 of all triples of inputs.

    The kernel of a first layer is never summed by pairs. The sums are made in float64.
    """
    matrices = [layer.recurrent, layer.kernel] if kernel_too else [layer.recurrent]
    total = layer.bias.astype(np.float64)
    for matrix in matrices:
        total = total - _pair_products(matrix).sum(axis=0)
    return np.asarray(total.astype(np.float32))


def for_kernels8(layer: CellWeights) -> PackedLayer:
    """Return `layer` with int8 weights, quantised as in the other 8-bit targets: one scale for each column."""
    factors = np.repeat(_GATE_FACTORS, layer.units)  # (4*units,)
    kernel, kernel_scale = quantise_rows(layer.kernel, axis=0)
    recurrent, scale = quantise_rows(layer.recurrent, axis=0)
    bias, ratio = layer.bias / scale[0].astype(np.float64), kernel_scale[0] / scale[0].astype(np.float64)
    return PackedLayer(
        inputs=len(kernel),
        units=layer.units,
        columns=padded(4 * layer.units),
        kernel=_wide(kernel),
        recurrent=_wide(recurrent),
        bias=np.concatenate([_wide(bias.astype(np.float32)), _wide(ratio.astype(np.float32))]),
        scale=_wide((scale[0] * factors).astype(np.float32)),
    )


def state_scale(layers: Sequence[PackedLayer]) -> float:
    """Return the integer for an output of 1 in sums by integers: 32767, or less if a column could overflow 32 bits."""
    largest = max(int(np.abs(matrix.astype(np.int64)).sum(axis=0).max()) for matrix in _between_units(layers))
    return float(min(2**15 - 1, (2**31 - 1) // max(largest, 1)))


def _wide(matrix: NDArray[Number]) -> NDArray[Number]:
    """Return `matrix` with zeros after its last columns."""
    columns = matrix.shape[-1]
    wide = np.zeros((*matrix.shape[:-1], padded(columns)), matrix.dtype)
    wide[..., :columns] = matrix
    return wide


def padded(count: int, to: int = LANE_PADDING) -> int:
    """Return `count` rounded up to a multiple of `to`."""
    return -(-count // to) * to


def filled(template: str, values: dict[str, str]) -> str:
    """Return the text of `native/<template>` with every `@NAME@` replaced; an unknown name is a KeyError."""
    text = files(__package__).joinpath("templates", template).read_text(encoding="ascii")
    return re.sub(r"@([A-Z_0-9]+)@", lambda match: values[match.group(1)], text)


def plain(text: str) -> str:
    """Return `text` fit for a C string and a C comment."""
    return re.sub(r"[^\w .,()+-]", "_", text, flags=re.ASCII)


def _dimensions(spec: ModelSpec, layers: list[PackedLayer]) -> dict[str, str]:
    offsets = np.cumsum([0, *(padded(layer.units) for layer in layers)])
    shapes = list(dict.fromkeys((layer.units, layer.columns) for layer in layers))
    rows = [
        f"CASE({n}, {shapes.index((x.units, x.columns))}, {x.inputs}, {x.units}, {x.columns}, {offsets[n]})"
        for n, x in enumerate(layers)
    ]
    numbers = {
        "CONTEXT": spec.context,
        "FEATURES": len(spec.features),
        "HORIZON": spec.horizon,
        "WINDOW": spec.window,
        "LAG": spec.context - spec.window,
        "STEP_S": spec.step_s,
        "STATE_UNITS": offsets[-1],
        "PHASES": padded(-(-spec.window // 2), PHASE_PADDING),
        "CHANNELS": len(spec.channels),
        "LAGGED": 1 + max((c.feature for c in spec.channels if c.lag), default=-1),
        "LAYERS": len(layers),
        "LAST_UNITS": layers[-1].units,
        "LAST_OFFSET": offsets[-2],
        "MOST_UNITS": max(padded(layer.units) for layer in layers),
        "MOST_COLUMNS": max(layer.columns for layer in layers),
        "LEAST_COLUMNS": min(layer.columns for layer in layers),
        "FIRST_COLUMNS": layers[0].columns,
        "CHANGE": int(spec.target == "change"),
        "HAS_FLOOR": int(spec.floor is not None),
    }
    texts = {name: str(number) for name, number in numbers.items()}
    return texts | {
        "FLOOR": _float(spec.floor or 0.0),
        "EACH_SHAPE": " ".join(f"SHAPE({n}, {units}, {columns})" for n, (units, columns) in enumerate(shapes)),
        "EACH_LAYER": " ".join(rows),
    }


def _feature_lines(spec: ModelSpec) -> str:
    lines = [f" *     {i}  {_feature_line(feature)}" for i, feature in enumerate(spec.features)]
    if spec.measured < len(spec.features):
        lines += [
            " *",
            " * with t = unix seconds of the step (UTC) + steps ahead * MODEL_STEP_SECONDS; sin and cos are those of",
            " * 2 pi (t mod period) / period, weekend is 1 if floor(t / 86400 + 3) mod 7 is 5 or 6, else 0.",
        ]
    if _with_holidays(spec):
        lines.append(" * holiday is the part of [t, t + MODEL_STEP_SECONDS) in the spans of MODEL_HOLIDAYS_<column>.")
    return "\n".join(lines)


def _with_holidays(spec: ModelSpec) -> dict[int, Holidays]:
    return {i: f.calendar.holidays for i, f in enumerate(spec.features) if f.calendar and f.calendar.holidays}


def _holidays(spec: ModelSpec) -> str:
    """Return a macro for each holiday column: an initialiser of its spans, in unix seconds."""
    parts = []
    for i, found in _with_holidays(spec).items():
        first, stop = found.known
        spans = ", ".join(f"{{{a}, {b}}}" for a, b in found.spans)
        wrapped = " \\\n    ".join(textwrap.wrap(spans, 100))
        parts.append(
            f"\n\n/* Column {i}: holidays of {plain(found.region)}, unix seconds {{first, stop}}, known from "
            f"{first} to {stop}. */\n#define MODEL_HOLIDAYS_{i} {{ \\\n    {wrapped}}}"
        )
    return "".join(parts)


def _feature_line(feature: Feature) -> str:
    calendar = feature.calendar
    if calendar is None:
        return plain(feature.name)
    period = f"period {calendar.period_s} s, " if calendar.function in ("sin", "cos") else ""
    return f"{plain(feature.name)}: {calendar.function}, {period}{calendar.ahead_steps} steps ahead"


def _weights(model: ModelDirectory, layers: list[PackedLayer], stored: Weights) -> str:
    """Return the constants: weights of every layer, head, and windows with reference forecasts of the `stored` ones."""
    parts = []
    for number, layer in enumerate(layers):
        for name, matrix in (("KERNEL", layer.kernel), ("RECURRENT", layer.recurrent)):
            parts.append(f"static const weight {name}_{number}[{matrix.size}] ALIGNED = {{{_numbers(matrix.flat)}}};\n")
        parts.append(f"static const float BIAS_{number}[{layer.bias.size}] ALIGNED = {{{_numbers(layer.bias)}}};\n")
        if layer.scale is None:
            parts.append(f"#define SCALE_{number} BIAS_{number} /* none: not used */\n")
            paired = _numbers(paired_bias(layer, kernel_too=number > 0))
            parts.append("#ifdef MODEL_PAIRS\n")
            parts.append(f"static const float PAIRED_BIAS_{number}[{layer.columns}] ALIGNED = {{{paired}}};\n#endif\n")
        else:
            numbers = _numbers(layer.scale)
            parts.append(f"static const float SCALE_{number}[{layer.scale.size}] ALIGNED = {{{numbers}}};\n")
    head = model.weights.head_kernel  # (units, horizon)
    parts.append(_table("HEAD_KERNEL", "LAST_UNITS", "MODEL_HORIZON", head))
    parts.append(f"static const float HEAD_BIAS[MODEL_HORIZON] = {{{_numbers(model.weights.head_bias)}}};\n")
    windows, forecasts = _golden(model, stored)
    parts.append(f"#define GOLDEN {len(windows)}\n")
    parts.append(_table("GOLDEN_WINDOWS", "GOLDEN", "MODEL_CONTEXT * MODEL_FEATURES", windows))
    parts.append(_table("GOLDEN_FORECASTS", "GOLDEN", "MODEL_HORIZON", forecasts))
    return "".join(parts)


def dequantised(weights: Weights) -> Weights:
    """Return the values of 8-bit weights: with them the self-test needs no wider tolerance than float32's."""

    def rounded(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        values, scale = quantise_rows(matrix, axis=0)
        return (values * scale).astype(np.float32)

    layers = tuple(
        replace(layer, kernel=rounded(layer.kernel), recurrent=rounded(layer.recurrent)) for layer in weights.layers
    )
    return replace(weights, layers=layers)


def _golden(model: ModelDirectory, weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return evenly spaced held-out windows (n, context * features) and their reference forecasts (n, horizon)."""
    heldout = model.heldout.windows
    windows = heldout[evenly(len(heldout), GOLDEN_WINDOWS)]
    spec, scaler = model.record.spec, model.record.scaler
    forecasts = reference.forecast(spec, scaler, weights, windows.astype(np.float64))
    return windows.reshape(len(windows), -1), forecasts.astype(np.float32)


def _table(name: str, rows: str, columns: str, matrix: NDArray[np.float32]) -> str:
    lines = ",\n".join(f"{{{_numbers(row)}}}" for row in matrix)
    return f"static const float {name}[{rows}][{columns}] = {{\n{lines}}};\n"


def _numbers(values: Iterable[np.float32 | np.int8]) -> str:
    """Return `values` separated by commas, eight in a line; nine digits determine a float32."""
    texts = [str(value) if isinstance(value, np.int8) else _float(float(value)) for value in values]
    return ",\n".join(", ".join(texts[i : i + 8]) for i in range(0, len(texts), 8))


def _float(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"
