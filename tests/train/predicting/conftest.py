"""Batches here run their pieces in this process, and try Parquet files in forks; `test_processes` has the product's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engines import require
from helpers.outside.parquet_forks import parquet_forks

FILES = 9


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of FILES logs, CSV and Parquet in turns; shared."""
    require("polars")
    from helpers.logs import batches

    return batches.write_folder(tmp_path_factory.mktemp("batch") / "logs", FILES)


@pytest.fixture(autouse=True, scope="session")
def _forks() -> Iterator[None]:
    with parquet_forks():
        yield


@pytest.fixture(autouse=True)
def _small_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.name == "test_files.py":
        return
    from helpers.logs import batches
    from pulsecast_train import prediction
    from pulsecast_train.predicting import plan

    monkeypatch.setattr(plan, "PIECE_FILES", 4)
    if request.path.name != "test_processes.py":
        monkeypatch.setattr(prediction, "run_tasks", batches.run_here)
