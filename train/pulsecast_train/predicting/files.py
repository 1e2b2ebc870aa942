"""Which files are meant: patterns such as `logs/*.parquet` become files, in an order that is always the same."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.plain_text import Problems

from ..logs.files import ENDINGS, log_ending, log_stem

_SHOWN = 5  # names in a sentence


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files that were meant, each once; `patterned` says whether a pattern named any of them."""

    files: tuple[Path, ...]
    patterned: bool


def expanded(given: Sequence[Path]) -> Inputs:
    """Return the files that paths and patterns name: in the order given, those of a pattern sorted, each once.

    `*`, `?`, `[…]` and `**` are a pattern's, except in the name of a file that is there. Raises UsageError, with all
    problems, for what is not there, a pattern that matches nothing, and folders.
    """
    problems, found, patterned = Problems(), dict[str, Path](), False
    for one in given:
        is_pattern = glob.has_magic(str(one)) and not os.path.lexists(one)
        patterned |= is_pattern
        matches = _matches(one) if is_pattern else [one]
        problems.extend(_faults(one, matches, is_pattern=is_pattern))
        for path in matches:
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100  # a link stays a file of its own
    if problems:
        raise UsageError(str(problems))
    return Inputs(files=tuple(found.values()), patterned=patterned)


def _matches(pattern: Path) -> list[Path]:
    return [Path(path) for path in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207  # as it was written


def _faults(given: Path, matches: Sequence[Path], *, is_pattern: bool) -> Iterable[str]:
    if not matches:
        yield f"{given} matches no file; look at the pattern"
    folders = [path for path in matches if os.path.isdir(path)]  # noqa: PTH112  # False for what may not be looked at
    if folders and is_pattern:
        better = _better(given, matches)
        yield f"{given} matches the folder {folders[0]}; end it in the files' own ending, such as '{better}'"
    elif folders:
        yield f"{given} is a folder; name its files with a pattern in quotes, such as '{_pattern_of(given)}'"
    elif not is_pattern and not os.path.exists(given):  # noqa: PTH110
        yield f"there is no file {given}; name a log, or a pattern in quotes, such as 'logs/*.parquet'"


def _better(pattern: Path, matches: Sequence[Path]) -> Path:
    inner = pattern if pattern.name == "**" else pattern.parent
    return inner / f"*{_usual_ending(path.name for path in matches)}"


def _pattern_of(folder: Path) -> Path:
    """Return the pattern of the files in `folder` that have its most frequent ending of a log."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # only names
    except OSError:
        names = []
    return folder / f"*{_usual_ending(names)}"


def _usual_ending(names: Iterable[str]) -> str:
    """Return the most frequent ending of a log among `names`."""
    endings = Counter(ending for name in names if (ending := log_ending(name)))
    return min(endings, key=lambda ending: (-endings[ending], ending), default=".parquet")


def refuse_unfit(files: Sequence[Path], outputs: Sequence[Path], *, named_by_file: bool) -> None:
    """Raise UsageError, with all problems, for files that cannot be the logs of one batch.

    outputs        what the batch writes: a forecast that was read as a log would be forecast again
    named_by_file  each file is a series of its own, which the file's name names
    """
    problems = Problems()
    strange = [str(path) for path in files if not log_ending(path.name)]
    if strange:
        problems.append(
            f"{_some(strange)}: unknown ending; a log ends in {', '.join(ENDINGS)}, or .csv.gz and the like"
        )
    own = {os.path.realpath(path) for path in outputs}
    problems.extend(
        f"{path} is what this run writes, and would be read as a log; write it elsewhere"
        for path in files
        if os.path.realpath(path) in own
    )
    stems = Counter(log_stem(path) for path in files)
    twice = [str(path) for path in files if stems[log_stem(path)] > 1]
    if named_by_file and twice:
        problems.append(f"{_some(twice)}: several files have one name, and a series is named by its file; rename them")
    if problems:
        raise UsageError(str(problems))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
