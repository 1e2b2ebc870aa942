"""The generated log holds faults, and reading it returns the exact counts."""

from pathlib import Path

import numpy as np
import pytest

from pulsecast.errors import UsageError
from pulsecast_train.logs.generator import GENERATED_LOG, generate_log
from pulsecast_train.logs.reader import read_log


@pytest.mark.parametrize("messy", [True, False], ids=["messy", "clean"])
@pytest.mark.parametrize(("seed", "days"), [(7, 60), (1, 3), (2, 90)])
def test_reading_a_generated_log_returns_the_exact_counts(tmp_path: Path, seed: int, days: int, messy: bool) -> None:
    truth = generate_log(tmp_path / "log.csv", seed=seed, days=days, messy=messy)
    (series,), report = read_log([tmp_path / "log.csv"], GENERATED_LOG)
    assert (series.start_s, series.step_s) == (truth.start_s, truth.step_s)
    assert series.values[:, 0].tolist() == truth.counts.tolist()
    assert series.metrics == ("events",)
    assert report.rows_read == truth.rows
    found = {finding.policy: finding.rows for finding in report.findings}
    expected = {
        "unparsable-timestamp": truth.empty_timestamps,
        "out-of-order": truth.stepped_back,
        "exact-duplicate": truth.exact_duplicates,
    }
    assert found == {policy: rows for policy, rows in expected.items() if rows}
    assert (len(found) == 3) == messy


def test_the_missing_cells_and_other_offsets_are_as_many_as_the_truth_says(tmp_path: Path) -> None:
    truth = generate_log(tmp_path / "log.csv", days=10)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert sum(row[3] == "" for row in rows) == truth.missing_cells >= 2
    assert sum(row[0] != "" and not row[0].endswith("Z") for row in rows) == truth.other_offsets > 0
    assert sum(row[0] == "" for row in rows) == truth.empty_timestamps == 2


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate_log(tmp_path / name, seed=seed, days=5)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a", "b", "c"))
    assert first == again
    assert first != other


def test_the_series_has_a_daily_and_a_weekly_rhythm_and_bursts(tmp_path: Path) -> None:
    counts = generate_log(tmp_path / "log.csv", days=63).counts.astype(float)
    assert len(counts) == 63 * 24
    by_hour = counts.reshape(-1, 24).mean(axis=0)
    assert by_hour.max() > 2 * by_hour.min()
    by_day = counts.reshape(9, 7, 24).mean(axis=(0, 2))
    assert by_day[:5].min() > 1.2 * by_day[5:].max()
    assert counts.max() > 3 * np.median(counts)
    assert 24 < np.median(counts) < 300
    assert (tmp_path / "log.csv").stat().st_size < 10_000_000


def test_no_days_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="days is 0; expected at least 1"):
        generate_log(tmp_path / "log.csv", days=0)
