"""Other processes, seen through /proc: whether one has started, whether one has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 120.0  # on a busy machine a process takes that long to start


def wait_for(found: Callable[[], Any]) -> Any:
    """Return the first true result of `found`; fails after WAIT_S."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if value := found():
            return value
        time.sleep(0.01)  # what is waited for needs the processor
    pytest.fail(f"nothing came within {WAIT_S:g} s")


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
