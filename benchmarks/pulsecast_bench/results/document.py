"""Reads the JSON files that this package writes; a damaged file and a file of another kind are different errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json


def read_document(path: Path, key: str, kind: str, others: Mapping[str, str] | None = None) -> Mapping[str, object]:
    """Return the JSON object at `path`, which has `key`.

    others  key that only another kind of file has -> what the file is then, and what takes it; `{file}` is its name

    Raises UsageError, which says that the file is not a `kind`, if it holds anything else; FormatError if it cannot be
    read or is not whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} is not readable: {error.strerror}") from error
    if data.lstrip()[:1] != b"{":
        raise UsageError(f"{path.name} is not a {kind}")
    document = strict_json.loads(Mapping[str, object], data, where=path.name)  # type: ignore[type-abstract]
    for other, sentence in (others or {}).items():
        if other in document:
            raise UsageError(f"{path.name} is {sentence.format(file=path.name)}")
    if key not in document:
        raise UsageError(f"{path.name} is not a {kind}")
    return document
