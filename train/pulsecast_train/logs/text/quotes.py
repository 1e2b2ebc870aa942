"""How quotes are meant in the rows of CSV and TSV, and where a row ends; rows of a rare style are written anew.

Text is usually quoted as RFC 4180 says: a quote begins and ends a cell, and two stand for one. Databases write \\" for
one, and many tables never quote, so that a quote is text like any other. Only one of these readings makes every row as
long as the header; if two do, and they differ, the log is refused. The table reader knows RFC 4180 alone, so blocks of
another style are rewritten. One that reads a quote within a cell as the beginning of quoted text would lose rows.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError

_QUOTE, _NEWLINE, _RETURN = ord('"'), ord("\n"), ord("\r")
_ESCAPED = b'\\"'
# style -> how Python's reader is told; strict: text after a closing quote, or an open quote at the end, is an error
_STYLES: dict[str, dict[str, Any]] = {
    "doubled": {"doublequote": True, "strict": True},
    "after spaces": {"doublequote": True, "strict": True, "skipinitialspace": True},
    "backslash": {"doublequote": True, "escapechar": "\\", "strict": True},
    "text": {"quoting": csv.QUOTE_NONE},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parsed:
    """Rows of one reading, and the physical lines they take; `bad` is the line (from 0) that does not fit, or None."""

    rows: list[list[str]]
    lines: int
    bad: int | None


@dataclass(kw_only=True, eq=False)
class QuoteReader:
    """Cuts a file's text after its last whole row, chunk by chunk, and leaves it quoted as RFC 4180 says.

    fields  columns of the header
    style   a key of _STYLES that a chunk has shown, or "" as long as quotes may be doubled ones or none
    """

    name: str
    separator: str
    fields: int
    style: str = ""
    _quoted: bool = False  # an earlier chunk has quotes

    def take(self, data: bytes, line: int, *, last: bool) -> tuple[bytes, bytes]:
        """Return the whole rows in `data`, which begins on `line`, and the same as they stand there.

        The two are one object unless the rows had to be written anew.

        Raises DataError, with a line, if no reading of the quotes makes rows of `fields` cells, or if two do.
        """
        if b'"' not in data and self.style != "backslash":
            taken = data if last else data[: data.rfind(b"\n") + 1]
            return taken, taken
        plain = self.style in ("", "doubled") and _ESCAPED not in data
        if plain and well_quoted(data, self.separator):
            taken = data if last else data[: row_end(data)]
            if not last or data.count(b'"') % 2 == 0:
                self._refuse_swallowed_rows(taken, line)
                self._quoted = True
                return taken, taken
        return self._rewritten(data, line, last=last)

    def _refuse_swallowed_rows(self, data: bytes, line: int) -> None:
        """Refuse cells of several lines if each line of the block is a whole row: their quotes may be text."""
        inside = inside_quotes(data)
        if not inside.any():
            return
        lines = data.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        separator = self.separator.encode()
        if all(part.count(separator) == self.fields - 1 for part in lines):
            at = line + int(np.flatnonzero(inside)[0])
            raise DataError(
                f"{self.name} line {at} begins a quoted cell of several lines, and each of these is a whole row by "
                "itself; if these quotes are text, write each twice between quotes, or leave them out"
            )

    def _rewritten(self, data: bytes, line: int, *, last: bool) -> tuple[bytes, bytes]:
        text = data.decode("utf-8", "surrogateescape").split("\n")
        physical = [part + "\n" for part in text[:-1]] + ([text[-1]] if last and text[-1] else [])
        style, found = self._chosen(physical, line, last=last)
        if style != "text" and found.lines > len(found.rows):
            self._refuse_swallowed_rows("".join(physical[: found.lines]).encode("utf-8", "surrogateescape"), line)
        if style in ("backslash", "text"):
            self.style = style
        self._quoted = True
        cut = sum(len(part.encode("utf-8", "surrogateescape")) for part in physical[: found.lines])
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.separator, lineterminator="\n")
        for row in found.rows:
            if row:
                writer.writerow(row)
            else:
                out.write("\n")  # a blank line keeps its place
        rows = out.getvalue()
        if last and not data.endswith((b"\n", b'"')):
            rows = rows.removesuffix("\n")  # what follows the last cell may be missing, and shall be told of
        return rows.encode("utf-8", "surrogateescape"), data[:cut]

    def _chosen(self, physical: list[str], line: int, *, last: bool) -> tuple[str, _Parsed]:
        """Return the one reading that fits; the earlier of _STYLES stands for those that say the same."""
        styles = [self.style] if self.style else list(_STYLES)
        fitting: list[tuple[str, _Parsed]] = []
        first: _Parsed | None = None
        for style in styles:
            if style == "text" and (fitting or (self._quoted and not self.style)):
                continue  # quotes that begin and end cells are no text
            if style == "backslash" and not self.style and not any('\\"' in part for part in physical):
                continue
            if style == "after spaces" and fitting:
                continue
            found = self._parsed(physical, style, last=last)
            first = first or found
            if found.bad is None:
                fitting.append((style, found))
        if not fitting:
            bad = line + ((first and first.bad) or 0)
            raise DataError(
                f"{self.name} line {bad} is not a well-formed row of {self.fields} cells: look for an open quote, or a "
                "quote or separator within a cell; write a cell that holds one between quotes, and each quote in it "
                "twice"
            )
        if len(fitting) > 1 and fitting[0][1].rows != fitting[1][1].rows:
            at = line + next(i for i, part in enumerate(physical) if '\\"' in part)
            raise DataError(
                f'{self.name} line {at} holds \\", which can be a quote within text or a backslash at the end of a '
                "cell, and both readings fit; write quotes within text twice"
            )
        return fitting[0]

    def _parsed(self, physical: list[str], style: str, *, last: bool) -> _Parsed:
        if style == "backslash":  # \\N is how the databases that escape so write a missing value
            missing = re.compile(rf"(^|{re.escape(self.separator)})\\N(?={re.escape(self.separator)}|\r?\n?$)")
            physical = [missing.sub(r"\1", part) for part in physical]
        reader = csv.reader(iter(physical), delimiter=self.separator, **_STYLES[style])
        rows: list[list[str]] = []
        lines = 0
        try:
            for row in reader:
                if row and (not _fits(row, self.fields) or (style == "text" and any(map(_is_quoted, row)))):
                    return _Parsed(rows=rows, lines=lines, bad=lines)
                rows.append(row)
                lines = reader.line_num
        except csv.Error as error:
            if last or "unexpected end of data" not in str(error) or not rows:
                return _Parsed(rows=rows, lines=lines, bad=lines)
        return _Parsed(rows=rows, lines=lines, bad=None)


def _fits(row: list[str], fields: int) -> bool:
    return len(row) == fields or (len(row) > fields and not any(row[fields:]))


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell.startswith('"') and cell.endswith('"')


def well_quoted(data: bytes, separator: str) -> bool:
    """Return whether every quote in `data` begins or ends a cell, or stands twice within one, as RFC 4180 says.

    >>> well_quoted(b'a,"b, c"', ","), well_quoted(b'a,5" nail', ",")
    (True, False)
    """
    text = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(text == _QUOTE)  # (quotes,)
    edges = np.zeros(256, dtype=np.bool_)
    edges[[ord(separator), _NEWLINE, _RETURN]] = True
    padded = np.concatenate(([np.uint8(_NEWLINE)], text, [np.uint8(_NEWLINE)]))
    adjacent = np.diff(at) == 1  # (quotes - 1,) each quote and the next one
    opens, closes = slice(0, None, 2), slice(1, None, 2)
    begins = edges[padded[at]] | np.concatenate(([False], adjacent))
    ends = edges[padded[at + 2]] | np.concatenate((adjacent, [False]))
    return bool(begins[opens].all() and ends[closes].all())


def line_ends(data: bytes) -> int:
    """Return how many line feeds are in `data`: `bytes.count` takes five times as long where lines are short."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


def row_end(data: bytes, *, quoted: bool = True) -> int:
    """Return where the last whole row in `data` ends, 0 if none does."""
    end = data.rfind(b"\n") + 1
    if not quoted or data.count(b'"', 0, end) % 2 == 0:
        return end
    newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE)  # (newlines,)
    outside = newlines[~inside_quotes(data)]
    return int(outside[-1]) + 1 if len(outside) else 0


def inside_quotes(data: bytes) -> NDArray[np.bool_]:
    """Return, for every newline in `data`, whether an odd number of quotes stands before it: bool (newlines,)."""
    text = np.frombuffer(data, dtype=np.uint8)
    before = np.searchsorted(np.flatnonzero(text == _QUOTE), np.flatnonzero(text == _NEWLINE))
    return np.asarray(before % 2 == 1, dtype=np.bool_)


def cells_of(line: str, separator: str) -> list[str]:
    """Return the cells of one physical line, as far as its quotes allow."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return re.split(re.escape(separator), line)
