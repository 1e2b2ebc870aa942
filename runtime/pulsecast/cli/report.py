"""`pulsecast report`: results of `pulsecast bench` as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..whole_file import check_file_free, write_whole
from .output import tell


def report(
    results: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Results of `pulsecast bench`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Markdown file to write; stdout by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
) -> None:
    """Compute the statistics of one or several results anew from their raw nanoseconds and write them down."""
    from pulsecast_bench.report import markdown
    from pulsecast_bench.result import read_result

    if out is not None:
        check_file_free(out, force=force)
    text = markdown([read_result(path) for path in results])
    if out is None:
        print(text, end="")
    else:
        write_whole(out, text, force=force)
        tell(f"wrote {out}")
