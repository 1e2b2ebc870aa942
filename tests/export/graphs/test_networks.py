"""Networks beyond the plain stack get the same steps from raw windows to raw forecasts as the plain stack."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import EXPORT, require
from pulsecast import load
from pulsecast.bundle.bundle import Bundle

pytestmark = pytest.mark.slow
TARGETS = ("savedmodel", "onnx", "tflite")
ROUNDING = 1e-5  # of the range: float32 arithmetic of a change on a log scale, as FLOAT32_CHANGE allows


@pytest.fixture(scope="module")
def model() -> plain.PlainModel:
    """A network of changes with a floor in the middle of its forecasts."""
    made = plain.make_model(plain.CHANGE_NETWORK_SPEC)
    middle = float(np.float32(np.median(made.golden().reference)))
    return replace(made, spec=replace(made.spec, floor=middle))


@pytest.fixture(scope="module")
def bundle(model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted in this process; each file has passed its gate."""
    require(*EXPORT)
    from pulsecast_export.converting.conversion_child import main

    folder = tmp_path_factory.mktemp("change-network")
    plain.write_model_directory(folder / "model", model)
    plain.write_bundle(folder / "bundle", model)
    assert main([str(folder / "model"), str(folder / "bundle"), *TARGETS]) == 0
    artifacts = [plain.artifact_of(name, model.spec) for name in TARGETS]
    plain.write_manifest(folder / "bundle", model, (plain.numpy_artifact(), *artifacts))
    return folder / "bundle"


@pytest.mark.parametrize("artifact", TARGETS)
def test_a_change_is_added_to_the_last_value_in_every_artifact(
    bundle: Path, model: plain.PlainModel, artifact: str
) -> None:
    """With `network` set, graphs once gave the bare output, while the reference adds the last value to it."""
    found = load(bundle, artifact=artifact).predict(model.windows)
    expected = model.golden().reference
    assert float(np.max(np.abs(found - expected))) <= ROUNDING * model.scaler.range


@pytest.mark.parametrize("artifact", TARGETS)
def test_no_artifact_forecasts_below_the_floor(bundle: Path, model: plain.PlainModel, artifact: str) -> None:
    """With `network` set, graphs once ignored the floor."""
    found = load(bundle, artifact=artifact).predict(model.windows)
    assert found.min() == np.float32(model.spec.floor)
    assert 0.2 < (found == found.min()).mean() < 0.8


def test_a_network_of_changes_is_written_and_read_back(bundle: Path, model: plain.PlainModel) -> None:
    assert Bundle.open(bundle).manifest.spec == model.spec
