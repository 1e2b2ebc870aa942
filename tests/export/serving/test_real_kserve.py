"""InferenceServices, read by the models of KServe's SDK 0.21. It is downloaded: `make soak` runs this."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.engines import lacking, load
from pulsecast_export import ServeOptions, serve_config

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ONE = Path(__file__).parents[2] / "data" / "golden_v2"
PROGRAM = Path(__file__).parents[2] / "helpers" / "serving_folders" / "kserve_parsing.py"
REQUIREMENT, KEPT = "kserve==0.21.0", "PULSECAST_KSERVE"  # KEPT: a folder in which the environment stays


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get(KEPT) or tmp_path_factory.mktemp("kserve") / "environment")
    found = folder / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        command = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            lacking(f"{REQUIREMENT} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return found


def parsed(python: Path, services: list[object]) -> "subprocess.CompletedProcess[str]":
    command = [str(python), str(PROGRAM)]
    return subprocess.run(command, input=json.dumps(services), capture_output=True, text=True, check=False, timeout=120)


def test_kserves_own_models_read_every_key(python: Path, tmp_path: Path) -> None:
    yaml, services = load("yaml"), []
    for server in ("kserve", "kserve-pulsecast"):
        serve_config(ONE, tmp_path / server, ServeOptions(server=server))
        services.append(yaml.safe_load((tmp_path / server / "inferenceservice.yaml").read_text()))
    done = parsed(python, services)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found[0]["spec"]["predictor"]["model"].pop("name") == ""  # the SDK's own default
    assert found == services
    services[0]["spec"]["predictor"]["model"]["storageURI"] = "pvc://other"
    wrong = parsed(python, services[:1])
    assert wrong.returncode == 1
    assert "storageURI" in wrong.stderr
