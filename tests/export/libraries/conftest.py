"""Bundles for browsers, made once for all tests of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import add_native, directory, write_sources


@pytest.fixture(scope="session", params=["level", "linear"])
def bundle(request: pytest.FixtureRequest, once: Callable[..., Path]) -> Path:
    """A bundle of a fitted model: numpy, and native with its module and wrapper."""
    require("ziglang")
    from helpers.outside.wasm import build_wasm

    model = request.getfixturevalue(f"{request.param}_model")

    def make(folder: Path) -> None:
        plain.write_bundle(folder, model)
        write_sources(directory(model), "native", folder / "native")
        build_wasm(folder / "native", folder.with_name(f"{folder.name}-work"))
        add_native(folder, model)

    return once(f"wasm-{request.param}", make)
