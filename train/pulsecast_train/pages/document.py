"""What all pages share: the HTML around their body, and how a page or a picture is written."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from pulsecast.foundation.whole_file import whole_file

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --line: #d8d8d8; --soft: #f4f5f7; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181c; --line: #3a3d44; --soft: #202329; --bad: #ff8a80; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } h3 { margin-top: 1.8rem; }
.verdict { border-left: 5px solid #0072b2; background: var(--soft); padding: .8rem 1rem; }
.verdict.bad { border-color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.model td { font-weight: 600; }
figure { margin: 1rem 0; max-width: 640px; background: #ffffff; border-radius: 6px; padding: .4rem; }
figure svg { width: 100%; height: auto; display: block; }
.note { font-size: 13px; opacity: .8; }
@media print { body { max-width: none; margin: 0; } figure { break-inside: avoid; } }
"""


def document(title: str, style: str, body: str) -> str:
    """Return one HTML document that needs no other file; `style` is CSS, `body` HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'  # else browsers ask the server for one
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def write_drawn(path: Path, html: Callable[[], str], picture: Callable[[], bytes], *, force: bool) -> None:
    """Write a page to `path` or, if its name ends in .png, a picture, in one step; only the one is made."""
    with whole_file(path, force=force) as file:
        file.write(picture() if path.suffix == ".png" else html().encode())
