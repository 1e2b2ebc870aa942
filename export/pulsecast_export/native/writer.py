"""Writer of the native targets: the model as C, from the templates in `native/` and the model's numbers.

model.c.in    the data, the instruction sets and the interface
kernels/      the network's arithmetic over a vector type, in the order of KERNELS; becomes the second part of model.c
model.h.in    the interface, documented
example.c     a program that forecasts a CSV, and Makefile, which builds it; the same for all models

The templates hold the text that is the same for all models; this module only fills in numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.contract import contract_text
from pulsecast.bundle.golden import evenly
from pulsecast.computing import reference
from pulsecast.computing.intervals import FLOAT32_SLACK
from pulsecast.errors import ConversionError
from pulsecast.model.series import LEAST_SPREAD, POOL_ROW
from pulsecast.model.spec import YEAR_1, YEAR_10000, Feature, ModelSpec
from pulsecast.model.weights import Weights
from pulsecast.stages.model_directory import ModelDirectory

from ..c_text import array_text, c_string, commented, filled, float_text, padded, plain, rows_text
from ..contracts import contract_of
from ..targets import TARGETS, tolerance
from .calendar_tables import calendar_tables
from .layers import PackedLayer, are_small, dequantised, for_kernels, for_kernels8, paired_bias, state_scale
from .linear_tables import linear_tables
from .networks import network_tables

SOURCE, HEADER = "model.c", "model.h"
AS_THEY_ARE = ("example.c", "Makefile")
_FIRST = ("arithmetic", "calendar", "columns", "results", "linear")
KERNELS = (*_FIRST, "weights", "sums", "window", "block", "stream", "end")
ALONE = (*_FIRST, "alone", "single", "end")  # of a linear path without layers
OTHERS = (*_FIRST, "weights", "network", "single", "end")  # of a network beyond the plain stack
GOLDEN_WINDOWS = 1  # more would make a library of the usual size exceed its limit
# Allowed error of a self-test with 8-bit weights, in multiples of float32's: sums by integers round a layer's output to
# 16 bits. The largest error of seven trained models was 4.9e-5 of the range, the usual one 1e-6 to 1e-5.
STATE_ROUNDING = 100
PHASE_PADDING = 32  # windows in the largest block of the kernels
# what model.h says of rows where there is a table of series
_POOL_LINES = """
 * Row 0 is the pool, for a series that training never saw; row n is the name on line n of the bundle's series.txt. A
 * window of the pool brings its own offset and scale, made from all its values. So a stream of the pool computes whole
 * windows, with nothing left to settle, and a model_state of the pool gives NaN always."""


# what model.h says of a network beyond the plain stack
_NETWORK_LINES = """
 * The network is not a plain LSTM stack, so a model_stream computes whole windows, with nothing left to settle, and a
 * model_state gives NaN always."""


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
    other = not spec.network.is_plain
    pack = for_kernels8 if eight_bits else for_kernels
    layers = [] if other else [pack(layer) for layer in model.weights.layers]
    rounding = tolerance(TARGETS["native"], spec).max_abs * (STATE_ROUNDING if eight_bits else 1)
    contract = contract_of(model, target_id)
    values = _dimensions(spec, layers) | calendar_tables(spec) | linear_tables(model) | _series_texts(model)
    values |= {
        "NAME": plain(model.record.name),
        "KIND": "recurrent" if model.weights.layers else "linear",
        "PRECISION": target.precision,
        "CONTRACT": commented(contract_text(contract)),
        "INFO": c_string(contract_text(contract, brief=True)),
        "FEATURE_LINES": _feature_lines(spec.features[: spec.measured]),
        "CALENDAR_LINES": _calendar_lines(spec),
        "TOLERANCE": repr(rounding * (model.record.scaler.range if model.table is None else 1)),
        "TOLERANCE_UNIT": "raw units" if model.table is None else "of the range of the window's series in training",
        "LOG1P": ", ".join(str(int(scale.transform == "log1p")) for scale in model.record.scaler.features),
        "CALENDAR_SCALES": rows_text([(x.offset, x.scale) for x in model.record.scaler.features[spec.measured :]]),
        "CHANNEL_ROWS": ", ".join(f"{{{c.feature}, {c.lag}}}" for c in spec.channels),
        "WEIGHTS8": str(int(eight_bits)),
        "STATE_SCALE": float_text(state_scale(layers) if eight_bits and layers else 1.0),
        "NETWORK": str(int(other)),
        "SMALL_WEIGHTS": str(int(bool(layers) and not eight_bits and are_small(layers))),
        "WEIGHTS": network_tables(model, eight_bits=eight_bits) if other else _weights(model, layers),
        "GOLDEN": _golden(model, dequantised(model.weights) if eight_bits else model.weights),
    }
    parts = OTHERS if other else KERNELS if layers else ALONE
    values["KERNELS"] = "\n".join(filled(__package__, f"kernels/{part}.c.in", values) for part in parts)
    return {SOURCE: filled(__package__, "model.c.in", values), HEADER: filled(__package__, "model.h.in", values)}


def _dimensions(spec: ModelSpec, layers: list[PackedLayer]) -> dict[str, str]:
    """Return the sizes of the templates; a linear path without layers has state of one number that nobody reads."""
    offsets = np.cumsum([0, *(padded(layer.units) for layer in layers)])
    shapes = list(dict.fromkeys((layer.units, layer.columns) for layer in layers))
    rows = [
        f"CASE({n}, {shapes.index((x.units, x.columns))}, {x.inputs}, {x.units}, {x.columns}, {offsets[n]})"
        for n, x in enumerate(layers)
    ]
    numbers = {
        "CONTEXT": spec.context,
        "MEASURED": spec.measured,
        "FEATURES": len(spec.features),
        "TIMED": int(spec.timed),
        "HORIZON": spec.horizon,
        "WINDOW": spec.window,
        "LAG": spec.context - spec.window,
        "STEP_S": spec.step_s,
        "STATE_UNITS": offsets[-1] if layers else 1,
        "PHASES": padded(-(-spec.window // 2), PHASE_PADDING) if layers else 1,
        "CHANNELS": len(spec.channels),
        "LAGGED": 1 + max((c.feature for c in spec.channels if c.lag), default=-1),
        "LAYERS": len(layers),
        "LAST_UNITS": layers[-1].units if layers else 0,
        "LAST_OFFSET": offsets[-2] if layers else 0,
        "MOST_UNITS": max((padded(layer.units) for layer in layers), default=0),
        "MOST_COLUMNS": max((layer.columns for layer in layers), default=0),
        "LEAST_COLUMNS": min((layer.columns for layer in layers), default=0),
        "FIRST_COLUMNS": layers[0].columns if layers else 0,
        "CHANGE": int(spec.target == "change"),
        "HAS_FLOOR": int(spec.floor is not None),
    }
    texts = {name: str(number) for name, number in numbers.items()}
    return texts | {
        "FLOOR": float_text(spec.floor or 0.0),
        "EACH_SHAPE": " ".join(f"SHAPE({n}, {units}, {columns})" for n, (units, columns) in enumerate(shapes)),
        "EACH_LAYER": " ".join(rows),
    }


def _feature_lines(features: Sequence[Feature]) -> str:
    return "\n".join(f" *     {i}  {plain(feature.name)}" for i, feature in enumerate(features))


def _calendar_lines(spec: ModelSpec) -> str:
    """Return what the header says about the columns that are computed from time, as lines of a comment."""
    if not spec.timed:
        return " * There is no calendar: forecasts need no time.\n *"
    lines = [" * From the time of each step it computes a calendar: t = unix seconds of the step + steps ahead *"]
    lines += [" * MODEL_STEP_SECONDS; sin and cos are those of 2 pi (t mod period) / period, weekend is 1 if"]
    lines += [" * floor(t / 86400 + 3) mod 7 is 5 or 6, else 0; holiday is the part of the step that is one.", " *"]
    lines += [f" *     {_calendar_line(feature)}" for feature in spec.features[spec.measured :]]
    return "\n".join([*lines, " *"])


def _calendar_line(feature: Feature) -> str:
    calendar = feature.calendar
    if calendar is None:
        raise ValueError(f"{feature.name} is a measured column")
    period = f"period {calendar.period_s} s, " if calendar.function in ("sin", "cos") else ""
    text = f"{plain(feature.name)}: {calendar.function}, {period}{calendar.ahead_steps} steps ahead"
    holidays = calendar.holidays
    if holidays is None:
        return text
    return f"{text}, of {plain(holidays.region)}, known from {holidays.known[0]} to {holidays.known[1]}"


def series_table(model: ModelDirectory) -> NDArray[np.float32]:
    """Return the table of series, (rows, numbers): offset and scale of each measured column, then each step's radius.

    Where the model has a table, row 0 is the pool: it has 0 and the usual spread inside one for offset and scale. The
    radii are those of the level that artifacts give bounds at, if there are intervals. Those of counts are wider by
    the slack within which a number counts as whole: log(1 + slack) and -log(1 - slack) are the slack to float32.
    """
    intervals, table = model.record.intervals, model.table
    if table is None:
        features = model.record.scaler.features[: model.record.spec.measured]
        scales = np.array([[number for x in features for number in (x.offset, x.scale)]])  # (1, 2 * measured)
    else:
        scales = np.stack([table.offset, table.scale], axis=-1).reshape(len(table), -1)
    if intervals is None:
        return scales.astype(np.float32)
    level, slack = intervals.levels.index(intervals.default_level), FLOAT32_SLACK if intervals.counts else 0.0
    every = np.array([intervals.radii]) if table is None or table.radii is None else table.radii
    return np.concatenate([scales, every[:, level] + slack], axis=1).astype(np.float32)


def _series_texts(model: ModelDirectory) -> dict[str, str]:
    """Return what the templates say about series and bounds.

    Raises ConversionError for intervals that no manifest takes.
    """
    record, table = model.record, series_table(model)
    intervals = record.intervals
    if intervals is not None and intervals.counts and intervals.scale != "log1p":
        raise ConversionError("intervals of counts need the scale log1p")
    least = max(record.spec.floor or 0.0, 0.0)
    return {
        "SERIES": str(len(table)),
        "SERIES_ROWS": rows_text(table.tolist()),
        "SERIES_LINES": "" if model.table is None else _POOL_LINES,
        "NETWORK_LINES": "" if record.spec.network.is_plain else _NETWORK_LINES,
        "LEAST_SPREAD": float_text(LEAST_SPREAD),
        "RESULTS": "1" if intervals is None else "3",
        "LEVEL_TEXT": "" if intervals is None else f" with a coverage of {intervals.default_level:g}",
        "LOG_BOUNDS": str(int(intervals is not None and intervals.scale == "log1p")),
        "COUNTS": str(int(intervals is not None and intervals.counts)),
        "LEAST_LEVEL": float_text(float(np.log1p(least))),
        "YEAR_1": str(YEAR_1),
        "YEAR_10000": str(YEAR_10000),
    }


def _weights(model: ModelDirectory, layers: list[PackedLayer]) -> str:
    """Return the constants of the network: weights of every layer, and the head."""
    parts = []
    for number, layer in enumerate(layers):
        for name, matrix in (("KERNEL", layer.kernel), ("RECURRENT", layer.recurrent)):
            parts.append(
                f"static const weight {name}_{number}[{matrix.size}] ALIGNED = {{{array_text(matrix.flat)}}};\n"
            )
        parts.append(f"static const float BIAS_{number}[{layer.bias.size}] ALIGNED = {{{array_text(layer.bias)}}};\n")
        if layer.scale is None:
            parts.append(f"#define SCALE_{number} BIAS_{number} /* none: not used */\n")
            paired = array_text(paired_bias(layer, kernel_too=number > 0))
            parts.append("#ifdef MODEL_PAIRS\n")
            parts.append(f"static const float PAIRED_BIAS_{number}[{layer.columns}] ALIGNED = {{{paired}}};\n#endif\n")
        else:
            scale = array_text(layer.scale)
            parts.append(f"static const float SCALE_{number}[{layer.scale.size}] ALIGNED = {{{scale}}};\n")
    if layers:
        parts.append(_table("HEAD_KERNEL", "LAST_UNITS", "MODEL_HORIZON", model.weights.head_kernel))
        parts.append(f"static const float HEAD_BIAS[MODEL_HORIZON] = {{{array_text(model.weights.head_bias)}}};\n")
    return "".join(parts)


def _golden(model: ModelDirectory, stored: Weights) -> str:
    """Return held-out windows with reference forecasts of the `stored` weights."""
    rows = _golden_rows(model)
    windows = model.heldout.windows.take(rows)
    forecasts = reference.forecast(model.record.spec, model.scaling, stored, windows)
    times = np.zeros(len(windows), np.int64) if windows.time is None else windows.time
    values = windows.values.reshape(len(windows), -1)
    return (
        f"#define GOLDEN {len(windows)}\n"
        + _table("GOLDEN_VALUES", "GOLDEN", "MODEL_CONTEXT * MODEL_MEASURED", values)
        + f"static const int64_t GOLDEN_TIMES[GOLDEN] = {{{', '.join(f'INT64_C({time})' for time in times)}}};\n"
        + _table("GOLDEN_FORECASTS", "GOLDEN", "MODEL_HORIZON", forecasts.astype(np.float32))
        + _golden_series(model, rows)
    )


def _golden_rows(model: ModelDirectory) -> NDArray[np.int64]:
    """Return which held-out windows are embedded: evenly spaced ones, or one of the pool and one of a named series."""
    series = model.heldout.windows.series
    if series is None:
        return evenly(len(model.heldout.windows), GOLDEN_WINDOWS)
    pooled, named = np.flatnonzero(series == POOL_ROW), np.flatnonzero(series != POOL_ROW)
    return np.concatenate([pooled[:1], named[-1:]])


def _golden_series(model: ModelDirectory, rows: NDArray[np.int64]) -> str:
    """Return the row of each embedded window's series, and the range that its error is measured in."""
    series, unit = model.heldout.windows.series, model.heldout.unit
    if series is None or unit is None:
        return "#define GOLDEN_SERIES(i) 0\n#define GOLDEN_TOLERANCE(i) MODEL_TOLERANCE\n"
    return (
        f"static const int64_t GOLDEN_ROWS[GOLDEN] = {{{', '.join(map(str, series[rows].tolist()))}}};\n"
        f"static const double GOLDEN_UNITS[GOLDEN] = {{{', '.join(map(repr, unit[rows].tolist()))}}};\n"
        "#define GOLDEN_SERIES(i) GOLDEN_ROWS[i]\n"
        "#define GOLDEN_TOLERANCE(i) (MODEL_TOLERANCE * GOLDEN_UNITS[i])\n"
    )


def _table(name: str, rows: str, columns: str, matrix: NDArray[np.float32]) -> str:
    lines = ",\n".join(f"{{{array_text(row)}}}" for row in matrix)
    return f"static const float {name}[{rows}][{columns}] = {{\n{lines}}};\n"
