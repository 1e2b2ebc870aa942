"""Rows before the first time and after the last one: names of units below the header, totals at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from ..data_report import MAX_LINES
from ..places import Counted, Places

MOST_EDGE_ROWS = 3


@dataclass(kw_only=True, eq=False)
class Edges:
    """Notes up to MOST_EDGE_ROWS rows at either end of a file whose time cell has no digit."""

    _head: list[int] = field(default_factory=list)
    _tail: list[int] = field(default_factory=list)
    _begun: bool = False

    def note(self, cells: pl.Series, micros: pl.Series, places: Places) -> None:
        """Look at one batch: its time `cells`, and the instants that they are, null for none."""
        if micros.null_count() == 0:
            self._begun, self._tail = True, []
            return
        dated = micros.is_not_null().arg_true()
        start, stop = (int(dated[0]), int(dated[-1]) + 1) if len(dated) else (len(cells), len(cells))
        words = ~cells.cast(pl.String).str.contains(r"\d").fill_null(value=False)
        if not self._begun:
            self._head = _lines(words, pl.arange(start, eager=True), places)
        self._begun |= len(dated) > 0
        self._tail = _lines(words, pl.arange(stop, len(cells), eager=True), places)

    def rows(self) -> Counted:
        """Return these rows, with their lines."""
        lines = [*self._head, *self._tail]
        return Counted(rows=len(lines), lines=lines[:MAX_LINES])


def _lines(words: pl.Series, rows: pl.Series, places: Places) -> list[int]:
    if not 0 < len(rows) <= MOST_EDGE_ROWS or not words.gather(rows).all():
        return []
    return [int(places.lines[row]) for row in rows]
