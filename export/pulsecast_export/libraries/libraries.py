"""Prebuilt libraries of the native targets for other platforms, compiled with the `ziglang` wheel.

A library holds all functions that it calls (`hosts/freestanding.c`), so on Linux it loads beside glibc, musl or bionic,
and on Windows without a C runtime; on macOS it names libSystem, as every library there does. It is compiled in an
otherwise empty folder, so that the same source gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from pulsecast.backends.native_library import EXPORTED, HEADER, SOURCE, platform_tag
from pulsecast.bundle.manifest import Library
from pulsecast.errors import ConversionError, MissingExtraError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.stages.child_process import Told, map_in_threads
from pulsecast.stages.progress import SILENT, Progress

from ..converting.conversion import run_converter
from ..native.gate import declared
from ..targets import TARGETS
from . import wasm

COMPILE_TIMEOUT_S = 300  # includes zig's own library, compiled at its first use for a platform


@dataclass(frozen=True, kw_only=True)
class Platform:
    """How to compile for a platform.

    target    zig's name for it, with the minimal processor
    emulator  the program that runs it here: qemu-user's for its processor, Node, or None
    """

    target: tuple[str, ...]
    emulator: str | None


# armv7 without NEON, because not every such processor has it: the scalar path. AArch64 always has it. x86-64 chooses
# among SSE2, AVX2 and AVX-512 when it is loaded.
PLATFORMS = {
    "x86_64-linux": Platform(target=("-target", "x86_64-linux-gnu"), emulator="qemu-x86_64"),
    "aarch64-linux": Platform(target=("-target", "aarch64-linux-gnu"), emulator="qemu-aarch64"),
    "armv7-linux": Platform(
        target=("-target", "arm-linux-gnueabihf", "-mcpu=generic+v7a+vfp3d16-neon"), emulator="qemu-arm"
    ),
    "riscv64-linux": Platform(target=("-target", "riscv64-linux-gnu"), emulator="qemu-riscv64"),
    "x86_64-windows": Platform(target=("-target", "x86_64-windows-gnu"), emulator=None),
    "aarch64-macos": Platform(target=("-target", "aarch64-macos"), emulator=None),
    "wasm32": Platform(target=("-target", "wasm32-freestanding", "-mcpu=generic+simd128"), emulator="node"),
}
_COMMON = (
    *("-std=c99", "-O2", "-ffreestanding", "-fno-sanitize=undefined", "-fno-stack-protector", "-s"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-unroll-loops", "-Wall", "-Wextra", "-Werror"),
)
_LIBRARY = {
    "linux": ("-fPIC", "-shared", "-nostdlib", "-fvisibility=hidden", EXPORTED, "freestanding.c", "-lcompiler_rt"),
    "windows": (
        *("-shared", "-nostdlib", "-DMODEL_API=__declspec(dllexport)", "-DMODEL_LOADED=", "freestanding.c"),
        "-Wl,-e,DllMainCRTStartup",
    ),
    "macos": ("-shared", "-fvisibility=hidden", EXPORTED, "-Wl,-install_name,@rpath/model.dylib"),
}
_RUNNER = ("-static", "-nostdlib", "freestanding.c", "-lcompiler_rt")


def check_platforms(names: tuple[str, ...]) -> None:
    """Raise UsageError, which lists the known ones, for an unknown platform; MissingExtraError without zig."""
    if unknown := [name for name in names if name not in PLATFORMS]:
        raise UsageError(f"no platform {', '.join(map(repr, unknown))}; known: {', '.join(PLATFORMS)}")
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError(
            "libraries for other platforms are compiled with ziglang, which is not installed: "
            "pip install 'pulsecast[native-cross]'"
        )


def with_native(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return `targets`, or all if there are none; raises UsageError if no native target is among them."""
    native = tuple(name for name, target in TARGETS.items() if target.backend == "native")
    if not targets:
        return tuple(name for name, target in TARGETS.items() if not target.asked or name in native)
    if not set(native) & set(targets):
        raise UsageError(f"libraries are compiled from the targets {', '.join(native)}; name one, or no target at all")
    return targets


def build_libraries(
    model: Path, folder: Path, target_ids: Iterable[str], names: tuple[str, ...], progress: Progress = SILENT
) -> list[Library]:
    """Compile and check each native target in `folder` for each platform of `names`, a child process for each.

    Raises ConversionError if one cannot be compiled or fails a check of its file, ToleranceError if it forecasts badly.
    """
    jobs = [(i, name) for i in target_ids if TARGETS[i].backend == "native" for name in dict.fromkeys(names)]
    told = Told(what="compiling", words=" for ".join, progress=progress)
    return map_in_threads(lambda job: _build(model, folder, *job), jobs, told)


def _build(model: Path, folder: Path, target_id: str, name: str) -> Library:
    done = run_converter("pulsecast_export.libraries.library_child", str(model), str(folder), target_id, name)
    if done.failed:
        raise ConversionError(f"target {target_id} for {name}: {done.reason}")
    return strict_json.loads(Library, done.answer.encode(), where="the library's record")


def compile_library(source: Path, name: str, work: Path) -> bytes:
    """Return the library for platform `name` of the model in `source`, compiled in the empty folder `work`."""
    for part in (SOURCE, HEADER):
        (work / part).write_bytes((source / part).read_bytes())
    if name == wasm.TAG:
        interface, header = declared(work / HEADER), (work / HEADER).read_text("ascii")
        return _compile(name, (*wasm.link_flags((work / SOURCE).read_text("ascii"), header, interface), SOURCE), work)
    return _compile(name, (*_LIBRARY[name.rpartition("-")[2]], SOURCE), work)


def compile_runner(name: str, work: Path) -> bytes:
    """Return the program that runs a library of the Linux platform `name`, compiled in the empty folder `work`."""
    (work / "runner.c").write_bytes(files(__package__).joinpath("hosts", "runner.c").read_bytes())
    return _compile(name, (*_RUNNER, "runner.c"), work)


def _compile(name: str, arguments: tuple[str, ...], work: Path) -> bytes:
    freestanding = files(__package__).joinpath("hosts", "freestanding.c").read_bytes()
    (work / "freestanding.c").write_bytes(freestanding)
    environment = dict(os.environ)
    if not {"HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"} & set(environment):
        environment["ZIG_GLOBAL_CACHE_DIR"] = str(work / "zig")
    command = [sys.executable, "-m", "ziglang", "cc", *PLATFORMS[name].target, *_COMMON, *arguments, "-o", "out"]
    try:
        done = subprocess.run(
            command,
            cwd=work,  # no path of this machine gets into the file
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"zig took longer than {COMPILE_TIMEOUT_S} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["?"]
        raise ConversionError(f"zig failed: {lines[0].strip()}")
    return (work / "out").read_bytes()


def compiler() -> str:
    """Return the name and version of the compiler."""
    return f"ziglang {version('ziglang')}"


def is_here(name: str) -> bool:
    """Return whether libraries of platform `name` run on this machine without an emulator."""
    return name == platform_tag()
