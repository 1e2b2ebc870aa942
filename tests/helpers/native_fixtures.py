"""Fixtures of the native targets: fitted models, each as a library with a backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.native_models import (
    HERE,
    ODD_SPEC,
    artifact,
    build,
    directory,
    write_sources,
)
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import compiled, find_compiler
from pulsecast.backends.native_store import CACHE_VARIABLE
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.native.writer import sources

# the fitted level has a head of large weights, which makes more of an 8-bit error than training does
CASES = (
    ("odd", "native"),
    ("odd", "native-w8"),
    ("level", "native"),
    ("change", "native"),
    ("change", "native-w8"),
)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def model(case: tuple[str, str], request: pytest.FixtureRequest) -> ModelDirectory:
    if case[0] == "odd":
        return directory(plain.make_model(ODD_SPEC))
    return directory(request.getfixturevalue(f"{case[0]}_model"))


@pytest.fixture(scope="session")
def cache(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The store of compiled libraries, one for all processes of a run."""
    return once("native-cache", lambda path: path.mkdir(mode=0o700))


@pytest.fixture
def backend(case: tuple[str, str], model: ModelDirectory, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    source = compiled_source(model, case[1])
    opened = NativeBackend(source, model.record.spec, 1)
    opened.source = source
    opened.artifact = artifact(case[1], model.record.spec)
    return opened


def compiled_source(model: ModelDirectory, target_id: str) -> bytes:
    """Return the library of a native target from the store that bundles' libraries are kept in."""
    texts = {name: text.encode() for name, text in sources(model, target_id).items()}
    return compiled(texts, [*find_compiler(), *HERE])


def built_library(model: ModelDirectory, target_id: str, folder: Path, *flags: str) -> Path:
    """Return the library of a native target, compiled in `folder`."""
    return build(write_sources(model, target_id, folder), find_compiler(), *flags)
