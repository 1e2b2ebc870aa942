"""Small logs written by tests, and the results of reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsecast.errors import DataError, UsageError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.data_report import DataReport
from pulsecast_train.logs.reader import read_log
from pulsecast_train.series import Series

NOW_S = 1_770_000_000  # 2026-02-02
DAY_S = 1_736_121_600  # 2025-01-06T00:00:00Z


def read(*paths: Path, **options: Any) -> tuple[Series, DataReport]:
    (series,), report = read_log(paths, LogConfig(**options), now_s=NOW_S)
    return series, report


def log(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def hours(values: list[object], *, header: str = "timestamp,value") -> str:
    rows = [f"2025-01-{6 + hour // 24:02}T{hour % 24:02}:00:00Z,{value}" for hour, value in enumerate(values)]
    return "\n".join([header, *rows]) + "\n"


def refusal(*paths: Path, **options: Any) -> str:
    with pytest.raises((DataError, UsageError)) as caught:
        read(*paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def values(series: Series) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in series.values[:, 0]]


def found(report: DataReport) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {finding.policy: (finding.rows, finding.lines) for finding in report.findings}
