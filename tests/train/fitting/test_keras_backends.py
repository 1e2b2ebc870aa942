"""Training with Keras on another backend: if it is installed, the model directory is the same as TensorFlow's."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.computing import reference  # noqa: E402  the packages above are needed first
from pulsecast.stages.model_directory import read_model_directory  # noqa: E402

TRAINED = """
import json, sys
from pulsecast_train.logs.config import LogConfig
from pulsecast_train import TrainConfig, train

training = TrainConfig(window=12, units=(6, 5), epochs=4, learning_rate=5e-3)
model = train(sys.argv[1], out=sys.argv[2], log=LogConfig(step="1h"), training=training)
losses = [epoch["loss"] for epoch in json.loads((model.path / "history.json").read_text())["epochs"]]
assert losses[-1] < losses[0], losses
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_trained_on_another_backend_is_an_ordinary_model(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    hours = np.arange(500)
    values = np.round(300 + 100 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(3).normal(0, 15, 500))
    log = tmp_path / "posts.csv"
    lines = [f"{1_736_121_600 + 3600 * int(h)},{int(v)}" for h, v in zip(hours, values, strict=True)]
    log.write_text("\n".join(["timestamp,value", *lines]) + "\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", TRAINED, str(log), str(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = read_model_directory(tmp_path / "model")
    assert f"Keras on {backend}" in str(model.record.provenance.training["device"])
    # the backend's forecasts right after training equal those of the stored float32 weights in numpy
    trained, windows = model.heldout.trained, model.heldout.windows
    expected = reference.forecast(model.record.spec, model.record.scaler, model.weights, windows)
    np.testing.assert_allclose(trained, expected, atol=1e-5 * model.record.scaler.range)  # as a float32 artifact may
