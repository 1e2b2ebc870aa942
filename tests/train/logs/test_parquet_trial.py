"""A Parquet file over which polars ends its process is refused in one sentence: a child process meets it first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.engines import load
from helpers.logs.log_files import NOW_S
from pulsecast.errors import DataError
from pulsecast.stages import child_process
from pulsecast_train import LogConfig, read_log
from pulsecast_train.logs.parquet import trial

pl = load("polars")
START_S = 1_736_121_600
DAMAGED = Path(__file__).parents[2] / "data" / "fuzz" / "log-parquet" / "a-run-of-missing-cells-without-end"


@pytest.fixture(autouse=True)
def _the_products_own_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "run_module", child_process.run_module)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    times = pl.from_epoch(pl.Series(START_S + 3600 * np.arange(24))).dt.replace_time_zone("UTC")
    pl.DataFrame({"timestamp": times, "value": list(range(24))}).write_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_a_whole_file_is_read(path: Path) -> None:
    (series,), _ = read_log(path, now_s=NOW_S)
    assert series.values[:, 0].tolist() == list(range(24))


def test_a_file_that_ends_its_process_is_refused_by_name_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.parquet"
    path.write_bytes(DAMAGED.read_bytes()[1:])  # the first byte chooses a configuration
    with pytest.raises(DataError) as caught:
        read_log(path, LogConfig(metrics=("value",)), now_s=NOW_S)
    assert str(caught.value) == (
        "log.parquet is not a whole Parquet file: reading it crashed with SIGABRT; write it again"
    )
    assert capfd.readouterr() == ("", "")


def test_a_child_that_takes_too_long_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LEAST_S", 0.001)
    monkeypatch.setattr(trial, "SLOWEST_BYTES_PER_S", 1 << 40)
    with pytest.raises(DataError, match=r"not a whole Parquet file: reading it took longer than 0\.001 s; write it"):
        read_log(path, now_s=NOW_S)


def test_a_column_that_is_not_there_is_named_as_for_any_log(path: Path) -> None:
    with pytest.raises(DataError, match=r"^log\.parquet has no column likes; its columns are timestamp, value; if"):
        read_log(path, LogConfig(metrics=("likes",)), now_s=NOW_S)
