"""Shared fixtures: small forecasters made with numpy, and models that were really trained and exported, once a run.

A test that uses `textbook_model`, `recommended_model`, `textbook_bundle` or `recommended_bundle` is slow and has the
mark `@pytest.mark.slow`. All of these are shared: copy before changing one (`copied`).
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import native_models, plain, series_models
from helpers.engines import EXPORT, TRAIN, require
from helpers.logs import many

Once = Callable[[str, Callable[[Path], object]], Path]
TRAINING_DAYS = 60
# few epochs at a high rate: enough to beat the last value and to have a state that matters, in a few seconds
QUICK = {"textbook": (8, 5e-3), "recommended": (6, 4e-3)}


# Tests run in as many processes as there are processors: more threads in one only take them from the other. Processes
# that tests start inherit it.
for _variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# A shell lets what it starts in the background ignore Ctrl-C: so would every process that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take 15 s or more of a processor, or wait as long for a broker. The second one makes the trained models and
# their bundles: those that would wait for these come later.
LONG = (
    "test_kafka.py", "test_artifacts.py", "test_native_sums.py", "test_notebooks.py", "test_keras_import.py",
    "test_graph_exports.py", "test_training.py", "test_native_bounds.py", "test_mirrored.py", "test_brokers.py",
    "test_site.py", "test_pages.py",
    "test_exported_files.py", "test_native.py", "test_native_gate.py", "test_runner.py", "test_peers.py",
    "test_cross.py", "test_keras_ends.py", "test_forecasts.py", "test_faults.py", "test_forks.py", "test_steps.py",
    "test_native_example.py", "test_hostile_words.py", "test_rhythm_and_anomalies.py", "test_wheel.py",
    "test_remote.py", "test_evaluator.py", "test_nab.py", "test_native_bench.py", "test_hostile_keras_files.py",
    "test_native_extremes.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, then those with many slow tests: a run shall not wait for one of them at its end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(LONG)), -slow[item.path]))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Once TensorFlow is there, let the garbage collector pass over what is there: a twentieth of the time is that."""
    if "tensorflow" in sys.modules and not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function of a name and a maker of a file or folder, which is made once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def of(name: str, make: Callable[[Path], object]) -> Path:
        path = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                make(path)
        return path

    return of


@pytest.fixture(scope="session")
def engagement_log(once: Once) -> Path:
    """The generator's messy event log."""
    require("polars")
    from pulsecast_train.logs.generator import generate_log

    return once("log.csv", lambda path: generate_log(path, days=TRAINING_DAYS))


def _train(recipe: str, log: Path, out: Path) -> None:
    from pulsecast_train import TrainConfig, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    epochs, rate = QUICK[recipe]
    training = TrainConfig(recipe=recipe, epochs=epochs, learning_rate=rate)
    train(log, out=out, log=GENERATED_LOG, training=training)


@pytest.fixture(scope="session")
def textbook_model(engagement_log: Path, once: Once) -> Path:
    """A model directory: recipe `textbook`, trained on the generated log."""
    require(*TRAIN)
    return once("textbook", lambda out: _train("textbook", engagement_log, out))


@pytest.fixture(scope="session")
def recommended_model(engagement_log: Path, once: Once) -> Path:
    """A model directory: recipe `recommended`, trained on the generated log."""
    require(*TRAIN)
    return once("recommended", lambda out: _train("recommended", engagement_log, out))


def _export(model: Path, out: Path) -> None:
    from helpers.outside import warm
    from pulsecast_export.exporter import export_model

    with warm.converters():
        export_model(model, out)


@pytest.fixture(scope="session")
def textbook_bundle(textbook_model: Path, once: Once) -> Path:
    """A bundle of every target, from `textbook_model`."""
    require(*EXPORT)
    return once("textbook-bundle", lambda out: _export(textbook_model, out))


@pytest.fixture(scope="session")
def recommended_bundle(recommended_model: Path, once: Once) -> Path:
    """A bundle of every target, from `recommended_model`."""
    require(*EXPORT)
    return once("recommended-bundle", lambda out: _export(recommended_model, out))


@pytest.fixture(scope="session")
def level_model() -> plain.PlainModel:
    """A small forecaster of a scaled level, one feature, horizon 1; made with numpy."""
    return plain.make_model(plain.LEVEL_SPEC)


@pytest.fixture(scope="session")
def change_model() -> plain.PlainModel:
    """A small forecaster of a change on a log scale, with calendar features and lags, horizon 2; made with numpy."""
    return plain.make_model(plain.CHANGE_SPEC)


@pytest.fixture(scope="session")
def linear_model() -> plain.PlainModel:
    """A small forecaster of the recommended recipe's form: a linear path beside the layers; made with numpy."""
    return plain.make_model(plain.LINEAR_SPEC)


@pytest.fixture(scope="session")
def plain_bundle(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `level_model` with only the numpy artifact."""
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    plain.write_bundle(folder, level_model)
    return folder


@pytest.fixture(scope="session")
def calendar_bundle(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `change_model` with only the numpy artifact."""
    folder = tmp_path_factory.mktemp("calendar") / "bundle"
    plain.write_bundle(folder, change_model)
    return folder


@pytest.fixture(scope="session")
def linear_bundle(linear_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `linear_model` with only the numpy artifact."""
    folder = tmp_path_factory.mktemp("linear") / "bundle"
    plain.write_bundle(folder, linear_model)
    return folder


@pytest.fixture(scope="session")
def table_bundle(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three series, a, b and c, on the network of `change_model`."""
    folder = tmp_path_factory.mktemp("table") / "bundle"
    series_models.write_bundle(folder, series_models.with_table(native_models.directory(change_model)))
    return folder


@pytest.fixture(scope="session")
def many_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three series of very different sizes, with only the numpy artifact."""
    folder = tmp_path_factory.mktemp("many") / "bundle"
    many.write_bundle(folder)
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a shared folder, so that a test may damage the copy."""

    def copy(source: Path) -> Path:
        return shutil.copytree(source, tmp_path / f"copy-{source.name}")

    return copy


@pytest.fixture(scope="session")
def example_bundle(recommended_model: Path, once: Once) -> Path:
    """A bundle of C and of a module for Node and browsers, from `recommended_model`."""
    require(*EXPORT)
    from pulsecast_export.exporter import export_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", native_models.cc_here())  # the gate compiles
        return once(
            "example-bundle",
            lambda out: export_model(recommended_model, out, targets=("native",), native_for=("wasm32",)),
        )
