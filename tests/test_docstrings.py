"""Every example in a docstring does what it says."""

import doctest
import importlib
import pkgutil

import pytest

import pulsecast
import pulsecast_bench
import pulsecast_train
from engines import require

require("typer", "polars")
# modules that need an engine or are programs of their own; none of them holds an example that is run elsewhere
WITHOUT = ("pulsecast.__main__", "pulsecast.backends.", "pulsecast.cli.probe")


def modules() -> list[str]:
    found = [
        name
        for package in (pulsecast, pulsecast_train, pulsecast_bench)
        for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    heavy = ("network", "training", "model_writer", "device")
    return [n for n in found if not n.startswith(WITHOUT) and n.rpartition(".")[2] not in heavy]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), extraglobs=_names()).failed == 0


def _names() -> dict[str, object]:
    import numpy as np

    return {"np": np}
