"""Several devices train the same network as one. A child process splits its processor into two logical ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.stages.model_directory import KERAS_NAME, read_model_directory  # noqa: E402

# 329 windows in batches of 41: each is shared as 21 and 20, and the last one has a single window. In batches of 47 none
# is smaller: for such a one everything is compiled again. One layer: a second one takes as long again to compile, and
# batches are shared in front of them.
CHILD = """
import json, sys
from pathlib import Path

import tensorflow as tf

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

from pulsecast.errors import UsageError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train import TrainConfig
from pulsecast_train import train as run


class StoppedError(Exception):
    pass


def train(name, stop=0, **changes):
    class Stopping:
        def tell(self, line):
            pass

        def advance(self, what, done, total, note=""):
            if (what, done) == ("epoch", stop):
                raise StoppedError

    config = TrainConfig(**{"window": 12, "units": (6,), "epochs": 2, "batch_size": 41,
                            "learning_rate": 5e-3, **changes})
    try:
        run(folder / "log.csv", out=folder / name, log=LogConfig(step="1h"), training=config, progress=Stopping())
    except (StoppedError, UsageError) as error:
        return [str(error)]
    epochs = json.loads((folder / name / "history.json").read_text())["epochs"]
    return [[epoch["loss"], epoch["validation_loss"]] for epoch in epochs]


folder = Path(sys.argv[1])
dropout = {"dropout": 0.2, "batch_size": 47}
found = {
    "one": train("one"),
    "two": train("two", devices=2),
    "dropout": train("dropout", devices=2, **dropout),
    "stopped": train("resumed", stop=1, devices=2, **dropout),
    "resumed": train("resumed", devices=2, **dropout),
    "three": train("three", devices=3),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[list[float]]]]:
    """The folder of the models, and every run's training and validation loss of each epoch."""
    folder = tmp_path_factory.mktemp("mirrored")
    hours = np.arange(500)
    values = np.round(300 + 100 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(3).normal(0, 15, 500))
    lines = [f"{1_736_121_600 + 3600 * int(h)},{int(v)}" for h, v in zip(hours, values, strict=True)]
    (folder / "log.csv").write_text("\n".join(["timestamp,value", *lines]) + "\n")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1",
    }  # fmt: skip
    command = [sys.executable, "-c", CHILD, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def weights(path: Path) -> np.ndarray:
    model = read_model_directory(path)
    arrays = model.weights.arrays(model.record.spec.network)
    return np.concatenate([array.ravel() for array in arrays.values()])


# Sums over two halves of a batch are rounded in another order than sums over the whole: 1e-7 of a loss at first, and
# Adam divides small gradients by their size, so that a few steps later weights (up to 1) differ by some 1e-5.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 1e-3


@pytest.mark.slow
def test_two_devices_train_the_network_that_one_trains(trained: tuple[Path, dict[str, list[list[float]]]]) -> None:
    folder, losses = trained
    assert len(losses["two"]) == 2
    counted = read_model_directory(folder / "two").record.provenance.training["windows"]
    assert isinstance(counted, dict)
    assert counted["training"] % 41 == 1
    np.testing.assert_allclose(losses["two"], losses["one"], rtol=LOSS_TOLERANCE)
    found, expected = weights(folder / "two"), weights(folder / "one")
    np.testing.assert_allclose(found, expected, atol=WEIGHT_TOLERANCE)
    assert not np.array_equal(found, expected)  # it was another sum


@pytest.mark.slow
def test_a_stopped_run_on_two_devices_goes_on_and_ends_in_the_same_weights_bit_for_bit(
    trained: tuple[Path, dict[str, list[list[float]]]],
) -> None:
    folder, losses = trained
    assert losses["stopped"] == [""]  # what StoppedError says: it was stopped
    assert losses["resumed"] == losses["dropout"]
    np.testing.assert_array_equal(weights(folder / "resumed"), weights(folder / "dropout"))


@pytest.mark.slow
def test_a_model_trained_on_two_devices_is_an_ordinary_model(
    trained: tuple[Path, dict[str, list[list[float]]]],
) -> None:
    import keras

    from pulsecast.computing import reference

    folder, losses = trained
    model = read_model_directory(folder / "two")
    forecast, windows = model.heldout.trained, model.heldout.windows
    expected = reference.forecast(model.record.spec, model.record.scaler, model.weights, windows)
    np.testing.assert_allclose(forecast, expected, atol=1e-5 * model.record.scaler.range)  # as a float32 artifact may
    loaded = keras.models.load_model(folder / "two" / KERAS_NAME)
    np.testing.assert_array_equal(loaded.get_layer("head").get_weights()[0], model.weights.head_kernel)
    assert np.isfinite(losses["dropout"]).all()


@pytest.mark.slow
def test_more_devices_than_there_are_are_refused(trained: tuple[Path, dict[str, list[list[float]]]]) -> None:
    assert trained[1]["three"] == ["devices is 3; TensorFlow finds 2 CPU here (see pulsecast doctor)"]
