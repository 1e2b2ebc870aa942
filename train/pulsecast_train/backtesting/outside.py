"""Forecasts from elsewhere, such as a foundation model's, in a CSV file: every tested one once, or the file is refused.

    series,time,step,forecast
    cats,2025-03-03T10:00:00Z,1,132.5

`time` is that of the last step that was known when the forecast was made, in UTC or with an offset, or in unix seconds;
`step` is 1 for the step after it.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.iso_time import iso_whole_seconds
from pulsecast.errors import DataError, UsageError
from pulsecast.foundation.whole_file import write_whole
from pulsecast.model.spec import ModelSpec
from pulsecast.plain_text import Problems, listed

from ..series import Series
from .backtest import FoldForecasts
from .folds import first_targets, rolling_folds, until

COLUMNS = ("series", "time", "step", "forecast")
WANTED_NAME = "forecasts-wanted.csv"

Tested = Mapping[int, Mapping[int, NDArray[np.int64]]]  # number of the series -> fold -> first targets (n,)


@dataclass(frozen=True, kw_only=True)
class OutsideFile:
    """The forecasts of a file.

    name  of the file, without its ending
    rows  (number of the series, index of its last known step, steps ahead) -> forecast
    """

    name: str
    rows: Mapping[tuple[int, int, int], float]


def check_names(paths: Sequence[Path], taken: Iterable[str]) -> None:
    """Raise UsageError if two files, or a file and one of the names `taken`, would stand under one name."""
    names, known = [path.stem for path in paths], set(taken)
    for path in paths:
        if path.stem in known or names.count(path.stem) > 1 or not path.stem.isprintable():
            raise UsageError(
                f"forecasts {path.name}: the file's name is their name in the tables, and another one stands there "
                f"under {path.stem!a}; rename the file"
            )


def read_outside(path: Path, series: Sequence[Series]) -> OutsideFile:
    """Return the forecasts in a file; raises UsageError if it cannot be read, DataError with what is wrong in it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = _read(csv.reader(file), path.name, series)
    except OSError as error:
        raise UsageError(f"forecasts {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"forecasts {path.name} is not CSV in UTF-8: {error}") from error
    return OutsideFile(name=path.stem, rows=found)


def _read(lines: Iterator[list[str]], name: str, series: Sequence[Series]) -> dict[tuple[int, int, int], float]:
    head = tuple(next(lines, []))
    if head != COLUMNS:
        raise DataError(f"forecasts {name} begins with {','.join(head)[:80]!r}; expected {','.join(COLUMNS)}")
    numbers = {one.name: number for number, one in enumerate(series)}
    found: dict[tuple[int, int, int], float] = {}
    problems = Problems()
    for line, cells in enumerate(lines, 2):
        try:
            place, forecast = _row(cells, numbers, series)
            if place in found:
                raise ValueError("the same series, time and step stand on an earlier line")
            found[place] = forecast
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if len(problems):
        raise DataError(f"forecasts {name}: {problems}")
    return found


def _row(
    cells: Sequence[str], numbers: Mapping[str, int], series: Sequence[Series]
) -> tuple[tuple[int, int, int], float]:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells; expected {len(COLUMNS)}")
    name, time, step, forecast = cells
    if name not in numbers:
        raise ValueError(f"series {name[:60]!r} is not in the log; it has {', '.join(list(numbers)[:5])}")
    one = series[numbers[name]]
    index, rest = divmod(_seconds(time) - one.start_s, one.step_s)
    if rest or not 0 <= index < len(one.values):
        raise ValueError(f"time {time[:40]} is not that of a step of series {name}, which are {one.step_s} s apart")
    if not step.isdecimal() or int(step) < 1:
        raise ValueError(f"step is {step[:20]!r}; expected 1 for the step after the time, 2, ...")
    return (numbers[name], int(index), int(step)), _number(forecast)


def _seconds(text: str) -> int:
    """Return unix seconds; raises ValueError for a time without a zone."""
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        return iso_whole_seconds(text)
    except ValueError as error:
        raise ValueError(f"time {text[:40]} {error}; expected 2025-03-03T10:00:00Z, or unix seconds") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"forecast is {text[:20]!r}; expected a finite number")
    return value


def wanted_targets(series: Sequence[Series], spec: ModelSpec, origins: int) -> Tested:
    """Return the first step of every forecast that an evaluation of models of `spec` tests."""
    return {
        number: {
            fold.number: first_targets(until(one, fold.stop), spec, fold.cut, fold.stop)
            for fold in rolling_folds(len(one.values), origins)
        }
        for number, one in enumerate(series)
    }


def fold_forecasts(outside: OutsideFile, tested: Tested, horizon: int) -> dict[int, dict[int, FoldForecasts]]:
    """Return the forecasts for the targets of `tested`, all of which must be in the file, by series and fold."""
    steps = range(1, horizon + 1)
    return {
        number: {
            fold: FoldForecasts(
                targets=targets,
                forecasts=np.array([[outside.rows[number, t - 1, k] for k in steps] for t in targets.tolist()]),
                earlier_targets=np.empty(0, np.int64),
                earlier=np.empty((0, horizon)),
                epochs=0,
            )
            for fold, targets in folds.items()
        }
        for number, folds in tested.items()
    }


def refuse_incomplete(
    files: Sequence[OutsideFile], series: Sequence[Series], tested: Mapping[int, Tested], folder: Path
) -> None:
    """Raise DataError if a forecast that is tested is in one of the files missing; then `folder` holds all wanted ones.

    tested  by horizon
    """
    wanted = list(dict.fromkeys(place for horizon, one in tested.items() for place in _places(one, horizon)))
    lacking = {one.name: [place for place in wanted if place not in one.rows] for one in files}
    if not any(lacking.values()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(
        [COLUMNS, *((series[number].name, _stamp(series[number], at), step, "") for number, at, step in wanted)]
    )
    write_whole(folder / WANTED_NAME, lines.getvalue(), force=True)
    raise DataError(
        listed(_lacking(name, places, series) for name, places in lacking.items() if places)
        + f"; {folder / WANTED_NAME} lists all {len(wanted):,} that are tested: fill in its last column"
    )


def _lacking(name: str, places: Sequence[tuple[int, int, int]], series: Sequence[Series]) -> str:
    number, at, step = places[0]
    first = f"series {series[number].name}, time {_stamp(series[number], at)}, step {step}"
    return f"forecasts {name}: {len(places):,} of those that are tested are missing, such as {first}"


def _places(tested: Tested, horizon: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number of the series, index of the last known step, step) of every forecast that is tested."""
    for number, folds in tested.items():
        for targets in folds.values():
            yield from ((number, t - 1, step) for t in targets.tolist() for step in range(1, horizon + 1))


def _stamp(series: Series, index: int) -> str:
    moment = datetime.datetime.fromtimestamp(series.start_s + index * series.step_s, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
