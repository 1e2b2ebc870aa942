"""External links of the site: listed in external-links.txt, and never fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _on_end(app: Sphinx, failed: Exception | None) -> None:
    from docutils import nodes

    if failed or app.builder.format != "html":
        return
    found = {
        f"{reference['refuri']} {page}"
        for page in app.env.found_docs
        for reference in app.env.get_doctree(page).findall(nodes.reference)
        if str(reference.get("refuri", "")).startswith(("http://", "https://"))
    }
    (Path(app.outdir) / "external-links.txt").write_text("".join(f"{line}\n" for line in sorted(found)), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", _on_end)
    return {"parallel_read_safe": True}
