"""An engine in a process of Node, or in a page of Chromium, that is asked by messages.

Each child has one engine and lives as long as its block. It is in a session of its own, so that Ctrl-C reaches this
process alone, which then ends all of them; on Linux it also ends when this process is killed. A page asks the server
that is started beside it for every message, at an address of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulsecast.errors import EngineError

from .page_server import page_server

ANSWER_S = 120.0  # a busy machine takes seconds to start a browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
)
# It ends with its parent, and so does what it becomes.
_LAUNCHER = """
import os, sys
from pulsecast.stages.parent import die_with_parent
die_with_parent(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """An engine in a process of its own: `send` brings it a message, `said` is the file of what it says on stderr."""

    def __init__(self, name: str, said: Path, send: Callable[[str], None]) -> None:
        self._name, self._said, self._send = name, said, send
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def heard(self, answer: str | None) -> None:
        """Take an answer, from another thread; None says that there will be no more."""
        self._answers.put(answer)

    def ask(self, what: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to the message `what`; raises EngineError if the engine failed, ended or hangs."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: so says the missing answer
            self._send(json.dumps({"ask": what, **given}))
        try:
            answer = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise EngineError(f"{self._name} did not answer within {ANSWER_S:g} s") from None
        if answer is None:
            lines = self._said.read_text("utf-8", "replace").strip().splitlines()
            raise EngineError(f"{self._name} ended: {lines[-1] if lines else 'no reason given'}")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise EngineError(f"{self._name} failed: {found['error']}")
        return found


@contextmanager
def node_child(node: str, name: str, program: Path, folder: Path) -> Iterator[Child]:
    """Yield a process of `node` that runs `program`; the new folder `folder` is its own. Raises EngineError."""
    folder.mkdir(parents=True)
    with _started([node, str(program)], folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise EngineError(f"{name} was started without pipes")

        def send(message: str) -> None:
            stdin.write(f"{message}\n".encode())
            stdin.flush()

        def listen() -> None:
            for line in stdout:
                child.heard(line.decode())
            child.heard(None)

        child = Child(name, folder / "said", send)
        threading.Thread(target=listen, daemon=True).start()
        yield child


@contextmanager
def page_child(
    browser: str, name: str, folders: Mapping[str, Path], folder: Path
) -> Iterator[tuple[Child, Sequence[Path]]]:
    """Yield a page of a new browser and the files it has asked for until now; `folder` is new, for its profile.

    folders  the files of the page, by the first part of their paths; `page` has page.html
    """
    folder.mkdir(parents=True)
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    child = Child(name, folder / "said", messages.put)
    with page_server(folders, messages, child.heard) as server:
        command = [browser, *_FLAGS, f"--user-data-dir={folder / 'profile'}", server.address]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # root has none
        with _started(command, folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            threading.Thread(target=_await_end, args=(process, child), daemon=True).start()
            yield child, server.asked


@contextmanager
def _started(command: Sequence[str], folder: Path, *, stdin: int, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that ends with the block, and with this process; what it says on stderr is in `folder`/said."""
    path = os.pathsep.join(part for part in sys.path if part)
    launched = [sys.executable, "-P", "-c", _LAUNCHER, str(os.getpid()), *command]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            launched,
            stdin=stdin,
            stdout=stdout,
            stderr=said,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # a browser is several processes
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _await_end(process: subprocess.Popen[bytes], child: Child) -> None:
    process.wait()
    child.heard(None)


def find_browser() -> str | None:
    """Return the path of the first of BROWSERS that is installed, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
