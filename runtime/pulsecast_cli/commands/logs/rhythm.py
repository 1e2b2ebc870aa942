"""`pulsecast rhythm`: the daily and the weekly cycle of a log, in words, figures and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import check_file_free
from pulsecast.plain_text import printable
from pulsecast.stages.progress import LineProgress

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, secret
from ...logs.reading import configured
from ...terminal.grouped import grouped
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train.rhythm.cycles import Cycle, Rhythm

SUFFIXES = (".html", ".png")


@grouped
def rhythm(
    logs: Logs,
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Page (.html) or picture (.png) of the week.")
    ] = None,
    clock: Annotated[
        str, typer.Option("--clock", help="Time zone of the hours and days, such as Europe/Berlin.")
    ] = "UTC",
    config: Annotated[
        Path | None, typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log]; flags win.")
    ] = None,
    log: LogOptions = UNSAID,
    user_key: UserKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Describe the daily and weekly cycles of a log: their strength, how sure they are, which hours and days."""
    from pulsecast_train import find_rhythm, read_log
    from pulsecast_train.rhythm.cycles import check_clock
    from pulsecast_train.rhythm.words import words

    check_clock(clock)  # refused before a long log is read
    if out is not None and out.suffix not in SUFFIXES:
        raise UsageError(f"out is {out.name}; expected a name that ends in {' or '.join(SUFFIXES)}")
    if out is not None:
        check_file_free(out, force=force)
    with progress() as heard:
        series, report = read_log(logs, configured(config, log).log, progress=heard, user_key=secret(user_key))
    report.tell(LineProgress())
    found = [find_rhythm(one, zone=clock) for one in series]
    if out is not None:
        from pulsecast_train.pages.rhythm_page import write_page

        write_page(out, found)
        tell(f"picture: {out}")
    rhythms = [{**strict_json.to_json(one), "words": words(one)} for one in found]
    document = {"command": "rhythm", "rhythms": rhythms}
    show(format_, text="\n\n".join(rhythm_text(one) for one in found), document=document)


def rhythm_text(one: Rhythm) -> str:
    """Return the sentences about one series, and its mean day and week in figures."""
    from pulsecast_train.rhythm.cycles import DAY_NAMES, HOUR_S
    from pulsecast_train.rhythm.words import words

    what = "times the typical level" if one.factors else "above the typical level"
    lines = [f"{printable(one.series)}, {one.first} to {one.last}, by the clock of {one.zone}", *words(one)]
    if one.day.profile:
        hours = one.slot_s // HOUR_S
        cells = [f"{slot * hours:02d}h {value:.2f}" for slot, value in enumerate(one.day.profile)]
        lines += [
            f"mean day, {what}{_doubt(one.day)}:",
            *("  " + "  ".join(cells[at : at + 8]) for at in range(0, len(cells), 8)),
        ]
    if one.week.profile:
        cells = [f"{name[:3]} {value:.2f}" for name, value in zip(DAY_NAMES, one.week.profile, strict=True)]
        lines += [f"mean week, {what}{_doubt(one.week)}:", "  " + "  ".join(cells)]
    return "\n".join(lines)


def _doubt(cycle: Cycle) -> str:
    return "" if cycle.sure else " (could be chance)"
