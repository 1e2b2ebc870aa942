"""The native model as a shared library: the bundle's own one for this platform, or compiled once and kept.

A compiled library is code that this process will run, so it is kept in a folder that only this user can write: mode
0700. Its name is the SHA-256 of everything that it was made from; processes that compile at the same time each write
their own file and rename it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, MissingExtraError

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
CACHE_VARIABLE = "PULSECAST_CACHE"
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


def find_library(bundle: Bundle, artifact_path: str) -> Path:
    """Return a library for this platform: the bundle's, or one compiled from its source now or before.

    Raises MissingExtraError if there is none and no compiler, EngineError if the compiler fails or the cache folder is
    not private.
    """
    prebuilt = library_path(artifact_path, platform_tag())
    if any(entry.path == prebuilt for entry in bundle.manifest.files):
        return kept(bundle.read(prebuilt))
    return compiled(read_sources(bundle, artifact_path), find_compiler())


def read_sources(bundle: Bundle, artifact_path: str) -> dict[str, bytes]:
    """Return the sources of a native artifact, name -> checked bytes."""
    return {name: bundle.read(f"{artifact_path}/{name}") for name in (SOURCE, HEADER)}


def kept(library: bytes) -> Path:
    """Return a copy of a library's checked bytes in the cache.

    A file of the bundle could be swapped between check and load, and a `.pulse` file has none.
    """
    path = cache_folder() / f"{hashlib.sha256(library).hexdigest()}.so"
    if path.exists() and path.read_bytes() == library:
        return path
    unfinished = _unfinished(path)
    try:
        unfinished.write_bytes(library)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


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


def open_library(path: str, spec: ModelSpec, *, older: bool = False) -> ctypes.CDLL:
    """Return the library at `path` with typed functions; `older` is of a bundle of format 1.

    Raises EngineError unless it is of a model of this `spec` and works.
    """
    try:
        library = ctypes.CDLL(path)
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


def find_compiler() -> str:
    """Return the path of the system's C compiler: $CC, or the first of COMPILERS; raises MissingExtraError."""
    import shutil

    asked = os.environ.get("CC")
    for name in (asked,) if asked else COMPILERS:
        if path := shutil.which(name):
            return path
    tried = f"$CC, which is {asked!r}" if asked else ", ".join(COMPILERS)
    raise MissingExtraError(
        f"backend 'native' has no library for {platform_tag()} in this bundle and found no C compiler ({tried}): "
        "install a C compiler, or load another backend"
    )


def compiled(sources: dict[str, bytes], compiler: str) -> Path:
    """Return the library compiled by `compiler` from `sources` (name -> bytes), from the cache if it is there."""
    folder = cache_folder()
    path = folder / f"{_key(sources, compiler)}.so"
    if path.exists():
        return path
    import tempfile

    unfinished = _unfinished(path)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            for name, data in sources.items():
                (Path(work) / name).write_bytes(data)
            compile_library([compiler], Path(work), unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def compile_library(command: list[str], folder: Path, out: Path, flags: tuple[str, ...] = FLAGS) -> None:
    """Compile the model in `folder` to a library at `out`; raises EngineError with the compiler's first error."""
    import subprocess

    try:
        done = subprocess.run(
            [*command, *flags, SOURCE, "-o", str(out.absolute())],
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
        raise EngineError(f"the C compiler {Path(command[0]).name} failed on {SOURCE}: {lines[0].strip()}")
    if not out.is_file():
        raise EngineError(f"the C compiler {Path(command[0]).name} reported success but wrote no library")


def cache_folder() -> Path:
    """Return the user's own folder for compiled models, made if missing; raises EngineError unless it is private.

    It is $PULSECAST_CACHE/native, or `pulsecast/native` below $XDG_CACHE_HOME or `~/.cache`.
    """
    own = os.environ.get(CACHE_VARIABLE)
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulsecast"
    folder = base / "native"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise EngineError(
            f"the cache folder {folder} cannot be made ({error.strerror}); set {CACHE_VARIABLE} to a folder of yours"
        ) from error
    problem = None
    if not stat.S_ISDIR(found.st_mode):
        problem = "is not a folder"
    elif hasattr(os, "getuid") and found.st_uid != os.getuid():
        problem = "belongs to another user"
    elif hasattr(os, "getuid") and found.st_mode & 0o077:
        problem = f"is open to others (mode {stat.S_IMODE(found.st_mode):o}; expected 700)"
    if problem:
        raise EngineError(
            f"the cache folder {folder} {problem}, so a library in it cannot be trusted; "
            f"correct this or set {CACHE_VARIABLE} to a folder of yours"
        )
    return folder


def _unfinished(path: Path) -> Path:
    """Return a name beside `path` that no other process writes to."""
    return path.with_name(f".{path.stem}.{os.getpid()}.{os.urandom(4).hex()}")


def _key(sources: dict[str, bytes], compiler: str) -> str:
    """Return a cache name for `sources` compiled by `compiler`; another compiler or other flags give another name."""
    real = Path(compiler).resolve()
    facts = real.stat()
    digest = hashlib.sha256()
    for part in (str(real), str(facts.st_size), str(facts.st_mtime_ns), platform_tag(), *FLAGS):
        digest.update(part.encode() + b"\0")
    for name, data in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()
