"""`pulsecast rhythm`: the daily and the weekly cycle of a log, in words, figures and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsecast.foundation import strict_json
from pulsecast.foundation.tables import text_table
from pulsecast.plain_text import printable
from pulsecast.stages.progress import LineProgress

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, secret
from ...logs.reading import check_out, configured
from ...terminal.grouped import grouped
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.rhythm.cycles import Cycle, Rhythm
    from pulsecast_train.rhythm.posts import Slot

SUFFIXES = (".html", ".png")
TOTALS = "These are totals: they do not show when one post does best, as most may be posted then; --per-event does."


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
    per_event: Annotated[
        bool, typer.Option("--per-event", help="What one post collects by hour and weekday, not all of them together.")
    ] = False,
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
    check_out(out, SUFFIXES, force=force, read=logs)
    if per_event:
        events = dataclasses.replace(log, events=True, step=log.step or "1h")  # a row is a post; steps do not matter
        _per_event(logs, out, clock, configured(config, events).log, format_)
        return
    with progress() as heard:
        series, report = read_log(logs, configured(config, log).log, progress=heard, user_key=secret(user_key))
    report.tell(LineProgress())
    found = [find_rhythm(one, zone=clock) for one in series]
    if out is not None:
        from pulsecast_train.pages.rhythm_page import write_page

        write_page(out, found)
        tell(f"picture: {printable(str(out))}")
    rhythms = [{**strict_json.to_json(one), "words": words(one)} for one in found]
    document = {"command": "rhythm", "rhythms": rhythms, "note": TOTALS}
    show(format_, text="\n\n".join([*map(rhythm_text, found), TOTALS]), document=document)


def _per_event(logs: list[Path], out: Path | None, clock: str, read: LogConfig, format_: Format) -> None:
    """Print and draw what one post collects by hour and by weekday."""
    from pulsecast_train.rhythm.posts import post_words, read_post_times

    with progress() as heard:
        found, repairs = read_post_times(logs, read, clock, heard)
    for repair in repairs:
        tell(f"{repair.rows:,} {repair.policy}: {repair.sentence}")
    words = post_words(found)
    if out is not None:
        from pulsecast_train.pages.posts_page import write_posts

        write_posts(out, found, words)
        tell(f"picture: {printable(str(out))}")
    head = ("", f"{found.metric} per post", "95 % from", "to", "posts")
    tables = [text_table((name, *head[1:]), _slot_rows(slots)) for name, slots in
              (("hour", found.hours), ("weekday", found.days))]  # fmt: skip
    document = {"command": "rhythm", "posts": found, "words": words}
    show(format_, text="\n".join([*words, "", tables[0], "", tables[1]]), document=document)


def _slot_rows(slots: Sequence[Slot]) -> list[tuple[str, ...]]:
    from pulsecast_train.rhythm.words import amount

    return [
        (slot.name, *("-" if value is None else amount(value) for value in (slot.median, slot.low, slot.high)),
         f"{slot.posts:,}{' (few)' if slot.small else ''}")
        for slot in slots
    ]  # fmt: skip


def rhythm_text(one: Rhythm) -> str:
    """Return the sentences about one series, and its mean day and week in figures."""
    from pulsecast_train.rhythm.cycles import HOUR_S
    from pulsecast_train.rhythm.words import words
    from pulsecast_train.zones import DAY_NAMES

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
