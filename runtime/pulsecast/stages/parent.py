"""The tie of a child process to its parent."""

from __future__ import annotations

import ctypes
import os
import signal

PARENT = "PULSECAST_PARENT"  # environment variable: process id of the parent of the children
_SET_PARENT_DEATH_SIGNAL = 1  # Linux prctl


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux to end this process when its parent ends; on other systems it outlives a killed parent.

    `parent` is the parent's process id, by default the environment's PULSECAST_PARENT; without either, this call does
    not notice a parent that has already ended.
    """
    if parent is None and PARENT in os.environ:
        parent = int(os.environ[PARENT])
    try:
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    except (AttributeError, OSError):
        return
    if parent is not None and os.getppid() != parent:  # it ended before this could be asked
        os._exit(1)
