"""`pulsecast doctor` starts engines for real, and says how to repair the rest."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from helpers.engines import require

require("typer")

from pulsecast.backends import is_installed  # noqa: E402
from pulsecast.stages import child_process  # noqa: E402
from pulsecast_cli.app import run  # noqa: E402
from pulsecast_cli.commands import doctor  # noqa: E402
from pulsecast_cli.commands.table import COMMANDS  # noqa: E402

PROVIDED_AS = {"sklearn": "scikit-learn"}  # packages with another name than their distribution


@pytest.mark.slow
def test_doctor_starts_every_installed_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--format", "json"]) == 0
    backends = {row["name"]: row for row in json.loads(capsys.readouterr().out)["backends"]}
    assert {name: row["state"] for name, row in backends.items()} == {
        name: "ok" if is_installed(name) else "missing" for name in backends
    }
    assert backends["numpy"]["found"].endswith(" on CPU")


def test_a_missing_engine_comes_with_the_extra_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_installed", lambda _: False)
    found = doctor._backend("tflite")
    assert (found.state, found.fix) == ("missing", "pip install 'pulsecast[tflite]'")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("raise ImportError('libfoo.so.1: cannot open shared object file')", "libfoo.so.1"),
    ],
)
def test_an_engine_that_cannot_start_is_reported_and_not_a_crash(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = child_process.run_child

    def crash(command: list[str], environment: dict[str, str], timeout_s: float) -> object:
        return real([command[0], "-c", code], environment, timeout_s=timeout_s)

    monkeypatch.setattr(child_process, "run_child", crash)
    found = doctor._backend("numpy")
    assert found.state == "broken"
    assert message in found.found
    assert "--force-reinstall" in found.fix


def test_both_wheels_of_onnx_runtime_are_named_as_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_is_there", lambda _: True)
    found = doctor._gpu(())
    assert found.state == "broken"
    assert "overwrite each other's files" in found.found


def test_a_gpu_counts_only_if_an_engine_runs_on_it() -> None:
    on_gpu = doctor.Finding(name="onnx", state="ok", found="onnxruntime 1.26.0 on CUDA")
    assert doctor._gpu((on_gpu,)).found == "used by onnx"


def test_doctor_knows_what_every_command_needs_and_which_extra_brings_it() -> None:
    with Path(doctor.__file__).parents[3].joinpath("pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for command in COMMANDS.values():
        brought = _brought(command.extra, extras)
        names = {PROVIDED_AS.get(package, package).replace("_", "-") for package in command.needs}
        assert names <= brought, f"{command.extra} brings {brought}"


def _brought(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """Return the distributions that an extra names, with those of the extras that it includes."""
    found = set()
    for requirement in extras[extra]:
        if inner := re.match(r"pulsecast\[(.*)\]", requirement):
            found |= {name for one in inner.group(1).split(",") for name in _brought(one, extras)}
        else:
            found.add(re.split(r"[<>=\[]", requirement)[0])
    return found
