"""`pulsecast page`: a static page that forecasts in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...terminal.dry_run import DryRun, show_fate
from ...terminal.output import Format, show


def page(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a folder or a .pulse file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that this command wrote.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write a static page that plots the bundle's forecasts, computed in the browser, as you scrub a series."""
    from pulsecast_export import write_page
    from pulsecast_export.serving.page import PAGE_FOLDER

    if dry_run:
        show_fate(out, PAGE_FOLDER, force=force, command="page", format_=format_)
        return
    artifact = write_page(bundle, out, force=force)
    show(
        format_,
        text=f"{out}: a page that runs {artifact.id}\nnext: python -m http.server --bind 127.0.0.1 --directory {out}",
        document={"command": "page", "artifact": artifact.id},
    )
