"""The native model compiled for browsers."""

from __future__ import annotations

from pathlib import Path

from pulsecast_export.libraries.libraries import compile_library
from pulsecast_export.libraries.wasm import MODULE, TAG, write_wrapper


def build_wasm(folder: Path, work: Path) -> Path:
    """Compile the model in `folder` in the new folder `work`, put module and wrapper beside it, return the module."""
    work.mkdir()
    data = compile_library(folder, TAG, work)
    write_wrapper(folder)
    (folder / MODULE).write_bytes(data)
    return folder / MODULE
