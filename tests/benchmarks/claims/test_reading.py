"""The reading benchmark reads what it wrote, and both sides see all of it."""

import json
from pathlib import Path

import pytest

from helpers.engines import require
from pulsecast_bench.claims.reading import DUPLICATES, main, read_with_pulsecast, write_log
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log


def test_the_log_is_sorted_and_repeats_as_many_events_as_it_says(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv", 20_000)
    assert read_with_pulsecast(tmp_path / "log.csv") == 20_000
    config = LogConfig(time="timestamp", id="event_id", events=True, step="1h")
    _, report = read_log([tmp_path / "log.csv"], config)
    found = {finding.policy: finding.rows for finding in report.findings}
    assert set(found) <= {"exact-duplicate", "partial-edge"}
    assert found["exact-duplicate"] == pytest.approx(20_000 * DUPLICATES, rel=0.3)  # 150 draws: four standard errors


@pytest.mark.slow
def test_both_sides_read_all_rows_and_the_ratios_are_of_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    require("pandas")
    assert main(["--rows", "20000", "--pairs", "1", "--format", "json"]) in (0, 1)
    cost = json.loads(capsys.readouterr().out)
    (ours,), (theirs,) = cost["pulsecast"], cost["pandas"]
    assert ours["rows"] == theirs["rows"] == 20_000
    assert cost["time_ratio"]["value"] == ours["seconds"] / theirs["seconds"]
    assert cost["memory_ratio"]["value"] == ours["peak_bytes"] / theirs["peak_bytes"]
    assert ours["peak_bytes"] >= ours["idle_bytes"]


def test_without_pandas_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main([]) == 6
    assert "pip install pandas" in capsys.readouterr().err
