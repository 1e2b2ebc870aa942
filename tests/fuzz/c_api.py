"""The C API under libFuzzer and sanitizers: windows, steps and streams of any bits, in any order.

What the header promises is compared bit for bit: a batch against single windows, a state and a stream against the
window of their last steps, a stream that is rebuilt against the one that was saved.
"""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from helpers.engines import find_tool

TARGETS = {"c-api": "native", "c-api-w8": "native-w8"}  # by the target of `pulsecast_export`
FLAGS = ("-std=c99", "-O1", "-g", "-w", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined")
SOURCE = Path(__file__).with_name("c_api.c")


def compiler() -> str | None:
    """Return the path of clang, or None: libFuzzer comes with it."""
    return find_tool("clang")


def build(target: str, folder: Path) -> Path:
    """Return the fuzzer of a small model with a calendar, lags, two layers and odd sizes."""
    from helpers import plain
    from helpers.native_models import ODD_SPEC, directory, write_sources

    write_sources(directory(plain.make_model(ODD_SPEC)), TARGETS[target], folder)
    program = folder / "fuzzer"
    found = compiler()
    assert found is not None
    command = [found, *FLAGS, f"-I{folder}", str(SOURCE), str(folder / "model.c"), "-lm", "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True)
    return program


def seeds() -> list[bytes]:
    """Return runs of operations as `c_api.c` reads them: a byte for each, and what it takes."""
    draw = random.Random(3)
    windows = b"".join(struct.pack("<Bfq", draw.randrange(8), draw.uniform(0, 500), i) for i in range(40))
    steps = b"".join(struct.pack("<Bf", 1, draw.uniform(0, 500)) for _ in range(60))
    return [windows, steps, b"\2" * 30 + steps, struct.pack("<Bq", 3, 2**62) + steps]
