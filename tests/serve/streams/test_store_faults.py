"""A store that fails: foreign, damaged, busy, full. It is said in words, and what was kept stays."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from helpers.engines import require_tools
from helpers.serving.streams import following, kept, put
from pulsecast import UsageError
from pulsecast_serve import ServerConfig, application
from pulsecast_serve.refusal import RefusedError
from pulsecast_serve.streams.kept import Change, Key
from pulsecast_serve.streams.store import open_store
from pulsecast_serve.streams.streams import Outcome

KEY = Key("m", "a")
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def later(path: Path) -> None:
    open_store(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def logged(path: Path) -> None:
    path.touch()
    path.with_name("s.sqlite-wal").touch(0o644)


def damaged(path: Path) -> None:
    store = open_store(str(path))
    for i in range(40):
        put(store, Key("m", str(i)), Change(kept=kept(os.urandom(3000)), anew=True))
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


BAD = {
    "text": (lambda path: path.write_text("hello " * 1000), "cannot be used: file is not a database"),
    "another program's": (foreign, "is a database of another program"),
    "a later one": (later, "has format 2; this pulsecast reads 1"),
    "damaged": (damaged, "damaged|malformed"),
    "a folder": (lambda path: path.mkdir(), "is not a plain file"),
    "readable by others": (lambda path: path.touch(0o644), "is not private to this user"),
    "with a log of somebody's": (logged, r"not private to this user; .* chmod 600 .*/s\.sqlite-wal$"),
    "in a folder that is not there": (None, "cannot be made: No such file or directory"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_before_anything_is_served(what: str, bundle: Path, tmp_path: Path) -> None:
    make, sentence = BAD[what]
    path = tmp_path / ("s.sqlite" if make else "nowhere/s.sqlite")
    if make is not None:
        make(path)
        if path.is_file() and what != "readable by others":
            path.chmod(0o600)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UsageError, match=sentence) as caught:
        application(bundle, config=ServerConfig(store=str(path)))
    assert str(caught.value).startswith("the store of streams ")
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_store_that_stays_busy_is_said_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast_serve.streams.sqlite.BUSY_S", 0.01)
    path = str(tmp_path / "s.sqlite")
    streams, other = following(path), open_store(path)
    with other.changing(), pytest.raises(RefusedError, match="is busy; nothing of the request was kept") as caught:
        asyncio.run(streams.change(KEY, lambda now, blocks: Outcome(Change(kept=kept(), anew=True), None)))
    assert caught.value.status == 503
    assert other.get(KEY) is None
    asyncio.run(streams.change(KEY, lambda now, blocks: Outcome(Change(kept=kept(), anew=True), None)))
    assert other.get(KEY) is not None
    other.close()
    streams.close()


def test_a_store_that_cannot_be_opened_later_is_a_fault_that_the_log_tells(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    streams = following(str(tmp_path / "nowhere" / "s.sqlite"))
    with pytest.raises(RefusedError, match="cannot be opened; the log of the server says why") as caught:
        asyncio.run(streams.change(KEY, lambda now, blocks: Outcome(Change(kept=kept(), anew=True), None)))
    assert caught.value.status == 503
    assert "cannot be made: No such file or directory" in caplog.text
    assert "nowhere" not in str(caught.value)
    streams.close()


ON_A_SMALL_DISK = """
import asyncio, subprocess, sys
from pathlib import Path
from pulsecast_serve.refusal import RefusedError
from pulsecast_serve.streams.kept import Change, Kept, Key
from pulsecast_serve.streams.store import open_store
from pulsecast_serve.streams.streams import Outcome, Streams

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1024k", "tmpfs", folder], check=True)
streams = Streams(lambda: open_store(str(folder / "s.sqlite")), most=99, age_days=None)

def put(name, state):
    made = Kept(began=1, time=2, digest="", state=state, answer=b"{}")
    return asyncio.run(streams.change(Key("m", name), lambda now, blocks: Outcome(Change(kept=made), "kept")))

def state(name):
    return streams.wait_for(lambda store: store.get(Key("m", name))).state

print(put("a", b"before"))
filler = (folder / "filler").open("wb", buffering=0)
try:
    while True:
        filler.write(b"x" * 4096)
except OSError as error:
    print(error.errno)
refused = 0
for i in range(400):
    try:
        put("a", bytes([i % 256]) * 5000)
    except RefusedError as error:
        if not refused:
            print(error.status, error)
        refused += 1
        if refused > 3:
            break
    else:
        last = bytes([i % 256]) * 5000
        assert state("a") == last
print(state("a") in (b"before", locals().get("last")))
filler.close()
(folder / "filler").unlink()
print(put("a", b"after"), state("a"))
streams.close()
again = open_store(str(folder / "s.sqlite"))
print(again.get(Key("m", "a")).state)
"""


def test_on_a_full_disk_a_push_is_refused_and_the_state_before_it_stays(tmp_path: Path) -> None:
    require_tools("unshare", "mount")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a file system of one's own (unshare -m, mount) is for root")
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "kept", "28", "507 the disk of the store of streams is full; nothing of the request was kept", "True",
        "kept b'after'", "b'after'",
    ], done.stdout + done.stderr  # fmt: skip
