"""`python -m pulsecast_bench.native.microcontroller BUNDLE_OR_MODEL`: flash, RAM and stack on a Cortex-M4.

Compiled and linked, not run: for each precision and each way to call it, a program with only this call, by
arm-none-eabi-gcc for the hardware floating point of an M4F, without uncalled functions, and without a C library except
the functions that the compiler itself calls. Flash is code, weights and initial values; RAM is static memory: the
caller's window or state, the time and the results. Stack is the deepest chain of calls as reported by the compiler;
functions of libgcc and newlib, which it does not know, count as nothing (memset and division: some tens of bytes).
`--out FILE` writes the figures as JSON, which `pulsecast report --microcontroller FILE` puts into a report.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, MissingExtraError, PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import check_file_free, write_whole

from ..results.footprints import KIND, SCHEMA_VERSION, Footprint, Footprints
from .sources import bundle_of, write_sources

COMPILER, SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
PROCESSOR = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
FLAGS = (
    *("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections"),
    *("-fcallgraph-info=su", "-nostartfiles", "--specs=nosys.specs", "-Wl,--gc-sections,--entry=main"),
)
# how a firmware calls it -> its static memory, and the calls
USES = {
    "predict": (
        "static float window[MODEL_CONTEXT * MODEL_MEASURED], found[3][MODEL_HORIZON]; static int64_t time;",
        "return model_predict(window, time, 0, found[0], found[1], found[2]);",
    ),
    "step": (
        "static model_state state; static float step[MODEL_MEASURED], found[3][MODEL_HORIZON]; static int64_t time;",
        "model_reset(&state, 0); return model_step(&state, step, time, found[0], found[1], found[2]);",
    ),
    "stream": (
        "static model_stream stream; static float step[MODEL_MEASURED], found[3][MODEL_HORIZON]; static int64_t time;",
        "model_stream_reset(&stream, 0); return (int)model_stream_push(&stream, 1, step, time, found[0], NULL, NULL);",
    ),
}
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \((\w+)')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


def measure(path: Path) -> Footprints:
    """Return the footprints of every native artifact of the bundle at `path`, in every use.

    Raises UsageError if it has none, MissingExtraError without the compiler, EngineError if it fails.
    """
    for tool in (COMPILER, SIZE):
        if shutil.which(tool) is None:
            raise MissingExtraError(f"{tool} is not installed: install gcc-arm-none-eabi and libnewlib-arm-none-eabi")
    bundle = Bundle.open(path)
    artifacts = [artifact for artifact in bundle.manifest.artifacts if artifact.backend == "native"]
    if not artifacts:
        raise UsageError(f"bundle {path.name} has no native artifact; export it with target native or native-w8")
    found = []
    for artifact in artifacts:
        with tempfile.TemporaryDirectory() as folder:
            sources = write_sources(bundle, artifact.id, Path(folder) / artifact.id)
            found += [footprint(sources, artifact.id, use) for use in USES]
    version = _run(Path(), [COMPILER, "-dumpversion"]).strip()
    return Footprints(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        model=bundle.manifest.name,
        manifest_sha256=hashlib.sha256(bundle.manifest_bytes()).hexdigest(),
        compiler=f"{COMPILER} {version} {' '.join(PROCESSOR)} -O2",
        programs=tuple(found),
    )


def footprint(folder: Path, artifact: str, use: str) -> Footprint:
    """Return the footprint of a program for `use` (one of USES) with the model in `folder`."""
    declared, body = USES[use]
    program = f'#include "model.h"\n{declared}\nint main(void) {{ {body} }}\n'
    (folder / "main.c").write_text(program, encoding="ascii")
    for old in folder.glob("*.ci"):
        old.unlink()
    _run(folder, [COMPILER, *PROCESSOR, *FLAGS, "main.c", "model.c", "-o", "main.elf"])
    text, data, bss = map(int, _run(folder, [SIZE, "main.elf"]).splitlines()[1].split()[:3])
    graph = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.ci")))
    return Footprint(artifact=artifact, use=use, text=text, data=data, bss=bss, stack=deepest(graph, "main"))


def deepest(graph: str, start: str) -> int:
    """Return the bytes of stack of the deepest chain of calls from `start`, from GCC's call graph.

    Raises EngineError for recursion and for frames whose size is not known when compiling.
    """
    frames, calls = {}, dict[str, list[str]]()
    for name, size, kind in _NODE.findall(graph):
        if kind != "static":
            raise EngineError(f"the stack of {name} is {kind}: its size is not known when compiling")
        frames[name] = int(size)
    for caller, callee in _EDGE.findall(graph):
        calls.setdefault(caller, []).append(callee)

    def depth(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise EngineError(f"{name} calls itself: its stack has no bound")
        below = (depth(callee, (*above, name)) for callee in dict.fromkeys(calls.get(name, ())))
        return frames.get(name, 0) + max(below, default=0)

    return depth(start, ())


def _run(folder: Path, command: list[str]) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise EngineError(f"{command[0]} failed: {reason}")
    return done.stdout


def lines(found: Sequence[Footprint]) -> list[str]:
    """Return the table as Markdown."""
    rows = [
        "| artifact | call | text | data | bss | stack | flash, kB | RAM with stack, kB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for x in found:
        numbers = " | ".join(f"{n:,}" for n in (x.text, x.data, x.bss, x.stack))
        rows.append(f"| {x.artifact} | {x.use} | {numbers} | {x.flash / 1e3:.1f} | {x.ram / 1e3:.1f} |")
    return rows


def main(arguments: list[str]) -> int:
    """Print the table; a model directory is exported to a temporary bundle first."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native.microcontroller",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="a bundle with native artifacts, or a model directory")
    parser.add_argument("--out", type=Path, help="JSON file to write, for `pulsecast report --microcontroller`")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    try:
        if options.out is not None:
            check_file_free(options.out, force=options.force)
        with tempfile.TemporaryDirectory() as folder:
            found = measure(bundle_of(options.path, Path(folder), ("native", "native-w8")))
        if options.out is not None:
            write_whole(options.out, strict_json.dumps(found), force=options.force)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{found.compiler}\n")
    print("\n".join(lines(found.programs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
