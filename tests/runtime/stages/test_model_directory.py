"""Reading a model directory: whole and unchanged since training, or a FormatError that says what is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast.errors import FormatError
from pulsecast.foundation import strict_json
from pulsecast.stages.model_directory import read_model_directory


@pytest.fixture
def model(level_model: plain.PlainModel, tmp_path: Path) -> Path:
    plain.write_model_directory(tmp_path / "model", level_model)
    return tmp_path / "model"


def test_a_whole_model_directory_is_read_as_written(model: Path, level_model: plain.PlainModel) -> None:
    found = read_model_directory(model)
    assert (found.record.spec, found.record.scaler) == (level_model.spec, level_model.scaler)
    np.testing.assert_array_equal(found.weights.head_kernel, level_model.weights.head_kernel)
    np.testing.assert_array_equal(found.heldout.windows.values, level_model.windows.values)
    np.testing.assert_array_equal(found.heldout.truth, level_model.truth)
    np.testing.assert_array_equal(found.calibration.values, level_model.calibration.values)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[150] ^= 1
    path.write_bytes(bytes(data))


def swap(model: Path) -> None:
    (model / "heldout.npz").write_bytes((model / "calibration.npz").read_bytes())
    plain.rehash(model, read_record(model))


def read_record(model: Path) -> plain.ModelRecord:
    return strict_json.loads(plain.ModelRecord, (model / "model.json").read_bytes(), where="model.json")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed file": (lambda m: flip(m / "weights.npz"), "model was changed after training: weights.npz$"),
    "two changed files": (
        lambda m: (flip(m / "weights.npz"), flip(m / "heldout.npz")),
        "changed after training: weights.npz, heldout.npz",
    ),
    "a missing file": (lambda m: (m / "heldout.npz").unlink(), "is not a model directory: it has no heldout.npz; make"),
    "no record": (lambda m: (m / "model.json").unlink(), r"it has no model\.json; make one with `pulsecast train`"),
    "a record that is none": (lambda m: (m / "model.json").write_text("{}"), "model.json: missing key format"),
    "arrays of another kind": (swap, "heldout.npz has no truth, trained"),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_model_directory_that_is_not_whole_is_refused(
    model: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(model)
    with pytest.raises(FormatError, match=sentence):
        read_model_directory(model)


def test_a_file_is_not_a_model_directory(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(FormatError, match="model is not a readable model directory: Not a directory"):
        read_model_directory(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.json", "weights.npz", "heldout.npz", "calibration.npz"])
def test_a_pipe_in_place_of_a_file_is_refused_and_blocks_nothing(model: Path, name: str) -> None:
    (model / name).unlink()
    os.mkfifo(model / name)
    with pytest.raises(FormatError, match=f"is not a readable model directory: {name} is not a plain file"):
        read_model_directory(model)


def test_a_record_that_no_manifest_could_hold_is_refused(model: Path) -> None:
    with (model / "model.json").open("ab") as file:
        file.write(b" " * 1_000_000)
    with pytest.raises(
        FormatError, match=r"is not a readable model directory: model\.json has more than 1000000 bytes"
    ):
        read_model_directory(model)


def test_a_name_that_could_act_on_a_terminal_is_refused(model: Path) -> None:
    path = model / "model.json"
    path.write_text(path.read_text().replace('"recipe": "', '"recipe": "\\u001b[2J', 1))
    with pytest.raises(FormatError, match=r"^model\.json: '\\x1b\[2J.*' holds characters that cannot be printed$"):
        read_model_directory(model)
