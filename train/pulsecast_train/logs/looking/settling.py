"""Reading a log although something about it is open: each open thing is noted with a proposal, until it can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import DataError, UsageError
from pulsecast.foundation.arguments import with_changes
from pulsecast.stages.progress import SILENT, Progress

from ..config import LogConfig
from ..data_report import Finding
from ..files import open_log
from ..reader import ReadLog, read_log
from .choices import Choice, UndecidedError, undecided
from .command import command_line, suited_recipe
from .roles import propose
from .samples import read_sample

_MOST_CHOICES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Settled:
    """How logs can be read: `config` with the proposals, the `choices` that led to it, and the result.

    `problem` is what still stands in the way, "" where `read` is the log.
    """

    config: LogConfig
    choices: tuple[Choice, ...]
    read: ReadLog | None
    problem: str = ""

    @property
    def questions(self) -> tuple[Choice, ...]:
        """The choices that only the user can make."""
        return tuple(one for one in self.choices if one.is_question)


def settle(
    files: Sequence[Path],
    config: LogConfig,
    *,
    now_s: int,
    progress: Progress = SILENT,
    user_key: bytes | None = None,
) -> Settled:
    """Return how the logs at `files` can be read, beginning with `config`; nothing stated is changed."""
    choices: list[Choice] = []
    looked = False
    for _ in range(_MOST_CHOICES):
        try:
            read = read_log(files, config, now_s=now_s, progress=progress, user_key=user_key)
        except UsageError:
            raise
        except DataError as error:
            roles = None if looked else _roles(files, config, now_s)
            looked |= roles is not None
            found = list(roles or ())
            if not found and isinstance(error, UndecidedError):
                found = [error.choice]
            if not found:
                return Settled(config=config, choices=tuple(choices), read=None, problem=str(error))
            for choice in found:
                try:
                    config = with_changes(config, choice.proposed.changes)
                except UsageError as unfit:
                    return Settled(config=config, choices=tuple(choices), read=None, problem=f"{error} ({unfit})")
                choices.append(choice)
        else:
            return Settled(config=_with_kind(config, read), choices=tuple(choices), read=read)
    return Settled(config=config, choices=tuple(choices), read=None, problem="too many things are open; state some")


def read_settled(
    files: Sequence[Path],
    config: LogConfig,
    *,
    now_s: int,
    yes: bool,
    progress: Progress = SILENT,
    user_key: bytes | None = None,
) -> tuple[ReadLog, LogConfig]:
    """Return the logs, and the configuration that read them: with every proposal to which there is no alternative.

    yes  take the proposed readings where there are others, too; each is recorded in the report

    Raises UndecidedError with everything that is open at once, and the command that settles it.
    """
    found = settle(files, config, now_s=now_s, progress=progress, user_key=user_key)
    if found.questions and not (yes and found.read):
        raise _open(files, found)
    if found.read is None:
        raise DataError(found.problem)
    rows = max(found.read.report.rows_read, 1)
    taken = tuple(
        Finding(policy="assumed" if one.is_question else "taken", sentence=_taken(one), rows=rows)
        for one in found.choices
    )
    report = dataclasses.replace(found.read.report, findings=(*taken, *found.read.report.findings))
    return found.read._replace(report=report), found.config


def _taken(choice: Choice) -> str:
    others = f", which was not certain ({'; or '.join(one.words for one in choice.readings[1:])})"
    return f"rows were read so: {choice.proposed.words}{others if choice.is_question else ''}"


def _open(files: Sequence[Path], found: Settled) -> UndecidedError:
    recipe = suited_recipe(found.read.series) if found.read else ""
    command = command_line(files, found.config, recipe=recipe)
    parts = [f"({number}) {one.what}" for number, one in enumerate(found.questions, 1)]
    what = parts[0].removeprefix("(1) ") if len(parts) == 1 else f"{len(parts)} things are open: {'; '.join(parts)}"
    then = f"; then this is left: {found.problem}" if found.problem else ""
    proposal = "; ".join(one.proposed.words for one in found.choices)
    return undecided(
        f"{what}{then}. Proposed ({proposal}): {command} (or pass --yes; `pulsecast look` shows more)",
        found.questions[0].readings,
    )


def _roles(files: Sequence[Path], config: LogConfig, now_s: int) -> list[Choice] | None:
    """Return what the columns and rows are, None as long as something stands before the columns."""
    try:
        return propose(read_sample(open_log(files[0]), config), config, now_s)
    except DataError:
        return None


def _with_kind(config: LogConfig, read: ReadLog) -> LogConfig:
    """Return `config` with the kind of number that was shown: another log of this kind is read alike.

    Where nothing shows one it stays open: a finer log of the same series is then asked about, not added up in silence.
    """
    return with_changes(config, {"kind": read.report.kind}) if read.report.kind else config
