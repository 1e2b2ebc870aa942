"""The SavedModel alone, in processes without pulsecast: TensorFlow, its command, and OpenVINO."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.engines import EXPORT, require
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden

pytestmark = pytest.mark.slow

# float32 graph against the float64 reference, in fractions of the training range: the bundle's own tolerance
# (`pulsecast_export.targets.FLOAT32_CHANGE`); TensorFlow and OpenVINO measure 1e-7
READER_LIMIT = 1e-5
# TensorFlow imports Keras by itself if it can; here it cannot, so the model must not need it
FRESH = """
import json, sys
sys.modules["keras"] = sys.modules["tf_keras"] = None
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = {name: tf.constant(array) for name, array in np.load(sys.argv[2]).items()}
found = model.signatures["serving_default"](**given)["forecast"].numpy()
np.save(sys.argv[3], found)
print(json.dumps(sorted(name for name, module in sys.modules.items()
                        if module and name.split(".")[0] in ("keras", "tf_keras", "pulsecast"))))
"""
OPENVINO = """
import sys
import numpy as np
import openvino
core = openvino.Core()
model = core.read_model(sys.argv[1])
assert sorted(one.any_name for one in model.inputs) == ["time", "values"], model.inputs
assert sorted(one.any_name for one in model.outputs) == ["forecast", "lower", "upper"], model.outputs
# the processor may have bfloat16, which is not what is compared here
compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save(sys.argv[3], compiled(dict(np.load(sys.argv[2])))["forecast"])
"""
CLI = "from tensorflow.python.tools.saved_model_cli import main; main()"


@pytest.fixture(scope="module")
def golden(recommended_bundle: Path) -> Golden:
    return Bundle.open(recommended_bundle).golden()


@pytest.fixture
def windows(golden: Golden, tmp_path: Path) -> Path:
    """Golden windows with their times as a file, the last one with a missing value."""
    values = golden.windows.values.copy()
    values[-1, 3, 0] = np.nan
    np.savez(tmp_path / "windows.npz", values=values, time=golden.windows.time)
    return tmp_path / "windows.npz"


def run(code: str, *arguments: object) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check(found: NDArray[np.float32], golden: Golden, bundle: Path) -> None:
    error = np.abs(found[:-1] - golden.reference[:-1]) / Bundle.open(bundle).manifest.scaler.range
    assert found.shape == golden.reference.shape
    assert float(error.max()) < READER_LIMIT
    assert np.isnan(found[-1]).all(), "a missing value must not become a number"


def test_tensorflow_alone_runs_it_without_keras(
    recommended_bundle: Path, golden: Golden, windows: Path, tmp_path: Path
) -> None:
    require(*EXPORT)
    printed = run(FRESH, recommended_bundle / "savedmodel" / "1", windows, tmp_path / "found.npy")
    assert json.loads(printed.splitlines()[-1]) == []
    check(np.load(tmp_path / "found.npy"), golden, recommended_bundle)


def test_saved_model_cli_runs_it(recommended_bundle: Path, golden: Golden, windows: Path, tmp_path: Path) -> None:
    require(*EXPORT)
    folder = recommended_bundle / "savedmodel" / "1"
    options = ["--tag_set", "serve", "--signature_def", "serving_default"]
    given = f"values={windows}[values];time={windows}[time]"
    run(CLI, "run", "--dir", folder, *options, "--inputs", given, "--outdir", tmp_path)
    check(np.load(tmp_path / "forecast.npy"), golden, recommended_bundle)


def test_openvino_reads_it_as_tensorflow_does(
    recommended_bundle: Path, golden: Golden, windows: Path, tmp_path: Path
) -> None:
    require("openvino")
    run(OPENVINO, recommended_bundle / "savedmodel" / "1", windows, tmp_path / "found.npy")
    check(np.load(tmp_path / "found.npy"), golden, recommended_bundle)


def test_the_comparison_fails_on_a_model_that_is_a_little_off(recommended_bundle: Path, golden: Golden) -> None:
    found = golden.reference.astype(np.float32)
    found[-1] = np.nan
    check(found, golden, recommended_bundle)
    found[0] += 2 * READER_LIMIT * Bundle.open(recommended_bundle).manifest.scaler.range
    with pytest.raises(AssertionError):
        check(found, golden, recommended_bundle)
