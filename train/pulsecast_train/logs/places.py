"""The places of rows in their file, and counts of rows with a property: how many, and the first lines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .data_report import MAX_LINES, Finding


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The places of some rows: the file's name, "line" or "row", and int64 (rows,) the number of each."""

    file: str
    word: str
    lines: NDArray[np.int64]

    def where(self, row: int) -> str:
        """Return how a message names row `row`: "log.csv line 7"."""
        return f"{self.file} {self.word} {self.lines[row]}"

    def only(self, rows: pl.Series) -> Places:
        """Return the places of `rows` (indices) only."""
        return Places(file=self.file, word=self.word, lines=self.lines[rows.to_numpy()])


@dataclass(kw_only=True, eq=False)
class Counted:
    """The number of rows with a property, the lines of the first few, and optionally words about them."""

    rows: int = 0
    lines: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def add(self, flags: pl.Series, places: Places) -> list[int]:
        """Count the rows in which `flags` is true; return those whose lines have been noted."""
        rows = flags.arg_true()
        self.rows += len(rows)
        new = [int(row) for row in rows[: max(MAX_LINES - len(self.lines), 0)]]
        self.lines += [int(places.lines[row]) for row in new]
        return new

    def findings(self, policy: str, sentence: str, file: str) -> list[Finding]:
        """Return one finding, or none if nothing was counted."""
        if not self.rows:
            return []
        return [Finding(policy=policy, sentence=sentence, rows=self.rows, file=file, lines=tuple(self.lines))]
