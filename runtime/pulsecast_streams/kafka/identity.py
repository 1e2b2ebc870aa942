"""The name of a process in its group, kept beside its states: after a crash the broker knows it again."""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown


@contextmanager
def identity(folder: Path) -> Iterator[str]:
    """Yield the name of whoever keeps states in `folder`, which is locked meanwhile; raises UsageError if it is in use.

    With a name a restarted process takes its partitions at once, and its open transaction is ended; without one both
    wait for the broker's timeouts.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / "instance").open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the folder for states {shown(str(folder))} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"the folder for states {shown(str(folder))} is used by another process; each takes one of its own: "
                "--state DIR"
            ) from None
        file.seek(0)
        name = file.read().strip()
        if not name:
            name = uuid.uuid4().hex
            file.write(f"{name}\n")
            file.flush()
        yield name
