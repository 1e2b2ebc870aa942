"""What shells and `man` get: completion in a real bash, the manual page, and one table of exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.engines import require, require_tool
from pulsecast.stages import exits

require("typer")

from pulsecast_cli.app import run  # noqa: E402
from pulsecast_cli.commands.table import COMMANDS  # noqa: E402
from pulsecast_cli.manual import manual  # noqa: E402

REPOSITORY = Path(__file__).parents[3]

# loads the script that `--install-completion` writes, completes `$1` as the TAB key does, and prints what is offered
BASH = """
source "$2"
read -ra COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_pulsecast_completion pulsecast
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `pulsecast` is this checkout's command."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "pulsecast"
    code = "import sys; sys.argv[0] = 'pulsecast'; from pulsecast_cli import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}


def test_bash_completes_commands_options_and_words(environment: dict[str, str], tmp_path: Path) -> None:
    asked = {**environment, "_PULSECAST_COMPLETE": "source_bash"}  # --show-completion asks which shell this runs in
    script = subprocess.run(["pulsecast"], env=asked, capture_output=True, text=True, check=True)
    (tmp_path / "completion.bash").write_text(script.stdout)
    for line, offered in (
        ("pulsecast ", set(COMMANDS)),
        ("pulsecast export model --nat", {"--native-for"}),
        ("pulsecast bench bundle --profile ", {"quick", "standard"}),
    ):
        bash = ["bash", "--norc", "-c", BASH, "bash", line, str(tmp_path / "completion.bash")]
        done = subprocess.run(bash, env=environment, capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == offered
        assert done.stderr == ""


def test_the_manual_has_every_command_option_and_exit_code() -> None:
    page = manual().replace("\\-", "-")
    for name in COMMANDS:
        assert f"\n.SS pulsecast {name}\n" in page
    assert "\n.B --native-for <str>\n" in page
    for one in exits.EXITS:
        assert f"\n.B {one.code} {one.word}\n" in page


def test_man_renders_the_manual_without_a_warning(tmp_path: Path) -> None:
    groff = require_tool("groff")
    page = tmp_path / "pulsecast.1"
    page.write_text(manual())
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-P-c", str(page)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    text = done.stdout
    assert "PULSECAST(1)" in text
    assert "pulsecast sign bundle --key release" in text


def test_every_exit_code_is_in_the_table_once_and_the_readme_has_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    known = [value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)]
    codes = [one.code for one in exits.EXITS]
    assert sorted(known) == sorted(codes)
    assert len(set(codes)) == len(codes)
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    assert run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for one in exits.EXITS:
        assert f"{one.code} {one.word}" in readme
        assert f"{one.code} {one.word}" in shown
