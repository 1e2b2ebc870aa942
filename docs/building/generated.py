"""Pages that are made from the code while the site is built: a line `% generated: NAME` in a page is replaced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import commands, errors, places

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands.reference,
    "errors": errors.tree_and_classes,
    "exit codes": errors.exit_codes,
    "places": places.table,
}
_FROM_CODE = re.compile(r"^(?:% generated: |\.\. automodule::)", re.MULTILINE)
_LINE = re.compile(r"^% generated: (.+)$", re.MULTILINE)


def filled(text: str) -> str:
    """Return a page's text with its generated parts; raises KeyError for a name that GENERATED does not have."""
    return _LINE.sub(lambda line: GENERATED[line[1]](), text)


def _on_page(app: Sphinx, name: str, content: list[str]) -> None:
    del app, name
    content[0] = filled(content[0])


def _made_from_code(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Return the pages to read at every build: Sphinx does not see that the code has changed."""
    del app, changes
    return [page for page in env.found_docs if _FROM_CODE.search(Path(env.doc2path(page)).read_text("utf-8"))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _on_page)
    app.connect("env-get-outdated", _made_from_code)
    return {"parallel_read_safe": True}
