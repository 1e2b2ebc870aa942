"""Cells of a metric to numbers: decimal marks, marks between thousands, percent, K and M; counted or refused.

A mark before exactly three digits can be a decimal mark or one between thousands: 1.051 is about one, or a thousand and
fifty-one. Other cells of the column decide it. A group cannot begin with 0, so 0,125 has a decimal comma; a mark that
stands twice is no decimal mark; of two different marks the last one is the decimal mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import polars as pl

from pulsecast.errors import DataError

from ..config import LogConfig
from ..data_report import Finding
from ..looking.choices import Reading, UndecidedError, undecided
from ..places import Counted, Places

_SPACES = "['\u2019\u00a0\u202f\u2009 ]"
_SCALES = {"K": 1e3, "k": 1e3, "M": 1e6}
_DIGITS = r"^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SENTINELS = ("-1", "-9", "-99", "-999", "-9999")
_QUICK_CELLS = 1000
_MOST_EXACT = 2.0**53  # beyond it, the next whole numbers of a float64 are two or more apart
# What a cell shows about the column's decimal mark, once its sign, its unit and its spaces are gone.
_EVIDENCE = {
    ".": r"^\d{1,3}(,\d{2,3})*,\d{3}\.\d*$|^\d{1,2}(,\d{2})+,\d{3}$|^\d{1,3}(,\d{3}){2,}$"
    r"|^(\d*\.\d{0,2}|\d*\.\d{4,}|0\d*\.\d{3}|\d{4,}\.\d{3}|\.\d{3})([eE][+-]?\d+)?$|^\d+\.\d+[eE][+-]?\d+$",
    ",": r"^\d{1,3}(\.\d{3})+,\d*$|^\d{1,3}(\.\d{3}){2,}$|^(\d*,\d{0,2}|\d*,\d{4,}|0\d*,\d{3}|\d{4,},\d{3}|,\d{3})$",
}
_EITHER = r"^[1-9]\d{0,2}[.,]\d{3}$"
_SPACED = re.compile(rf"^\d{{1,3}}({_SPACES}\d{{3}})+([.,]\d*)?$")
# words for "missing" that mean nothing else in a column of numbers
MISSING_WORDS = ("nan", "na", "n/a", "null", "none", "nil", "{}", "[]", "-", "--", "\\n", "#n/a", "?")


class UnsettledMarkError(Exception):
    """No cell of the batch shows whether a mark is a decimal mark; other batches may."""


@dataclass(kw_only=True, eq=False)
class NumberReader:
    """Reads the cells of one metric batch by batch; `decimal` is "." or "," once it is known, else "".

    signed    a cell may be negative
    missing   cells that are empty or declared missing; the caller counts them
    """

    column: str
    config: LogConfig
    signed: bool = False
    decimal: str = ""
    missing: Counted = field(default_factory=Counted)
    thousands: Counted = field(default_factory=Counted)
    commas: Counted = field(default_factory=Counted)
    scaled: Counted = field(default_factory=Counted)
    percent: Counted = field(default_factory=Counted)
    negative: Counted = field(default_factory=Counted)
    rounded: Counted = field(default_factory=Counted)
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.decimal = self.decimal or self.config.decimal or ""

    def read(self, cells: pl.Series, places: Places) -> pl.Series:
        """Return `cells` as Float64, null where they are empty or declared missing.

        Raises DataError at the first cell that is text, NaN or infinite, or, for a count or counter, negative;
        UnsettledMarkError if a mark can be a decimal mark or not, and `decimal` has not been set.
        """
        values = self._cast(cells, places)
        self._numbers += len(values) - values.null_count()
        declared = [float(cell) for cell in self.config.missing if _is_number(cell)]
        if declared:
            values = values.set(values.is_in(declared), None)
        if not self.signed:
            self._refuse_negative(values, places)
        low, high = values.min(), values.max()
        if isinstance(low, float) and isinstance(high, float) and max(-low, high) >= _MOST_EXACT:
            self.rounded.add((values.abs() >= _MOST_EXACT).fill_null(value=False), places)
        return values

    def findings(self, file: str) -> list[Finding]:
        """Return what was counted; raises DataError if only some cells have a percent sign."""
        name = self.column
        if 0 < self.percent.rows < self._numbers:
            others = self._numbers - self.percent.rows
            raise DataError(
                f"{file} line {self.percent.lines[0]}: {name} has a percent sign, and {others:,} cells have none; "
                "write all in one unit"
            )
        return [
            *self.missing.findings("missing-cell", f"cells of {name} are empty or declared missing", file),
            *self.thousands.findings(
                "thousands-separator",
                f"cells of {name} have marks between thousands and were read without them",
                file,
            ),
            *self.commas.findings("decimal-comma", f"cells of {name} have a decimal comma", file),
            *self.scaled.findings(
                "abbreviated-number", f"cells of {name} end in K or M and were multiplied; they are rounded", file
            ),
            *self.percent.findings("percent", f"cells of {name} were read without their percent sign", file),
            *self.negative.findings("negative-in-brackets", f"cells of {name} in brackets were read as negative", file),
            *self.rounded.findings(
                "rounded-number",
                f"cells of {name} are beyond 2^53 = 9,007,199,254,740,992 and were rounded to some 16 digits",
                file,
            ),
        ]

    def evidence(self, cells: pl.Series) -> tuple[int, int, int | None]:
        """Return how many of `cells` show a decimal dot, and a decimal comma, and the first row that shows neither."""
        if cells.dtype != pl.String:
            return 0, 0, None
        rows = cells.str.contains(r"[.,]").fill_null(value=False).arg_true()
        text = _mantissas(cells.gather(rows))
        dots, commas = (int(text.str.contains(pattern).sum()) for pattern in _EVIDENCE.values())
        either = text.str.contains(_EITHER).arg_true()
        return dots, commas, int(rows[int(either[0])]) if len(either) else None

    def _refuse_negative(self, values: pl.Series, places: Places) -> None:
        negative = (values < 0).arg_true()
        if len(negative):
            row = int(negative[0])
            kind = "counter" if self.config.kind == "counter" else "count"
            cell = f"{values[row]:g}"
            message = (
                f"{places.where(row)}: {self.column} is {cell}, and a {kind} is 0 or more; "
                f"use --kind gauge, or --missing {cell} if it marks a missing value"
            )
            if self.config.kind != "inferred":
                raise DataError(message)
            raise undecided(message, _negative_readings(self.column, cell, self.config))

    def _cast(self, cells: pl.Series, places: Places) -> pl.Series:
        if cells.dtype == pl.Boolean or cells.dtype.is_numeric() or cells.dtype == pl.Null:
            values = cells.cast(pl.Float64)
            if any(cell.strip().lower() == "nan" for cell in self.config.missing):
                values = values.fill_nan(None)
            if any(_is_infinite(cell) for cell in self.config.missing):
                values = values.set(values.is_infinite(), None)
            odd = (~values.is_finite()).fill_null(value=False).arg_true()
        elif cells.dtype == pl.String:
            if not self.decimal:
                dots, commas, _ = self.evidence(cells.head(_QUICK_CELLS))
                self.decimal = "." if dots and not commas else ""
            values = cells.cast(pl.Float64, strict=False)
            flags = ((values.is_null() & cells.is_not_null()) | ~values.is_finite()).fill_null(value=False)
            if self.decimal != ".":  # a dot may stand between thousands
                flags |= cells.str.contains(".", literal=True).fill_null(value=False)
            odd = flags.arg_true()
            if len(odd):
                values, odd = self._second_look(cells, values, odd, places)
        else:
            raise DataError(f"{places.where(0)}: column {cells.name} holds {cells.dtype}; expected numbers")
        if len(odd):
            raise self._not_a_number(cells, int(odd[0]), places)
        return values

    def _not_a_number(self, cells: pl.Series, row: int, places: Places) -> DataError:
        cell = str(cells[row])
        message = (
            f"{places.where(row)}: {self.column} is {cell[:40]!r}, not a finite number; correct the cell, or "
            "use --missing with that text if it marks a missing value"
        )
        if cell.strip().lower() in MISSING_WORDS and len(cell) < 10:
            words = f"{cell.strip()!r} in {self.column} means missing"
            return undecided(message, [Reading(words=words, changes={"missing": (*self.config.missing, cell.strip())})])
        return DataError(message)

    def _second_look(
        self, cells: pl.Series, values: pl.Series, odd: pl.Series, places: Places
    ) -> tuple[pl.Series, pl.Series]:
        """Return `values` with the cells at `odd` read where possible, and the rows of those that cannot be read."""
        text = cells.gather(odd).str.strip_chars()
        missing = text.is_in(["", *self.config.missing])
        mantissa = _mantissas(text.set(missing, None))
        self._settle(mantissa, odd, places)
        grouped, digits = self._ungrouped(mantissa)
        if self.decimal == ",":
            self.commas.add(mantissa.str.contains(",").fill_null(value=False), places.only(odd))
        spaced = text.str.contains(rf"\d{_SPACES}\d")
        self.thousands.add((grouped | spaced).fill_null(value=False), places.only(odd))
        plain = digits.set(~digits.str.contains(_DIGITS), None)
        found = self._with_units(text, plain.cast(pl.Float64, strict=False), places.only(odd))
        wrong = ~missing & (found.is_null() | ~found.is_finite())
        return values.scatter(odd, found), odd.filter(wrong.fill_null(value=True))

    def _ungrouped(self, mantissa: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return which cells have marks between thousands, and all cells without them and with a decimal dot."""
        if self.decimal == ",":
            pattern, mark = r"^\d{1,3}(\.\d{3})+(,\d*)?$", r"\."
        else:
            pattern, mark = r"^\d{1,3}(,\d{2,3})*,\d{3}(\.\d*)?$", ","
        grouped = mantissa.str.contains(pattern).fill_null(value=False)
        digits = mantissa.zip_with(~grouped, mantissa.str.replace_all(mark, ""))
        if self.decimal == ",":
            dotted = digits.str.contains(".", literal=True).fill_null(value=False)
            digits = digits.set(dotted, None).str.replace(",", ".", literal=True)
        return grouped, digits

    def _with_units(self, text: pl.Series, found: pl.Series, places: Places) -> pl.Series:
        """Return the numbers with the sign and the scale that the cells of `text` have; percent signs are counted."""
        negative = text.str.contains(r"^(\(.*\)|[-\u2212].*)$").fill_null(value=False)
        scale = text.str.extract(r"\d\s?([KkM])\)?$").replace_strict(_SCALES, default=1.0, return_dtype=pl.Float64)
        self.scaled.add((scale > 1).fill_null(value=False), places)
        self.negative.add(text.str.starts_with("(").fill_null(value=False) & found.is_not_null(), places)
        signed = text.str.contains(r"%\)?$").fill_null(value=False)
        self.percent.add(signed & found.is_not_null(), places)
        return (found * scale.fill_null(1.0)).zip_with(~negative, -found * scale.fill_null(1.0))

    def _settle(self, mantissa: pl.Series, odd: pl.Series, places: Places) -> None:
        """Set `decimal` if a cell shows it; raises if cells disagree, or if none shows how the others are meant."""
        shown = {mark: mantissa.str.contains(pattern).fill_null(value=False) for mark, pattern in _EVIDENCE.items()}
        either = mantissa.str.contains(_EITHER).fill_null(value=False)
        for mark, rows in shown.items():
            other = "," if mark == "." else "."
            if rows.any() and (self.decimal == other or shown[other].any()):
                row = int(odd[int(rows.arg_true()[0])])
                word = {".": "dot", ",": "comma"}
                raise DataError(
                    f"{places.where(row)}: {self.column} has a decimal {word[mark]}, and other cells have a decimal "
                    f"{word[other]}; write all of them in one way, or choose --decimal if this cell is another number"
                )
        settled = next((mark for mark, rows in shown.items() if rows.any()), "")
        self.decimal = self.decimal or settled
        if not self.decimal and either.any():
            raise UnsettledMarkError


def unsettled_mark(place: str, column: str, cell: str) -> UndecidedError:
    """Return the error for a column in which no cell shows what a mark before three digits is."""
    text = cell.strip()[:40]
    mark = "." if "." in text else ","
    other = "," if mark == "." else "."
    with_groups, with_decimals = text.replace(mark, ""), text.replace(mark, ".")
    return undecided(
        f"{place}: {column} is {text!r}, which can be {with_decimals} or {with_groups} and no other cell decides it; "
        "choose --decimal . or --decimal ,",
        [
            Reading(words=f"{text} is {with_groups}", changes={"decimal": other}),
            Reading(words=f"{text} is {with_decimals}", changes={"decimal": mark}),
        ],
        "a whole number with three digits behind each mark is a usual way to write thousands",
    )


def _negative_readings(column: str, cell: str, config: LogConfig) -> list[Reading]:
    missing = Reading(words=f"{cell} in {column} means missing", changes={"missing": (*config.missing, cell)})
    level = Reading(words=f"{column} is a level that may be negative", changes={"kind": "gauge"})
    return [missing, level] if cell in _SENTINELS else [level, missing]


def _mantissas(text: pl.Series) -> pl.Series:
    """Return cells without sign, brackets, percent, scale and spaces between thousands."""
    bare = text.str.strip_chars().str.replace(r"^\((.*)\)$", "${1}").str.replace("^[-+\u2212]", "")
    bare = bare.str.replace(rf"{_SPACES}?(%|[KkM])$", "")
    spaced = bare.str.contains(_SPACED.pattern).fill_null(value=False)
    return bare.zip_with(~spaced, bare.str.replace_all(_SPACES, ""))


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False


def _is_infinite(cell: str) -> bool:
    try:
        return abs(float(cell)) == float("inf")
    except ValueError:
        return False
