"""Examples of the help: each one is a command line that parses, and those that are cheap run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs.log_files import hours
from helpers.measured import result

require("typer", "polars")

from typer.main import get_command  # noqa: E402

from pulsecast import generate_key, sign  # noqa: E402
from pulsecast_bench.results.result import write_result  # noqa: E402
from pulsecast_cli.app import app, run  # noqa: E402
from pulsecast_cli.commands.examples import EXAMPLES  # noqa: E402
from pulsecast_cli.commands.table import COMMANDS  # noqa: E402

LINES = [example.line for examples in EXAMPLES.values() for example in examples]
# they run in the folder that `folder` makes, one after the other, within seconds
CHEAP = ("look", "verify", "inspect", "bench-pack", "report", "predict", "pack", "keygen", "sign")
UNRUN = {
    "pulsecast report result.json --out report.html": "draws with matplotlib; tests/cli/test_bench_commands.py does",
    "pulsecast look mentions.csv --out look.html": "tests/train/looking does",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that examples name."""
    plain.write_bundle(tmp_path / "bundle", plain.make_model(plain.LEVEL_SPEC))
    generate_key(tmp_path / "release")
    sign(tmp_path / "bundle", tmp_path / "release")
    for name in ("mentions.csv", "events.csv", "logs/a.csv", "logs/b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(hours(plain.series()[:300].tolist()))
    (tmp_path / "model").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "bundle.pulse").touch()
    for name in ("result", "before", "after", "baseline"):
        write_result(result(), tmp_path / f"{name}.json", force=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_has_examples_of_itself() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    for name, examples in EXAMPLES.items():
        assert examples, name
        assert all(shlex.split(line)[:2] == ["pulsecast", name] for _, line in examples), name


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_a_command_line_that_parses(line: str, folder: Path) -> None:
    _, name, *words = shlex.split(line)
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.make_context(name, words).params


def test_a_wrong_example_would_not_parse(folder: Path) -> None:
    command = get_command(app).commands["inspect"]  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="No such option"):
        command.make_context("inspect", ["bundle", "--no-such-option"])


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_example_runs(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle.pulse").unlink()
    if name == "keygen":
        for key in folder.glob("release*"):
            key.unlink()
    for _, line in EXAMPLES[name]:
        if line in UNRUN:
            continue
        words = shlex.split(line)[1:]
        forced = ["--force"] if name == "sign" else []  # the folder's bundle is signed
        assert run([*words, *forced]) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        assert said.out, line


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_in_its_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = re.sub(r"\s+", "", capsys.readouterr().out).partition("Examples")[2]
    for purpose, line in EXAMPLES[name]:
        assert re.sub(r"\s+", "", f"# {purpose}{line}") in shown
