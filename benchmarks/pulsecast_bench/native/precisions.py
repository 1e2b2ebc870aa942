"""`python -m pulsecast_bench.native.precisions BUNDLE_OR_MODEL`: time and error of each precision.

`native` and `native-w8` are compiled for every instruction set that this processor has, with every arithmetic in
model.c for them: float32, single products and by pairs; 8-bit weights, with sums of floats and of integers. All take
turns in rounds on one thread (`rounds`), with one window and with a batch of 64; a ratio is to float32 with
single products, on the same instruction set in the same round. The error is the largest one from the float64 forecasts
of the golden, in fractions of the training range, beside its change of MAE. Arithmetic that model.c would not choose by
itself (pairs on a processor other than AMD's) is measured too.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import compile_library, find_compiler
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.bundle.manifest import Parity
from pulsecast.errors import PulsecastError
from pulsecast.forecasting.checks import measure_parity
from pulsecast.model.windows import Windows

from .rounds import Row, add_round_options, estimate_text, predicting, take_rounds
from .sources import bundle_of, require_artifacts, write_sources

ARTIFACTS = ("native", "native-w8")
BATCH = 64
# instruction set -> macros that enable it and no better one
_X86 = {
    "avx512": (),
    "avx2": ("-DMODEL_NO_AVX512",),
    "sse2": ("-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2"),
}
PATHS = (_X86 if platform.machine() in ("x86_64", "AMD64") else {"neon": ()}) | {
    "vector": ("-DMODEL_VECTOR",),
    "scalar": ("-DMODEL_SCALAR",),
}


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How sums are made: the target, what to define for it, and the ending of the name of a library with such sums."""

    target: str
    flags: tuple[str, ...]
    ending: str


ARITHMETICS = {
    "float32": Arithmetic(target="native", flags=("-DMODEL_PAIRS=0",), ending=""),
    "float32 by pairs": Arithmetic(target="native", flags=("-DMODEL_PAIRS=1",), ending="-pairs"),
    "8 bits, floats": Arithmetic(target="native-w8", flags=("-DMODEL_FLOAT_SUMS",), ending=""),
    "8 bits, integers": Arithmetic(target="native-w8", flags=(), ending="-int16"),
}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """An arithmetic on an instruction set; its rows are named `path, arithmetic`, its error is the golden's."""

    path: str
    arithmetic: str
    parity: Parity

    @property
    def name(self) -> str:
        """Its name in the rows."""
        return f"{self.path}, {self.arithmetic}"


def measure_precisions(path: Path, *, rounds: int, round_s: float) -> tuple[list[Precision], list[Row]]:
    """Compile, measure the errors, and time one window and batches of BATCH, in rounds.

    Raises UsageError if the bundle at `path` lacks one of ARTIFACTS, EngineError if one does not compile.
    """
    bundle = Bundle.open(path)
    require_artifacts(bundle, path.name, ARTIFACTS)
    golden = bundle.golden()
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as folder:
        backends = _backends(bundle, Path(folder))
        measured = [(_precision(key, backend, golden, bundle), backend) for key, backend in backends.items()]
        works = []
        for instructions in dict.fromkeys(precision.path for precision, _ in measured):
            calls: dict[str, Callable[[Windows], object]] = {
                precision.name: _call(backend) for precision, backend in measured if precision.path == instructions
            }
            works += [predicting(calls, golden.windows, batch, round_s) for batch in (1, BATCH)]
        return [precision for precision, _ in measured], take_rounds(works, rounds)


def _backends(bundle: Bundle, folder: Path) -> dict[tuple[str, str], NativeBackend]:
    """Return (path, arithmetic) -> backend for all that this processor can run."""
    compiler, spec = find_compiler(), bundle.manifest.spec
    sources = {target: write_sources(bundle, target, folder / target) for target in ARTIFACTS}
    found: dict[tuple[str, str], NativeBackend] = {}
    for path, without in PATHS.items():
        for name, arithmetic in ARITHMETICS.items():
            out = folder / f"{path}{arithmetic.ending}-{arithmetic.target}.so"  # a name is loaded once
            compile_library([*compiler, *without, *arithmetic.flags], sources[arithmetic.target], out)
            backend = NativeBackend(str(out), spec, 1)
            if backend.engine == f"native {path}{arithmetic.ending}":  # otherwise the processor or the model lacks it
                found[path, name] = backend
    return found


def _call(backend: NativeBackend) -> Callable[[Windows], object]:
    return lambda windows: backend.outputs(*windows.inputs)


def _precision(key: tuple[str, str], backend: NativeBackend, golden: Golden, bundle: Bundle) -> Precision:
    parity = measure_parity(backend.predict(*golden.windows.inputs), golden)
    return Precision(path=key[0], arithmetic=key[1], parity=parity)


def lines(precisions: list[Precision], rows: list[Row]) -> list[str]:
    """Return the table as text: microseconds a window, ratios to float32 of the same path, the errors."""
    header = f"{'us a window':26}{'batch 1':>9}{'of float32':>22}{f'batch {BATCH}':>11}{'of float32':>22}"
    text = [f"{header}{'error / range':>15}{'MAE':>8}"]
    for precision in precisions:
        cells = ""
        for row, width in zip((row for row in rows if precision.name in row.rounds_us), (9, 11), strict=True):
            share = estimate_text(row.ratio(precision.name))
            cells += f"{row.window_us(precision.name).value or 0:>{width}.1f}{share:>22}"
        parity = precision.parity
        errors = f"{parity.max_abs:>15.1e}{parity.mae_change:>+8.2%}"
        text.append(f"{precision.path:8}{precision.arithmetic:18}{cells}{errors}")
    return text


def main(arguments: list[str]) -> int:
    """Print the table; a model directory is exported to a temporary bundle first."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native.precisions",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="a bundle that holds native and native-w8, or a model directory")
    add_round_options(parser, round_s=0.1)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = bundle_of(options.path, Path(folder), ARTIFACTS)
            found = measure_precisions(path, rounds=options.rounds, round_s=options.round_seconds)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines(*found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
