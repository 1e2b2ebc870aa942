"""What the pieces of a batch give, and the folder beside the result that keeps it until the result is whole.

    .OUT.pulsecast-pieces/lock                 held while a run works on OUT; a second run is refused
    .OUT.pulsecast-pieces/FINGERPRINT.arrow    the rows of a piece
    .OUT.pulsecast-pieces/FINGERPRINT.json     its record, written last: without it the piece is not done

A fingerprint is of the piece's files, the bundle and the options, so that what is kept never goes into another result.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulsecast.errors import FormatError, PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.staging import held
from pulsecast.foundation.whole_file import whole_file, write_whole

LOCK_NAME = "lock"
_OWN_NAME = re.compile(r"[0-9a-f]{32}\.(arrow|json)")
Kind = Literal["failed", "far", "warning", "repair"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is to be said of a file, or of a series in it (else ""): that it failed, or what was odd or repaired.

    rows  how many rows or steps a repair is about; else 0
    """

    kind: Kind
    file: str
    series: str
    text: str
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """A series that was forecast, the file that it is in, and its number of rows."""

    file: str
    series: str
    rows: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """What a piece gives.

    table    its rows, as Arrow IPC
    sources  the series in them
    """

    table: bytes
    sources: tuple[Source, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class PieceRecord:
    """What is kept of a piece beside its rows, and the hash of those."""

    sha256: str
    sources: tuple[Source, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The folder of kept pieces, as long as it is locked."""

    folder: Path

    def table(self, fingerprint: str) -> Path:
        """Return where the rows of a piece are."""
        return self.folder / f"{fingerprint}.arrow"

    def record(self, fingerprint: str) -> PieceRecord:
        """Return the record of a piece that is kept; raises OSError, FormatError."""
        path = self._record(fingerprint)
        return strict_json.loads(PieceRecord, path.read_bytes(), where=path.name)

    def keep(self, fingerprint: str, made: Made) -> None:
        """Write what a piece gives; it is kept whole or not at all."""
        with whole_file(self.table(fingerprint), force=True) as file:
            file.write(made.table)
        record = PieceRecord(sha256=hashlib.sha256(made.table).hexdigest(), sources=made.sources, notes=made.notes)
        write_whole(self._record(fingerprint), strict_json.dumps(record), force=True)

    def has(self, fingerprint: str) -> bool:
        """Return whether a piece is kept, and is as it was written."""
        try:
            record = self.record(fingerprint)
            with self.table(fingerprint).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == record.sha256
        except (OSError, FormatError):
            return False

    def others(self, wanted: Collection[str]) -> int:
        """Return how many pieces are kept that are not `wanted`; they stay: an option may be left out in error."""
        return sum(name.endswith(".json") and name.partition(".")[0] not in wanted for name in self._own())

    def sweep(self) -> None:
        """Remove all pieces."""
        for name in self._own():
            (self.folder / name).unlink()

    def leave(self) -> None:
        """Remove the folder, unless pieces are kept in it."""
        if not self._own():
            (self.folder / LOCK_NAME).unlink()
            with contextlib.suppress(OSError):  # another run has just begun, or a stranger's file is in it
                self.folder.rmdir()

    def _record(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.json"

    def _own(self) -> list[str]:
        return [name for name in sorted(os.listdir(self.folder)) if _OWN_NAME.fullmatch(name)]  # noqa: PTH208  # only names


def folder_of(out: Path) -> Path:
    """Return the folder of the pieces of a result."""
    return out.with_name(f".{out.name}.pulsecast-pieces")


@contextlib.contextmanager
def kept_pieces(out: Path) -> Iterator[Pieces]:
    """Yield the pieces of the result `out`, which no other run works on meanwhile; raises UsageError if one does.

    What is in the folder stays there, unless the block sweeps it.
    """
    pieces = Pieces(folder=folder_of(out))
    with contextlib.ExitStack() as stack:
        try:
            pieces.folder.mkdir(mode=0o700, exist_ok=True)
            _check_own(pieces.folder)
            is_held = stack.enter_context(held(pieces.folder / LOCK_NAME))
        except OSError as error:
            raise PulsecastError(f"{pieces.folder} could not be written: {error.strerror}") from error
        if not is_held:
            raise UsageError(f"another run is writing {out}; wait for it, or choose another --out")
        try:
            yield pieces
        finally:
            pieces.leave()


def _check_own(folder: Path) -> None:
    """Raise UsageError unless this user made the folder: what another one puts there would become the result."""
    found = folder.lstat()
    if folder.is_symlink() or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise UsageError(f"{folder} is a link, or belongs to another user; remove it, or choose another --out")
