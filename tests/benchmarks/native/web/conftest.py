"""A bundle with its module for browsers, and a package that stands in for onnxruntime-web."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import directory, write_sources
from helpers.outside.web_peer import known_forecasts, write_peer


@pytest.fixture(scope="session")
def stand_in(once: Callable[..., Path]) -> Path:
    """A folder node_modules with a package that answers as onnxruntime-web does."""
    return once("web-modules", write_peer)


def _make(folder: Path, model: plain.PlainModel) -> None:
    from helpers.outside.wasm import build_wasm

    plain.write_bundle(folder, model)
    write_sources(directory(model), "native", folder / "native")
    build_wasm(folder / "native", folder.with_name(f"{folder.name}-work"))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_text(known_forecasts(model.golden()), "ascii")
    rows = tuple(plain.artifact_of(name, model.spec) for name in ("native", "onnx"))
    plain.write_manifest(folder, model, (plain.numpy_artifact(), *rows))


@pytest.fixture(scope="session")
def web_bundle(linear_model: plain.PlainModel, once: Callable[..., Path]) -> Path:
    """A bundle of a fitted model: native with its module and wrapper, and as `onnx` what the stand-in reads."""
    require("ziglang")
    return once("web-linear", lambda folder: _make(folder, linear_model))


@pytest.fixture(scope="session")
def untimed_web_bundle(level_model: plain.PlainModel, once: Callable[..., Path]) -> Path:
    """The same of a model without a calendar, which takes no times."""
    require("ziglang")
    return once("web-level", lambda folder: _make(folder, level_model))
