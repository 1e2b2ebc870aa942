"""Random logs of every locale, separator, quoting, form of times and fault are read right or refused, never wrong."""

from pathlib import Path

import numpy as np
import pytest

from helpers.logs.log_files import NOW_S
from helpers.logs.odd_logs import START, odd_log
from pulsecast.errors import DataError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log

SMOKE, ALL = 60, 2000


def wrong_logs(folder: Path, seeds: range) -> tuple[list[str], int]:
    """Return what was read wrongly, and how many logs were read."""
    wrong, read = [], 0
    for seed in seeds:
        made = odd_log(seed)
        path = folder / made.name
        path.write_bytes(made.data)
        config = LogConfig(timezone="UTC", metrics=("value",), kind="gauge")
        try:
            (series,), _ = read_log(path, config, now_s=NOW_S)
        except DataError:
            continue
        read += 1
        first = (series.start_s - int(START.timestamp())) // 3600
        truth = np.array(made.values[first : first + len(series.values)])
        enough = len(series.values) >= len(made.values) - 2  # a cut log has lost its end, and may lose the row before
        right = series.step_s == 3600 and enough and np.allclose(series.values[: len(truth) - 1, 0], truth[:-1])
        last = "cut" in made.about or np.allclose(series.values[-1, 0], truth[-1])
        if not (right and last):
            wrong.append(made.about)
    return wrong, read


def test_no_odd_log_is_read_wrongly(tmp_path: Path) -> None:
    wrong, read = wrong_logs(tmp_path, range(SMOKE))
    assert wrong == []
    assert read >= SMOKE // 2


@pytest.mark.soak
def test_no_odd_log_of_two_thousand_is_read_wrongly(tmp_path: Path) -> None:
    wrong, read = wrong_logs(tmp_path, range(SMOKE, ALL))
    assert wrong == []
    assert read >= ALL // 2
