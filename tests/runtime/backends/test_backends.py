"""Which backend runs: the documented order, and the message for an unknown name or a missing engine."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from pulsecast import backends, load, verify
from pulsecast.backends import AUTO_ORDER, BACKENDS, choose, open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Artifact, BackendId, Tolerance
from pulsecast.errors import EngineError, MissingExtraError, UsageError


def artifact(identity: str, backend: BackendId, path: str) -> Artifact:
    return Artifact(
        id=identity,
        backend=backend,
        path=path,
        precision="float32",
        units="raw",
        max_batch=None,
        tolerance=Tolerance(max_abs=2e-6, accuracy_change=0.01),
        parity=plain.NO_PARITY,
    )


# their files hold no model: the choice must not load one, and a load must report it
EVERY = (
    artifact("savedmodel", "savedmodel", "savedmodel/1"),
    artifact("onnx", "onnx", "onnx/model.onnx"),
    artifact("onnx-w8", "onnx", "onnx/model.w8.onnx"),
    artifact("tflite", "tflite", "tflite/model.tflite"),
    artifact("tflite-w8", "tflite", "tflite/model.w8.tflite"),
)


@pytest.fixture(scope="module")
def path(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("every") / "bundle"
    plain.write_bundle(folder, level_model, *EVERY)
    return folder


@pytest.fixture(scope="module")
def bundle(path: Path) -> Bundle:
    return Bundle.open(path)


def installed_only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda backend: backend == "numpy" or backend in names)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (("onnx", "tflite", "savedmodel"), "onnx"),
        (("tflite", "savedmodel"), "tflite"),
        (("savedmodel",), "numpy"),
        ((), "numpy"),
    ],
)
def test_auto_takes_the_first_installed_engine_of_the_documented_order(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], expected: str
) -> None:
    assert AUTO_ORDER == ("onnx", "tflite", "numpy")
    installed_only(monkeypatch, *installed)
    assert choose(bundle, "auto", None).id == expected


def test_auto_skips_an_engine_for_which_the_bundle_has_nothing(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_only(monkeypatch, "onnx", "tflite")
    assert choose(Bundle.open(plain_bundle), "auto", None).id == "numpy"


@pytest.mark.parametrize("backend", ["onnx", "tflite", "savedmodel", "numpy"])
def test_a_named_backend_takes_its_first_artifact(bundle: Bundle, backend: str) -> None:
    assert choose(bundle, backend, None).id == backend


@pytest.mark.parametrize("backend", ["auto", "tflite"])
def test_a_named_artifact_wins(bundle: Bundle, backend: str) -> None:
    assert choose(bundle, backend, "tflite-w8").id == "tflite-w8"


def test_an_artifact_of_another_backend_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="artifact 'tflite-w8' is for backend 'tflite', not 'onnx'"):
        choose(bundle, "onnx", "tflite-w8")


def test_unknown_names_list_the_known_ones(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no backend 'torch'; known: auto, numpy, onnx, tflite, savedmodel"):
        choose(bundle, "torch", None)
    with pytest.raises(UsageError, match="no artifact 'x' in this bundle; it has numpy, savedmodel, onnx, onnx-w8, tf"):
        choose(bundle, "auto", "x")


def test_a_manifest_names_exactly_the_backends_of_the_table() -> None:
    assert set(BACKENDS) == set(get_args(BackendId))


def test_a_backend_without_an_artifact_lists_those_that_have_one(plain_bundle: Path) -> None:
    with pytest.raises(UsageError, match="this bundle has no artifact for backend 'onnx'; it has numpy"):
        choose(Bundle.open(plain_bundle), "onnx", None)


@pytest.mark.parametrize("backend", ["onnx", "tflite", "savedmodel"])
def test_a_missing_engine_names_the_extra_that_brings_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    installed_only(monkeypatch)
    row = BACKENDS[backend]
    sentence = (
        rf"backend '{backend}' needs {row.package}, which is not installed: pip install 'pulsecast\[{row.extra}\]'"
    )
    with pytest.raises(MissingExtraError, match=sentence):
        load(path, backend=backend)


@pytest.mark.parametrize("backend", ["onnx", "tflite", pytest.param("savedmodel", marks=pytest.mark.slow)])
def test_an_engine_that_refuses_its_artifact_is_an_engine_error(bundle: Bundle, backend: str) -> None:
    package = BACKENDS[backend].package
    require(str(package))
    with pytest.raises(EngineError, match=f"^{backend} cannot be loaded by {package}: "):
        open_backend(bundle, choose(bundle, backend, None), threads=1)


def test_auto_never_takes_another_engine_because_loading_failed(path: Path) -> None:
    require("onnxruntime")
    with pytest.raises(EngineError, match="onnx cannot be loaded by onnxruntime"):
        load(path)


def test_verify_skips_what_it_cannot_run_and_says_why(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast.forecasting.verification.is_installed", lambda backend: backend == "numpy")
    reports = verify(path)
    assert [report.artifact for report in reports] == ["numpy", *(row.id for row in EVERY)]
    assert reports[0].skipped is None
    assert reports[0].passed
    assert {report.skipped for report in reports[1:]} == {
        f"the engine of backend {backend} is not installed" for backend in ("onnx", "tflite", "savedmodel")
    }


BLOCKED = """
import sys
for name in ("onnxruntime", "ai_edge_litert", "tensorflow"):
    sys.modules[name] = None  # the import system takes None for a module that does not exist
sys.path[:0] = sys.argv[2:]
from pulsecast import load
model = load(sys.argv[1])
print(model.artifact.id, model.predict([300.0] * 50)[0, 0])
"""


def test_a_process_in_which_no_engine_can_be_imported_still_forecasts(path: Path) -> None:
    source = importlib.util.find_spec("pulsecast").submodule_search_locations[0]  # type: ignore[union-attr, index]
    command = [sys.executable, "-c", BLOCKED, str(path), str(Path(source).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    name, forecast = done.stdout.split()
    assert name == "numpy"
    expected = load(path, backend="numpy").predict([300.0] * 50)[0, 0]
    assert float(forecast) == pytest.approx(float(expected), rel=1e-6)  # as many digits as a float32 prints
    assert np.isfinite(expected)
