"""Docstrings of this project for autodoc: their plain text as reStructuredText.

They have paragraphs, tables of names (`name  what it is`, continued with an indent), code with an indent of four
spaces, and `>>>` examples. Single backticks are code.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_NAME = re.compile(r"(?P<name>\S+(?:, \S+)*) {1,}(?P<text>\S.*)")
_ROW = re.compile(r"\S+(?:, \S+)* {2,}\S")
_OF_NAMEDTUPLE = re.compile(r"Alias for field number \d+$")
_ARRAY = re.compile(r"(?:~?numpy\.)?ndarray\[tuple\[Any, \.\.\.\], ~?(?:numpy\.)?dtype\[~?(?:numpy\.)?(\w+)\]\]")
_CODE = re.compile(r"`+[^`]+`+")


def as_rst(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText.

    >>> as_rst(["Return it.", "", "path  a file, or", "      a folder"])
    ['Return it.', '', ':path: a file, or a folder', '']
    """
    blocks = [list(block) for filled, block in groupby(lines, lambda line: bool(line.strip())) if filled]
    return [line for block in blocks for line in [*_block(block), ""]]


def _block(block: list[str]) -> list[str]:
    if block[0].startswith((">>> ", "    ")) or any(mark in line for line in block for mark in "├└│"):
        return ["::", "", *(f"    {line}" for line in block)]
    if _is_table(block):
        return _table(block)
    return [_escaped(line.strip()) for line in block]


def _is_table(block: list[str]) -> bool:
    """A table's rows have two spaces behind the name; a long name may have one, if its text begins as the others do."""
    rows = [line for line in block if not line.startswith(" ")]
    return bool(_ROW.match(block[0])) and all(_NAME.match(row) for row in rows)


def _table(block: list[str]) -> list[str]:
    found: list[str] = []
    for line in block:
        if line.startswith(" ") or not _begins_row(line, block):
            found[-1] += f" {_escaped(line.strip())}"
            continue
        name, text = _NAME.findall(line)[0]
        found.append(f":{_plain(name)}: {_escaped(text)}")
    return found


def _begins_row(line: str, block: list[str]) -> bool:
    return bool(_ROW.match(line)) or (any(other.startswith(" ") for other in block) and bool(_NAME.match(line)))


def _plain(name: str) -> str:
    return name.replace("\\", "\\\\").replace(":", "\\:").replace("*", "\\*").replace("`", "")


def _escaped(text: str) -> str:
    """Return text without markup, but with `code` as code."""
    parts, place = [], 0
    for code in _CODE.finditer(text):
        parts += [_literal(text[place : code.start()]), f"``{code[0].strip('`')}``\\ "]
        place = code.end()
    return "".join([*parts, _literal(text[place:])])


def _literal(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)


def _on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    del app, name, thing, options
    written = what != "module" and not _OF_NAMEDTUPLE.match("".join(lines))  # a package has its chapter
    lines[:] = as_rst(lines if written else [])


def _on_signature(app: Sphinx, *heard: Any) -> tuple[str | None, str | None]:
    """Write numpy's arrays as the source does: NDArray[float32]."""
    del app
    signature, returned = heard[-2:]
    return _shorter(signature), _shorter(returned)


def _shorter(text: str | None) -> str | None:
    return text and _ARRAY.sub(r"NDArray[\1]", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", _on_docstring)
    app.connect("autodoc-process-signature", _on_signature)
    return {"parallel_read_safe": True}
