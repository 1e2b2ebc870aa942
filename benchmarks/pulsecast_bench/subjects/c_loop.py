"""The equations as one writes them in C: a loop over steps, whose sizes are known when it is compiled.

RTNeural does it so in C++: one step after the other through all layers, loops over units that the compiler makes
vectors of, and the vector functions of the C library for the gates (-ffast-math). Nothing of the native engine is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends.native_library import compile_library, find_compiler
from pulsecast.errors import EngineError, MissingExtraError
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import Weights

Array = NDArray[np.float32]
# without start files: those of -ffast-math make the process that loads the library take small numbers for 0 everywhere
FLAGS = ("-std=gnu99", "-O3", "-march=native", "-ffast-math", "-fPIC", "-shared", "-nostartfiles")
_SOURCE = "loop.c"
_BEGIN = """#include <math.h>
#include <string.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
"""
_LAYER = Template("""
static const float kernel_$at[$inputs][4 * $units] = {$kernel};
static const float recurrent_$at[$units][4 * $units] = {$recurrent};
static const float bias_$at[4 * $units] = {$bias};

static void step_$at(const float *x, float *h, float *c) {
    float z[4 * $units]; /* gates i, f, c, o */
    int i, j;
    memcpy(z, bias_$at, sizeof z);
    for (i = 0; i < $inputs; i++)
        for (j = 0; j < 4 * $units; j++) z[j] += x[i] * kernel_$at[i][j];
    for (i = 0; i < $units; i++)
        for (j = 0; j < 4 * $units; j++) z[j] += h[i] * recurrent_$at[i][j];
    for (j = 0; j < $units; j++) {
        c[j] = sigmoid(z[$units + j]) * c[j] + sigmoid(z[j]) * tanhf(z[2 * $units + j]);
        h[j] = sigmoid(z[3 * $units + j]) * tanhf(c[j]);
    }
}
""")
_END = Template("""
static const float head_kernel[$last][$horizon] = {$kernel};
static const float head_bias[$horizon] = {$bias};

/* inputs (count, $window, $channels) -> to (count, $horizon) */
void forecast(const float *inputs, long count, float *to) {
    long at;
    int t, i, j;
    for (at = 0; at < count; at++, to += $horizon) {
        $states
        for (t = 0; t < $window; t++, inputs += $channels) {
            $steps
        }
        for (j = 0; j < $horizon; j++) {
            to[j] = head_bias[j];
            for (i = 0; i < $last; i++) to[j] += h_$top[i] * head_kernel[i][j];
        }
    }
}
""")


def source_of(spec: ModelSpec, weights: Weights) -> str:
    """Return the program of a plain stack of LSTMs."""
    parts, before = [_BEGIN], "inputs"
    states, steps = [], []
    for at, cell in enumerate(weights.layers):
        parts.append(
            _LAYER.substitute(
                at=at,
                inputs=len(cell.kernel),
                units=cell.units,
                kernel=_numbers(cell.kernel),
                recurrent=_numbers(cell.recurrent),
                bias=_numbers(cell.bias),
            )
        )
        states.append(f"float h_{at}[{cell.units}] = {{0}}, c_{at}[{cell.units}] = {{0}};")
        steps.append(f"step_{at}({before}, h_{at}, c_{at});")
        before = f"h_{at}"
    end = _END.substitute(
        last=len(weights.head_kernel),
        horizon=spec.horizon,
        window=spec.window,
        channels=len(spec.channels),
        top=len(weights.layers) - 1,
        kernel=_numbers(weights.head_kernel),
        bias=_numbers(weights.head_bias),
        states="\n        ".join(states),
        steps="\n            ".join(steps),
    )
    return "".join([*parts, end])


def _numbers(array: Array) -> str:
    """Return an array's numbers as C has them, exactly; inner braces may be left out there."""
    return ", ".join(f"{number.hex()}f" for number in array.astype(np.float64).reshape(-1).tolist())


def compile_loop(spec: ModelSpec, weights: Weights, folder: Path) -> Path:
    """Write the program into `folder`, and return its library; raises EngineError."""
    try:
        compiler = find_compiler()
    except MissingExtraError:
        raise EngineError("there is no C compiler here, which this loop needs: install gcc or clang") from None
    (folder / _SOURCE).write_text(source_of(spec, weights), encoding="ascii")
    out = folder / "loop.so"
    compile_library(compiler, folder, out, FLAGS, (_SOURCE, "-lm"))
    return out


def open_loop(library: Path, spec: ModelSpec) -> Callable[[Array], Array]:
    """Return the network of a compiled loop: inputs (batch, window, channels) -> outputs (batch, horizon)."""
    forecast = ctypes.CDLL(str(library)).forecast
    forecast.argtypes = (ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p)
    forecast.restype = None
    horizon = spec.horizon

    def network(inputs: Array) -> Array:
        outputs = np.empty((len(inputs), horizon), np.float32)
        forecast(inputs.ctypes.data, len(inputs), outputs.ctypes.data)
        return outputs

    return network
