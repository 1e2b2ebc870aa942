"""`--dry-run` of every command that writes a folder: its fate, in words. Only what killed commands left is swept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.foundation.folder_kind import FolderKind, size_of
from pulsecast.foundation.tables import size_text
from pulsecast.foundation.whole_directory import check_free

from .output import Format, show

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say whether OUT would be made, replaced or refused, and stop.")
]


def show_fate(out: Path, kind: FolderKind, *, force: bool, command: str, format_: Format) -> None:
    """Print what `command` would do to `out`; raises UsageError with its own words where it would refuse."""
    check_free(out, kind, force=force)
    tell_fate(out, command=command, format_=format_)


def tell_fate(out: Path, *, command: str, format_: Format) -> None:
    """Print that `out`, which was checked, would be made or replaced, and how much is in it."""
    files, size_bytes = size_of(out) if out.is_dir() else (0, 0)
    held = f"it holds {files} file{'' if files == 1 else 's'}, {size_text(size_bytes)}"
    fate = "replaced" if files else "made"
    words = {"replaced": f"would be replaced: {held}", "made": "would be made"}
    show(
        format_,
        text=f"{out} {words[fate]}",
        document={"command": command, "dry_run": True, "fate": fate, "files": files, "size_bytes": size_bytes},
    )
