"""Cells of a sheet as the cells of a CSV table: one line for each row, numbers and dates in one form each."""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta
Place = tuple[int, int]  # row and column, from 0

MARK = "\ue000"  # of private use: around the kind of a mark, before what the sheet shows
FORMULA, ERROR, MERGED, LONE_DATE, LONE_NUMBER = "formula", "error", "merged", "lone-date", "lone-number"

_MOST_WHOLE = 10**15  # a spreadsheet keeps 15 digits
_NEITHER = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")
_GROUPS = re.compile(r"[-+(\u2212]?[\d.,'\u2019\u00a0\u202f ]*(?<!\d)[1-9]\d{0,2}[.,]\d{3}(?!\d)[\d.,]*\s?[%KkM]?\)?")
_LINE_ENDS = re.compile(r"\r\n|[\r\n\0]")


@dataclass(kw_only=True)
class _Seen:
    """What the rows below the first date, or the first number, of a column hold."""

    clock: bool = False  # some date has a time of day
    dates: int = 0
    others: int = 0  # numbers, and texts with a digit, below the first date or before it
    numbers: int = 0

    def note(self, cell: Cell) -> None:
        if isinstance(cell, datetime.date):  # a datetime is one too
            self.dates += 1
            self.clock |= isinstance(cell, datetime.datetime) and cell.time() != datetime.time()
        elif _is_number(cell):
            self.numbers += 1
            self.others += 1
        elif isinstance(cell, str) and any(map(str.isdigit, cell)):
            self.others += 1


def write_rows(rows: Sequence[Sequence[Cell]], odd: Mapping[Place, tuple[str, str]], out: TextIO) -> None:
    """Write rows of a sheet, which begin at its first row and column, as CSV: row n of the sheet is line n.

    odd   places of cells that say nothing by themselves -> kind of mark and what the sheet shows
    """
    begin = _first_of_data(rows)
    seen = _columns(rows, begin)
    writer = csv.writer(out, lineterminator="\n")
    for row, cells in enumerate(rows):
        if row < begin:
            writer.writerow(_leading(cells, row, odd))
        else:
            writer.writerow(list(_data(cells, row, odd, seen)))


def _first_of_data(rows: Sequence[Sequence[Cell]]) -> int:
    """Return the first row with a cell that is neither empty nor a word: what stands above are names and titles."""
    return next((row for row, cells in enumerate(rows) if any(map(_is_data, cells))), 0)


def _is_data(cell: Cell) -> bool:
    return cell[:1].isdigit() if isinstance(cell, str) else True


def _columns(rows: Sequence[Sequence[Cell]], begin: int) -> list[_Seen]:
    seen = [_Seen() for _ in (rows[0] if rows else ())]
    for cells in rows[begin:]:
        for column, cell in zip(seen, cells, strict=True):
            column.note(cell)
    return seen


def _leading(cells: Sequence[Cell], row: int, odd: Mapping[Place, tuple[str, str]]) -> list[str]:
    """Return a title as one cell, and names in all columns; a merged or broken cell is empty here."""
    texts = ["" if (row, column) in odd else _plain(str(cell)) for column, cell in enumerate(cells)]
    filled = [column for column, text in enumerate(texts) if text.strip()]
    return texts if len(filled) > 1 else texts[: filled[0] + 1] if filled else []


def _data(
    cells: Sequence[Cell], row: int, odd: Mapping[Place, tuple[str, str]], seen: Sequence[_Seen]
) -> Iterator[str]:
    for column, cell in enumerate(cells):
        if (row, column) in odd:
            kind, shown = odd[row, column]
            yield f"{MARK}{kind}{MARK}{_plain(shown)}"
        else:
            yield _text(cell, seen[column])


def _text(cell: Cell, seen: _Seen) -> str:
    text = _shown(cell, seen)
    if seen.dates and seen.others and _is_lone(cell, seen):
        return f"{MARK}{LONE_DATE}{MARK}{text}"
    if seen.numbers and isinstance(cell, str) and _GROUPS.fullmatch(cell.strip()):
        return f"{MARK}{LONE_NUMBER}{MARK}{text}"
    return text


def _is_lone(cell: Cell, seen: _Seen) -> bool:
    """Return whether a cell is of the rarer kind in a column of dates and other cells with digits."""
    if isinstance(cell, datetime.date):
        return seen.dates < seen.others
    return seen.dates >= seen.others and (_is_number(cell) or (isinstance(cell, str) and any(map(str.isdigit, cell))))


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _shown(cell: Cell, seen: _Seen) -> str:
    if isinstance(cell, datetime.date):
        moment = cell if isinstance(cell, datetime.datetime) else datetime.datetime.combine(cell, datetime.time())
        return _moment(moment) if seen.clock else f"{moment:%Y-%m-%d}"
    if isinstance(cell, datetime.time):
        return cell.isoformat()
    if isinstance(cell, bool):
        return str(cell).lower()
    return _number(cell) if isinstance(cell, int | float) else _plain(str(cell))


def _moment(moment: datetime.datetime) -> str:
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{text}.{moment.microsecond:06}" if moment.microsecond else text


def _number(cell: float) -> str:
    """Return a number with all its digits, and so that its mark can only be a decimal one.

    One of more than 15 digits has a power of ten: a spreadsheet has rounded it, and an id must not look whole.

    >>> _number(1051.0), _number(1.051), _number(1.7e18)
    ('1051', '1.0510', '1.7000000000000000e+18')
    """
    if float(cell).is_integer():
        return str(int(cell)) if abs(cell) < _MOST_WHOLE else f"{cell:.16e}"
    text = repr(float(cell))
    return f"{text}0" if _NEITHER.fullmatch(text) else text


def _plain(text: str) -> str:
    return _LINE_ENDS.sub(" ", text).replace(MARK, "")
