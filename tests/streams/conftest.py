"""Models for streams: made with numpy, so that they load at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import native_models, plain, series_models
from pulsecast import Forecaster, load


@pytest.fixture(scope="session")
def model(calendar_bundle: Path) -> Forecaster:
    """A model with a calendar, one column, horizon 2, a step of an hour."""
    return load(calendar_bundle, backend="numpy")


@pytest.fixture(scope="session")
def table_bundle(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three series: a, b, c."""
    folder = tmp_path_factory.mktemp("streams") / "table"
    series_models.write_bundle(folder, series_models.with_table(native_models.directory(change_model)))
    return folder


@pytest.fixture(scope="session")
def table(table_bundle: Path) -> Forecaster:
    """A model of three series: a, b, c."""
    return load(table_bundle, backend="numpy")
