"""Models for streams: made with numpy, so that they load at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsecast import Forecaster, load


@pytest.fixture(scope="session")
def model(calendar_bundle: Path) -> Forecaster:
    """A model with a calendar, one column, horizon 2, a step of an hour."""
    return load(calendar_bundle, backend="numpy")


@pytest.fixture(scope="session")
def table(table_bundle: Path) -> Forecaster:
    """A model of three series: a, b, c."""
    return load(table_bundle, backend="numpy")
