"""A sheet of a workbook as the text of a table, made by a child process that may crash or be stopped over the file."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pulsecast.errors import DataError, MissingExtraError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.child_process import run_module

from ..data_report import Finding
from ..files import LogFile
from ..limits import BLOCK_BYTES
from ..looking.choices import Reading, undecided

CHILD = "pulsecast_train.logs.workbooks.child"
LEAST_S = 60.0  # for the imports on a busy machine
SLOWEST_BYTES_PER_S = 1 << 17  # of a packed file
_MOST_READINGS = 5

_Key = tuple[str, int, int, int, str | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """The text of a sheet as CSV, row n of the sheet on line n, and what is to be said about it."""

    text: BinaryIO
    found: tuple[Finding, ...]


_kept: dict[_Key, tuple[bytes, tuple[Finding, ...]]] = {}  # the last small sheet: a look reads a log several times


def read_sheet(log: LogFile, wanted: str | None) -> Sheet:
    """Return the sheet `wanted` of a workbook, or the only one that is shown and has cells.

    Raises UndecidedError if there are several, DataError if the workbook cannot be read, MissingExtraError without
    the reader of workbooks.
    """
    key = _key(log, wanted)
    if (kept := _kept.get(key)) is not None:
        return Sheet(text=io.BytesIO(kept[0]), found=kept[1])
    if importlib.util.find_spec("python_calamine") is None:
        raise MissingExtraError(f'{log.name} is a workbook; to read it: pip install "pulsecast[xlsx]"')
    with temporary_folder() as folder:
        out = folder / "sheet.csv"
        timeout_s = LEAST_S + log.size_bytes / SLOWEST_BYTES_PER_S
        ended = run_module(CHILD, [str(log.path.absolute()), json.dumps(wanted), str(out)], timeout_s=timeout_s)
        if ended.failed:
            raise DataError(f"{log.name} cannot be read: its reader {ended.reason}; save the sheet as CSV")
        answer = json.loads(ended.answer)
        if "fault" in answer:
            raise DataError(f"{log.name} {answer['fault']}")
        if "sheets" in answer:
            raise _several(log, answer["sheets"])
        found = _findings(log, int(answer["hidden_rows"]))
        if out.stat().st_size > BLOCK_BYTES:
            return Sheet(text=out.open("rb"), found=found)  # it stays readable when its folder is gone
        data = out.read_bytes()
    _kept.clear()
    _kept[key] = data, found
    return Sheet(text=io.BytesIO(data), found=found)


def sheet_chunks(text: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield the text about BLOCK_BYTES at a time, and whether it ends there, as `files.text_chunks` does."""
    last = False
    with text:
        while not last:
            read = text.read(BLOCK_BYTES)
            last = len(read) < BLOCK_BYTES
            yield read, last


def _key(log: LogFile, wanted: str | None) -> _Key:
    try:
        found = log.path.stat()
    except OSError as error:
        raise DataError(f"{log.name} cannot be read: {error.strerror or 'unknown failure'}") from error
    return str(log.path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns, wanted


def _several(log: LogFile, sheets: list[str]) -> DataError:
    readings = [Reading(words=f"the log is the sheet {name}", changes={"sheet": name}) for name in sheets]
    return undecided(
        f"{log.name} has {len(sheets)} sheets with cells ({', '.join(sheets)}); choose --sheet",
        readings[:_MOST_READINGS],
        "it is the first one",
    )


def _findings(log: LogFile, hidden_rows: int) -> tuple[Finding, ...]:
    if not hidden_rows:
        return ()
    sentence = "rows are hidden in the sheet, by a filter or by hand, and were read as the others"
    return (Finding(policy="hidden-rows", sentence=sentence, rows=hidden_rows, file=log.name),)
