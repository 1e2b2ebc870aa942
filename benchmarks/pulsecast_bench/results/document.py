"""Reads the JSON files that this package writes; a damaged file and a file of another kind are different errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pulsecast import limits
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.plain_file import NotPlainError, TooLongError, read_plain
from pulsecast.plain_text import printable


def read_document(path: Path, key: str, kind: str, others: Mapping[str, str] | None = None) -> Mapping[str, object]:
    """Return the JSON object at `path`, which has `key`.

    others  key that only another kind of file has -> what the file is then, and what takes it; `{file}` is its name

    Its texts are printable: what is not is escaped, because they become lines of tables, notes and reports.

    Raises UsageError, which says that the file is not a `kind`, if it holds anything else; FormatError if it cannot be
    read or is not whole.
    """
    try:
        data = read_plain(path, limits.JSON_BYTES)
    except (NotPlainError, TooLongError) as error:
        raise FormatError(f"{path} {error.strerror}") from error
    except OSError as error:
        raise FormatError(f"{path} is not readable: {error.strerror}") from error
    if data.lstrip()[:1] != b"{":
        raise UsageError(f"{path.name} is not a {kind}")
    document = printable_document(data, where=path.name)
    for other, sentence in (others or {}).items():
        if other in document:
            raise UsageError(f"{path.name} is {sentence.format(file=path.name)}")
    if key not in document:
        raise UsageError(f"{path.name} is not a {kind}")
    return document


def printable_document(data: bytes, *, where: str) -> Mapping[str, object]:
    """Return the JSON object in `data` with every text in it made printable; raises FormatError if it is not one."""
    found = strict_json.loads(Mapping[str, object], data, where=where)  # type: ignore[type-abstract]
    return {printable(key): _printable(value) for key, value in found.items()}


def _printable(value: object) -> object:
    """Return JSON with printable texts; strict_json has checked that it is not nested deeply."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, Mapping):
        return {printable(key): _printable(item) for key, item in value.items()}
    return value
