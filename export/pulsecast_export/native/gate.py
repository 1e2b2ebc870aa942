"""The gate on a native model: it compiles here, exports its interface and nothing else, needs nothing, and is small."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from pulsecast.backends.native_library import FLAGS, compile_library, find_compiler
from pulsecast.errors import MissingExtraError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.model.network import GATES
from pulsecast.model.spec import ModelSpec

from ..c_text import padded
from .writer import GOLDEN_WINDOWS

# A library of the default architecture (two layers of 50 units) fits into this with every recipe. A model whose numbers
# alone exceed DEFAULT_NUMBER_BYTES may have these numbers, code for three instruction sets with the file's own tables,
# and SHAPE_BYTES for each further shape of layers, because its kernels are compiled once more.
LIMIT_BYTES, DEFAULT_NUMBER_BYTES = 200_000, 142_000
CODE_BYTES, SHAPE_BYTES = 72_000, 26_000
SPAN_BYTES = 16  # of holidays
POOL_CODE_BYTES = 8_000  # the code for windows of the pool, for three instruction sets, and a page
# Functions that a compiler may call for assignments in any program, and weak symbols of the C runtime.
_COMPILER_SYMBOLS = {"memset", "memcpy", "memmove", "__stack_chk_fail"}


def native_gate(path: Path, spec: ModelSpec) -> tuple[list[str], str]:
    """Return problems and a census; without a compiler nothing is compiled, and the census says so."""
    interface = declared(path / "model.h")
    try:
        compiler = find_compiler()
    except MissingExtraError:
        return [], f"{len(interface)} functions, not compiled: no C compiler here"
    with temporary_folder() as folder:
        library = folder / "model.so"
        warnings = ("-Wall", "-Wextra", "-Werror")
        compile_library(compiler, path, library, (*FLAGS, *warnings))
        size = library.stat().st_size
        problems = symbol_problems(library, interface)
    limit = limit_bytes(spec, series_bytes(path))
    if size > limit:
        problems.append(f"the library has {size} bytes; at most {limit} for this model")
    return problems, f"{len(interface)} functions, {size} bytes compiled"


def declared(header: Path) -> set[str]:
    """Return the names of the functions that model.h declares."""
    return set(re.findall(r"^MODEL_API .*?\b(model_\w+)\(", header.read_text(encoding="ascii"), re.MULTILINE))


def symbol_problems(library: Path, interface: set[str]) -> list[str]:
    """Return the problems of a library's dynamic symbols; none without the program `nm`."""
    if shutil.which("nm") is None:
        return []
    text = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    rows = [(line.split()[-2], line.split()[-1].partition("@")[0]) for line in text.splitlines()]
    exported = {name for kind, name in rows if kind in "TDBR"}
    needed = {name for kind, name in rows if kind == "U"} - _COMPILER_SYMBOLS
    problems = []
    if exported != interface:
        problems.append(f"symbols that differ from model.h: {', '.join(sorted(exported ^ interface))}")
    if needed:
        problems.append(f"functions needed from elsewhere: {', '.join(sorted(needed))}")
    return problems


def limit_bytes(spec: ModelSpec, of_series: int = 0) -> int:
    """Return the most bytes of a compiled library: LIMIT_BYTES, or for a larger model its numbers and its code.

    of_series  what its table of series may add: `series_bytes`
    """
    numbers = number_bytes(spec)
    if numbers <= DEFAULT_NUMBER_BYTES:
        return LIMIT_BYTES + of_series
    return numbers + CODE_BYTES + SHAPE_BYTES * max(len(set(spec.units)) - 1, 0) + of_series


def series_bytes(folder: Path) -> int:
    """Return the bytes that a table of series adds to the library of the sources in `folder`; 0 where there is none.

    They are the table, linear paths of the rows' own, a second window of the self-test, the names that `model_info`
    gives, and the code for row 0.
    """
    header = (folder / "model.h").read_text(encoding="ascii")
    number = {name: int(value) for name, value in re.findall(r"^#define MODEL_(\w+) (\d+)\b", header, re.MULTILINE)}
    if number["SERIES"] == 1:
        return 0
    radii = number["HORIZON"] if number["RESULTS"] > 1 else 0
    window = number["CONTEXT"] * number["MEASURED"] + number["HORIZON"]
    source = (folder / "model.c").read_text(encoding="ascii")
    own = {name: int(value) for name, value in re.findall(r"^#define PATH_(\w+) (\d+)\b", source, re.MULTILINE)}
    path = own["SIZE"] if own.get("KERNELS", 1) > 1 else 0
    table = number["SERIES"] * (2 * number["MEASURED"] + radii + path)
    info = re.search(r"^static const char INFO.*$", source, re.MULTILINE)
    return 4 * (table + window) + (len(info[0]) if info else 0) + POOL_CODE_BYTES


def number_bytes(spec: ModelSpec) -> int:
    """Return the bytes of the weights as float32, columns padded to 16, of the self-test's window, and of holidays.

    A linear path has its inputs' weights, and zeros for steps that only its season looks back at.
    """
    total, inputs = 0, len(spec.channels)
    for layer in spec.network.recurrent:
        columns = padded(GATES[layer.kind] * layer.units) if spec.is_plain else GATES[layer.kind] * padded(layer.units)
        total += layer.cells * (inputs + layer.units + 2) * columns * 4  # two: the bias, and that for sums by pairs
        inputs = layer.width
    for dense in spec.network.dense:
        total += (inputs + 1) * padded(dense.units) * 4
        inputs = dense.units
    if (linear := spec.linear) is not None:
        total += 4 * spec.horizon * (linear.inputs(spec.measured) + linear.steps - linear.lags)
    golden = GOLDEN_WINDOWS * (spec.context * spec.measured + spec.horizon)
    holidays = [
        f.calendar.holidays for f in spec.features if f.calendar is not None and f.calendar.holidays is not None
    ]
    spans = sum(len(each.spans) for each in holidays)
    return total + (inputs + 1) * spec.horizon * 4 + golden * 4 + spans * SPAN_BYTES
