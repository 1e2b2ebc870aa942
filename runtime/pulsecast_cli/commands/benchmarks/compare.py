"""`pulsecast compare`: two results, or one and a baseline, as ratios with intervals; a gate for a user's CI."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsecast.errors import UsageError
from pulsecast.plain_text import printable
from pulsecast.stages.exits import FAILED, OK, UNSTABLE

from ...terminal.output import Format, show, tell

if TYPE_CHECKING:
    from pulsecast_bench import Compared


class Layout(enum.StrEnum):
    """How a comparison is printed."""

    text = "text"
    json = "json"
    markdown = "markdown"


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="FIRST and SECOND; or one, with a baseline option."),
    ],
    max_slowdown: Annotated[
        float, typer.Option("--max-slowdown", help="Exit 1 if a case's whole interval lies above this ratio.")
    ] = 1.10,
    across_models: Annotated[
        bool, typer.Option("--across-models", help="Compare although the bundles differ.")
    ] = False,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare although the machines differ.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", exists=True, dir_okay=False, help="Ratios to compare one result with.")
    ] = None,
    save_baseline: Annotated[
        Path | None, typer.Option("--save-baseline", help="File to write one result's ratios to (JSON, no times).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing baseline.")] = False,
    format_: Annotated[Layout, typer.Option("--format", help="How it is printed.")] = Layout.text,
) -> None:
    """Compare latencies of the same cases: exit 1 if one became slower, 4 if one could not be judged."""
    from pulsecast_bench import compare as run
    from pulsecast_bench import save_baseline as save

    wanted = 1 if baseline or save_baseline else 2
    if len(results) != wanted or (baseline and save_baseline):
        raise UsageError(
            f"{len(results)} results; expected FIRST SECOND, or one RESULT with --baseline or --save-baseline"
        )
    if save_baseline:
        save(results[0], save_baseline, force=force)
        kept = printable(str(save_baseline))
        tell(f"wrote {kept}; next: pulsecast compare --baseline {kept} RESULT")
        return
    found = run(
        *results,
        baseline=baseline,
        max_slowdown=max_slowdown,
        across_models=across_models,
        across_machines=across_machines,
    )
    text = found.text(markdown=format_ is Layout.markdown)
    code = gate(found)
    document = {"command": "compare", "passed": code == OK, "comparison": found.found}
    show(Format.json if format_ is Layout.json else Format.text, text=text, document=document)
    if code:
        raise typer.Exit(code)


def gate(found: Compared) -> int:
    """Return the exit code: 1 if a case is slower or failed, or if a ratio of the baseline is missing."""
    if not found.passed:
        return FAILED
    return OK if found.judged else UNSTABLE
