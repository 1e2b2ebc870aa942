"""The native model as a shared library: the bundle's own one for this platform, or compiled once and kept.

How compiled ones are kept is in `native_store`, how checked bytes are loaded in `sealed_library`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, MissingExtraError
from ..foundation.private_folder import temporary_folder
from .native_store import kept
from .sealed_library import load_bytes

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from ..model.spec import ModelSpec

SOURCE, HEADER = "model.c", "model.h"
EXPORTED = '-DMODEL_API=__attribute__((visibility("default")))'
# -s and the flags after it only reduce size: no tables for unwinding (nothing here unwinds), no loops unrolled beyond
# those that the source asks for, and on Linux code and numbers on the same pages.
FLAGS = (
    *("-std=c99", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", EXPORTED),
    *("-s", "-fno-asynchronous-unwind-tables", "-fno-unroll-loops"),
    *(("-Wl,-z,noseparate-code",) if sys.platform == "linux" else ()),
)
COMPILERS = ("cc", "gcc", "clang")
COMPILE_TIMEOUT_S = 120
_SYSTEMS = {"linux": ("linux", "model.so"), "darwin": ("macos", "model.dylib"), "win32": ("windows", "model.dll")}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "armv7"}


def platform_tag() -> str:
    """Return this platform's name in a bundle, e.g. `x86_64-linux`."""
    if hasattr(os, "uname"):
        machine = os.uname().machine.lower()  # the source that `platform` reads too, but without its import
    else:
        import platform

        machine = platform.machine().lower()
    system = _SYSTEMS.get(sys.platform, (sys.platform, ""))[0]
    return f"{_MACHINES.get(machine, machine)}-{system}"


def library_path(artifact_path: str, tag: str) -> str:
    """Return the path in a bundle of an artifact's prebuilt library for the platform `tag`."""
    names = dict(_SYSTEMS.values()) | {"wasm32": "model.wasm"}
    return f"{artifact_path}/lib/{tag}/{names.get(tag.rpartition('-')[2], 'model.so')}"


def find_library(bundle: Bundle, artifact_path: str) -> bytes:
    """Return a library for this platform: the bundle's, or one compiled from its source now or before.

    Raises MissingExtraError if there is none and no compiler, EngineError if the compiler fails or the cache folder is
    not private.
    """
    prebuilt = library_path(artifact_path, platform_tag())
    if any(entry.path == prebuilt for entry in bundle.manifest.files):
        return bundle.read(prebuilt)
    return compiled(read_sources(bundle, artifact_path), find_compiler())


def read_sources(bundle: Bundle, artifact_path: str) -> dict[str, bytes]:
    """Return the sources of a native artifact, name -> checked bytes."""
    return {name: bundle.read(f"{artifact_path}/{name}") for name in (SOURCE, HEADER)}


_POINTER, _SIZE, _INT, _INT64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int64
_THREE = (_POINTER, _POINTER, _POINTER)  # forecast, lower, upper
# name -> (result, arguments), as model.h declares them
_FUNCTIONS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "model_predict": (_INT, (_POINTER, _INT64, _INT64, *_THREE)),
    "model_predict_batch": (_SIZE, (_POINTER, _POINTER, _POINTER, _SIZE, *_THREE)),
    "model_reset": (None, (_POINTER, _INT64)),
    "model_step": (_INT, (_POINTER, _POINTER, _INT64, *_THREE)),
    "model_stream_reset": (_INT, (_POINTER, _INT64)),
    "model_stream_push": (_SIZE, (_POINTER, _SIZE, _POINTER, _INT64, *_THREE)),
    "model_stream_settle": (None, (_POINTER, _SIZE)),
    "model_stream_save": (_SIZE, (_POINTER, _POINTER, _POINTER)),
    "model_selftest": (_INT, ()),
    "model_isa": (ctypes.c_char_p, ()),
    "model_info": (ctypes.c_char_p, ()),
    "model_size": (_SIZE, (_INT,)),
}
_FUNCTIONS_1: Mapping[str, tuple[Any, tuple[Any, ...]]] = {  # of format 1, as far as they are used
    "model_predict_batch": (_SIZE, (_POINTER, _SIZE, _POINTER)),
    "model_selftest": (_INT, ()),
    "model_isa": (ctypes.c_char_p, ()),
    "model_info": (_SIZE, (_INT,)),
}


def open_library(source: bytes | str, spec: ModelSpec, *, older: bool = False) -> ctypes.CDLL:
    """Return a library with typed functions; raises EngineError unless it is of this model and works.

    source  its checked bytes, or a path that only this user can write to
    older   it is of a bundle of format 1
    """
    try:
        library = load_bytes(source) if isinstance(source, bytes) else ctypes.CDLL(source)
    except OSError as error:
        raise EngineError(f"the native library cannot be loaded: {error}") from error
    for name, (result, arguments) in (_FUNCTIONS_1 if older else _FUNCTIONS).items():
        function = getattr(library, name, None)
        if function is None:
            raise EngineError(f"the native library has no {name}; it was not made by pulsecast")
        function.restype, function.argtypes = result, arguments
    size = library.model_info if older else library.model_size
    shape = tuple(size(i) for i in (2, 3, 4))
    expected = (spec.context, len(spec.features) if older else spec.measured, spec.horizon)
    if shape != expected:
        raise EngineError(f"the library takes (context, columns, horizon) {shape}; the manifest says {expected}")
    if library.model_selftest():
        raise EngineError("the library's self-test failed; it does not compute this model here")
    return library


def find_compiler() -> list[str]:
    """Return the command of the system's C compiler: $CC, or the first of COMPILERS; raises MissingExtraError.

    $CC may hold options, or a program that starts the compiler, as in make: `gcc -O3`, `ccache gcc`.
    """
    asked = os.environ.get("CC", "").strip()
    for command in (_split(asked),) if asked else ([name] for name in COMPILERS):
        if command and (path := _program(command[0])):
            return [path, *command[1:]]
    tried = f"$CC, which is {asked!r}" if asked else ", ".join(COMPILERS)
    raise MissingExtraError(
        f"backend 'native' has no library for {platform_tag()} in this bundle and found no C compiler ({tried}): "
        "install a C compiler, or load another backend"
    )


def _split(command: str) -> list[str]:
    """Return the words of a command; none if a quote is not closed."""
    import shlex

    if _program(command):  # a path with spaces
        return [command]
    try:
        return shlex.split(command, posix=sys.platform != "win32")
    except ValueError:
        return []


def _program(name: str) -> str | None:
    import shutil

    path = shutil.which(name)
    return path and str(Path(path).absolute())  # it is started in another folder


def compiled(sources: Mapping[str, bytes], command: Sequence[str]) -> bytes:
    """Return the library that `command` compiles from `sources` (name -> bytes), from the cache if it is there."""

    def compile_now() -> bytes:
        try:
            with temporary_folder() as work:
                for name, data in sources.items():
                    (work / name).write_bytes(data)
                compile_library(command, work, work / "library")
                return (work / "library").read_bytes()
        except OSError as error:
            raise EngineError(f"the model cannot be compiled in a temporary folder: {error.strerror}") from error

    return kept(_key(sources, command), compile_now)


def compile_library(
    command: Sequence[str],
    folder: Path,
    out: Path,
    flags: tuple[str, ...] = FLAGS,
    inputs: tuple[str, ...] = (SOURCE,),
) -> None:
    """Compile the model in `folder` to a library at `out`; raises EngineError with the compiler's first error.

    inputs  the source, and what must follow it, such as `-lm`
    """
    import subprocess

    try:
        done = subprocess.run(
            [*command, *flags, *inputs, "-o", str(out.absolute())],
            cwd=folder,  # no path of this machine gets into the library
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"the C compiler {Path(command[0]).name} cannot be run: {error}") from error
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if "error" in line]
            or done.stderr.splitlines()
            or [f"exit code {done.returncode}, without a message"]
        )
        raise EngineError(f"the C compiler {Path(command[0]).name} failed on {inputs[0]}: {lines[0].strip()}")
    if not out.is_file():
        raise EngineError(f"the C compiler {Path(command[0]).name} reported success but wrote no library")


def _key(sources: Mapping[str, bytes], command: Sequence[str]) -> str:
    """Return a cache name for `sources` compiled by `command`; another compiler or other options give another name."""
    digest = hashlib.sha256()
    for part in (*command, *_identities(command), platform_tag(), *FLAGS):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    for name, data in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()


def _identities(command: Sequence[str]) -> Iterator[str]:
    """Yield what tells this compiler, and this processor if code is made for it alone, from another one."""
    for word in command:
        path = _program(word)  # in `ccache gcc` both
        if path:
            real = Path(path).resolve()
            facts = real.stat()
            yield f"{real} {facts.st_size} {facts.st_mtime_ns}"
    if any("native" in word for word in command):  # -march=native; computers may share a home folder
        yield _processor()


def _processor() -> str:
    """Return what this processor can do; `/proc/cpuinfo` also holds its clock, which changes all the time."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(line for line in lines if line.startswith(("model", "flags", "Features", "CPU part", "isa")))
