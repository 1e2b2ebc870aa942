"""Streams in a file of SQLite, which several processes share and which survives them.

The journal is a write-ahead log, synced at every commit (`synchronous=FULL`): what was answered survives kill -9 and a
power cut. A transaction takes the lock for writing when it begins (BEGIN IMMEDIATE), so that what it reads cannot be
changed before it ends. Readers wait for nobody.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulsecast.errors import UsageError
from pulsecast.forecasting.watching.drift import Verdict
from pulsecast.forecasting.watching.promises import Counts
from pulsecast.foundation.arguments import shown
from pulsecast.foundation.private_file import BESIDE_SQLITE, damage_of, require_private_file

from ..refusal import NO_SPACE, NOT_READY, RefusedError
from .kept import Change, Judged, Kept, Key, Totals

BUSY_S = 20.0  # that a transaction waits for those of other processes
APPLICATION_ID = 0x50756C73  # "Puls", in the header of the file
FORMAT = 1
_TABLES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, name TEXT NOT NULL, token INTEGER NOT NULL, changed INTEGER NOT NULL,
    began INTEGER NOT NULL, time INTEGER NOT NULL, seen INTEGER NOT NULL, digest TEXT NOT NULL, newest BLOB NOT NULL,
    answer BLOB NOT NULL, state BLOB NOT NULL, UNIQUE (model, name)
) STRICT;
CREATE TABLE blocks (
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (series, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdicts (
    series INTEGER PRIMARY KEY REFERENCES series ON DELETE CASCADE, model TEXT NOT NULL, verdict TEXT NOT NULL,
    judged INTEGER NOT NULL, inside INTEGER NOT NULL, larger INTEGER NOT NULL, above INTEGER NOT NULL
) STRICT;
CREATE TABLE models (name TEXT PRIMARY KEY, streams INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER begun AFTER INSERT ON series BEGIN
    INSERT INTO models VALUES (new.model, 1) ON CONFLICT (name) DO UPDATE SET streams = streams + 1;
END;
CREATE TRIGGER forgotten AFTER DELETE ON series BEGIN
    UPDATE models SET streams = streams - 1 WHERE name = old.model;
END;
"""
_MARKS = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
_COLUMNS = ("token", "changed", "began", "time", "seen", "digest", "newest", "answer", "state")
_GET = "SELECT began, time, digest, state, answer, newest, seen, token FROM series WHERE model = ? AND name = ?"
_PUT = (
    f"INSERT INTO series (model, name, {', '.join(_COLUMNS)}) VALUES (?, ?{', ?' * len(_COLUMNS)}) "  # noqa: S608
    f"ON CONFLICT (model, name) DO UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in _COLUMNS)} RETURNING id"
)
_JUDGE = (
    "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (series) DO UPDATE SET verdict = excluded.verdict, "
    "judged = excluded.judged, inside = excluded.inside, larger = excluded.larger, above = excluded.above"
)
_TOTALS = (
    "SELECT model, sum(verdict = 'train again'), sum(judged), sum(inside), sum(larger), sum(above) FROM verdicts "
    "GROUP BY model"
)
_NAMES = (
    "SELECT name FROM series WHERE model = ? AND name > ? AND (? IS NULL OR ? = coalesce("
    "(SELECT verdict FROM verdicts WHERE series = id), 'unknown')) ORDER BY name LIMIT ?"
)
_JUDGED = (
    "SELECT name, verdict, judged, inside, larger, above FROM series JOIN verdicts ON series = id "
    "WHERE series.model = ? ORDER BY name LIMIT ?"
)
# the first byte of SQLite's code -> status and sentence
_REFUSED = {
    sqlite3.SQLITE_FULL: (NO_SPACE, "the disk of the store of streams is full; nothing of the request was kept"),
    sqlite3.SQLITE_BUSY: (NOT_READY, "the store of streams is busy; nothing of the request was kept: try again"),
    sqlite3.SQLITE_READONLY: (NOT_READY, "the store of streams cannot be written; nothing of the request was kept"),
    sqlite3.SQLITE_IOERR: (NOT_READY, "the disk of the store of streams fails; nothing of the request was kept"),
}


class SqliteStore:
    """Keeps streams in a file; the one connection is used by one thread at a time."""

    def __init__(self, path: str, *, thorough: bool) -> None:
        """Open the file, or make it; raises UsageError."""
        require_private_file(Path(path), what=_WHAT, instead=_INSTEAD, beside=BESIDE_SQLITE)
        try:
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._open(path, thorough=thorough)
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise UsageError(f"{_what(path)} cannot be used: {error}; {_INSTEAD}") from None

    def _open(self, path: str, *, thorough: bool) -> None:
        run = self._connection.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA foreign_keys = ON")
        if not self._number("PRAGMA application_id") and not self._number("SELECT count(*) FROM sqlite_schema"):
            self._make()
        if self._number("PRAGMA application_id") != APPLICATION_ID:
            raise UsageError(f"{_what(path)} is a database of another program; {_INSTEAD}")
        if (found := self._number("PRAGMA user_version")) != FORMAT:
            raise UsageError(f"{_what(path)} has format {found}; this pulsecast reads {FORMAT}: {_INSTEAD}")
        if thorough and (problem := damage_of(self._connection)):
            raise UsageError(f"{_what(path)} is damaged ({problem}): bring back a copy, or {_INSTEAD}")
        if run("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise UsageError(f"{_what(path)} lies on a disk that cannot hold a write-ahead log; {_INSTEAD}")
        run("PRAGMA synchronous = FULL")

    def _make(self) -> None:
        """Make the tables, unless another process does so at the same time."""
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {_MARKS} COMMIT;")
        except sqlite3.OperationalError:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if self._number("PRAGMA application_id") != APPLICATION_ID:
                raise

    def _number(self, question: str) -> int:
        found: int = self._connection.execute(question).fetchone()[0]
        return found

    @contextmanager
    def changing(self) -> Iterator[SqliteStore]:
        with _refusing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends one that it cannot go on with
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        with _refusing():
            return self._connection.execute(question, values).fetchall()

    def token(self, key: Key) -> int | None:
        found = self._rows("SELECT token FROM series WHERE model = ? AND name = ?", *key)
        return found[0][0] if found else None

    def get(self, key: Key) -> Kept | None:
        found = self._rows(_GET, *key)
        if not found:
            return None
        began, last, digest, state, answer, newest, seen, token = found[0]
        return Kept(
            began=began, time=last, digest=digest, state=state, answer=answer, newest=newest, seen=seen, token=token
        )

    def put(self, key: Key, change: Change) -> None:
        if change.anew:
            self.forget(key)
        kept, token = change.kept, secrets.randbits(62)  # a counter would begin again with a stream
        ((series,),) = self._rows(
            _PUT, *key, token, int(time.time()), kept.began, kept.time, kept.seen, kept.digest, kept.newest,
            kept.answer, kept.state,
        )  # fmt: skip
        for number, block in change.blocks.items():
            self._rows("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", series, number, block)
        if change.blocks or change.judged is not None:
            self._rows("DELETE FROM blocks WHERE series = ? AND number < ?", series, change.first)
        if (judged := change.judged) is not None:
            counts = judged.counts
            self._rows(
                _JUDGE, series, key.model, judged.verdict, counts.judged, counts.inside, counts.larger, counts.above
            )

    def forget(self, key: Key) -> bool:
        return bool(self._rows("DELETE FROM series WHERE model = ? AND name = ? RETURNING 1", *key))

    def count(self, model: str) -> int:
        found = self._rows("SELECT streams FROM models WHERE name = ?", model)
        return found[0][0] if found else 0

    def blocks(self, key: Key) -> Sequence[bytes]:
        question = "SELECT data FROM series JOIN blocks ON series = id WHERE model = ? AND name = ? ORDER BY number"
        return [data for (data,) in self._rows(question, *key)]

    def names(self, model: str, after: str, most: int, verdict: Verdict | None = None) -> Sequence[str]:
        return [name for (name,) in self._rows(_NAMES, model, after, verdict, verdict, most)]

    def totals(self) -> Mapping[str, Totals]:
        sums = {
            model: (again, Counts(judged=judged, inside=inside, larger=larger, above=above))
            for model, again, judged, inside, larger, above in self._rows(_TOTALS)
        }
        found = {}
        for model, streams in self._rows("SELECT name, streams FROM models WHERE streams > 0"):
            again, counts = sums.get(model, (0, Counts()))
            found[model] = Totals(streams=streams, again=again, counts=counts)
        return found

    def judged(self, model: str, most: int) -> Mapping[str, Judged]:
        return {
            name: Judged(verdict=verdict, counts=Counts(judged=judged, inside=inside, larger=larger, above=above))
            for name, verdict, judged, inside, larger, above in self._rows(_JUDGED, model, most)
        }

    def forget_older(self, than: int) -> int:
        with self.changing():
            return len(self._rows("DELETE FROM series WHERE changed < ? RETURNING 1", than))

    def close(self) -> None:
        self._connection.close()


_WHAT, _INSTEAD = "the store of streams", "name another file with --store"


def _what(path: str) -> str:
    return f"{_WHAT} {shown(path)}"


@contextmanager
def _refusing() -> Iterator[None]:
    """Let SQLite's errors that a client must hear of become a RefusedError; the others are faults of this server."""
    try:
        yield
    except sqlite3.Error as error:
        refused = _REFUSED.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if refused is None:
            raise
        raise RefusedError(*refused) from error
