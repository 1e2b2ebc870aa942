"""Tables as people see them: aligned text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..plain_text import printable

Rows = Sequence[Sequence[str]]


def text_table(head: Sequence[str], rows: Rows) -> str:
    """Return aligned lines: the first column to the left, all others to the right; a line end in a cell is escaped.

    >>> print(text_table(("artifact", "bytes"), [("onnx", "125,092")]))
    artifact    bytes
    onnx      125,092
    """
    shown = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(head))]
    lines = []
    for row in shown:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html_table(head: Sequence[str], rows: Rows, *, caption: str = "", marked: Sequence[int] = ()) -> str:
    """Return the same table as HTML, every cell escaped; `caption` stands below it.

    `marked` rows have the class `model`, which a page may highlight.

    >>> html_table(("artifact",), [("<onnx>",)])
    '<table><thead><tr><th>artifact</th></tr></thead><tbody><tr><td>&lt;onnx&gt;</td></tr></tbody></table>'
    """
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr{' class=model' if i in marked else ''}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for i, row in enumerate(rows)
    )
    below = f"<p>{html.escape(caption)}</p>" if caption else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{below}"


def size_text(size_bytes: int) -> str:
    """Return a size for people.

    >>> size_text(140_056)
    '140 kB'
    """
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}" if size_bytes < 100 * unit else f"{size_bytes / unit:.0f} {name}"
    return f"{size_bytes} B"


def duration_text(seconds: float) -> str:
    """Return a duration for people.

    >>> duration_text(0.04), duration_text(9.96), duration_text(75), duration_text(7500)
    ('0.04 s', '10 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
