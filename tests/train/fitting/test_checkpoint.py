"""The progress of a training run on a disk that refuses."""

import dataclasses
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsecast.errors import PulsecastError
from pulsecast_train.fitting.checkpoint import Checkpoint, Epoch, SavedRun, forget_run, load_run, save_run
from pulsecast_train.fitting.preparing import prepare
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log
from pulsecast_train.recipes.recipes import RECIPES
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig


def progress(size: int) -> SavedRun:
    history = (Epoch(number=1, loss=0.5, validation_loss=None),)
    return SavedRun(history=history, variables=(np.ones(size, np.float32),), best=())


def test_a_full_disk_names_the_file_and_keeps_the_progress_that_was_saved(tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder=tmp_path, run="run")
    save_run(checkpoint, progress(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(PulsecastError, match=r"progress\.npz could not be written and is as it was: File too larg"):
            save_run(checkpoint, progress(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["progress.npz"]
    found = load_run(checkpoint)
    assert found is not None
    np.testing.assert_array_equal(found.variables[0], np.ones(10, np.float32))


@pytest.mark.parametrize("change", [{"loss": "mse"}, {"changes": False}])
def test_a_recipe_that_means_another_model_does_not_go_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    hours = np.datetime64("2025-01-01T00", "s") + 3600 * np.arange(400)
    path = tmp_path / "log.csv"
    path.write_text("time,likes\n" + "".join(f"{hour}Z,{i % 24}\n" for i, hour in enumerate(hours)))
    reading = LogConfig(time="time", metrics=("likes",), step="1h")
    run = RunConfig(log=reading, train=TrainConfig(window=12, units=(4,)))
    before = prepare(read_log(path, reading), run).fingerprint
    assert prepare(read_log(path, reading), run).fingerprint == before
    monkeypatch.setitem(RECIPES, "recommended", dataclasses.replace(RECIPES["recommended"], **change))
    assert prepare(read_log(path, reading), run).fingerprint != before


def test_a_run_that_is_forgotten_takes_no_file_of_the_users_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "model.training"
    folder.mkdir()
    save_run(Checkpoint(folder=folder, run="run"), progress(10))
    (folder / "notes.txt").write_text("mine")
    forget_run(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    save_run(Checkpoint(folder=folder, run="run"), progress(10))
    forget_run(folder)
    forget_run(folder)
    assert not folder.exists()
