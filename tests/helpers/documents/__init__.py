"""The site's pages as tests see them: their code blocks, and a walk that does what a page says in an empty folder."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from helpers.source_tree import REPOSITORY

DOCS = REPOSITORY / "docs"
WRITTEN_BY_HAND = sorted(DOCS.glob("*.md"))
ADDRESS = "127.0.0.1:8080"  # of the server, on the pages
_FENCE = re.compile(r"^```(\w+)$")
_NUMBER = re.compile(r"\d[\d.,]*")
_WAIT_S = 120


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block of a page, and what the comment `% …` before it says of it."""

    page: str
    line: int
    language: str
    text: str
    mark: str


def blocks(path: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    found: list[Block] = []
    lines = path.read_text("utf-8").splitlines()
    begins = 0
    for i, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and not begins:
            begins, language = i + 1, fence[1]
        elif line == "```" and begins:
            before = lines[begins - 2] if begins > 1 else ""
            text = "\n".join(lines[begins:i]) + "\n"
            mark = before.removeprefix("% ") if before.startswith("% ") else ""
            found.append(Block(page=path.name, line=begins, language=language, text=text, mark=mark))
            begins = 0
    return found


def own_commands(text: str) -> list[list[str]]:
    """Return the words of each line of a shell block that calls pulsecast; a line that ends in a backslash goes on."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("pulsecast ")]


@dataclass
class Walk:
    """Does what pages say, in `folder`: files are written, commands run, and what they said is looked at.

    smaller   beginning of a command -> options that are added, for the tests' time
    """

    folder: Path
    smaller: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    address: str = ADDRESS
    _open: ExitStack = field(default_factory=ExitStack)

    def follow(self, page: str) -> None:
        """Do every block of a page that is not marked `not run`."""
        for block in blocks(DOCS / page):
            if not block.mark.startswith("not run: "):
                self.do(block)

    def do(self, block: Block) -> None:
        """Write, run or compare one block."""
        text = block.text.replace(ADDRESS, self.address)
        if block.mark.startswith("file: "):
            (self.folder / block.mark.removeprefix("file: ")).write_text(text, "utf-8")
        elif block.language == "sh":
            self.said = ""
            for line in text.replace("\\\n", " ").splitlines():
                self._command(line)
        elif block.mark == "said":
            missing = [line for line in text.splitlines() if _masked(line) not in _masked(self.said)]
            assert missing == [], f"{block.page}:{block.line} was not said: {self.said}"

    def _command(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if not words:
            return
        extra = next((more for start, more in self.smaller.items() if line.startswith(start)), "")
        words += shlex.split(extra)
        if words[:2] == ["pulsecast", "serve"]:
            self.address = self._open.enter_context(_serving(words[1:], self.folder))
        elif words[0] == "pulsecast" and self.smaller:
            self.said += _in_this_process(words[1:], self.folder)
        else:
            self.said += _in_a_shell(line, self.folder)

    def close(self) -> None:
        """Stop the servers."""
        self._open.close()


def _masked(text: str) -> str:
    """Return text in which every number is `#`, and a run of spaces one space."""
    return " ".join(_NUMBER.sub("#", text).split())


def _in_this_process(words: list[str], folder: Path) -> str:
    from pulsecast_cli.app import run

    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
    finally:
        os.chdir(before)
    assert code == 0, f"pulsecast {shlex.join(words)}: {err.getvalue()}"
    return out.getvalue() + err.getvalue()


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment whose `python` and `pulsecast` are those of the tests."""
    programs = folder.parent / f"{folder.name}-bin"
    programs.mkdir(exist_ok=True)
    for name, started in (("python", ""), ("pulsecast", " -m pulsecast")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{started} "$@"\n')
        program.chmod(0o755)
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": ":".join(p for p in sys.path if p)}


def _in_a_shell(line: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-ec", line],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=10 * _WAIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout + done.stderr


@contextmanager
def _serving(words: list[str], folder: Path) -> Iterator[str]:
    """Yield the host and port of `pulsecast serve` in a process, on a free port; it is stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pulsecast", *words, "--port", "0"],
        cwd=folder,
        env=_environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        for line in process.stderr:
            answering = re.search(r"answering on http://(127\.0\.0\.1:\d+)", line)
            if answering:
                yield answering[1]
                break
        else:
            raise AssertionError("the server ended before it answered")
    finally:
        process.terminate()
        process.communicate(timeout=_WAIT_S)
