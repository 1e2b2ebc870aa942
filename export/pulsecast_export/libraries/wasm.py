"""The native model for browsers: `lib/wasm32/model.wasm`, its wrapper beside it, and Node to test them.

The module imports nothing and exports model.h's functions, its memory, and `__heap_base`, above which memory is the
caller's. It needs WebAssembly SIMD, which browsers have had since 2023 and Node since 16.4. The check runs the shipped
files: the module through the wrapper.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import EngineError

from .emulated import request_of, results_of

TAG = "wasm32"
MODULE, WRAPPER = f"lib/{TAG}/model.wasm", f"lib/{TAG}/pulsecast.js"  # in the target's folder
TYPES = WRAPPER.replace(".js", ".d.ts")  # types of the wrapper, for editors and readers
_PAGE_BYTES = 65536
_PLAIN_STACK_BYTES = 256 * 1024  # model_predict_batch takes up to 128 kB for the default architecture
# of series, and of linear paths, in model.c
_TABLE = re.compile(r"\b(?:SERIES\[MODEL_SERIES\]|PATH_KERNEL\[\d+\]).*?;", re.DOTALL)
_IMPORTS, _EXPORTS = 2, 7  # sections of a module
_FUNCTION = 0  # kind of an export


def link_flags(source: str, header: str, interface: set[str]) -> tuple[str, ...]:
    """Return the link options of the model: its functions, and a stack of sufficient size.

    A stack that is too small goes unnoticed: it overwrites the weights. For any model the stack holds widened 8-bit
    weights (at most floats; each takes at least three characters of the source), the unfinished windows of a stream,
    a window's scaled values, and a linear path's sums. The tables of series and of linear paths, which may be the most
    of the source, stay where they are.
    """
    number = {name: int(value) for name, value in re.findall(r"^#define MODEL_(\w+) (\d+)\b", header, re.MULTILINE)}
    under_way = 8 * number["STATE_UNITS"] * number["PHASES"]
    sums = 128 * number["CONTEXT"] * number["FEATURES"] + 64 * number["HORIZON"]
    stack = _PLAIN_STACK_BYTES + 2 * len(_TABLE.sub("", source)) + under_way + sums
    stack = -(-stack // _PAGE_BYTES) * _PAGE_BYTES
    exports = (f"-Wl,--export={name}" for name in sorted({*interface, "__heap_base"}))
    return ("-nostdlib", "-fvisibility=hidden", "-Wl,--no-entry", f"-Wl,-z,stack-size={stack}", *exports)


def write_wrapper(folder: Path) -> None:
    """Put WRAPPER and TYPES into the target's folder."""
    (folder / WRAPPER).parent.mkdir(parents=True, exist_ok=True)
    for path in (WRAPPER, TYPES):
        (folder / path).write_bytes(files(__package__).joinpath("hosts", Path(path).name).read_bytes())


def read_module(data: bytes) -> tuple[set[str], set[str]]:
    """Return the functions that a module exports and what it imports; raises ValueError for another file."""
    if data[:8] != b"\0asm\1\0\0\0":
        raise ValueError("no WebAssembly module")
    exported: set[str] = set()
    needed: set[str] = set()
    at = 8
    try:
        while at < len(data):
            section, (size, begin) = data[at], _number(data, at + 1)
            at = begin + size
            if section == _EXPORTS:
                exported = _exported(data, begin)
            if section == _IMPORTS and _number(data, begin)[0]:
                needed = {_name(data, _number(data, begin)[1])[0]}  # the first is enough
    except IndexError:
        at = len(data) + 1
    if at != len(data):
        raise ValueError("a truncated WebAssembly module")
    return exported, needed


def _exported(data: bytes, at: int) -> set[str]:
    count, at = _number(data, at)
    found = set()
    for _ in range(count):
        name, at = _name(data, at)
        if data[at] == _FUNCTION:
            found.add(name)
        _, at = _number(data, at + 1)
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the LEB128 number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, begin = _number(data, at)
    return data[begin : begin + size].decode(), begin + size


class NodeBackend:
    """A module in a Node process, called through pipes."""

    device = "CPU"

    def __init__(self, process: subprocess.Popen[bytes], engine: str, horizon: int) -> None:
        self.engine = engine
        self._process = process
        self._horizon = horizon

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        return self.outputs(values, time, series)[0]

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`; raises EngineError if Node ends."""
        stdin = self._process.stdin
        if stdin is None:
            raise EngineError(f"{TAG}: Node was started without pipes")
        try:
            stdin.write(request_of(values, time, series))
            stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error  # its last output gives the reason
        (results,) = struct.unpack("<I", self._read(4))
        return results_of(self._read, results, len(values), self._horizon)

    def _read(self, wanted: int) -> bytes:
        stdout = self._process.stdout
        answer = b"" if stdout is None else stdout.read(wanted)
        if len(answer) != wanted:
            raise self._ended()
        return answer

    def _ended(self) -> EngineError:
        _, said = self._process.communicate()
        reason = (said.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        return EngineError(f"{TAG}: Node failed on the module: {reason}")


def find_node() -> str | None:
    """Return the path of Node, or None."""
    return shutil.which("node")


@contextmanager
def node_backend(node: str, module: Path, horizon: int) -> Iterator[NodeBackend]:
    """Yield the module as a backend, through the wrapper beside it."""
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    wrapper = module.with_name(Path(WRAPPER).name)
    with as_file(files(__package__).joinpath("hosts", "serve_windows.mjs")) as script:
        command = [node, str(script), str(wrapper.absolute()), str(module.absolute())]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            yield NodeBackend(process, f"node {version}", horizon)
        finally:
            process.kill()
            process.communicate()
