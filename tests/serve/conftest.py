"""Bundles to serve: made with numpy, so that a server starts at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.serving import Client, running
from pulsecast.model.spec import Channel, Feature
from pulsecast_serve import ServerConfig

require("starlette", "uvicorn", "httptools", "prometheus_client")


@pytest.fixture(scope="session")
def bundle(calendar_bundle: Path) -> Path:
    """A bundle with a calendar, one column, horizon 2; its name is `plain`."""
    return calendar_bundle


@pytest.fixture(scope="session")
def two_columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of a model `two` with two measured columns."""
    folder = tmp_path_factory.mktemp("served") / "two"
    features = (plain.CHANGE_SPEC.features[0], Feature(name="second"), *plain.CHANGE_SPEC.features[1:])
    channels = tuple(Channel(feature=i) for i in range(len(features)))
    plain.write_bundle(folder, plain.make_model(replace(plain.CHANGE_SPEC, features=features, channels=channels)))
    with running(f"two={folder}") as found:
        yield found


@pytest.fixture(scope="session")
def client(bundle: Path, table_bundle: Path) -> Iterator[Client]:
    """A server of both bundles, as `plain` and `table`, which keeps streams in memory."""
    with running(bundle, f"table={table_bundle}", config=ServerConfig(store="memory")) as found:
        yield found
