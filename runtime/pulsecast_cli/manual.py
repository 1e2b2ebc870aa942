"""The manual page, pulsecast(1), of the words that `--help` shows: `python -m pulsecast_cli.manual > pulsecast.1`.

`make man` writes it to build/pulsecast.1; `man -l build/pulsecast.1` shows it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from pulsecast import __version__
from pulsecast.stages.exits import EXITS

from .app import app
from .commands.examples import EXAMPLES

_ENVIRONMENT = (
    ("NO_COLOR", "Nothing is coloured."),
    ("CI", "Progress is about ten lines for each work, without bars."),
    ("CC", "The C compiler of native artifacts, with options: gcc -O3."),
    ("TMPDIR", "Where temporary files are written."),
    ("CUDA_VISIBLE_DEVICES", "Which GPUs train; -1 for none."),
)


def manual() -> str:
    """Return the page as roff; the same version gives the same bytes."""
    group: Any = get_command(app)
    parts = [
        f'.TH PULSECAST 1 "" "pulsecast {__version__}" "User Commands"',
        *_section("NAME", f"pulsecast \\- {_plain(_first_sentence(group.help))}"),
        *_section("SYNOPSIS", ".B pulsecast", "[\\-\\-verbose] COMMAND [ARGUMENTS] [OPTIONS]"),
        *_section("DESCRIPTION", _plain("Results go to stdout, everything else to stderr. Commands that write a "
                  "folder write it whole or not at all.")),
        *_section("COMMANDS"),
        *(line for name, command in group.commands.items() for line in _command(name, command)),
        *_section("EXIT STATUS", *(line for one in EXITS for line in _item(f"{one.code} {one.word}", one.meaning))),
        *_section("ENVIRONMENT", *(line for name, meaning in _ENVIRONMENT for line in _item(name, meaning))),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _section(title: str, *lines: str) -> tuple[str, ...]:
    return (f".SH {title}", *lines)


def _item(term: str, words: str) -> tuple[str, ...]:
    return (".TP", f".B {_plain(term)}", _plain(words))


def _command(name: str, command: Any) -> Iterator[str]:
    yield f".SS pulsecast {_plain(name)}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ".PP"
        yield _plain(" ".join(paragraph.split()))
    context = typer.Context(command)
    for names, meaning in filter(None, (one.get_help_record(context) for one in command.params)):
        yield from _item(names, " ".join(meaning.split()))
    for example in EXAMPLES[name]:
        yield from (".PP", _plain(f"{example.purpose[:1].upper()}{example.purpose[1:]}:"))
        yield from (".PP", ".RS 4", ".nf", _plain(example.line), ".fi", ".RE")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _plain(text: str) -> str:
    """Return text as roff: no character of it is a command or an accent.

    >>> print(_plain(".a-b"))
    \\&.a\\-b
    """
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "").replace("'", "\\(aq")
    escaped = "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    sys.stdout.write(manual())
