"""Children of an export end with it: on the first failure, on Ctrl-C, and when it is killed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pulsecast.stages import child_process
from pulsecast.stages.child_process import Told, map_in_threads, run_child, run_module
from pulsecast.stages.progress import SILENT

FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_the_first_failure_ends_all_children_and_starts_no_more() -> None:
    started: list[str] = []

    def work(item: str) -> None:
        started.append(item)
        if item == "fails":
            raise KeyboardInterrupt
        run_child(FOREVER, os.environ, timeout_s=600)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        map_in_threads(work, ["fails", "runs", "waits", "waits too"], Told(what="", words=str, progress=SILENT))
    assert time.monotonic() - began < 300  # the children would have slept for ten minutes


class Heard:
    """Keeps what is told, and sets `waited` at the first line."""

    def __init__(self) -> None:
        self.states: list[tuple[str, int, int, str]] = []
        self.lines: list[str] = []
        self.waited = threading.Event()

    def tell(self, line: str) -> None:
        self.lines.append(line)
        self.waited.set()

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        self.states.append((what, done, total, note))


def test_work_in_children_says_what_has_finished_and_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, quick = Heard(), threading.Event()
    monkeypatch.setattr(child_process, "STILL_S", 0.01)
    monkeypatch.setattr(child_process.os, "cpu_count", lambda: 2)

    def work(item: str) -> str:
        if item == "quick":
            quick.set()
        else:
            assert quick.wait(60)
            assert heard.waited.wait(60)  # the wait is told while this one works
        return item.upper()

    told = Told(what="converting", words=lambda item: f"target {item}", progress=heard)
    assert map_in_threads(work, ["slow", "quick"], told) == ["SLOW", "QUICK"]
    assert heard.states == [
        ("converting", 0, 2, ""),
        ("converting", 1, 2, "target quick"),
        ("converting", 2, 2, "target slow"),
    ]
    assert re.fullmatch(r"converting: [\d.]+ m?s so far; not yet target slow(; target quick)?", heard.lines[-1])


def test_the_first_failure_by_the_order_of_the_items_is_raised() -> None:
    last = threading.Event()

    def work(item: int) -> None:
        if item == 0:
            last.wait(60)
        else:
            last.set()
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        map_in_threads(work, [0, 1], Told(what="", words=str, progress=SILENT))


def test_what_a_child_says_and_how_it_ends_is_returned() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run_child([sys.executable, "-c", code], os.environ, timeout_s=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_child_that_takes_too_long_is_ended() -> None:
    done = run_child(FOREVER, os.environ, timeout_s=0.2)
    assert (done.failed, done.reason) == (True, "took longer than 0.2 s")


def test_a_child_that_crashes_says_with_which_signal() -> None:
    code = "import os; os.kill(os.getpid(), 11)"
    assert run_child([sys.executable, "-c", code], os.environ, timeout_s=60).reason == "crashed with SIGSEGV"


def test_a_module_is_run_with_what_this_process_imports() -> None:
    done = run_module("json.tool", ["--help"], timeout_s=60)
    assert done.stdout.startswith("usage: ")
    assert run_module("pulsecast", ["--version"], timeout_s=60).answer.startswith("pulsecast ")
    assert run_module("no_such_module", [], timeout_s=60).reason.endswith("No module named no_such_module")


def test_a_child_that_is_killed_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "killed_here.py").write_text(
        "import os, signal, tempfile\nprint(tempfile.mkdtemp(), flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "temporary").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    done = run_module("killed_here", [], timeout_s=60)
    assert done.reason == "crashed with SIGKILL"
    assert done.answer.startswith(str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_a_child_of_a_killed_parent_ends() -> None:
    child = "from pulsecast.stages.parent import die_with_parent as d; d(); print('up', flush=True); input()"
    parent = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "print(p.pid, flush=True)\np.wait()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip(), process.stdout.readline().strip()]
        pid = int(next(line for line in said if line != "up"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(200):
            if not _is_running(pid):
                break
            time.sleep(0.05)
        assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
