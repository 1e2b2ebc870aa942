"""`pulsecast report`: results of `pulsecast bench` as Markdown or as one HTML file, with a recommendation if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..whole_file import check_file_free, write_whole
from .exits import FAILED
from .output import tell

if TYPE_CHECKING:
    from pulsecast_bench.pareto import Budget
    from pulsecast_bench.result import Result

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
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
) -> None:
    """Compute the statistics of one or several results anew; with a budget, exit 1 if nothing fits it."""
    from pulsecast_bench.pareto import Budget
    from pulsecast_bench.result import read_result

    try:
        budget = Budget(latency_us=max_latency_us, rmse_change=max_rmse_change, size_kb=max_size_kb)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if out is not None:
        check_file_free(out, force=force)
    read = [read_result(path) for path in results]
    text = _written(read, budget, html=out is not None and out.suffix.lower() in (".html", ".htm"))
    if out is None:
        print(text, end="")
    else:
        write_whole(out, text, force=force)
        tell(f"wrote {out}")
    if budget.stated and not _recommend(read, budget, told=out is None):
        raise typer.Exit(FAILED)


def _written(results: list[Result], budget: Budget, *, html: bool) -> str:
    if html:
        from pulsecast_bench.html_report import html as written
    else:
        from pulsecast_bench.report import markdown as written
    return written(results, budget)


def _recommend(results: list[Result], budget: Budget, *, told: bool) -> bool:
    """Print each result's recommendation, unless that is in what was printed already; return whether all have one."""
    from pulsecast_bench.choosing import recommendation, recommended
    from pulsecast_bench.section import measured

    parts = measured(results)
    if not told:
        for part in parts:
            where = f"{part.machine}: " if len(parts) > 1 else ""
            print(where + " ".join(recommended(part, budget)))
    return all(recommendation(part, budget).artifact for part in parts)
