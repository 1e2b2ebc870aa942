"""The built wheel in a fresh environment with only numpy, as for an app that embeds the runtime."""

import os
import subprocess
import sys
import tarfile
import time
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import pulsecast
from helpers import plain
from helpers.engines import require
from helpers.outside.environments import environment as environment_of
from helpers.outside.environments import required
from pulsecast_bench.results.result import read_result

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
DATED = {"SOURCE_DATE_EPOCH": "1700000000"}
FOLDERS = {
    "pulsecast": "runtime",
    "pulsecast_serve": "runtime",
    "pulsecast_streams": "runtime",
    "pulsecast_cli": "runtime",
    "pulsecast_train": "train",
    "pulsecast_export": "export",
    "pulsecast_bench": "benchmarks",
}


def build(source: Path, out: Path, *options: str) -> Path:
    """Build a checkout or an unpacked sdist by the backend that pyproject.toml names; return the wheel."""
    require("build", "hatchling")
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out), str(source)]
    kept = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **DATED})
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    return build(REPOSITORY, tmp_path_factory.mktemp("wheel"), "--wheel")


def test_a_wheel_has_the_same_bytes_each_time_and_from_the_source_distribution(wheel: Path, tmp_path: Path) -> None:
    again = build(REPOSITORY, tmp_path / "from-sdist")  # an sdist of the checkout, then a wheel of the sdist
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
    with tarfile.open(next((tmp_path / "from-sdist").glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "DEPENDENCIES.md", "constraints.txt"} <= names
    assert {"tests/packaging/test_wheel.py", "docs/examples/forecast.mjs", ".ci/run"} <= names
    moments = {one.date_time for one in zipfile.ZipFile(wheel).infolist()}
    assert moments == {time.gmtime(int(DATED["SOURCE_DATE_EPOCH"]))[:6]}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment's folder of programs; numpy is what pip's configured index gives for this version.

    The pip of this process installs into it: one of its own would take as long as all the rest.
    """
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--quiet", "--disable-pip-version-check"]
    wanted = [str(wheel), f"numpy=={version('numpy')}"]
    done = subprocess.run([*pip, "install", "--no-deps", *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return programs


def run(environment: Path, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of the fresh environment, away from the checkout and without this process's import path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(environment / program), *arguments],
        cwd=environment,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_seven_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    information = {top for top in tops if top.endswith(".dist-info")}
    assert len(information) == 1
    assert tops - information == set(FOLDERS)
    for package, folder in FOLDERS.items():
        assert f"{package}/py.typed" in names
        source = REPOSITORY / folder / package
        modules = {f"{package}/{p.relative_to(source).as_posix()}" for p in source.rglob("*.py")}
        assert modules <= set(names)
        others = {path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {f"{package}/{path.relative_to(source).as_posix()}" for path in others} <= set(names)
    assert {f"pulsecast_export/micro_io/templates/micro_io.{kind}.in" for kind in "ch"} <= set(names)
    assert [name for name in names if "tests/" in name or "/test_" in name or name.endswith((".pyc", ".csv"))] == []


def test_numpy_is_the_only_requirement_that_no_extra_guards(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    requirements = metadata.get_all("Requires-Dist") or []
    always = [requirement for requirement in requirements if "extra ==" not in requirement]
    assert [requirement.split(">")[0] for requirement in always] == ["numpy"]
    assert len(requirements) > len(always)
    assert metadata["Name"] == "pulsecast"
    assert metadata["Version"] == pulsecast.__version__
    assert {"onnx", "tflite", "savedmodel", "cli", "train", "export", "all"} <= set(metadata.get_all("Provides-Extra"))


def test_numpy_alone_loads_and_runs_a_bundle(environment: Path, plain_bundle: Path) -> None:
    code = (
        "import importlib.util, sys; from pulsecast import load; model = load(sys.argv[1]); "
        "print(model.artifact.id, repr(float(model.predict([300.0] * 50)[0, 0])), "
        "any(map(importlib.util.find_spec, ('tensorflow', 'onnxruntime', 'ai_edge_litert', 'typer'))))"
    )
    done = run(environment, "python", "-c", code, str(plain_bundle))
    assert done.stderr == ""
    artifact, forecast, engines = done.stdout.split()
    expected = pulsecast.load(plain_bundle, backend="numpy").predict([300.0] * 50)[0, 0]
    assert (artifact, engines) == ("numpy", "False")
    # the same numpy, perhaps with another BLAS: float64 rounding, then rounding to float32
    assert float(forecast) == pytest.approx(float(expected), rel=2 * float(np.finfo(np.float32).eps))


def test_numpy_alone_verifies_a_bundle_and_says_what_it_skips(
    environment: Path, level_model: plain.PlainModel, tmp_path: Path
) -> None:
    onnx = plain.Artifact(
        **{**vars(plain.numpy_artifact()), "id": "onnx", "backend": "onnx", "path": "onnx/model.onnx"}
    )
    plain.write_bundle(tmp_path / "bundle", level_model, onnx)
    code = (
        "import sys; from pulsecast import verify; "
        "print([(r.artifact, r.passed, r.skipped) for r in verify(sys.argv[1])])"
    )
    done = run(environment, "python", "-c", code, str(tmp_path / "bundle"))
    skipped = "the engine of backend onnx is not installed"
    assert (done.stdout.strip(), done.stderr) == (str([("numpy", True, None), ("onnx", True, skipped)]), "")


@pytest.mark.parametrize("backend", ["onnx", "tflite", "savedmodel"])
def test_a_missing_engine_is_one_sentence_that_names_the_extra(
    environment: Path, level_model: plain.PlainModel, tmp_path: Path, backend: str
) -> None:
    path = "savedmodel/1" if backend == "savedmodel" else f"{backend}/model.{backend}"
    row = plain.Artifact(**{**vars(plain.numpy_artifact()), "id": backend, "backend": backend, "path": path})
    plain.write_bundle(tmp_path / "bundle", level_model, row)
    code = (
        "import sys\nfrom pulsecast import load, errors\n"
        "try: load(sys.argv[1], backend=sys.argv[2])\nexcept errors.MissingExtraError as error: print(error)"
    )
    done = run(environment, "python", "-c", code, str(tmp_path / "bundle"), backend)
    assert done.stdout.strip().endswith(f"which is not installed: pip install 'pulsecast[{backend}]'")
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [(), ("--help",), ("verify", "bundle")], ids=["bare", "help", "a command"])
def test_the_command_without_its_extra_is_one_sentence_and_exit_code_6(
    environment: Path, arguments: tuple[str, ...]
) -> None:
    done = run(environment, "pulsecast", *arguments)
    assert done.returncode == 6
    assert done.stdout == ""
    sentence = (
        "error[missing-extra]: the command line needs typer, which is not installed: pip install 'pulsecast[cli]'\n"
    )
    assert done.stderr == sentence


@pytest.mark.parametrize("package", FOLDERS)
def test_every_package_can_be_imported_with_numpy_alone(environment: Path, package: str) -> None:
    done = run(environment, "python", "-c", f"import {package}; print({package}.__doc__.splitlines()[0])")
    assert done.stderr == ""
    assert done.stdout.strip().endswith((".", "faster."))


@pytest.mark.parametrize("engine", [pytest.param("onnx", marks=pytest.mark.soak), "tflite"])
def test_bench_needs_its_extra_and_one_engine_and_no_tensorflow(
    wheel: Path, engine: str, textbook_bundle: Path, tmp_path: Path
) -> None:
    require("packaging", "typer", "onnxruntime", "ai_edge_litert")
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    needed = required(metadata.get_all("Requires-Dist") or [], "bench", engine)
    assert "tensorflow" not in needed
    python = environment_of(tmp_path / "venv", *needed)
    archive.extractall(next((tmp_path / "venv" / "lib").iterdir()) / "site-packages")  # noqa: S202  # our own wheel
    out = tmp_path / "result.json"
    measured = ("--artifact", engine, "--profile", "quick", "--repeats", "1", "--batch", "1")
    program = ("-m", "pulsecast", "bench", str(textbook_bundle), "--out", str(out), *measured)
    done = run(python.parent, "python", *program)
    assert done.returncode in (0, 4), done.stderr
    assert [one.case.artifact for one in read_result(out).runs] == [engine]
    assert {"tensorflow", "keras", "polars"} & set(read_result(out).machine.versions) == set()
