"""The parts of a workbook that its reader does not show: sheets, errors, formulas without values, merged cells.

The library that reads the cells gives an empty cell for an error and for a formula without a value, and 0 for one that
some writers leave uncomputed. Only the sheet's own XML says which cells these are.
"""

from __future__ import annotations

import posixpath
import re
import xml.parsers.expat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulsecast.errors import DataError
from pulsecast.foundation.zip_directory import open_zip

from .cells import ERROR, FORMULA, MERGED, Place

MAX_DIRECTORY_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 1 << 30  # of all parts
MOST_ODD = 1 << 20  # cells that say nothing by themselves
_READ_BYTES = 1 << 20
_PLACE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_BOOK, _RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"

OnStart = Callable[[str, dict[str, str]], None]


@dataclass(frozen=True, kw_only=True)
class Book:
    """A workbook's sheets, each with its part, and whether formulas are to be computed anew when it is opened."""

    parts: Mapping[str, str]
    stale: bool


@dataclass(kw_only=True)
class SheetParts:
    """Cells of a sheet that say nothing by themselves: place -> kind of mark and what is shown.

    merged       ranges as they are written, with the places of their corners
    hidden_rows  rows that the sheet does not show, as a filter leaves them
    """

    odd: dict[Place, tuple[str, str]] = field(default_factory=dict)
    merged: list[tuple[str, Place, Place]] = field(default_factory=list)
    hidden_rows: int = 0

    def cover(self, height: int, width: int) -> None:
        """Mark the cells of merged ranges within `height` rows and `width` columns, except the first one of each."""
        for text, (top, left), (bottom, right) in self.merged:
            for row in range(top, min(bottom + 1, height)):
                for column in range(left, min(right + 1, width)):
                    if (row, column) != (top, left):
                        self.mark((row, column), MERGED, text)

    def mark(self, place: Place, kind: str, shown: str) -> None:
        """Note one cell; raises DataError if there are too many."""
        if len(self.odd) >= MOST_ODD:
            raise DataError(f"has over {MOST_ODD:,} cells that are merged, errors or formulas without a value")
        self.odd.setdefault(place, (kind, shown))


def read_book(path: Path) -> Book:
    """Return a workbook's sheets.

    Raises DataError, without the file's name, if it is not a whole workbook, or unpacks to too much.
    """
    with _opened(path) as archive:
        identities: dict[str, str] = {}
        relations: dict[str, str] = {}
        stale: list[bool] = []

        def in_book(name: str, values: dict[str, str]) -> None:
            if name == "sheet":
                identities[values.get("name", "")] = next((v for k, v in values.items() if k.endswith(" id")), "")
            if name == "calcPr":
                stale.append(_is_true(values.get("fullCalcOnLoad")) or values.get("calcCompleted") in ("0", "false"))

        def in_relations(name: str, values: dict[str, str]) -> None:
            if name == "Relationship":
                relations[values.get("Id", "")] = values.get("Target", "")

        _parse(archive, _BOOK, _parser(in_book))
        _parse(archive, _RELATIONS, _parser(in_relations))
    parts = {
        sheet: posixpath.normpath(posixpath.join("/xl", relations[identity]))[1:]
        for sheet, identity in identities.items()
        if identity in relations
    }
    return Book(parts=parts, stale=any(stale))


def read_sheet_parts(path: Path, book: Book, sheet: str) -> SheetParts:
    """Return what the XML of a sheet says of its cells; raises DataError as `read_book` does."""
    reader = _SheetReader(stale=book.stale)
    parser = _parser(reader.start)
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.buffer_text = True
    if sheet not in book.parts:
        raise DataError("does not say where its sheets are; save it again in a spreadsheet program")
    with _opened(path) as archive:
        _parse(archive, book.parts[sheet], parser)
    return reader.found


@dataclass(kw_only=True)
class _SheetReader:
    """Follows the elements of a sheet: cells with their type, formula and value, merged ranges, hidden rows."""

    stale: bool
    found: SheetParts = field(default_factory=SheetParts)
    _row: int = -1
    _column: int = -1
    _kind: str = ""
    _formula: bool = False
    _value: str | None = None  # None outside a value

    def start(self, name: str, values: dict[str, str]) -> None:
        if name == "v":
            self._value = ""
        elif name == "c":
            self._row, self._column = _place(values["r"]) if "r" in values else (self._row, self._column + 1)
            self._kind, self._formula, self._value = values.get("t", "n"), False, None
        elif name == "f":
            self._formula = True
        elif name == "row":
            self._row, self._column = (int(values["r"]) - 1 if "r" in values else self._row + 1), -1
            self.found.hidden_rows += _is_true(values.get("hidden"))
        elif name == "mergeCell":
            first, _, last = values.get("ref", "").partition(":")
            self.found.merged.append((values.get("ref", ""), _place(first), _place(last or first)))

    def text(self, text: str) -> None:
        if self._value is not None:
            self._value += text

    def end(self, name: str) -> None:
        if _local(name) != "c":
            return
        if self._kind == "e":
            self.found.mark((self._row, self._column), ERROR, (self._value or "")[:40])
        elif self._formula and (self.stale or (not (self._value or "").strip() and self._kind != "str")):
            self.found.mark((self._row, self._column), FORMULA, "")
        self._value = None


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        archive = open_zip(path.open("rb"), directory_bytes=MAX_DIRECTORY_BYTES)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError("is not a whole workbook; save it again in a spreadsheet program") from error
    names = [member.filename.casefold() for member in archive.infolist()]
    if len(set(names)) < len(names):
        raise DataError("holds a part twice; save it again in a spreadsheet program")
    if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
        raise DataError(f"unpacks to over {MAX_UNPACKED_BYTES >> 30} GiB; save the sheet as CSV")
    return archive


def _parser(on_start: OnStart) -> xml.parsers.expat.XMLParserType:
    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")

    def start(name: str, values: dict[str, str]) -> None:
        on_start(_local(name), values)

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse_entities
    return parser


def _refuse_entities(*_: object) -> None:
    raise DataError("declares a document type, as no spreadsheet program does; save it again in one")


def _parse(archive: zipfile.ZipFile, part: str, parser: xml.parsers.expat.XMLParserType) -> None:
    try:
        with archive.open(part) as stream:
            left = MAX_UNPACKED_BYTES
            while chunk := stream.read(_READ_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise DataError(f"unpacks to over {MAX_UNPACKED_BYTES >> 30} GiB; save the sheet as CSV")
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except DataError:
        raise
    except Exception as error:  # BadZipFile, zlib.error, ExpatError, KeyError, ValueError: what is made of damage
        raise DataError("is not a whole workbook; save it again in a spreadsheet program") from error


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    column = 0
    for letter in found[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(found[2]) - 1, column - 1


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _is_true(value: str | None) -> bool:
    return value in ("1", "true", "on")
