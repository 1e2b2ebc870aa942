"""Random logs of every locale, separator, quoting, form of times and fault are read right or refused, never wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from helpers.logs.log_files import NOW_S
from helpers.logs.odd_logs import START, odd_log
from helpers.logs.odd_workbooks import odd_workbook
from helpers.logs.workbooks import in_this_process
from pulsecast.errors import DataError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log

SMOKE, ALL = 60, 2000

Made = Callable[[int, Path], tuple[Path, tuple[float, ...], str]]


def odd_text(seed: int, folder: Path) -> tuple[Path, tuple[float, ...], str]:
    made = odd_log(seed)
    path = folder / made.name
    path.write_bytes(made.data)
    return path, made.values, made.about


def wrong_logs(make: Made, folder: Path, seeds: range) -> tuple[list[str], int]:
    """Return what was read wrongly, and how many logs were read."""
    wrong, read = [], 0
    for seed in seeds:
        path, values, about = make(seed, folder)
        config = LogConfig(timezone="UTC", metrics=("value",), kind="gauge")
        try:
            (series,), report = read_log(path, config, now_s=NOW_S)
        except DataError:
            continue
        read += 1
        first = (series.start_s - int(START.timestamp())) // 3600
        truth = np.array(values[first : first + len(series.values)])
        enough = len(series.values) >= len(values) - 2  # a cut log has lost its end, and may lose the row before
        right = series.step_s == 3600 and enough and np.allclose(series.values[: len(truth) - 1, 0], truth[:-1])
        told = "open-end" in {one.policy for one in report.findings}  # its last cell may be cut off
        last = told or np.allclose(series.values[-1, 0], truth[-1])
        if not (right and last):
            wrong.append(about)
    return wrong, read


@pytest.mark.parametrize("make", [odd_text, odd_workbook])
def test_no_odd_log_is_read_wrongly(make: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("python_calamine")
    in_this_process(monkeypatch)
    wrong, read = wrong_logs(make, tmp_path, range(SMOKE))
    assert wrong == []
    assert read >= SMOKE // 3


@pytest.mark.soak
@pytest.mark.parametrize("make", [odd_text, odd_workbook])
def test_no_odd_log_of_two_thousand_is_read_wrongly(
    make: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("python_calamine")
    in_this_process(monkeypatch)
    wrong, read = wrong_logs(make, tmp_path, range(SMOKE, ALL))
    assert wrong == []
    print(f"{read} of {ALL - SMOKE} logs were read, the others refused")  # noqa: T201
    assert read >= ALL // 3
