"""`pulsecast pack` and `unpack`: a bundle as one `.pulse` file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast import Bundle
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.foundation.tables import size_text

from ...terminal.dry_run import DryRun, show_fate
from ...terminal.output import Format, show


def pack(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a folder or a .pulse file.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; its name ends in .pulse.")],
    compress: Annotated[
        bool, typer.Option("--compress", help="Deflate the members: smaller; same bytes for the same zlib only.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write a bundle as one file that every command and `load` take; the same bundle gives the same bytes."""
    from pulsecast import pack as run

    _tell(run(bundle, out, force=force, compress=compress), out.stat().st_size, "pack", format_)


def unpack(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a .pulse file or a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write a bundle as a folder, for tools that need files: TensorFlow Serving, an app's build."""
    from pulsecast import unpack as run

    if dry_run:
        show_fate(out, BUNDLE_FOLDER, force=force, command="unpack", format_=format_)
        return
    written = run(bundle, out, force=force)
    _tell(written, sum(entry.size_bytes for entry in written.manifest.files), "unpack", format_)


def _tell(bundle: Bundle, size_bytes: int, command: str, format_: Format) -> None:
    files = len(bundle.manifest.files)
    show(
        format_,
        text=f"{bundle.path}: {files} files, {size_text(size_bytes)}, all hashes match; signature: {bundle.signature}",
        document={"command": command, "files": files, "size_bytes": size_bytes, "signature": bundle.signature},
    )
