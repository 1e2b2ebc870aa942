"""A model whose forecasts take little time: `anomalies` makes a thousand of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers import plain


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a scaled level, as `plain_bundle` is, with a window of a day and one small layer."""
    folder = tmp_path_factory.mktemp("small") / "bundle"
    spec = replace(plain.LEVEL_SPEC, window=24, units=(5,), network=None)
    plain.write_bundle(folder, plain.make_model(spec))
    return folder
