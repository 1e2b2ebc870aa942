"""What a log is: its columns, what is open with a proposal, the series that come of it, and the command that trains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import DataError
from pulsecast.foundation.arguments import StrPath, instance, paths, whole_number
from pulsecast.stages.progress import SILENT, Progress, require_progress

from ...series import Series
from ..config import LogConfig
from ..data_report import DataReport
from ..files import open_log
from .choices import Choice
from .command import command_line, suited_recipe, toml_text
from .samples import LookedFile, read_sample
from .settling import settle
from .words import command_text, look_text, problem_text


@dataclass(frozen=True, kw_only=True, repr=False)
class Look:
    """What was seen in logs.

    choices  what the logs leave open: with several readings it is a question, with one it only has to be said
    problem  what stands in the way even with all proposals, "" if nothing does
    config   the configuration with all proposals; `command` and `toml` say the same
    recipe   "textbook" for a log that is too short to look back by a day, else "": the default
    series   the series that it gives, and `report` how they were read; () and None if there is a problem
    """

    logs: tuple[Path, ...]
    files: tuple[LookedFile, ...]
    choices: tuple[Choice, ...]
    problem: str
    config: LogConfig
    recipe: str
    series: tuple[Series, ...]
    report: DataReport | None

    @property
    def questions(self) -> tuple[Choice, ...]:
        """The choices with several readings: only the user knows which is right."""
        return tuple(one for one in self.choices if one.is_question)

    @property
    def toml(self) -> str:
        """The configuration as the content of a train.toml."""
        return toml_text(self.config, recipe=self.recipe)

    @property
    def command(self) -> str:
        """The whole command that trains on the logs."""
        return command_line(self.logs, self.config, recipe=self.recipe)

    def __repr__(self) -> str:
        end = problem_text(self.problem) if self.problem else command_text(self.command, self.toml)
        return look_text(self.files, self.choices, self.series, self.report, end)


def look(
    logs: StrPath | Sequence[StrPath],
    config: LogConfig = LogConfig(),
    *,
    now_s: int | None = None,
    progress: Progress = SILENT,
) -> Look:
    """Return what logs are, everything at once: columns, open questions with a proposal, series, and the command.

    The first rows show columns and roles; then the logs are read as proposed, by the code with which `train` reads, so
    that the proposed command trains. Nothing that `config` states is changed. `now_s` is the present (unix seconds;
    default: the clock).

    >>> print(look("mentions.csv").command)  # doctest: +SKIP
    pulsecast train mentions.csv --timezone UTC --out model

    Raises DataError if a file cannot be opened or is not a table, UsageError.
    """
    files = paths("logs", logs)
    config = instance("config", config, LogConfig)
    now_s = int(time.time()) if now_s is None else whole_number("now_s", now_s, least=0)
    require_progress(progress)
    found = settle(files, config, now_s=now_s, progress=progress)
    seen = []
    for path in files:
        log = open_log(path)
        try:
            sample = read_sample(log, found.config)
        except DataError as error:
            raise DataError(found.problem or str(error)) from error
        seen.append(LookedFile(name=log.name, separator=sample.separator, columns=sample.columns))
    return Look(
        logs=tuple(files),
        files=tuple(seen),
        choices=found.choices,
        problem=found.problem,
        config=found.config,
        recipe=suited_recipe(found.read.series) if found.read else "",
        series=found.read.series if found.read else (),
        report=found.read.report if found.read else None,
    )
