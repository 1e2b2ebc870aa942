"""Pages that are made from the code while the site is built: a line `% generated: NAME` in a page is replaced."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import commands, errors

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands.reference,
    "errors": errors.tree_and_classes,
    "exit codes": errors.exit_codes,
}
_LINE = re.compile(r"^% generated: (.+)$", re.MULTILINE)


def filled(text: str) -> str:
    """Return a page's text with its generated parts; raises KeyError for a name that GENERATED does not have."""
    return _LINE.sub(lambda line: GENERATED[line[1]](), text)


def _on_page(app: Sphinx, name: str, content: list[str]) -> None:
    del app, name
    content[0] = filled(content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _on_page)
    return {"parallel_read_safe": True}
