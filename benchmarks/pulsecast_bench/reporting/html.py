"""The report as one self-contained HTML file: no network, no script; pictures are SVG inside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from pulsecast.foundation.tables import html_table

from ..analysis.pareto import Budget
from ..analysis.summary import points
from ..analysis.verdicts import forecasts_of, leading_runs
from .pictures import (
    batch_picture,
    latency_picture,
    noise_picture,
    overlay_picture,
    pareto_picture,
    rmse_picture,
    scenario_picture,
)
from .section import Grid, Measured, Section
from .sections import merged, sections

_LIGHT = (
    "--ink: #1b1b1b; --paper: #ffffff; --line: #d8d8d8; --soft: #f4f5f7; --mark: #0072b2; --s1: #0072b2; "
    "--s2: #c44e00; --s3: #00795a; --s4: #a8487f; --s5: #8a6100; --s6: #2b7fb0; --s7: #6b6b6b; --s8: #5b3fa8;"
)
_DARK = (
    "--ink: #e8e8e8; --paper: #16181c; --line: #3f434b; --soft: #202329; --mark: #56b4e9; --s1: #56b4e9; "
    "--s2: #f08a4b; --s3: #2cc295; --s4: #e093bf; --s5: #e6b13d; --s6: #8fd0f2; --s7: #b0b0b0; --s8: #b49cf0;"
)
STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ color-scheme: light; {_LIGHT} }} }}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1180px; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.6rem; }} h2 {{ margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }}
h3 {{ margin-top: 2.2rem; }}
.chosen {{ border-left: 5px solid var(--mark); background: var(--soft); padding: .4rem 1rem; }}
.scroll {{ overflow-x: auto; max-width: 100%; margin-top: 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }}
th, td {{ text-align: right; padding: .25rem .42rem; border-bottom: 1px solid var(--line); white-space: nowrap; }}
th {{ white-space: normal; vertical-align: bottom; overflow-wrap: normal; }}
th:first-child, td:first-child {{ text-align: left; }}
.pictures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 1rem;
            align-items: start; }}
figure {{ margin: 0; max-width: 640px; }}
figure svg {{ width: 100%; height: auto; display: block; }}
pre {{ background: var(--soft); padding: .6rem 1rem; overflow-x: auto; }}
code {{ font-size: 13px; }}
@media print {{
  @page {{ size: A4 landscape; margin: 12mm; }}
  body {{ max-width: none; margin: 0; padding: 0; font-size: 11px; }}
  .scroll, pre {{ overflow: visible; }} pre {{ white-space: pre-wrap; }}
  table {{ font-size: 9.5px; }} th, td {{ padding: .15rem .35rem; }}
  figure, tr {{ break-inside: avoid; }} h2, h3 {{ break-after: avoid; }}
  .pictures {{ grid-template-columns: 1fr 1fr; }}
}}
"""


def html(parts: Sequence[Measured], budget: Budget | None = None, *, more: Sequence[Section] = ()) -> str:
    """Return the report of what `measured` found, with `more` at its end, as one HTML document."""
    body = [_section(merged(parts), None, 2)] if len(parts) > 1 else []
    for part in parts:
        where = f", on {part.machine}" if len(parts) > 1 else ""
        body.append(f"<h2>{escape(part.heading + where)}</h2>")
        body += [_section(section, part, 3) for section in sections(part, budget or Budget())]
    body += [_section(section, None, 2) for section in more]
    title = f"pulsecast benchmark: {', '.join(dict.fromkeys(part.result.model.name for part in parts))}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>pulsecast benchmark</h1>{''.join(body)}</body></html>\n"
    )


def _section(section: Section, part: Measured | None, level: int) -> str:
    inside = "".join(f"<p>{_inline(text)}</p>" for text in section.text)
    if section.title.startswith("Recommendation"):
        inside = f'<div class="chosen">{inside}</div>'
    pictures = _pictures(section.picture, part) if part and section.picture else []
    if pictures:
        inside += f'<div class="pictures">{"".join(f"<figure>{one}</figure>" for one in pictures)}</div>'
    inside += "".join(_table(grid) for grid in section.grids)
    if section.bullets:
        inside += f"<ul>{''.join(f'<li>{_inline(line)}</li>' for line in section.bullets)}</ul>"
    if section.code:
        inside += f"<pre><code>{escape(section.code)}</code></pre>"
    return f"<section><h{level}>{escape(section.title)}</h{level}>{inside}</section>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _table(grid: Grid) -> str:
    return f'<div class="scroll" tabindex="0">{html_table(*grid)}</div>'


def _pictures(which: str, part: Measured) -> list[str]:
    """Return the pictures of a section; none without data for them."""
    result, summary, rows = part.result, part.summary, part.scenarios
    choices = points(summary.rows)
    known: dict[str, list[Callable[[], str]]] = {
        "latency": [lambda: latency_picture(result, summary)],
        "batch": [lambda: batch_picture(summary)],
        "noise": [lambda: noise_picture(result)],
        "pareto": [
            lambda measure=measure: pareto_picture(choices, summary.front, measure)  # type: ignore[misc]
            for measure in ("size", "RMSE")
            if choices
        ],
        "scenarios": [
            lambda name=name: scenario_picture(name, [row for row in rows if row.scenario == name])  # type: ignore[misc]
            for name in dict.fromkeys(row.scenario for row in rows)
            if name != "offline"  # all its queries are due at once: its measure is windows a second
        ],
    }
    if not result.runs and which != "scenarios":
        return []
    return _accuracy_pictures(part) if which == "accuracy" else [draw() for draw in known[which]]


def _accuracy_pictures(part: Measured) -> list[str]:
    """Return RMSE with intervals, then truth and the first step's forecast of each artifact."""
    truth = np.array(part.result.model.truth)[:, 0]
    pictures = [rmse_picture(part.summary.rows)]
    for row in part.summary.rows:
        found = forecasts_of(leading_runs(part.result, row.artifact))
        if found is not None:
            pictures.append(overlay_picture(row.artifact, truth, found[:, 0]))
    return pictures
