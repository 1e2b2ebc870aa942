"""`serve` and `stream` run until a signal comes, at any moment: none of their processes and no rubbish stays."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from helpers import plain
from helpers.brokers.servers import Redis
from helpers.engines import require
from helpers.hostile.terminating import DEADLINE_S, STAGED, begun, running, temporary_of
from helpers.outside.processes import wait_for
from pulsecast.foundation.staging import sweep
from pulsecast_serve.streams.store import open_store
from pulsecast_streams.brokers.store import StateStore

pytestmark = pytest.mark.slow

MOMENTS = 20  # of each command under `make soak`
SERVE = "serve {bundle} --port 0 --backend numpy --store {work}/s.sqlite --workers {workers}"
STREAM = "stream {bundle} --redis 127.0.0.1:{port} --from in --to out --backend numpy --store {work}/states.db"
# what a killed one may leave: a folder with its lock; the empty file with which Python tries the temporary folder
LEFT = re.compile(rf"{STAGED.pattern}|[a-z0-9_]{{8}}")
READY = "Ctrl-C stops it"  # the end of what both say once they answer
# exit codes of SIGTERM: in peace; while it begins; before Python has come to the command line
TERMINATED = {0, 143, -signal.SIGTERM}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "bundle"
    plain.write_bundle(path, plain.make_model(plain.LEVEL_SPEC))
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    require("faststream", "redis")
    server = Redis(folder=tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.stop()


def told(words: str, work: Path, number: signal.Signals, after_s: float | None) -> float:
    """Run a command, send it a signal after a time, or as soon as it answers; return how long it had run by then.

    Whatever the moment was, it ends, and none of its processes goes on. After SIGTERM there is no temporary folder more
    and no traceback; after SIGKILL there may be one, whose lock nobody holds, and that of a worker whose start was cut.
    """
    command, *rest = words.split()
    before = left_of(work)
    began = time.monotonic()
    process = begun(command, rest, work)
    assert process.stderr is not None
    said = ""
    if after_s is None:
        while READY not in said and (line := process.stderr.readline()):
            said += line
        assert READY in said, said
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
    seconds = time.monotonic() - began
    process.send_signal(number)
    said += process.communicate(timeout=DEADLINE_S)[1]
    wait_for(lambda: not running(process.pid))
    more = left_of(work) - before
    assert process.returncode in (TERMINATED if number == signal.SIGTERM else {-signal.SIGKILL}), said
    assert number == signal.SIGKILL or "Traceback" not in said, said
    assert not more if number == signal.SIGTERM else all(map(LEFT.fullmatch, more)), more
    return seconds


def left_of(work: Path) -> set[str]:
    """Return the names of temporary folders and their locks."""
    return {one.name for one in temporary_of(work).glob("*")}


def at_moments(words: str, work: Path) -> None:
    """Tell a command to end at random moments between its start and shortly after it answers."""
    draw, whole_s = random.Random(words.split(maxsplit=1)[0]), told(words, work, signal.SIGTERM, None)
    for number in range(MOMENTS):
        told(words, work, (signal.SIGTERM, signal.SIGKILL)[number % 2], draw.uniform(0, 1.2 * whole_s))
    told(words, work, signal.SIGTERM, None)  # it begins as ever
    sweep(temporary_of(work))
    assert not any(map(STAGED.fullmatch, left_of(work)))


def test_a_server_that_is_told_to_end_while_its_workers_begin_leaves_nothing(bundle: Path, work: Path) -> None:
    words = SERVE.format(bundle=bundle, work=work, workers=2)
    told(words, work, signal.SIGKILL, None)
    assert left_of(work)
    told(words, work, signal.SIGTERM, None)
    assert left_of(work) == set()  # what the killed one left is swept by the next
    open_store(f"{work}/s.sqlite").close()


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_ends_at_any_moment(bundle: Path, work: Path, workers: int) -> None:
    at_moments(SERVE.format(bundle=bundle, work=work, workers=workers), work)
    open_store(f"{work}/s.sqlite").close()


@pytest.mark.soak
def test_a_stream_ends_at_any_moment(bundle: Path, work: Path, redis: Redis) -> None:
    at_moments(STREAM.format(bundle=bundle, work=work, port=redis.port), work)
    StateStore(work / "states.db", "redis in").close()
