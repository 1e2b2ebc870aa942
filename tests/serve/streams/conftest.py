"""Servers that follow streams, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.serving import Client, running
from pulsecast import Forecaster, load
from pulsecast_serve import ServerConfig


@pytest.fixture(scope="session")
def model(bundle: Path) -> Forecaster:
    """The model `plain`, in this process."""
    return load(bundle, backend="numpy")


@pytest.fixture(scope="session")
def following(bundle: Path, table_bundle: Path) -> Iterator[Client]:
    """A server that follows series of `plain` and `table`, without an end to their number; tests name their own."""
    with running(
        bundle, f"table={table_bundle}", config=ServerConfig(store="memory", backend="numpy", series_metrics=2)
    ) as found:
        yield found
