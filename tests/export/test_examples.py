"""The programs in docs/examples: raw counts and one time in, and all of them give what `pulsecast.load` gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require_tool, require_tools
from helpers.native_models import HERE
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.model.windows import Windows

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WRONG_TIMES = ("", "abc", "2025-02-22T22:00", "1740672000.5")
MOST_LINES = 15  # of code, of each program


@pytest.fixture(scope="module")
def bundle(example_bundle: Path) -> Path:
    """A bundle of C and of a module for Node."""
    return example_bundle


@pytest.fixture(scope="module")
def window(recommended_bundle: Path) -> Windows:
    return Bundle.open(recommended_bundle).golden().windows.take([100])


@pytest.fixture(scope="module")
def expected(recommended_bundle: Path, window: Windows) -> np.ndarray:
    """What the runtime gives, (horizon, 3): forecast, lower, upper."""
    found = load(recommended_bundle, backend="numpy").predict(window, interval=0.9)
    return np.stack([part[0] for part in found], axis=1)


def counts(window: Windows) -> str:
    return "\n".join(f"{value:g}" for value in window.values[0, :, 0])


def said(command: list[str], window: Windows) -> np.ndarray:
    done = subprocess.run(command, input=counts(window), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.array([line.split() for line in done.stdout.splitlines()], np.float64)


def refused(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stdout == ""
    return done


def limit(bundle: Path) -> float:
    manifest = Bundle.open(bundle).manifest
    return manifest.artifact("onnx").tolerance.max_abs * manifest.scaler.range


@pytest.mark.parametrize(
    ("program", "file"), [("forecast_onnx.py", "onnx/model.onnx"), ("forecast_litert.py", "tflite/model.tflite")]
)
def test_a_plain_engine_is_given_counts_and_a_time(
    program: str, file: str, recommended_bundle: Path, window: Windows, expected: np.ndarray
) -> None:
    found = said([sys.executable, str(EXAMPLES / program), str(recommended_bundle / file), str(window.time[0])], window)
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit(recommended_bundle))


def test_a_c_program_is_given_counts_and_a_time(
    bundle: Path, recommended_bundle: Path, window: Windows, expected: np.ndarray, tmp_path: Path
) -> None:
    compiler, program = require_tool("cc", "gcc", "clang"), tmp_path / "forecast"
    sources = [str(EXAMPLES / "forecast.c"), str(bundle / "native" / "model.c")]
    flags = [*HERE, "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{bundle / 'native'}"]
    subprocess.run([compiler, *flags, *sources, "-o", str(program)], check=True, timeout=120)
    np.testing.assert_allclose(
        said([str(program), str(window.time[0])], window), expected, rtol=0, atol=limit(recommended_bundle)
    )
    milliseconds = refused([str(program), str(window.time[0] * 1000)], counts(window))
    assert milliseconds.returncode == 1
    for time in WRONG_TIMES:
        assert refused([str(program), time], counts(window)).returncode == 2, time
    for text in (f"{counts(window)}\n5", f"{counts(window)}\nx", counts(window).partition("\n")[2]):
        assert refused([str(program), str(window.time[0])], text).returncode == 2


def test_a_node_program_is_given_counts_and_a_time(
    bundle: Path, recommended_bundle: Path, window: Windows, expected: np.ndarray
) -> None:
    require_tools("node")
    folder = bundle / "native" / "lib" / "wasm32"
    found = said(["node", str(EXAMPLES / "forecast.mjs"), str(folder), str(window.time[0])], window)
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit(recommended_bundle))
    program = ["node", str(EXAMPLES / "forecast.mjs"), str(folder)]
    for time in WRONG_TIMES:
        assert f"TIME is {time}; expected unix seconds" in refused([*program, time], counts(window)).stderr
    assert "a window has" in refused([*program, str(window.time[0])], f"{counts(window)}\n5").stderr
    assert "no forecast" in refused([*program, str(window.time[0] * 1000)], counts(window)).stderr


def test_a_rest_body_gives_the_served_signature_counts_and_a_time(
    recommended_bundle: Path, window: Windows, expected: np.ndarray
) -> None:
    """TF Serving makes a tensor of each key of the instances, in the type that the signature states."""
    import tensorflow as tf

    command = [sys.executable, str(EXAMPLES / "request_tf_serving.py"), str(window.time[0])]
    done = subprocess.run(command, input=counts(window), capture_output=True, text=True, check=True, timeout=60)
    instances = json.loads(done.stdout)["instances"]
    signature = tf.saved_model.load(str(recommended_bundle / "savedmodel" / "1")).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert set(instances[0]) == set(specs)
    given = {name: tf.constant([one[name] for one in instances], specs[name].dtype) for name in specs}
    answer = signature(**given)
    found = np.stack([answer[name].numpy()[0] for name in ("forecast", "lower", "upper")], axis=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit(recommended_bundle))


def test_every_program_is_short() -> None:
    for path in EXAMPLES.iterdir():
        lines = [line.strip() for line in path.read_text().splitlines()]
        code = [line for line in lines if line and not line.startswith(("#", "//", "/*", '"""', "curl"))]
        assert len(code) <= MOST_LINES, path.name
