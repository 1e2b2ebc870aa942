"""Other processes, seen through /proc: whether one has started, whether one has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def wait_for(found: Callable[[], Any]) -> Any:
    """Return the first true result of `found`; fails after 20 s."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if value := found():
            return value
    pytest.fail("nothing came within 20 s")


def children(pid: int) -> list[int]:
    """Return the ids of the processes that `pid` started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Return whether a process runs; an ended process whose exit code was not yet read does not run."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
