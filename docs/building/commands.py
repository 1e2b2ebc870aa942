"""The command line's reference: what `--help` says, as Markdown, by typer itself."""

from __future__ import annotations

import re

# typer lists a group's commands with their help cut after 45 characters; the page's contents list them
_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .+\n)+\n")
_TITLE = re.compile(r"^#+ `(?:pulsecast )?(?P<name>[a-z-]+)`$", re.MULTILINE)
_HELP = re.compile(r"^\* `--help`: .*\n", re.MULTILINE)


def reference() -> str:
    """Return a section for each command, with its arguments, options and defaults."""
    import typer
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from pulsecast_cli.app import app

    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="pulsecast")
    _, _, commands = _HELP.sub("", _LIST.sub("", text)).partition("\n## ")
    return _TITLE.sub(lambda title: f"(command-{title['name']})=\n## {title['name']}", f"## {commands}")
