"""The table in export/README.md of recurrent Keras models and their targets is proven here."""

from pathlib import Path
from typing import Any

import pytest

from helpers import keras_matrix
from helpers.engines import EXPORT, require

pytestmark = pytest.mark.slow


def test_readme_holds_the_table(keras: Any) -> None:
    assert keras_matrix.held_by_readme() == keras_matrix.table(keras), (
        "run: python tests/helpers/keras_matrix.py, and put what it prints between the marks in export/README.md"
    )


@pytest.mark.soak
@pytest.mark.parametrize("name", [*keras_matrix.NETWORKS, *keras_matrix.GRAPHS])
def test_a_network_gives_the_targets_that_the_table_promises(name: str, keras: Any, tmp_path: Path) -> None:
    require(*EXPORT)
    assert keras_matrix.export(keras, name, tmp_path) == keras_matrix.promised(keras, name)
