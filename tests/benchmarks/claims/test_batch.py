"""The benchmark of a batch: all sides forecast the same files alike, and ratios are of seconds a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.engines import require

require("polars")

from helpers.logs import batches  # noqa: E402
from helpers.outside.parquet_forks import parquet_forks  # noqa: E402
from pulsecast_bench.claims import batch  # noqa: E402
from pulsecast_train import prediction  # noqa: E402


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every side run in this process."""
    monkeypatch.setattr(prediction, "run_tasks", batches.run_here)
    monkeypatch.setattr(batch, "_in_a_process", batch.measured)


@pytest.mark.usefixtures("_here")
def test_every_side_forecasts_the_same_files_and_the_ratios_are_of_their_figures(
    calendar_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--files", "6", "--loop-files", "3", "--rounds", "1", "--format", "json"]
    with parquet_forks():
        assert batch.main([str(calendar_bundle), *words]) in (0, 1)
    for cost in json.loads(capsys.readouterr().out):
        (loop,), (one,), (two,) = cost["loop"], cost["one"], cost["two"]
        assert (loop["files"], one["files"], two["files"]) == (3, 6, 6)
        assert len({tuple(map(tuple, side["forecasts"][:3])) for side in (one, two)}) == 1
        assert cost["one_cpu"]["value"] == pytest.approx(one["cpu_s"] / 6 / (loop["cpu_s"] / 3))
        assert cost["two_wall"]["value"] == pytest.approx(two["wall_s"] / one["wall_s"])


@pytest.mark.usefixtures("_here")
def test_forecasts_that_differ_are_no_comparison(calendar_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = batch.batch_over

    def wrong(bundle: Path, logs: list[Path], out: Path, jobs: int):  # type: ignore[no-untyped-def]
        return lambda: [[1.01 * one for one in row] for row in usual(bundle, logs, out, jobs)()]

    monkeypatch.setattr(batch, "batch_over", wrong)
    with pytest.raises(RuntimeError, match="the forecasts of one are not those of the loop"):
        batch.measure_batch(calendar_bundle, form="csv", files=3, loop_files=3, rounds=1)
