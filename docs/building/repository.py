"""Files of the repository as pages: each stands on one page, and links between them are links between pages.

A page takes a file, or a part of one, by MyST's `include`. A link that leads nowhere on the site fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# file or folder of the repository -> page of the site
PAGES = {
    "CHANGELOG.md": "reference/changelog.md",
    "CONTRIBUTING.md": "reference/contributing.md",
    "FORMAT.md": "reference/format.md",
    "README.md": "index.md",
    "SECURITY.md": "reference/security.md",
    "benchmarks/README.md": "reference/measuring.md",
    "docs/examples": "reference/examples.md",
    "export/README.md": "reference/artifacts.md",
    "runtime/README.md": "reference/running.md",
    "runtime/pulsecast_serve/README.md": "reference/serving.md",
    "runtime/pulsecast_streams/README.md": "streams.md",
    "train/README.md": "reference/training.md",
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\[]*)\]\((?P<target>[^()\s]+)\)")
_ANCHOR = re.compile(
    r'^<a id="([\w-]+)"></a>$', re.MULTILINE
)  # of a place that is not a heading; MyST has a form for it
_REPOSITORY = Path(__file__).parents[2]
_EXTERNAL = ("https://", "http://", "mailto:")


def as_pages(text: str, *, file: str, page: str) -> str:
    """Return the text of `file` with links as `page` needs them; both are paths from the repository and from docs/.

    >>> as_pages("[runs](../runtime/README.md#trust)", file="export/README.md", page="reference/artifacts.md")
    '[runs](running.md#trust)'

    An anchor that stands alone in HTML becomes MyST's. Raises ValueError for a link to a file that is not there.
    """
    linked = _LINK.sub(lambda link: f"[{link['text']}]({_target(link['target'], file, page)})", text)
    return _ANCHOR.sub(r"(\1)=", linked)


def _target(target: str, file: str, page: str) -> str:
    if target.startswith(_EXTERNAL):
        return target
    path, _, anchor = target.partition("#")
    named = posixpath.normpath(posixpath.join(posixpath.dirname(file), path)) if path else file
    named = f"{named}/README.md" if f"{named}/README.md" in PAGES else named
    to = PAGES.get(named) or _file(named)
    if to is None:
        raise ValueError(
            f"{file} links to {target}, which is not there; expected a file, or a page in {__name__}.PAGES"
        )
    relative = posixpath.relpath(to, posixpath.dirname(page) or ".")
    return f"{relative}#{anchor}" if anchor else relative


def _file(named: str) -> str | None:
    """Return where another file lies from docs/: a page, or what MyST makes a download of."""
    if not (_REPOSITORY / named).is_file():
        return None
    return posixpath.relpath(named, "docs")


def _on_include(app: Sphinx, path: Any, stem: str, content: list[str]) -> None:
    """Rewrite the links of a file of PAGES; `path` is its path from docs/, and `stem` the page without its folder."""
    del stem
    file = (Path(app.srcdir) / path).resolve().relative_to(_REPOSITORY).as_posix()
    if file in PAGES:
        content[0] = as_pages(content[0], file=file, page=f"{app.env.docname}.md")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("include-read", _on_include)
    return {"parallel_read_safe": True}
