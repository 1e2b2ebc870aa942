"""The progress of a training run on a disk that refuses."""

import resource
from pathlib import Path

import numpy as np
import pytest

from pulsecast.errors import PulsecastError
from pulsecast_train.fitting.checkpoint import Checkpoint, Epoch, SavedRun, load_run, save_run


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
