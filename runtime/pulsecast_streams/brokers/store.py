"""A file of states, one for each series: SQLite, which outlives a crash of the process and of the machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pulsecast.errors import EngineError, FormatError, UsageError
from pulsecast.foundation.arguments import shown
from pulsecast.foundation.private_file import BESIDE_SQLITE, damage_of, require_private_file
from pulsecast.limits import TEXT_CHARACTERS

APPLICATION = 0x70756C73  # "puls", in the header of the file
FORMAT = 1
INSTEAD = "name another file with --store"
_TABLES = """
CREATE TABLE states (series TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE stream (name TEXT NOT NULL) STRICT;
"""


class StateStore:
    """The states of one stream. One process uses the file at a time; the others are refused.

    A state is written in a transaction of its own, which is on the disk when `put` returns. Not for several threads.
    What is kept under more than TEXT_CHARACTERS characters, as no series is called, is a note of the engine.
    """

    def __init__(self, path: Path, stream: str) -> None:
        """Open a file, or make it if it is not there.

        stream  what is read, such as "mqtt counts/+": a file of another stream is refused, as its states are of others

        Raises UsageError (in use, of another stream, not writable, not private to this user) and FormatError (not such
        a file).
        """
        require_private_file(path, what="the file of states", instead=INSTEAD, beside=BESIDE_SQLITE)
        self._name = shown(str(path))
        try:
            self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise UsageError(f"the file of states {self._name} cannot be opened: {error}") from None
        try:
            self._open(stream)
        except BaseException:
            self._database.close()
            raise

    def _open(self, stream: str) -> None:
        try:
            self._lock()
            if not self._found("SELECT count(*) FROM sqlite_schema"):
                self._make(stream)
            known = self._found("PRAGMA application_id"), self._found("PRAGMA user_version")
            if known != (APPLICATION, FORMAT):
                raise FormatError(f"{self._name} is not a file of states of format {FORMAT}; name another one, or none")
            if problem := damage_of(self._database):
                raise FormatError(
                    f"the file of states {self._name} is damaged ({problem}); bring back a copy, or {INSTEAD}"
                )
            of = self._found("SELECT name FROM stream")
            query = "SELECT count(*) FROM states WHERE length(series) <= ?"
            self._count = int(str(self._found(query, TEXT_CHARACTERS)))
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError(
                    f"the file of states {self._name} is used by another process; each takes one of its own"
                ) from None
            raise UsageError(f"the file of states {self._name} cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{self._name} is not a file of states: {error}; name another one, or none") from None
        if of != stream:
            raise UsageError(
                f"the file of states {self._name} is of the stream {shown(of)}, not {shown(stream)}; name another one"
            )

    def _lock(self) -> None:
        """Take the file for this process; whatever is acknowledged must be on the disk, so each commit is synced."""
        pragmas = ("trusted_schema=OFF", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL")
        for pragma in pragmas:
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("COMMIT")

    def _make(self, stream: str) -> None:
        self._database.executescript(
            f"BEGIN; PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT}; {_TABLES}"
        )
        self._database.execute("INSERT INTO stream VALUES (?)", (stream,))
        self._database.execute("COMMIT")

    def _found(self, query: str, *values: object) -> object:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else row[0]

    def __len__(self) -> int:
        """Return how many series have a state."""
        return self._count

    def get(self, series: str) -> bytes | None:
        """Return the state of a series; None if it has none. Raises EngineError."""
        try:
            row = self._database.execute("SELECT state FROM states WHERE series = ?", (series,)).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return None if row is None else bytes(row[0])

    def states(self) -> Iterator[tuple[str, bytes]]:
        """Yield all series and their states; raises EngineError."""
        try:
            for series, state in self._database.execute("SELECT series, state FROM states"):
                yield series, bytes(state)
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def put(self, series: str, state: bytes) -> None:
        """Keep a state; raises EngineError, such as for a full disk: the one before is kept then."""
        try:
            changed = self._database.execute("UPDATE states SET state = ? WHERE series = ?", (state, series)).rowcount
            if not changed:
                self._database.execute("INSERT INTO states VALUES (?, ?)", (series, state))
                self._count += len(series) <= TEXT_CHARACTERS
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> EngineError:
        return EngineError(f"the file of states {self._name} failed: {error}; free its disk, and start again")

    def close(self) -> None:
        """Close the file; another process may take it."""
        self._database.close()
