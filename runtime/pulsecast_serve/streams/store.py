"""Where streams are kept: what a store must do, and the kinds there are.

Another one, of a database say, is a class with these methods; `Streams` calls them from one thread of each process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from pulsecast.forecasting.watching.drift import Verdict

from ..config import MEMORY
from .kept import Change, Judged, Kept, Key, Totals


class Writing(Protocol):
    """One transaction: nobody else changes the store until it ends."""

    def token(self, key: Key) -> int | None:
        """Return the token of what is kept now; None if nothing is."""

    def get(self, key: Key) -> Kept | None:
        """Return what is kept now."""

    def put(self, key: Key, change: Change) -> None:
        """Change what is kept, and give it another token."""

    def forget(self, key: Key) -> bool:
        """Keep nothing of a stream any longer; return whether something was kept."""

    def count(self, model: str) -> int:
        """Return how many streams of a model are kept."""


class Store(Protocol):
    """Keeps streams. What `changing` has kept stays, or its error says that nothing of it was."""

    def changing(self) -> AbstractContextManager[Writing]:
        """Return a transaction: it is kept whole at its end, or not at all if it ends in an error.

        Raises RefusedError, also at its end: 503 (busy, not writable), 507 (no space left).
        """

    def get(self, key: Key) -> Kept | None:
        """Return what is kept of a stream."""

    def blocks(self, key: Key) -> Sequence[bytes]:
        """Return the whole blocks of observations, oldest first."""

    def names(self, model: str, after: str, most: int, verdict: Verdict | None = None) -> Sequence[str]:
        """Return the names of series in their order, `most` of those that come after `after`.

        verdict  of those alone that have it; None of all
        """

    def totals(self) -> Mapping[str, Totals]:
        """Return the totals of each model."""

    def judged(self, model: str, most: int) -> Mapping[str, Judged]:
        """Return what was found of the first `most` series by name."""

    def forget_older(self, than: int) -> int:
        """Forget the streams whose last change was before unix seconds `than`; return how many."""

    def close(self) -> None:
        """Give back what is held open."""


def open_store(where: str, *, thorough: bool = True) -> Store:
    """Return the store that `--store` names: `memory`, or a file, which is made if it is not there.

    thorough  read all of a file and look for damage

    Raises UsageError (the file is foreign or damaged, or others can read it).
    """
    if where == MEMORY:
        from .memory import MemoryStore

        return MemoryStore()
    from .sqlite import SqliteStore

    return SqliteStore(where, thorough=thorough)
