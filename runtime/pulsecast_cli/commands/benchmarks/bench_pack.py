"""`pulsecast bench-pack`: a benchmark as one file for a device that has Python, numpy and one engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.foundation.tables import size_text

from ...terminal.output import Format, show


def bench_pack(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to measure, a folder or a .pulse file.")],
    out: Annotated[Path, typer.Option("--out", help="Program to write; its name ends in .pyz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write bundle and benchmark as one program; on the device: python3 FILE.pyz --out result.json."""
    from pulsecast_bench import pack_bench

    packed = pack_bench(bundle, out, force=force)
    size_bytes, artifacts = out.stat().st_size, [artifact.id for artifact in packed.manifest.artifacts]
    show(
        format_,
        text=f"{out}: {len(artifacts)} artifacts, {size_text(size_bytes)}\n"
        f"on a device with Python 3.11, numpy and an engine: python3 {out.name} --out result.json",
        document={"command": "bench-pack", "artifacts": artifacts, "size_bytes": size_bytes},
    )
