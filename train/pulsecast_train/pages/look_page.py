"""A look at a log as one self-contained HTML page: its columns, what is open, the command, and each series drawn."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.foundation.whole_file import whole_file

from ..logs.looking.look import Look
from ..logs.looking.samples import LookedFile
from ..logs.looking.words import cells_text, choice_text
from .document import document

_WIDTH, _HEIGHT = 900, 120  # pixels of a picture
_MOST_PICTURES = 20
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "pre{background:#f4f4f4;padding:.8rem;overflow-x:auto;white-space:pre-wrap}svg{width:100%;height:auto}"
)


def write_page(path: Path, found: Look) -> None:
    """Write the page to `path` in one step."""
    with whole_file(path, force=True) as file:
        file.write(page_html(found).encode())


def page_html(found: Look) -> str:
    """Return the page as one HTML document."""
    open_things = "".join(f"<pre>{escape(choice_text(one))}</pre>" for one in found.choices)
    report = f"<h2>How it was read</h2><pre>{escape(found.report.text())}</pre>" if found.report else ""
    end = (
        f"<h2>What stands in the way</h2><p>{escape(found.problem)}</p>"
        if found.problem
        else f"<h2>The command</h2><pre>{escape(found.command)}</pre><h2>train.toml</h2><pre>{escape(found.toml)}</pre>"
    )
    return document(
        "Look at a log",
        _STYLE,
        "<h1>Look at a log</h1>"
        f"{''.join(map(_file, found.files))}"
        f"{f'<h2>Open</h2>{open_things}' if open_things else ''}"
        f"{''.join(_picture(one.name, one.metrics[0], one.values[:, 0]) for one in found.series[:_MOST_PICTURES])}"
        f"{report}{end}",
    )


def _file(file: LookedFile) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{one.kind}</td><td>{escape(cells_text(one))}</td></tr>"
        for one in file.columns
    )
    return (
        f"<h2>{escape(file.name)}</h2><table><tr><th>column</th><th>kind</th><th>first values</th></tr>{rows}</table>"
    )


def _picture(name: str, metric: str, values: NDArray[np.float64]) -> str:
    parts = np.array_split(values, min(_WIDTH, len(values)))
    means = np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    scale = (_HEIGHT - 4) / (high - low) if high > low else 0.0
    at = np.linspace(0, _WIDTH, len(means))
    lines: list[str] = []
    line = ""
    for x, mean in zip(at, means, strict=True):
        if np.isnan(mean):
            lines, line = [*lines, line], ""
            continue
        line += f"{'L' if line else 'M'}{x:.1f} {_HEIGHT - 2 - (mean - low) * scale:.1f}"
    drawn = "".join([*lines, line])
    label = escape(f"{name}: {metric}, {np.nanmin(values):g} to {np.nanmax(values):g}")
    return (
        f'<h2>{label}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f'<path d="{drawn}" fill="none" stroke="#0b6fa4" stroke-width="1.2"/></svg>'
    )
