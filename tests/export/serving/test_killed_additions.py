"""A writer killed at any moment leaves whole versions and a true marker, and the same command finishes its work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import plain
from helpers.serving_folders.folders import write_bundle
from helpers.whole_folders import environment

PROGRAM = Path(__file__).parents[2] / "helpers" / "serving_folders" / "killed_additions.py"


def tried(folder: Path, model: plain.PlainModel, every: int) -> dict[str, int]:
    write_bundle(folder / "first", model)
    write_bundle(folder / "second", plain.rescaled(model, 10.0, 900.0))
    (folder / "work").mkdir()
    command = [sys.executable, str(PROGRAM), str(folder), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, int] = json.loads(done.stdout)
    assert min(found.values()) > 30  # or nothing was interrupted
    return found


@pytest.mark.slow
def test_a_kill_at_some_moments_leaves_whole_versions_and_a_true_marker(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    tried(tmp_path, level_model, every=23)


@pytest.mark.slow
@pytest.mark.soak
def test_a_kill_at_every_moment_leaves_whole_versions_and_a_true_marker(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    tried(tmp_path, level_model, every=1)
