"""The oldest engines that run a bundle of today, each in an environment of its own, and one that browsers have.

They are downloaded: `make soak` runs this. README names the versions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import install_from_npm, lacking, require_tools
from pulsecast.bundle.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.soak]

SEVERAL = Path(__file__).parents[2] / "data" / "golden_v2_series"  # of several series, with 8-bit weights
OUTSIDE = Path(__file__).parents[2] / "helpers" / "outside"
OLDEST = {
    "tensorflow-cpu==2.13.1": (
        "savedmodel/1",
        "tflite/model.tflite",
        "tflite/model.fp16.tflite",
        "tflite/model.w8.tflite",
    ),
    "onnxruntime==1.16.3": ("onnx/model.onnx", "onnx/model.w8.onnx"),
}
README = Path(__file__).parents[3] / "export" / "README.md"


def errors_allowed(bundle: Path) -> dict[str, float]:
    """Return the largest allowed error of each artifact, by path: in raw units, of several series in theirs."""
    manifest = Bundle.open(bundle).manifest
    unit = 1.0 if manifest.series else manifest.scaler.range
    return {one.path: one.tolerance.max_abs * unit for one in manifest.artifacts}


def installed(folder: Path, requirement: str) -> Path:
    """Return the Python of a new environment with `requirement`; skip where nothing can be downloaded."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement, "numpy<2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        lacking(f"{requirement} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.parametrize("requirement", OLDEST)
def test_the_oldest_engines_run_a_bundle_of_today(requirement: str, recommended_bundle: Path, tmp_path: Path) -> None:
    python = installed(tmp_path / "environment", requirement)
    for bundle in (recommended_bundle, SEVERAL):
        files = [path for path in OLDEST[requirement] if (bundle / path).exists()]
        assert files
        command = [str(python), str(OUTSIDE / "old_engines.py"), str(bundle), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        allowed, found = errors_allowed(bundle), json.loads(done.stdout.splitlines()[-1])
        assert sorted(found) == sorted(files)
        assert {name: error for name, error in found.items() if not error <= allowed[name]} == {}


def test_onnxruntime_web_runs_a_bundle_of_today(recommended_bundle: Path, tmp_path: Path) -> None:
    require_tools("node")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    install_from_npm(tmp_path, "onnxruntime-web")
    golden = Bundle.open(recommended_bundle).golden().take(slice(32))
    values, time, _ = golden.windows.inputs
    inputs = {"values": values.ravel().tolist(), "shape": values.shape, "time": time.tolist()}
    (tmp_path / "inputs.json").write_text(json.dumps(inputs))
    program = shutil.copy(OUTSIDE / "onnxruntime_web.mjs", tmp_path)
    command = ["node", str(program), str(recommended_bundle / "onnx" / "model.onnx"), "inputs.json"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout
    found = np.array(json.loads(answer)["forecast"]).reshape(golden.reference.shape)
    assert np.max(np.abs(found - golden.reference)) <= errors_allowed(recommended_bundle)["onnx/model.onnx"]


def test_the_readme_names_these_versions() -> None:
    text = README.read_text()
    for requirement in OLDEST:
        assert requirement.partition("==")[2] in text
