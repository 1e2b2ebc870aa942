"""`pulsecast report`: results of `pulsecast bench` as Markdown or as one HTML file, with a recommendation if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError
from pulsecast.plain_text import printable
from pulsecast.stages.exits import FAILED

from ...terminal.output import Format, put, show, tell

if TYPE_CHECKING:
    from pulsecast_bench import Report

PANEL = "Recommendation"


def report(
    results: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Results of `pulsecast bench`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write: HTML if it ends in .html, else Markdown; or stdout.")
    ] = None,
    max_latency_us: Annotated[
        float | None, typer.Option("--max-latency-us", help="p50 of one call, at most.", rich_help_panel=PANEL)
    ] = None,
    max_rmse_change: Annotated[
        float | None,
        typer.Option(
            "--max-rmse-change", help="Over the float64 reference, at most; 0.01 is 1 %.", rich_help_panel=PANEL
        ),
    ] = None,
    max_size_kb: Annotated[
        float | None, typer.Option("--max-size-kb", help="Of the artifact's files, at most.", rich_help_panel=PANEL)
    ] = None,
    microcontroller: Annotated[
        Path | None,
        typer.Option(
            "--microcontroller",
            exists=True,
            dir_okay=False,
            help="Flash and RAM that `python -m pulsecast_bench.native.microcontroller BUNDLE --out FILE` wrote.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="What goes to stdout: text is Markdown, json the statistics.")
    ] = Format.text,
) -> None:
    """Compute the statistics of one or several results; with a budget, exit 1 if nothing fits it."""
    from pulsecast_bench import Budget
    from pulsecast_bench import report as run

    try:
        budget = Budget(latency_us=max_latency_us, rmse_change=max_rmse_change, size_kb=max_size_kb)
    except ValueError as error:
        raise UsageError(str(error)) from error
    found = run(results, out=out, budget=budget, microcontroller=microcontroller, force=force)
    if out is not None:
        tell(f"wrote {printable(str(out))}")
    if format_ is Format.json:
        show(format_, text="", document=_document(found))
    elif out is None:
        put(found.markdown())
    elif budget.stated:
        put(found.recommended)
    if not all(one.artifact for one in found.recommendations):
        raise typer.Exit(FAILED)


def _document(found: Report) -> dict[str, Any]:
    recommendations = found.recommendations or [None] * len(found.parts)
    results = [
        {
            "machine": part.machine,
            "model": part.result.model.name,
            "began": part.result.began,
            "summary": part.summary,
            "scenarios": part.scenarios,
            "recommendation": one,
        }
        for part, one in zip(found.parts, recommendations, strict=True)
    ]
    return {"command": "report", "results": results, "microcontroller": found.footprints}
