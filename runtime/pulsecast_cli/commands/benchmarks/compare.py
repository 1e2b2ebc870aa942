"""`pulsecast compare`: two results, or one and a baseline, as ratios with intervals; a gate for a user's CI."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import write_whole
from pulsecast.stages.exits import FAILED, UNSTABLE

from ...terminal.output import Format, show, tell

if TYPE_CHECKING:
    from pulsecast_bench.comparing.baseline import BaselineCheck
    from pulsecast_bench.comparing.compare import Comparison


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
        bool, typer.Option("--across-models", help="Compare though the bundles are different ones.")
    ] = False,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare though the machines are different ones.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", exists=True, dir_okay=False, help="Ratios to hold one result against.")
    ] = None,
    save_baseline: Annotated[
        Path | None, typer.Option("--save-baseline", help="File to write one result's ratios to (JSON, no times).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a baseline that is there.")] = False,
    format_: Annotated[Layout, typer.Option("--format", help="How it is printed.")] = Layout.text,
) -> None:
    """Compare latencies of the same cases: exit 1 if one became slower, 4 if one could not be judged."""
    from pulsecast_bench.comparing.compare import Allowed

    allowed = Allowed(models=across_models, machines=across_machines, max_slowdown=max_slowdown)
    wanted = 1 if baseline or save_baseline else 2
    if len(results) != wanted or (baseline and save_baseline):
        raise UsageError(
            f"{len(results)} results; expected FIRST SECOND, or one RESULT with --baseline or --save-baseline"
        )
    if save_baseline:
        _save(results[0], save_baseline, force=force)
        return
    from pulsecast_bench.results.result import read_result

    found: Comparison | BaselineCheck
    if baseline:
        from pulsecast_bench.comparing.baseline import check_baseline, read_baseline
        from pulsecast_bench.comparing.text import baseline_text

        found = check_baseline(read_baseline(baseline), read_result(results[0]), allowed)
        text = baseline_text(found, markdown=format_ is Layout.markdown)
    else:
        from pulsecast_bench.comparing.compare import compare as compare_results
        from pulsecast_bench.comparing.text import comparison_text

        names = (str(results[0]), str(results[1]))
        found = compare_results(read_result(results[0]), read_result(results[1]), names, allowed)
        text = comparison_text(found, markdown=format_ is Layout.markdown)
    show(Format.json if format_ is Layout.json else Format.text, text=text, document=_document(found))
    if code := gate(found):
        raise typer.Exit(code)


def _save(result: Path, path: Path, *, force: bool) -> None:
    from pulsecast_bench.comparing.baseline import make_baseline
    from pulsecast_bench.results.result import read_result

    write_whole(path, strict_json.dumps(make_baseline(read_result(result))), force=force)
    tell(f"wrote {path}; next: pulsecast compare --baseline {path} RESULT")


def gate(found: Comparison | BaselineCheck) -> int:
    """Return the exit code: a slower case, one that failed, or a ratio of the baseline that is gone is 1."""
    lost = getattr(found, "lost", ()) or getattr(found, "missing", ())
    if found.slower or lost:
        return FAILED
    return UNSTABLE if found.not_judged else 0


def _document(found: Comparison | BaselineCheck) -> dict[str, Any]:
    passed = gate(found) == 0
    return {"command": "compare", "passed": passed, "comparison": found}
