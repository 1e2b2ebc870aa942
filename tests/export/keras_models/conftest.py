"""What tests of Keras files share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers import keras_matrix
from helpers.engines import load, require


@pytest.fixture(scope="module")
def keras() -> Any:
    require("tensorflow", "keras", "h5py")
    return load("keras")


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keras_matrix.write_heldout(tmp_path_factory.mktemp("heldout") / "heldout.npz")
