"""`pulsecast bench-pack`: bundle, runtime and benchmark as one program for a device without pulsecast."""

from __future__ import annotations

import io
import zipapp
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pulsecast import limits
from pulsecast.bundle.archive import write_archive
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import StrPath, one_path
from pulsecast.foundation.whole_file import check_file_free, whole_file

from .unpacking import BUNDLE, CODE

SUFFIX = ".pyz"
INTERPRETER = "/usr/bin/env python3"
# Valid in any Python version, so that an old one prints its lack, not a syntax error.
MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("error: Python 3.11 or newer is needed; this is Python %d.%d" % tuple(sys.version_info[:2]))

from unpacking import run

sys.exit(run(sys.argv))
"""


def pack_bench(path: StrPath, out: StrPath, *, force: bool = False) -> Bundle:
    """Write the benchmark of the bundle at `path` as one program at `out`, whole or not at all; return the bundle.

    Raises what `Bundle.open` raises, UsageError if `out` exists and not `force`, or is not called `.pyz`.
    """
    source, out = one_path("path", path), one_path("out", out)
    if out.suffix != SUFFIX:
        raise UsageError(f"{out.name} does not end in {SUFFIX}")
    check_file_free(out, force=force, read=[source])
    bundle = Bundle.open(source)
    data = packed(bundle)
    with whole_file(out, force=force, mode=0o755) as file:
        file.write(data)
    return bundle


def packed(bundle: Bundle) -> bytes:
    """Return the program's bytes: the same bundle and version of pulsecast give the same bytes everywhere.

    Every file of the bundle is checked as it is read. Raises UsageError if the bundle is too large.
    """
    total = sum(entry.size_bytes for entry in bundle.manifest.files)
    if total > limits.ARCHIVE_BYTES // 2:
        raise UsageError(f"{bundle.path.name} has {total} bytes; a packed benchmark takes {limits.ARCHIVE_BYTES // 2}")
    archive, program = io.BytesIO(), io.BytesIO()
    # zipapp alone would write file times, and names in the order of the disk
    write_archive(archive, sorted([*_code(), *_bundle(bundle)]), compress=False)
    archive.seek(0)
    zipapp.create_archive(archive, program, interpreter=INTERPRETER)
    return program.getvalue()


def _code() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN.encode()
    yield "unpacking.py", (Path(str(files("pulsecast_bench.device"))) / "unpacking.py").read_bytes()
    for package in ("pulsecast", "pulsecast_bench"):
        root = Path(str(files(package)))
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            if path.is_file() and _belongs(relative):
                yield f"{CODE}/{package}/{relative.as_posix()}", path.read_bytes()


def _belongs(relative: Path) -> bool:
    """Return True if a file of a package is packed: all except what Python or an editor left."""
    return not any(part.startswith(".") or part == "__pycache__" for part in relative.parts)


def _bundle(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    yield f"{BUNDLE}/{MANIFEST_NAME}", bundle.manifest_bytes()
    signature = bundle.signature_bytes()
    if signature is not None:
        yield f"{BUNDLE}/{SIGNATURE_NAME}", signature
    for entry in bundle.manifest.files:
        yield f"{BUNDLE}/{entry.path}", bundle.read(entry.path)
