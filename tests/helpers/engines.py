"""A missing engine is a skip on a laptop and a failure in CI, where every extra is meant to be installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import pytest

TRAIN = ("tensorflow", "keras", "sklearn", "polars")
EXPORT = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers")


def require(*packages: str) -> None:
    """Skip what calls this (a test, a fixture or a whole module) unless `packages` are installed; in CI fail it."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if not missing:
        return
    sentence = f"{', '.join(missing)} not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{sentence}, and CI is set", pytrace=False)
    pytest.skip(sentence, allow_module_level=True)


def load(package: str) -> Any:
    """Return a package, or a module of one, that a test or a whole test module needs, imported."""
    require(package.partition(".")[0])
    return importlib.import_module(package)
