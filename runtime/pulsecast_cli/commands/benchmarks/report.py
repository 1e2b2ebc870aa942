"""`pulsecast report`: results of `pulsecast bench` as Markdown or as one HTML file, with a recommendation if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError
from pulsecast.foundation.whole_file import check_file_free, write_whole
from pulsecast.stages.exits import FAILED

from ...terminal.output import Format, show, tell

if TYPE_CHECKING:
    from pulsecast_bench.analysis.pareto import Budget
    from pulsecast_bench.native.microcontroller import Footprints
    from pulsecast_bench.reporting.section import Measured
    from pulsecast_bench.results.result import Result

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
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="What goes to stdout: text is Markdown, json the statistics.")
    ] = Format.text,
) -> None:
    """Compute the statistics of one or several results anew; with a budget, exit 1 if nothing fits it."""
    from pulsecast_bench.analysis.pareto import Budget
    from pulsecast_bench.reporting.choosing import recommendation
    from pulsecast_bench.reporting.section import measured
    from pulsecast_bench.results.result import read_result

    try:
        budget = Budget(latency_us=max_latency_us, rmse_change=max_rmse_change, size_kb=max_size_kb)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if out is not None:
        check_file_free(out, force=force)
    read = [read_result(path) for path in results]
    parts = measured(read)
    footprints = _footprints(microcontroller, read) if microcontroller else None
    if out is not None:
        as_html = out.suffix.lower() in (".html", ".htm")
        write_whole(out, _written(read, budget, footprints, html=as_html), force=force)
        tell(f"wrote {out}")
    if format_ is Format.json:
        show(format_, text="", document=_document(parts, budget) | {"microcontroller": footprints})
    elif out is None:
        print(_written(read, budget, footprints, html=False), end="")
    elif budget.stated:
        _recommend(parts, budget)
    if budget.stated and not all(recommendation(part, budget).artifact for part in parts):
        raise typer.Exit(FAILED)


def _footprints(path: Path, results: list[Result]) -> Footprints:
    from pulsecast_bench.native.microcontroller import read_footprints

    found = read_footprints(path)
    if found.manifest_sha256 not in {result.model.manifest_sha256 for result in results}:
        raise UsageError(
            f"{path.name} is of another bundle (model {found.model}) than the results; measure the one that they are of"
        )
    return found


def _written(results: list[Result], budget: Budget, footprints: Footprints | None, *, html: bool) -> str:
    from pulsecast_bench.native.microcontroller import microcontroller_section

    if html:
        from pulsecast_bench.reporting.html import html as written
    else:
        from pulsecast_bench.reporting.markdown import markdown as written
    return written(results, budget, more=[microcontroller_section(footprints)] if footprints else [])


def _recommend(parts: list[Measured], budget: Budget) -> None:
    """Print each result's recommendation: the report that has it went to a file."""
    from pulsecast_bench.reporting.choosing import recommended

    for part in parts:
        where = f"{part.machine}: " if len(parts) > 1 else ""
        print(where + " ".join(recommended(part, budget)))


def _document(parts: list[Measured], budget: Budget) -> dict[str, Any]:
    from pulsecast_bench.reporting.choosing import recommendation

    results = [
        {
            "machine": part.machine,
            "model": part.result.model.name,
            "began": part.result.began,
            "summary": part.summary,
            "scenarios": part.scenarios,
            "recommendation": recommendation(part, budget) if budget.stated else None,
        }
        for part in parts
    ]
    return {"command": "report", "results": results}
