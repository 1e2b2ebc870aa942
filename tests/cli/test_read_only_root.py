"""No folder for temporary files, as on a read-only root: what needs none works, and the rest says so in one line."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs.log_files import hours

require("typer", "polars")

from pulsecast.errors import EngineError  # noqa: E402
from pulsecast_cli.app import run  # noqa: E402
from pulsecast_cli.commands import doctor  # noqa: E402
from pulsecast_cli.terminal.engine_log import engine_log  # noqa: E402

PROGRAM = """
import contextlib, io, json, sys, tempfile
tempfile._candidate_tempdir_list = lambda: []
from pulsecast_cli import _run
found = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        found.append(_run(command))
print(json.dumps(found))
"""


def test_commands_that_need_no_temporary_folder_work(plain_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(hours([float(value) for value in plain.series()[:200]]))
    usual = [
        ["--version"],
        ["inspect", plain_bundle],
        ["verify", plain_bundle],
        ["pack", plain_bundle, "--out", tmp_path / "b.pulse"],
        ["unpack", tmp_path / "b.pulse", "--out", tmp_path / "b"],
        ["rhythm", log],
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(usual, default=str)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert (done.stdout.strip(), "Traceback" in done.stderr) == (json.dumps([0] * len(usual)), False)


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)


@pytest.mark.usefixtures("no_folder")
def test_a_command_that_needs_one_says_so_in_one_line(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pulsecast_cli.commands.bundles import inspect_bundle

    monkeypatch.setattr(inspect_bundle, "is_lone_file", lambda path: tempfile.mkdtemp())
    assert run(["inspect", str(plain_bundle)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: this needs a folder for temporary files, and none can be written: set TMPDIR to one that can"
    )


@pytest.mark.usefixtures("no_folder")
def test_doctor_says_which_engines_could_not_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["state"] for one in found["backends"] if "not tried" in one["found"]} == {"broken"}
    assert any("not tried: a temporary folder cannot be made" in one["found"] for one in found["backends"])
    assert doctor.EngineError is EngineError


def _break_in_an_engine() -> None:
    with engine_log(shown=False):
        os.write(2, b"from an engine\n")
        raise RuntimeError("broke")


def _no_file() -> None:
    raise FileNotFoundError


@pytest.mark.parametrize("has_memory", [True, False])
def test_the_engines_own_log_needs_no_folder(
    has_memory: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = has_memory and hasattr(os, "memfd_create")
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", _no_file)
        if not has_memory:
            patch.delattr(os, "memfd_create", raising=False)
        with pytest.raises(RuntimeError, match="broke"):
            _break_in_an_engine()
    assert ("from an engine" in capfd.readouterr().err) == kept
