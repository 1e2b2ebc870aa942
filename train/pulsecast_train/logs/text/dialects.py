"""The separator of a table and the line of its header, found in its first lines or taken from the configuration."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pulsecast.errors import DataError

from ..config import TIME_ALIASES, LogConfig, plain
from ..looking.choices import Reading, undecided
from .quotes import cells_of

# kind of file -> separators, the usual one first; the cells of a workbook come with a comma between them
SEPARATORS = {"csv": (",", ";", "\t", "|"), "tsv": ("\t", ",", ";", "|"), "xlsx": (",",)}
SEPARATOR_WORDS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE_BYTES = 1 << 18
_SAMPLE_LINES = 200
_FIRST_LINES = 50  # a header is looked for in these
_SHARE = 0.8  # of the lines have as many cells as the header
_SEP_LINE = re.compile(r'^"?sep=(.)"?;*,*\s*$', re.IGNORECASE)
_VALUE = re.compile(r"^[\s(]*[-+]?[\d.,:/%TZ -]*\d[\d.,:/%TZ)\s-]*$|^\d{4}-\d\d-\d\d")  # a number or a time, not a name


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """`separator`, and how many lines stand before the header: `preamble` of them say something."""

    separator: str
    skipped: int = 0
    preamble: int = 0


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How a separator fits the sample: lines before the header, cells in it, and whether it names the time."""

    separator: str
    skipped: int
    names_time: bool


def find_dialect(name: str, kind: str, data: bytes, config: LogConfig) -> Dialect:
    """Return the dialect of the table that begins with `data` (UTF-8).

    Raises UndecidedError if several separators or header lines fit, DataError if there are fewer lines than are
    skipped.
    """
    lines = _lines(data)
    hint = None if kind == "xlsx" else next((found[1] for line in lines[:1] if (found := _SEP_LINE.match(line))), None)
    start = 1 if hint is not None else 0
    start += next((i for i, line in enumerate(lines[start:]) if line.strip()), 0)
    stated = None if kind == "xlsx" else config.separator and {"tab": "\t"}.get(config.separator, config.separator)
    if config.skip_lines is not None:
        if config.skip_lines >= len(lines):
            raise DataError(f"{name} has no line {config.skip_lines + 1}; lower --skip-lines")
        start = config.skip_lines
    usual = SEPARATORS[kind]
    candidates = [stated] if stated else list(dict.fromkeys([*([hint] if hint else []), *usual]))
    quick = cells_of(lines[start], candidates[0]) if lines else []
    if len(lines) < 2 or (len(quick) > 1 and _names_time(quick, config)) or (config.skip_lines is not None and stated):
        return Dialect(separator=candidates[0], skipped=start)
    named = [fit for one in candidates if (fit := _naming_fit(lines, one, start, config)) is not None]
    fits = (
        named[:1]
        if len(named) == 1
        else [fit for one in candidates if (fit := _fit(lines, one, start, config)) is not None]
    )
    if config.skip_lines is not None:
        fits = [fit for fit in fits if fit.skipped == start]
    chosen = _one_of(name, fits, hint or usual[0])
    if chosen is None:
        return Dialect(separator=candidates[0], skipped=start)
    before = [line for line in lines[start : chosen.skipped] if line.strip()]
    if before and not chosen.names_time and not all(line.lstrip().startswith("#") for line in before):
        raise undecided(
            f"{name} line {start + 1} has another number of cells than the lines after it; line {chosen.skipped + 1} "
            f"may be the header: pass --skip-lines {chosen.skipped}, or 0 for the first line",
            [
                Reading(words=f"the header is line {line + 1}", changes={"skip_lines": line})
                for line in (chosen.skipped, start)
            ],
        )
    return Dialect(separator=chosen.separator, skipped=chosen.skipped, preamble=len(before))


def _lines(data: bytes) -> list[str]:
    sample = data[:_SAMPLE_BYTES]
    if len(data) > _SAMPLE_BYTES:
        sample = sample[: sample.rfind(b"\n") + 1]
    return sample.decode("utf-8", "replace").split("\n")[:_SAMPLE_LINES] if sample else []


def _fit(lines: Sequence[str], separator: str, start: int, config: LogConfig) -> _Fit | None:
    """Return how `separator` fits, None if it does not make rows of equally many cells below a line of names."""
    rows = [cells_of(line.rstrip("\r"), separator) for line in lines[start:]]
    counts = [len(row) for row in rows if any(cell.strip() for cell in row)]
    common, times = Counter(counts[1:] or counts).most_common(1)[0] if counts else (0, 0)
    if common < 2 or times < _SHARE * len(counts[1:] or counts):
        return None
    likely = [i for i, row in enumerate(rows[:_FIRST_LINES]) if len(row) == common and _are_names(row)]
    if not likely:
        return None
    naming = [i for i in likely if _names_time(rows[i], config)]
    at = (naming or likely)[0]
    if not naming and likely[0] != 0 and len(rows[0]) > 1:
        return None
    return _Fit(separator=separator, skipped=start + at, names_time=bool(naming))


def _naming_fit(lines: Sequence[str], separator: str, start: int, config: LogConfig) -> _Fit | None:
    """Return the first line that names the time among other names; rows below it may hold line ends and separators."""
    for at, line in enumerate(lines[start : start + _FIRST_LINES]):
        row = cells_of(line.rstrip("\r"), separator)
        if len(row) > 1 and _are_names(row) and _names_time(row, config):
            return _Fit(separator=separator, skipped=start + at, names_time=True)
    return None


def _one_of(name: str, fits: Sequence[_Fit], usual: str) -> _Fit | None:
    naming = [fit for fit in fits if fit.names_time] or list(fits)
    if len(naming) < 2:
        return naming[0] if naming else None
    words = " and ".join(SEPARATOR_WORDS.get(fit.separator, fit.separator) for fit in naming)
    fallback = next((fit for fit in naming if fit.separator == usual), naming[0])
    raise undecided(
        f"{name} can be separated by {words}: both make rows of equally many cells; choose --separator",
        [
            Reading(
                words=f"cells are separated by {SEPARATOR_WORDS.get(fit.separator, fit.separator)}",
                changes={"separator": "tab" if fit.separator == "\t" else fit.separator},
            )
            for fit in sorted(naming, key=lambda fit: fit is not fallback)
        ],
    )


def _are_names(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row]
    return any(cells) and not any(_VALUE.match(cell) for cell in cells if cell)


def looks_like_values(row: Sequence[str]) -> bool:
    """Return whether all cells that are not empty are numbers or times, as in a table without a header."""
    cells = [cell.strip() for cell in row if cell.strip()]
    return bool(cells) and all(_VALUE.match(cell) for cell in cells)


def _names_time(row: Sequence[str], config: LogConfig) -> bool:
    stated = {config.columns.get(config.time, config.time), config.time} if config.time else set()
    return any(plain(cell) in TIME_ALIASES or cell.strip() in stated for cell in row)
