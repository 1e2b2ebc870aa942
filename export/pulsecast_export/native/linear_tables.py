"""The linear path in C: its kernel in the order of kernels/linear.c.in, and the tables of its waves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.linear import Linear
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.model_directory import ModelDirectory

from ..c_text import LANE_PADDING, array_text, float_text, padded
from ..linear_kernel import folded

# what model.h says of the part of a path that a stream has made before a step
_TYPE = """/* The linear path of the window that a step completes, as far as it is known before that step. */
typedef struct model_path {{
    float sums[{room}]; /* a step of the horizon each, padded to 16 */
    float season;   /* sum of the last season's scaled values */
    float last;     /* scaled value of the step before */
}} model_path;

"""
_FIELD = "    model_path path;      /* of the window that the next step completes */\n"


def linear_tables(model: ModelDirectory) -> dict[str, str]:
    """Return the texts of the templates' linear path; a model without one leaves them out."""
    spec = model.record.spec
    linear, lag = spec.linear, spec.context - spec.window
    if linear is None:
        return {"LINEAR": "0", "LINEAR_TABLES": "", "PATH_TYPE": "", "PATH_FIELD": "", "KEPT": str(lag + 1)}
    kernels = folded(linear, kernels_of(model), spec.measured)  # (kernels, rows, horizon)
    return {
        "LINEAR": "1",
        "LINEAR_TABLES": _sizes(spec, linear, kernels) + _waves(linear) + _kernel(kernels),
        "PATH_TYPE": _TYPE.format(room=padded(spec.horizon)),
        "PATH_FIELD": _FIELD,
        "KEPT": str(max(lag + 1, linear.steps)),
    }


def kernels_of(model: ModelDirectory) -> NDArray[np.float32]:
    """Return the kernel that all series share, (1, inputs, horizon), or that of each row of the table."""
    if model.table is not None and model.table.linear is not None:
        return model.table.linear
    if model.weights.linear is None:
        raise ValueError("a model with a linear path needs its weights")
    return model.weights.linear[np.newaxis]


def _sizes(spec: ModelSpec, linear: Linear, kernels: NDArray[np.float32]) -> str:
    part = {name: rows.stop - rows.start for name, rows in linear.parts(spec.measured).items()}
    season, past = int(linear.season > 0), linear.steps - 1
    before = 1 + part["waves"] + past + (spec.measured - 1) + season
    numbers = {
        "SEASON": (linear.season, "steps; 0: there is none"),
        "WAVES": (len(linear.waves), "sines and cosines of the first step that is forecast"),
        "PATH_PAST": (past, "steps that it looks back at before the last one"),
        "WEEKEND_ROWS": (part["weekend"], "of the kernel, which count on a weekend: 1, and the first waves"),
        "BEFORE_ROWS": (before, "then: 1, the waves, steps and columns before the last one, the season's first change"),
        "LAST_ROWS": (spec.measured + 3 + 2 * season, "then: the last step's columns, what bends"),
        "PATH_SIZE": (kernels[0].size, "numbers of a kernel"),
        "PATH_KERNELS": (len(kernels), "1: all series share it; else one for each row of the table"),
    }
    return "".join(f"#define {name} {number} /* {text} */\n" for name, (number, text) in numbers.items())


def _waves(linear: Linear) -> str:
    """Return the tables of the waves, padded to a whole vector; nothing without waves."""
    if not linear.waves:
        return ""
    periods = [wave.period_s for wave in linear.waves] + [1] * (padded(len(linear.waves)) - len(linear.waves))

    def table(name: str, kind: str, values: Iterable[str]) -> str:
        return f"static const {kind} WAVE_{name}[PADDED(WAVES)] = {{{', '.join(values)}}};\n"

    return (
        table("PERIOD", "int32_t", map(str, periods))
        + table("MULTIPLE", "uint32_t", (str(wave.multiple) for wave in linear.waves))
        + table("QUARTERS", "float", (float_text(4 / period) for period in periods))
        + table("TURN", "float", (float_text(np.pi / 2 / period) for period in periods))
    )


def _kernel(kernels: NDArray[np.float32]) -> str:
    size = kernels.size + LANE_PADDING - 1  # a vector that begins at the last number is read
    return f"static const float PATH_KERNEL[{size}] = {{{array_text(kernels.reshape(-1))}}};\n"
