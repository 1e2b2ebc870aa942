"""Forecasts from elsewhere: read strictly, all that are tested or none, and scored beside ours."""

import csv
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require

require("sklearn", "polars", "scipy", "threadpoolctl")

from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast_train.backtesting.backtest import Task, run_task  # noqa: E402
from pulsecast_train.backtesting.config import EvaluateConfig  # noqa: E402
from pulsecast_train.backtesting.outside import (  # noqa: E402
    WANTED_NAME,
    check_names,
    fold_forecasts,
    read_outside,
    refuse_incomplete,
    wanted_targets,
)
from pulsecast_train.backtesting.scoring import Forecasts, score_horizon  # noqa: E402
from pulsecast_train.recipes.recipes import filled, spec_of  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

START_S, HORIZON, ORIGINS = 1_736_121_600, 2, 2  # 2025-01-06T00:00:00Z
HEAD = "series,time,step,forecast\n"
TRAIN_CONFIG = filled(TrainConfig(window=12, horizon=HORIZON))


def walk(name: str, seed: int) -> Series:
    values = 100 + np.abs(np.cumsum(np.random.default_rng(seed).normal(0, 3, 420)))
    return Series(name=name, metrics=("value",), start_s=START_S, step_s=3600, values=values[:, np.newaxis])


SERIES = [walk("cats", 1), walk("dogs, and more", 2)]
TESTED = wanted_targets(SERIES, spec_of(TRAIN_CONFIG, SERIES), ORIGINS)


def write(path: Path, *, shift: int = 0, drop: int = 0, form: str = "iso") -> Path:
    """Forecasts that know nine tenths of the truth, one for each that is tested but the first `drop`."""
    rows = []
    for number, folds in TESTED.items():
        for target in np.concatenate(list(folds.values())):
            for step in (1, 2):
                values, index = SERIES[number].values[:, 0], int(target) - 1 + shift
                last, truth = values[target - 1], values[target + step - 1]
                seconds = START_S + 3600 * index
                time = seconds if form == "unix" else np.datetime_as_string(np.datetime64(seconds, "s")) + "Z"
                rows.append((SERIES[number].name, time, step, last + 0.9 * (truth - last)))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEAD.strip().split(","), *rows[drop:]])
    return path


def baseline(name: str) -> dict[int, dict[int, dict[int, object]]]:
    parts = {
        number: {
            fold: run_task(
                Task(method=name, series=(one,), fold=fold, origins=ORIGINS, horizon=HORIZON, train=TRAIN_CONFIG)
            )[0]
            for fold in range(ORIGINS)
        }
        for number, one in enumerate(SERIES)
    }
    return {0: parts}


@pytest.mark.parametrize("form", ["iso", "unix"])
def test_they_are_scored_beside_ours(tmp_path: Path, form: str) -> None:
    read = read_outside(write(tmp_path / "oracle.csv", form=form), SERIES)
    refuse_incomplete([read], SERIES, {HORIZON: TESTED}, tmp_path)
    assert not (tmp_path / WANTED_NAME).exists()
    forecasts: Forecasts = {
        "last_value": baseline("last_value"),
        "model": baseline("ses_log"),
        "oracle": {0: fold_forecasts(read, TESTED, HORIZON)},
    }  # type: ignore[dict-item]
    config = EvaluateConfig(train=TRAIN_CONFIG, origins=ORIGINS, seeds=1)
    found = score_horizon(SERIES, config, HORIZON, forecasts, outside=("oracle",))
    ours = {method.name: method for method in found.methods}
    assert ours["oracle"].mae_ratio == pytest.approx(0.1, rel=1e-9)
    assert "what you brought is better: oracle reaches 0.100" in found.verdict
    assert "its time must be" not in found.verdict


def test_forecasts_one_step_late_are_noticed(tmp_path: Path) -> None:
    """As if `time` were that of the step that is forecast: each stands beside the truth of the step after its own."""
    read = read_outside(write(tmp_path / "late.csv", shift=1), SERIES)
    with pytest.raises(DataError, match=r"forecasts late: .* of those that are tested are missing"):
        refuse_incomplete([read], SERIES, {HORIZON: TESTED}, tmp_path)
    values = SERIES[0].values[:, 0]
    late = {
        number: {
            fold: type(one)(**{**vars(one), "forecasts": values[one.targets - 1][:, np.newaxis] + np.zeros(HORIZON)})
            for fold, one in folds.items()
        }
        for number, folds in fold_forecasts(read_outside(write(tmp_path / "a.csv"), SERIES), TESTED, HORIZON).items()
    }
    forecasts = {"last_value": baseline("last_value"), "model": baseline("ses_log"), "late": {0: late}}
    config = EvaluateConfig(train=TRAIN_CONFIG, origins=ORIGINS, seeds=1)
    found = score_horizon(SERIES[:1], config, HORIZON, forecasts, outside=("late",))  # type: ignore[arg-type]
    assert "on 1 series the changes of late do not predict the real ones: its time must be that of" in found.verdict


def test_an_incomplete_file_is_refused_and_all_that_are_wanted_are_listed(tmp_path: Path) -> None:
    read = read_outside(write(tmp_path / "model.csv", drop=3), SERIES)
    with pytest.raises(DataError, match=r"model: 3 of those .* missing, such as series cats, time .*, step 1"):
        refuse_incomplete([read], SERIES, {HORIZON: TESTED}, tmp_path / "out")
    with (tmp_path / "out" / WANTED_NAME).open(newline="") as file:
        head, *wanted = list(csv.reader(file))
    assert head == ["series", "time", "step", "forecast"]
    filled_in = tmp_path / "whole.csv"
    with filled_in.open("w", newline="") as file:
        csv.writer(file).writerows([head, *([*row[:3], "1.5"] for row in wanted)])
    refuse_incomplete([read_outside(filled_in, SERIES)], SERIES, {HORIZON: TESTED}, tmp_path)
    assert len(wanted) == 2 * HORIZON * sum(len(targets) for targets in TESTED[0].values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begins with ''; expected series,time,step,forecast"),
        ("time,series,step,forecast\n", "begins with 'time,series,step,forecast'"),
        (HEAD + "cats,2025-01-06T00:00:00Z,1\n", "line 2: 3 cells; expected 4"),
        (HEAD + "cows,2025-01-06T00:00:00Z,1,5\n", "line 2: series 'cows' is not in the log; it has cats, dogs"),
        (HEAD + "cats,2025-01-06T00:00:00,1,5\n", "line 2: time 2025-01-06T00:00:00 has no zone"),
        (HEAD + "cats,yesterday,1,5\n", "line 2: time yesterday is not a time; expected 2025"),
        (HEAD + "cats,2025-01-06T00:30:00Z,1,5\n", "is not that of a step of series cats, which are 3600 s apart"),
        (HEAD + "cats,1736121600000,1,5\n", "is not that of a step of series cats"),
        (HEAD + "cats,9999-12-31T23:59:59-23:59,1,5\n", "line 2: time 9999"),
        (HEAD + "cats,2025-01-06T00:00:00Z,0,5\n", "step is '0'; expected 1 for the step after the time"),
        (HEAD + "cats,2025-01-06T00:00:00Z,1.5,5\n", "step is '1.5'"),
        (HEAD + "cats,2025-01-06T00:00:00Z,1,nan\n", "forecast is 'nan'; expected a finite number"),
        (HEAD + "cats,2025-01-06T00:00:00Z,1,\n", "forecast is ''; expected a finite number"),
        (HEAD + "cats,2025-01-06T00:00:00Z,1,5\ncats,1736121600,1,6\n", "line 3: the same series, time and step"),
        (HEAD + "cats,x,1,5\ncats,2025-01-06T00:00:00Z,1,y\n", "line 2: time x is not a time.*line 3: forecast is 'y'"),
        ("series,time\xff", "is not CSV in UTF-8"),
    ],
)
def test_a_file_that_could_be_misread_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=said):
        read_outside(path, SERIES)


def test_a_name_that_stands_for_something_else_is_refused(tmp_path: Path) -> None:
    for names in (["model.csv"], ["a.csv", "b/a.csv"], ["ridge_log_calendar.csv"]):
        with pytest.raises(UsageError, match="rename the file"):
            check_names([tmp_path / name for name in names], {"model", "ridge_log_calendar"})
    check_names([tmp_path / "chronos.csv"], {"model"})
    with pytest.raises(UsageError, match="cannot be read"):
        read_outside(tmp_path / "absent.csv", SERIES)
