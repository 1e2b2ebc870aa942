"""`make tools`: its table holds what tests require, and without apt it names the missing tools; in CI this fails."""

import re
import subprocess
from pathlib import Path

import pytest

from helpers.engines import require_tool

TESTS = Path(__file__).parents[1]
SCRIPT = TESTS.parent / ".ci" / "tools"
CALLS = re.compile(r"require_(?:tools?|emulator)\(([^)]*)\)")
NEEDED = ("bash", "cut", "echo", "sed", "sort", "tr", "xargs")  # by the script itself


def table() -> list[list[str]]:
    """Return the rows of the script's table: programs, packages, what needs them."""
    text = SCRIPT.read_text("utf-8").split("TOOLS='\n")[1].split("'\n")[0]
    return [row.split(" | ") for row in text.splitlines()]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of all programs that the script finds: its own ones, without apt-get."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(require_tool(name))
    return folder


def run(programs: Path, ci: str) -> subprocess.CompletedProcess[str]:
    # the folders of servers are named in the script: a copy looks into none
    script = programs.with_name("tools")
    script.write_text(SCRIPT.read_text("utf-8").replace(':/usr/local/sbin:/usr/sbin:/sbin"', '"'))
    environment = {"PATH": str(programs), "CI": ci}
    return subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=False, cwd=programs
    )


def test_the_table_has_every_program_that_a_test_requires_by_name() -> None:
    known = {program for programs, _, _ in table() for program in programs.split("/")}
    texts = [path.read_text("utf-8") for path in TESTS.rglob("*.py") if path.name not in {"test_engines.py"}]
    calls = [call for text in texts for call in CALLS.findall(text)]
    asked = {program for call in calls for program in re.findall(r'"([\w-]+)"', call)}
    assert {"nm", "sshd", "openssl", "qemu-aarch64"} <= asked
    assert asked - known == set()


def test_what_a_row_says_of_the_tests_is_there() -> None:
    for row in table():
        assert len(row) == 3, row
        paths = [name for name in row[2].split(", ") if name.startswith("tests/")]
        assert paths, row
        assert all((TESTS.parent / path).exists() for path in paths), row


def test_without_apt_the_missing_tools_are_named_with_the_command_that_installs_them(programs: Path) -> None:
    done = run(programs, ci="")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0] == "Tools that are not installed, and what needs them:"
    assert said[1:-3] == [f"  {tools}: {needs}" for tools, _, needs in table()]
    packages = sorted({package for _, of_one, _ in table() for package in of_one.split()})
    assert said[-1].split() == ["sudo", "apt-get", "install", "--no-install-recommends", *packages]


def test_a_missing_tool_is_a_failure_in_ci(programs: Path) -> None:
    done = run(programs, ci="1")
    assert (done.returncode, done.stderr) == (1, "CI is set: a missing tool is a failure.\n")
    assert "  sshd: tests/benchmarks/device" in done.stdout.splitlines()


def test_where_all_tools_are_there_one_line_says_so(programs: Path, tmp_path: Path) -> None:
    fuzzer = tmp_path / "lib" / "linux" / "libclang_rt.fuzzer-x86_64.a"
    fuzzer.parent.mkdir(parents=True)
    fuzzer.touch()
    answers = {"clang": tmp_path, "arm-none-eabi-gcc": fuzzer}  # where their files are
    for one_of, _, _ in table():
        program = programs / one_of.split("/")[-1]
        program.write_text(f"#!/bin/sh\necho {answers.get(program.name, '')}\n")
        program.chmod(0o755)
    done = run(programs, ci="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "All tools are installed.\n", "")
    fuzzer.unlink()
    assert run(programs, ci="").stdout.splitlines()[1:3] == [
        "  libFuzzer: tests/export/native",
        "  newlib: tests/benchmarks/native, tests/export/micro_io",
    ]
