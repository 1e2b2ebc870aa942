"""`pulsecast serve-config`: what TensorFlow Serving needs to serve a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.errors import UsageError

from ...terminal.dry_run import DryRun, show_fate
from ...terminal.output import Format, show


def serve_config(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a folder or a .pulse file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    version: Annotated[int, typer.Option("--version", help="Number of the version directory.")] = 1,
    threads: Annotated[int, typer.Option("--threads", help="Cores that the server may use.")] = 2,
    wait_us: Annotated[int, typer.Option("--wait-us", help="How long a batch waits to fill; 0 never.")] = 0,
    image: Annotated[str | None, typer.Option("--image", help="Image of the server.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that this command wrote.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write a version directory, server configuration, and docker compose and Kubernetes files for a bundle."""
    from pulsecast_export import ServeOptions
    from pulsecast_export import serve_config as run
    from pulsecast_export.serving.serve_config import IMAGE, MOST_WINDOWS, SERVING_FOLDER, USER

    try:
        options = ServeOptions(version=version, threads=threads, wait_us=wait_us, image=image or IMAGE)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if dry_run:
        show_fate(out, SERVING_FOLDER, force=force, command="serve-config", format_=format_)
        return
    artifact = run(bundle, out, options, force=force)
    show(
        format_,
        text=(
            f"{out}: serves {artifact.id} as version {version}; readable by all, as the server runs as user {USER}\n"
            f"at most {MOST_WINDOWS} windows a request: TensorFlow Serving answers 400 to more, so split them\n"
            f"next: docker compose -f {out / 'compose.yaml'} up"
        ),
        document={"command": "serve-config", "artifact": artifact.id, "version": version, "most_windows": MOST_WINDOWS},
    )
