"""Every example in a docstring gives its stated result."""

import doctest
import importlib
from pathlib import Path

import pytest

import pulsecast
import pulsecast_bench
import pulsecast_cli
import pulsecast_export
import pulsecast_streams
import pulsecast_train
from helpers.engines import require

require("typer", "polars")
PACKAGES = (pulsecast, pulsecast_streams, pulsecast_cli, pulsecast_train, pulsecast_export, pulsecast_bench)


def modules() -> list[str]:
    """Return the modules whose source holds an example; the others are not imported for having none."""
    return [
        f"{package.__name__}.{'.'.join(path.relative_to(root).with_suffix('').parts)}"
        for package in PACKAGES
        for root in map(Path, package.__path__)
        for path in sorted(root.rglob("*.py"))
        if path.name != "__init__.py" and ">>> " in path.read_text("utf-8")
    ]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), extraglobs=_names()).failed == 0


def _names() -> dict[str, object]:
    import numpy as np

    return {"np": np}


def test_every_package_has_an_example() -> None:
    assert {name.partition(".")[0] for name in modules()} == {package.__name__ for package in PACKAGES}
