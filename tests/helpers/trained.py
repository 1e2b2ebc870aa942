"""The bundles and models of both recipes that the session trains and exports once, by a test's parameter."""

from pathlib import Path

import pytest

from pulsecast.stages.model_directory import ModelDirectory, read_model_directory

BUNDLES = pytest.mark.parametrize("recipe", ["textbook", "recommended"])


def bundle_of(recipe: str, request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(f"{recipe}_bundle"))


def model_of(recipe: str, request: pytest.FixtureRequest) -> ModelDirectory:
    return read_model_directory(request.getfixturevalue(f"{recipe}_model"))
