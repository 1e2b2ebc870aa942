"""Models drawn at random: what an import takes is computed as Keras computes the file, or the file is refused."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import EXPORT, load, require
from helpers.hostile.keras_files import in_this_process
from helpers.keras_own.differential import check
from helpers.keras_own.fuzz import COLUMNS, WINDOW

pytestmark = pytest.mark.slow
ALL, TOGETHER = 500, 20  # models, and those of one process
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def keras() -> Any:
    require(*EXPORT, "keras", "h5py")
    return load("keras")


def test_drawn_models_are_right_or_refused(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    roads = [check(keras, seed, tmp_path / str(seed)) for seed in (1, 2, 220)]
    assert {road.partition(":")[0] for road in roads} <= {"network", "graph", "refused"}
    assert roads[2].startswith("refused: the Keras model gives no finite forecast")


def roads_of(first: int, last: int) -> dict[int, str]:
    """Return the road of each seed, found in processes that may crash: the seed of a crash is wrong."""
    found: dict[int, str] = {}
    while first < last:
        command = [sys.executable, "-m", "helpers.keras_own.differential", str(first), str(last)]
        path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
        ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False)
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith(b'{"seed"')]
        found |= {line["seed"]: line["road"] for line in lines}
        first += len(lines)
        if first < last:
            found[first] = f"wrong: its process ended with {ended.returncode}"
            first += 1
    return found


def test_a_process_that_ends_over_a_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    assert roads_of(3, 5) == {3: "wrong: its process ended with 1", 4: "wrong: its process ended with 1"}


@pytest.mark.soak
def test_five_hundred_drawn_models_are_right_or_refused() -> None:
    require(*EXPORT, "keras", "h5py")
    roads: dict[int, str] = {}
    for first in range(0, ALL, TOGETHER):
        roads |= roads_of(first, min(first + TOGETHER, ALL))
    assert {seed: road for seed, road in roads.items() if road.startswith("wrong")} == {}
    counted = Counter(roads.values())
    assert counted["refused"] < 50, counted
    assert counted["network"] > 20, counted
    assert (len(roads), WINDOW, COLUMNS) == (ALL, 10, 2)
