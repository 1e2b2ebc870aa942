"""Shared fixtures: small forecasters made with numpy, and models that were really trained and exported, once a run.

Whoever uses `textbook_model`, `recommended_model`, `textbook_bundle` or `recommended_bundle` is slow and says so with
`@pytest.mark.slow`. All of these are shared: copy before changing one (`copied`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import EXPORT, TRAIN, require

TRAINING_DAYS = 60
# few epochs at a high rate: enough to beat the last value and to have a state that matters, in a few seconds
QUICK = {"textbook": (8, 5e-3), "recommended": (6, 4e-3)}


@pytest.fixture(scope="session")
def engagement_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator's messy event log."""
    require("polars")
    from pulsecast_train.logs.generator import generate_log

    path = tmp_path_factory.mktemp("log") / "log.csv"
    generate_log(path, days=TRAINING_DAYS)
    return path


def _train(recipe: str, log: Path, out: Path) -> Path:
    require(*TRAIN)
    from pulsecast_train import TrainConfig, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    epochs, rate = QUICK[recipe]
    training = TrainConfig(recipe=recipe, epochs=epochs, learning_rate=rate)
    return train(log, out=out, log=GENERATED_LOG, training=training).path


@pytest.fixture(scope="session")
def textbook_model(engagement_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory: recipe `textbook`, trained on the generated log."""
    return _train("textbook", engagement_log, tmp_path_factory.mktemp("textbook") / "model")


@pytest.fixture(scope="session")
def recommended_model(engagement_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory: recipe `recommended`, trained on the generated log."""
    return _train("recommended", engagement_log, tmp_path_factory.mktemp("recommended") / "model")


def _export(model: Path, out: Path) -> Path:
    require(*EXPORT)
    from pulsecast_export.exporter import export_model

    export_model(model, out)
    return out


@pytest.fixture(scope="session")
def textbook_bundle(textbook_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every target, from `textbook_model`."""
    return _export(textbook_model, tmp_path_factory.mktemp("textbook-bundle") / "bundle")


@pytest.fixture(scope="session")
def recommended_bundle(recommended_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every target, from `recommended_model`."""
    return _export(recommended_model, tmp_path_factory.mktemp("recommended-bundle") / "bundle")


@pytest.fixture(scope="session")
def level_model() -> plain.PlainModel:
    """A small forecaster of a scaled level, one feature, horizon 1; made with numpy."""
    return plain.make_model(plain.LEVEL_SPEC)


@pytest.fixture(scope="session")
def change_model() -> plain.PlainModel:
    """A small forecaster of a change on a log scale, with calendar features and lags, horizon 2; made with numpy."""
    return plain.make_model(plain.CHANGE_SPEC)


@pytest.fixture(scope="session")
def plain_bundle(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `level_model` with the numpy artifact alone."""
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    plain.write_bundle(folder, level_model)
    return folder


@pytest.fixture(scope="session")
def calendar_bundle(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `change_model` with the numpy artifact alone."""
    folder = tmp_path_factory.mktemp("calendar") / "bundle"
    plain.write_bundle(folder, change_model)
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a shared directory to where a test may damage it."""

    def copy(source: Path) -> Path:
        return shutil.copytree(source, tmp_path / f"copy-{source.name}")

    return copy
