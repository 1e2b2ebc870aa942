"""Cells of a sheet that say nothing by themselves: the child marks them, and the reader refuses those that it needs."""

from __future__ import annotations

import polars as pl

from pulsecast.errors import DataError

from ..places import Places
from .cells import ERROR, FORMULA, LONE_DATE, LONE_NUMBER, MARK, MERGED

# kind of mark -> what is wrong with the cell, and what to do; {cell} is what the sheet shows
_WHY = {
    FORMULA: "is a formula whose value was not computed; open the workbook in a spreadsheet program and save it there",
    ERROR: "is the error {cell}; correct the formula, or delete the row",
    MERGED: "is part of the merged cells {cell}; undo the merge and fill each cell",
    LONE_DATE: "is {cell!r}, and most cells of the column are of the other kind, dates or not; a spreadsheet may have "
    "swapped day and month of the dates: write all of them in one way",
    LONE_NUMBER: "is the text {cell!r} among numbers, which can have a decimal mark or one between thousands; write it "
    "as a number",
}
_FORM = rf"^{MARK}([a-z-]+){MARK}(.*)$"


def without_marks(cells: pl.Expr) -> pl.Expr:
    """Return `cells` as the sheet shows them."""
    return cells.str.replace(_FORM, "${2}")


def settled(frame: pl.DataFrame, places: Places, numbers: tuple[str, ...]) -> pl.DataFrame:
    """Return the columns that are read without marks; an error in one of `numbers` is its text, as in a CSV file.

    Raises DataError at the first other cell with a mark: it says nothing, and a row that is left out would be missed.
    """
    for cells in frame:
        kinds = cells.str.extract(_FORM, 1)
        if cells.name in numbers:
            kinds = kinds.set(kinds == ERROR, None)
        rows = kinds.is_not_null().arg_true()
        if len(rows):
            row = int(rows[0])
            cell = str(cells.str.extract(_FORM, 2)[row])[:40]
            raise DataError(f"{places.where(row)}: {cells.name} {_WHY[str(kinds[row])].format(cell=cell)}")
    return frame.select(without_marks(pl.all()))
