"""Models of every kind that the graphs know, converted once a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import graph_models
from helpers.engines import EXPORT, require
from helpers.graph_models import Case, Converted


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    return graph_models.make_cases()


@pytest.fixture(scope="session", params=graph_models.NAMES)
def converted(
    request: pytest.FixtureRequest, cases: dict[str, Case], once: Callable[[str, Callable[[Path], object]], Path]
) -> Converted:
    require(*EXPORT)
    case = cases[request.param]
    folder = once(f"graph-{request.param}", lambda path: graph_models.convert(case, path))
    return Converted(case=case, folder=folder)
