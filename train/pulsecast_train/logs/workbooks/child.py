"""The workbook child: `python -m pulsecast_train.logs.workbooks.child FILE SHEET OUT` writes a sheet as CSV to OUT.

SHEET is its name in JSON, null for the only one. The last line of stdout is the answer in JSON: the name of the sheet
and its hidden rows, or the names of several sheets, or why the workbook cannot be read.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from pulsecast.errors import DataError
from pulsecast.stages.parent import die_with_parent

from .cells import Cell, write_rows
from .parts import read_book, read_sheet_parts

MEMORY_BYTES = 4 << 30  # address space
MOST_CELLS = 16 << 20  # rows times columns of a sheet, from its first cell on
_MOST_SHEETS = 100


def main(arguments: list[str]) -> int:
    """Read as the module says."""
    file, sheet, out = arguments
    try:
        print(json.dumps(answer(Path(file), json.loads(sheet), Path(out))))
    except DataError as error:
        print(json.dumps({"fault": str(error)}))
    except MemoryError:
        print(json.dumps({"fault": f"takes over {MEMORY_BYTES >> 30} GiB of memory; save the sheet as CSV"}))
    return 0


def answer(path: Path, wanted: str | None, out: Path) -> dict[str, Any]:
    """Write a sheet to `out` and return the answer; raises DataError, without the file's name."""
    import python_calamine

    book = read_book(path)
    try:
        opened = python_calamine.load_workbook(path)
        name, others = _chosen(opened, wanted)
        if name is None:
            return {"sheets": others}
        rows = _rows(opened.get_sheet_by_name(name))
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise DataError("is not a whole workbook; save it again in a spreadsheet program") from error
    parts = read_sheet_parts(path, book, name)
    parts.cover(len(rows), len(rows[0]) if rows else 0)
    with out.open("w", encoding="utf-8", newline="") as text:
        write_rows(rows, parts.odd, text)
    return {"sheet": name, "hidden_rows": parts.hidden_rows}


def _chosen(opened: Any, wanted: str | None) -> tuple[str | None, list[str]]:
    """Return the sheet to read, or None with the names among which the user has to choose."""
    import python_calamine

    sheets = [one for one in opened.sheets_metadata if one.typ == python_calamine.SheetTypeEnum.WorkSheet]
    names = [one.name for one in sheets]
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"has no sheet {wanted!r}; its sheets are {', '.join(names[:_MOST_SHEETS])}")
        return wanted, []
    if len(sheets) > _MOST_SHEETS:
        raise DataError(f"has {len(sheets)} sheets; name one with --sheet")
    shown = [one.name for one in sheets if one.visible == python_calamine.SheetVisibleEnum.Visible]
    filled = [name for name in shown if opened.get_sheet_by_name(name).height > 0]
    if not filled and names != shown:
        raise DataError(f"has no filled sheet that is shown; name a hidden one with --sheet: {', '.join(names)}")
    if not filled:
        raise DataError("has no sheet with cells")
    return (filled[0] if len(filled) == 1 else None), filled


def _rows(sheet: Any) -> list[list[Cell]]:
    """Return the cells from the first row and column of the sheet on."""
    end = sheet.end or (-1, -1)
    if (end[0] + 1) * (end[1] + 1) > MOST_CELLS:
        raise DataError(
            f"has a sheet of {end[0] + 1:,} rows and {end[1] + 1:,} columns; at most {MOST_CELLS >> 20} million cells "
            "are read: delete what lies far from the table, or save it as CSV"
        )
    rows: list[list[Cell]] = sheet.to_python(skip_empty_area=False)
    return rows


def limit_memory() -> None:
    """Let this process have at most MEMORY_BYTES."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


if __name__ == "__main__":
    die_with_parent()
    limit_memory()
    sys.exit(main(sys.argv[1:]))
