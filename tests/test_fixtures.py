"""The models that other tests rest on have learned something: an unlearned one hides leaks and bad quantisation."""

from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast.bundle.bundle import Bundle
from pulsecast.model.accuracy import accuracy
from pulsecast.stages.model_directory import read_model_directory


@pytest.mark.parametrize("spec", [plain.LEVEL_SPEC, plain.CHANGE_SPEC], ids=["level", "change"])
def test_the_plain_forecaster_beats_the_last_value(spec: plain.ModelSpec) -> None:
    model = plain.make_model(spec)
    last = np.repeat(model.windows.values[:, -1:, 0], spec.horizon, axis=1)
    assert accuracy(model.golden().reference, model.truth).mae < accuracy(last, model.truth).mae


@pytest.mark.slow
@pytest.mark.parametrize("model", ["textbook_model", "recommended_model"])
def test_the_trained_models_beat_the_last_value(model: str, request: pytest.FixtureRequest) -> None:
    record = read_model_directory(request.getfixturevalue(model)).record
    forecasts = record.heldout.forecasts
    assert forecasts["model"].mae < forecasts["last_value"].mae


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["textbook_bundle", "recommended_bundle"])
def test_the_exported_bundles_hold_every_target_that_need_not_be_named(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    from pulsecast_export.targets import TARGETS

    path: Path = request.getfixturevalue(bundle)
    expected = ["numpy", *(name for name, target in TARGETS.items() if not target.asked)]
    assert [artifact.id for artifact in Bundle.open(path).manifest.artifacts] == expected
