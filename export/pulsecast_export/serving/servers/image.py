"""How an image installs pulsecast: from a wheel beside its Dockerfile, or what pip finds."""

from __future__ import annotations

from pathlib import Path

import pulsecast
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import one_path

from ..options import ServeOptions
from .order import Order

ENGINES = {"onnx": "onnx", "tflite": "tflite", "savedmodel": "savedmodel"}  # backend -> the extra that brings it
_LARGEST_WHEEL = 64 << 20


def install(order: Order, *extras: str) -> str:
    """Return the lines of a Dockerfile that install pulsecast with `extras` and the engine of the artifact."""
    wanted = [*extras, *([ENGINES[order.artifact.backend]] if order.artifact.backend in ENGINES else [])]
    brackets = f"[{','.join(wanted)}]" if wanted else ""
    pip = "pip install --no-cache-dir --no-compile"
    if order.options.wheel is None:
        return f"RUN {pip} 'pulsecast{brackets}=={pulsecast.__version__}'"
    name = Path(order.options.wheel).name
    return f"COPY wheels/ /wheels/\nRUN {pip} '/wheels/{name}{brackets}'"


def wheels(options: ServeOptions) -> dict[str, bytes]:
    """Return the wheel, by its path in the serving folder; raises UsageError if there is none."""
    if options.wheel is None:
        return {}
    path = one_path("wheel", options.wheel)
    if not path.is_file():
        raise UsageError(f"wheel {path} is not a file; `python -m build --wheel` in a checkout makes one in dist/")
    if path.stat().st_size > _LARGEST_WHEEL:
        raise UsageError(f"wheel {path.name} has over {_LARGEST_WHEEL >> 20} MiB, which no wheel of pulsecast has")
    return {f"wheels/{path.name}": path.read_bytes()}
