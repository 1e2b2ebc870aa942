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
from pulsecast_train.logs.files import open_log
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


def test_many_files_are_tried_in_one_child_and_the_one_that_ends_it_is_found(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def counted(module: str, arguments: list[str], **more: float) -> child_process.Ended:
        started.append(len(arguments) - 2)
        return child_process.run_module(module, arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trial, "run_module", counted)
    damaged, wrong, last = (tmp_path / f"{name}.parquet" for name in ("damaged", "wrong", "last"))
    damaged.write_bytes(DAMAGED.read_bytes()[1:])
    wrong.write_bytes(b"PAR1 and nothing more")
    last.write_bytes(path.read_bytes())
    config = LogConfig(metrics=("value",))
    trial.try_parquets([open_log(one) for one in (path, damaged, wrong, last)], config)
    assert started == [4, 2]  # the second one begins behind the file that ended the first
    for one, message in ((damaged, "damaged.parquet is not a whole Parquet file: reading it crashed"),
                         (wrong, "wrong.parquet is not a whole Parquet file; write it again")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            read_log(one, config, now_s=NOW_S)
    for one in (path, last):
        (series,), _ = read_log(one, config, now_s=NOW_S)
        assert series.values[:, 0].tolist() == list(range(24))
    assert started == [4, 2]
    read_log(path, config, now_s=NOW_S)  # an answer is given once
    assert started == [4, 2, 1]


def test_a_file_that_changed_after_its_trial_is_tried_again(path: Path) -> None:
    config = LogConfig(metrics=("value",))
    trial.try_parquets([open_log(path)], config)
    path.write_bytes(DAMAGED.read_bytes()[1:])
    with pytest.raises(DataError, match="reading it crashed with SIGABRT"):
        read_log(path, config, now_s=NOW_S)
