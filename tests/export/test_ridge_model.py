"""`export --model ridge`: what is exported is the linear path alone, and only where there is one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast.stages.linear_alone import linear_alone  # noqa: E402
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory  # noqa: E402
from pulsecast_export import export, front  # noqa: E402


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[ModelDirectory]:
    """The model directories that an export would convert, as they are then."""
    seen: list[ModelDirectory] = []

    def convert(directory: Path, out: Path, **_: object) -> SimpleNamespace:
        del out
        seen.append(read_model_directory(directory))
        return SimpleNamespace()

    monkeypatch.setattr(front, "export_model", convert)
    return seen


@pytest.mark.slow
def test_the_linear_path_alone_is_what_a_ridge_export_converts(
    recommended_model: Path, tmp_path: Path, exported: list[ModelDirectory]
) -> None:
    export(recommended_model, out=tmp_path / "whole")
    export(str(recommended_model), out=tmp_path / "ridge", which="ridge")
    whole, ridge = exported
    assert whole.record.spec.network.recurrent
    assert whole.record == read_model_directory(recommended_model).record
    expected = linear_alone(whole)
    np.testing.assert_array_equal(ridge.weights.linear, expected.weights.linear)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ridge.heldout.trained, expected.heldout.trained)
    assert (ridge.record.spec, ridge.record.heldout) == (expected.record.spec, expected.record.heldout)
    assert (ridge.record.intervals, ridge.record.name) == (expected.record.intervals, whole.record.name)
    assert (ridge.record.linear, ridge.ridge) == (None, None)


@pytest.mark.slow
def test_a_model_without_a_path_has_no_ridge_model_to_export(textbook_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no linear path beside its network"):
        export(textbook_model, out=tmp_path / "ridge", which="ridge")
    assert not (tmp_path / "ridge").exists()


def test_another_model_is_refused(tmp_path: Path, exported: list[ModelDirectory]) -> None:
    for which in ("linear", "", None, 1):
        with pytest.raises(UsageError, match=r"which is .*; expected whole or ridge"):
            export(tmp_path / "model", out=tmp_path / "out", which=which)  # type: ignore[arg-type]
    keras = tmp_path / "mine.keras"
    keras.write_bytes(b"")
    with pytest.raises(UsageError, match=r"mine\.keras is a Keras file, which has no ridge model in it"):
        export(keras, out=tmp_path / "out", which="ridge", heldout=tmp_path / "heldout.npz")
    assert exported == []
