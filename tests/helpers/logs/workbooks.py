"""Small .xlsx workbooks written by tests, part by part, so that any cell and any damage can be in them."""

from __future__ import annotations

import contextlib
import datetime
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest

from pulsecast.stages.child_process import Ended

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATED = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
# style 1: a date with its time, 2: a date, 3: a time of day; 14 and 21 are built in
_STYLES = (
    f'<styleSheet {MAIN}><numFmts count="1"><numFmt numFmtId="170" formatCode="yyyy\\-mm\\-dd hh:mm"/></numFmts>'
    '<cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="14"/><xf numFmtId="21"/></cellXfs>'
    "</styleSheet>"
)
_EPOCHS = {False: datetime.datetime(1899, 12, 30), True: datetime.datetime(1904, 1, 1)}  # noqa: DTZ001


@dataclass(frozen=True)
class Formula:
    """A formula with the value that was computed, or None."""

    value: float | str | None


@dataclass(frozen=True)
class Broken:
    """An error such as #DIV/0!."""

    text: str


Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Book:
    """What is in a workbook besides the cells; `later` are elements of each sheet behind its cells."""

    since_1904: bool = False
    stale: bool = False
    hidden: Sequence[str] = ()
    hidden_rows: Sequence[int] = ()
    merged: Sequence[str] = ()
    before: str = ""  # of each sheet's XML
    more: Mapping[str, str] = field(default_factory=dict)  # parts


def workbook(path: Path, sheets: Mapping[str, Rows], **what: Any) -> Path:
    """Write a workbook of `sheets` and return its path; the cells of a row begin in its first column."""
    book = Book(**what)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (_frame(list(sheets), book) | book.more).items():
            archive.writestr(name, text)
        for number, rows in enumerate(sheets.values(), 1):
            if f"xl/worksheets/sheet{number}.xml" not in book.more:
                archive.writestr(f"xl/worksheets/sheet{number}.xml", book.before + _sheet(rows, book))
    return path


def _frame(names: Sequence[str], book: Book) -> dict[str, str]:
    listed = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{i}" r:id="r{i}" '
        f'state="{"hidden" if name in book.hidden else "visible"}"/>'
        for i, name in enumerate(names, 1)
    )
    relations = "".join(
        f'<Relationship Id="r{i}" Type="{_KIND}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(names) + 1)
    )
    relations += f'<Relationship Id="s" Type="{_KIND}/styles" Target="styles.xml"/>'
    related = "http://schemas.openxmlformats.org/package/2006/relationships"
    return {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{related}"><Relationship Id="b" Type="{_KIND}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {MAIN} {_RELATED}><workbookPr date1904="{int(book.since_1904)}"/>'
        f'<sheets>{listed}</sheets><calcPr calcId="1"{" fullCalcOnLoad=" + quoteattr("1") if book.stale else ""}/>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{related}">{relations}</Relationships>',
        "xl/styles.xml": _STYLES,
    }


def _sheet(rows: Rows, book: Book) -> str:
    lines = [
        f'<row r="{number}"{" hidden=" + quoteattr("1") if number in book.hidden_rows else ""}>'
        + "".join(_cell(cell, f"{_letter(column)}{number}", book) for column, cell in enumerate(row))
        + "</row>"
        for number, row in enumerate(rows, 1)
    ]
    merged = "".join(f'<mergeCell ref="{place}"/>' for place in book.merged)
    ending = f"<mergeCells>{merged}</mergeCells>" if merged else ""
    return f"<worksheet {MAIN}><sheetData>{''.join(lines)}</sheetData>{ending}</worksheet>"


def _cell(cell: Any, place: str, book: Book) -> str:
    if cell is None or cell == "":
        return ""
    if isinstance(cell, Formula):
        kind = ' t="str"' if isinstance(cell.value, str) else ""
        value = "<v></v>" if cell.value is None else f"<v>{escape(str(cell.value))}</v>"
        return f'<c r="{place}"{kind}><f>1+1</f>{value}</c>'
    if isinstance(cell, Broken):
        return f'<c r="{place}" t="e"><f>1/0</f><v>{cell.text}</v></c>'
    if isinstance(cell, bool):
        return f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    number, style = _number(cell, book)
    return f'<c r="{place}" s="{style}"><v>{number!r}</v></c>'


def _number(cell: Any, book: Book) -> tuple[float, int]:
    """Return a number as a sheet holds it, and the number of its style: a date is days since the workbook's first."""
    if isinstance(cell, datetime.time):
        return (cell.hour * 3600 + cell.minute * 60 + cell.second) / 86_400, 3
    if isinstance(cell, datetime.datetime):
        return (cell.replace(tzinfo=None) - _EPOCHS[book.since_1904]) / datetime.timedelta(days=1), 1
    if isinstance(cell, datetime.date):
        return (cell - _EPOCHS[book.since_1904].date()).days, 2
    return cell, 0


def _letter(column: int) -> str:
    return chr(ord("A") + column)


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader's child run in this process: it takes a tenth of the time."""
    from pulsecast_train.logs.workbooks import sheet

    monkeypatch.setattr(sheet, "run_module", run_workbook)


def run_workbook(module: str, arguments: Sequence[str], *, timeout_s: float) -> Ended:
    """Do in this process what the child does, as `run_module` has it done in another one."""
    from pulsecast_train.logs.workbooks import child

    assert module == child.__name__
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = child.main(list(arguments))
    return Ended(returncode=code, stdout=said.getvalue(), stderr="", timeout_s=timeout_s)
