"""`--dry-run`: a command says what would happen to its folder, in the words in which it would refuse, and stops."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require

require("typer")

from pulsecast.bundle.packing import unpack  # noqa: E402
from pulsecast_cli import app  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"
BYTES = sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file())
FILES = sum(path.is_file() for path in GOLDEN.rglob("*"))


def run(*arguments: object) -> int:
    return app.run([str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,value\n2025-01-06T00:00:00Z,1\n")
    return path


@pytest.mark.parametrize("command", ["export", "unpack", "page", "serve-config", "train", "demo"])
def test_a_new_folder_would_be_made_and_is_not(
    command: str, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if command in ("train", "demo"):
        require("polars")
    out = tmp_path / "out"
    served = [GOLDEN.with_name("golden_v2"), "--for", "pulsecast"]
    source = {"train": [log], "demo": [], "serve-config": served}.get(command, [GOLDEN])
    assert run(command, *source, "--out", out, "--dry-run") == 0
    assert capsys.readouterr() == (f"{out} would be made\n", "")
    assert not out.exists()


def test_an_own_folder_would_be_replaced_and_its_size_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = unpack(GOLDEN, tmp_path / "out").path
    before = {path: path.stat().st_ino for path in out.rglob("*")}
    assert run("unpack", GOLDEN, "--out", out, "--force", "--dry-run", "--format", "json") == 0
    said = json.loads(capsys.readouterr().out)
    expected = {"command": "unpack", "dry_run": True, "fate": "replaced", "files": FILES, "size_bytes": BYTES}
    assert said == {"schema_version": 1, **expected}
    assert run("unpack", GOLDEN, "--out", out, "--force", "--dry-run") == 0
    assert capsys.readouterr().out.startswith(f"{out} would be replaced: it holds {FILES} files, ")
    assert {path: path.stat().st_ino for path in out.rglob("*")} == before


def _nothing(out: Path) -> None:
    del out


def _notes(out: Path) -> None:
    (out / "notes.txt").write_text("mine")


@pytest.mark.parametrize(("add", "force"), [(_nothing, ()), (_notes, ("--force",))])
def test_a_refusal_is_that_of_the_command_itself(
    add: Callable[[Path], None], force: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = unpack(GOLDEN, tmp_path / "out").path
    add(out)
    assert run("unpack", GOLDEN, "--out", out, *force, "--dry-run") == 2
    tried = capsys.readouterr()
    assert run("unpack", GOLDEN, "--out", out, *force) == 2
    assert capsys.readouterr() == tried
    assert tried.err.startswith(f"error[usage]: {out} ")


def test_what_is_known_before_the_logs_are_read_is_refused(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert run("train", log, "--out", out, "--force", "--dry-run") == 2
    assert "notes.txt; nothing is replaced" in capsys.readouterr().err
    assert run("train", log, "--out", tmp_path / "new", "--recipe", "textbook", "--pool", "--dry-run") == 2
    assert "recipe textbook cannot pool series" in capsys.readouterr().err


def test_a_model_directory_would_be_replaced(
    level_model: plain.PlainModel, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    out = tmp_path / "out"
    plain.write_model_directory(out, level_model)
    assert run("train", log, "--out", out, "--force", "--dry-run") == 0
    assert f"{out} would be replaced: it holds 5 files" in capsys.readouterr().out
