"""What this process runs on: versions and platform, without paths, users or host names."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "pulsecast",
    "numpy",
    "tensorflow",
    "keras",
    "scikit-learn",
    "polars",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "ai-edge-quantizer",
)


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of those PACKAGES that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def platform_name() -> str:
    """Return operating system and processor architecture, e.g. `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"
