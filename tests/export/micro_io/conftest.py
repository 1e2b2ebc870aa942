"""Fixtures of the C beside the full-integer TFLite file: the models, and their compiled libraries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.micro.models import AROUND, KNOWN, written
from helpers.native_models import require_c
from pulsecast.backends.native_library import find_compiler
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.micro_io.checking import MicroIo, compile_micro_io


@pytest.fixture(params=KNOWN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=AROUND)
def any_name(request: pytest.FixtureRequest) -> str:
    """With the model that has a forecast at no time."""
    return str(request.param)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, ModelDirectory], MicroIo]:
    """A function of a name and its model; each is compiled once."""
    require_c()
    made: dict[str, MicroIo] = {}

    def of(name: str, model: ModelDirectory) -> MicroIo:
        if name not in made:
            folder = written(model, tmp_path_factory.mktemp("micro"))
            compile_micro_io(folder, find_compiler(), folder / "micro_io.so")
            made[name] = MicroIo(folder / "micro_io.so", model.record.spec)
        return made[name]

    return of
