"""`pulsecast look`: what a log is, everything at once, and the command that trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import check_file_free

from ...logs.options import UNSAID, LogOptions, Logs
from ...logs.reading import configured
from ...terminal.grouped import grouped
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train import Look


@grouped
def look(
    logs: Logs,
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False, help="Page (.html) of what was seen.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log]; flags win.")
    ] = None,
    log: LogOptions = UNSAID,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Say what a log is: its columns, what is open with a proposal, its series, and the whole command that trains."""
    from pulsecast_train import look as run

    if out is not None and out.suffix != ".html":
        raise UsageError(f"out is {out.name}; expected a name that ends in .html")
    if out is not None:
        check_file_free(out, force=force, read=logs)
    with progress() as heard:
        found = run(logs, configured(config, log).log, progress=heard)
    if out is not None:
        from pulsecast_train.pages.look_page import write_page

        write_page(out, found)
        tell(f"page: {out}")
    show(format_, text=repr(found), document=_document(found))


def _document(found: Look) -> dict[str, Any]:
    return {
        "command": "look",
        "files": [strict_json.to_json(one) for one in found.files],
        "questions": len(found.questions),
        "choices": [
            {
                "what": one.what,
                "readings": [reading.words for reading in one.readings],
                "reason": one.reason,
                "question": one.is_question,
            }
            for one in found.choices
        ],
        "problem": found.problem,
        "train": found.command,
        "toml": found.toml,
        "report": None if found.report is None else strict_json.to_json(found.report),
    }
