"""A command in a session of its own that is ended by a signal at some moment; no process of it may go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from helpers.outside.processes import wait_for

DEADLINE_S = 600  # of a whole run, on a busy machine
STAGED = re.compile(r"\..+\.pulsecast-[0-9a-f]{12}\.(lock|partial|old)")  # ended while it cleared up, or killed
STARTING = -signal.SIGTERM  # before Python has come to the command line, which has begun nothing


class Ended(NamedTuple):
    """How a command ended: its code, what it wrote to stderr, and how long it took."""

    code: int
    err: str
    seconds: float


def begun(command: str, words: list[str], work: Path) -> subprocess.Popen[str]:
    """Start the command in `work`, in a session of its own; its temporary folders go beside `work`."""
    temporary_of(work).mkdir(exist_ok=True)
    path = os.pathsep.join(part for part in sys.path if part)
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(temporary_of(work))}
    return subprocess.Popen(
        [sys.executable, "-m", "pulsecast_cli", command, *words], cwd=work, env=environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def temporary_of(work: Path) -> Path:
    """Return where temporary folders of commands in `work` go."""
    return work.with_name("temporary")


def ran(command: str, words: list[str], work: Path, after_s: float | None = None) -> Ended:
    """Run the command in `work`, terminate it after a time, and return how it ended; no child of it goes on."""
    began = time.monotonic()
    process = begun(command, words, work)
    if after_s is not None:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE_S)
    wait_for(lambda: not running(process.pid))
    assert [one.name for one in temporary_of(work).iterdir()] == []
    return Ended(process.returncode, err, time.monotonic() - began)


def running(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in ("Z", "X"):
            found.append(int(path.parent.name))
    return found
