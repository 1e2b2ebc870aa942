"""Starts one engine for `pulsecast doctor`, in a process of its own: `python -m pulsecast_cli.probe BACKEND`.

Prints `engine` and `device`, a line each. An engine that crashes or hangs while starting takes this process with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

# y = x, opset 17: a session has to exist before ONNX Runtime says which provider runs
_IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)


def _numpy() -> tuple[str, str]:
    import numpy as np

    return f"numpy {np.__version__}", "CPU"


def _onnx() -> tuple[str, str]:
    from pulsecast.backends.onnx import OnnxBackend

    backend = OnnxBackend(_IDENTITY, threads=1)
    return backend.engine, backend.device


def _tflite() -> tuple[str, str]:
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    return f"ai-edge-litert {version('ai-edge-litert')}", "CPU" if Interpreter else ""


def _savedmodel() -> tuple[str, str]:
    from pulsecast.backends import savedmodel

    return savedmodel.engine(), savedmodel.device()


def _native() -> tuple[str, str]:
    from pulsecast.backends.native_library import find_compiler

    program, *options = find_compiler()
    return " ".join(("C compiler", Path(program).name, *options)), "CPU"


PROBES: dict[str, Callable[[], tuple[str, str]]] = {
    "numpy": _numpy,
    "onnx": _onnx,
    "tflite": _tflite,
    "savedmodel": _savedmodel,
    "native": _native,
}


def main(backend: str) -> None:
    """Print the backend's engine and the device where it runs."""
    print("\n".join(PROBES[backend]()))


if __name__ == "__main__":
    main(sys.argv[1])
