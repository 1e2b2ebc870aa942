"""What killed writers leave is swept, what living ones hold is not, and no two writers share a name."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.whole_folders import check, content_of, environment, left_by_a_kill, make, make_and_fail, names
from pulsecast.errors import UsageError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.foundation.staging import Staged, held, staged, sweep
from pulsecast.foundation.whole_file import whole_file


def test_leftovers_of_dead_writers_are_removed_for_every_target_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    for target in ("bundle", "other", ".hidden"):
        dead = left_by_a_kill(tmp_path, target).partial
        dead.mkdir()
        (dead / "x").write_text("half")
    left_by_a_kill(tmp_path, "key.pem", "aaaaaaaaaaaa").partial.write_text("half of a file")
    left_by_a_kill(tmp_path, "nothing", "bbbbbbbbbbbb")
    with staged(tmp_path, "bundle") as living:
        living.partial.mkdir()
        (living.partial / "x").write_text("half")
        make(tmp_path / "bundle", "new")
        assert names(tmp_path) == sorted([living.lock.name, living.partial.name, "bundle"])
        assert names(living.partial) == ["x"]
    assert names(tmp_path) == ["bundle"]
    assert content_of(tmp_path / "bundle") == "new"


def test_a_lock_is_held_by_one_and_free_again_when_it_is_let_go_or_its_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock) as first, held(lock) as second:
        assert (first, second) == (True, False)
    with held(lock) as again:
        assert again
        lock.unlink()  # as its holder does at its end
        with held(lock) as other:
            assert other
    code = (
        "import os, sys, pathlib, pulsecast.foundation.staging as s; k = s.held(pathlib.Path(sys.argv[1])); "
        "k.__enter__()"
    )
    words = [sys.executable, "-c", f"{code}; os.kill(os.getpid(), {int(signal.SIGKILL)})", str(lock)]
    killed = subprocess.run(words, check=False, env=environment())
    assert killed.returncode == -signal.SIGKILL
    with held(lock) as after:
        assert after


def test_a_file_is_written_beside_leftovers_as_a_directory_is(tmp_path: Path) -> None:
    left_by_a_kill(tmp_path).partial.mkdir()
    with staged(tmp_path, "bundle") as living, whole_file(tmp_path / "notes", force=False) as file:
        file.write(b"x")
        assert len(names(tmp_path)) == 3
        living.partial.write_text("half")
    assert names(tmp_path) == ["notes"]


def test_temporary_files_of_a_killed_process_are_removed_when_the_next_ones_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = left_by_a_kill(tmp_path, "work").partial
    dead.mkdir()
    (dead / "x").write_text("half")
    with temporary_folder() as first, temporary_folder() as second:
        assert first != second
        assert first.stat().st_mode & 0o777 == 0o700
        (first / "x").write_text("x")
        assert not dead.exists()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".bundle.pulsecast-0123456789ab.partial", ".bundle.1.0.partial", "a.partial"])
def test_what_has_no_lock_of_a_writer_is_not_swept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("kind", ["a pipe", "a link", "a folder"])
def test_a_thing_of_a_locks_name_that_is_not_a_plain_file_is_not_swept(tmp_path: Path, kind: str) -> None:
    dead = Staged(folder=tmp_path, target="bundle", tag="0123456789ab")
    dead.partial.mkdir()
    if kind == "a pipe":
        os.mkfifo(dead.lock)
    elif kind == "a link":
        (tmp_path / "mine").touch()
        dead.lock.symlink_to("mine")
    else:
        dead.lock.mkdir()
    sweep(tmp_path)
    assert dead.partial.is_dir()
    assert os.path.lexists(dead.lock)


def test_where_locks_do_not_work_everything_is_written_and_nothing_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    dead = left_by_a_kill(tmp_path)
    dead.partial.mkdir()
    make(tmp_path / "bundle", "new")
    make(tmp_path / "bundle", "newer")
    assert content_of(tmp_path / "bundle") == "newer"
    assert names(tmp_path) == sorted(["bundle", dead.lock.name, dead.partial.name])


def test_a_writer_whose_lock_file_was_swept_before_it_was_locked_takes_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock, locked = fcntl.flock, []

    def swept_first(handle: int, operation: int) -> None:
        if not locked:
            (found,) = tmp_path.glob(".bundle.*.lock")
            found.unlink()
            locked.append(found.name)
        lock(handle, operation)

    monkeypatch.setattr("fcntl.flock", swept_first)
    with staged(tmp_path, "bundle") as living:
        assert names(tmp_path) == [living.lock.name]
        assert living.lock.name not in locked


@pytest.mark.parametrize("force", [True, False])
def test_an_old_directory_that_was_caught_between_two_renames_comes_back(tmp_path: Path, force: bool) -> None:
    """If the system cannot exchange two folders, a kill may happen between the two renames."""
    target = tmp_path / "bundle"
    make(target, "old")
    dead = left_by_a_kill(tmp_path)
    target.rename(dead.old)
    dead.partial.mkdir()
    if force:
        with pytest.raises(RuntimeError, match="gate"):
            make_and_fail(target)
    else:
        with pytest.raises(UsageError, match="exists; pass --force"):
            check(target, force=False)
    assert content_of(target) == "old"
    assert names(tmp_path) == ["bundle"]


def test_an_old_directory_stays_aside_while_something_else_is_at_its_place(tmp_path: Path) -> None:
    """The new one never stood, so the old one is not replaced: it comes back when its place is free."""
    target = tmp_path / "bundle"
    make(target, "old")
    dead = left_by_a_kill(tmp_path)
    target.rename(dead.old)
    dead.partial.mkdir()
    (tmp_path / "bundle").write_text("of another program")
    sweep(tmp_path)
    assert content_of(dead.old) == "old"
    (tmp_path / "bundle").unlink()
    dead.lock.touch()
    sweep(tmp_path)
    assert content_of(target) == "old"
    assert names(tmp_path) == ["bundle"]


# Replaces a directory again and again; it waits for a line on standard input, so that the racers overlap.
REPLACE = """
import sys
import tempfile
from pathlib import Path
from helpers.whole_folders import make
print("ready", flush=True)
sys.stdin.readline()
for round in range(20):
    make(Path(sys.argv[1]), sys.argv[2])
"""


def started(script: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a script and return when it has printed its first line."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment())
    assert child.stdout is not None
    assert child.stdout.readline()
    return child


@pytest.mark.slow
def test_processes_that_write_to_the_same_place_leave_one_whole_directory(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with ExitStack() as stack:
        children = [stack.enter_context(started(REPLACE, target, content)) for content in ("a", "b", "c")]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        results = [(child.communicate()[1], child.returncode) for child in children]
    assert results == [("", 0)] * 3
    assert content_of(target) in ("a", "b", "c")
    assert names(tmp_path) == ["bundle"]


# Fills a directory after its first line. As in a container of its own, it is process 1 there.
AS_PROCESS_1 = """
import os, sys
os.getpid = lambda: 1
from pathlib import Path
from helpers.whole_folders import fill, whole
with whole(Path(sys.argv[1])) as folder:
    (folder / "0").write_text("half")
    print("half", flush=True)
    sys.stdin.readline()
    fill(folder, sys.argv[2])
"""


def test_two_writers_that_are_both_process_1_do_not_mix_their_files(tmp_path: Path) -> None:
    """Two containers that share a volume: each has process ids of its own."""
    target = tmp_path / "bundle"
    with ExitStack() as stack:
        contents = ("first", "second")
        # the second one begins while the first one is half done
        children = [stack.enter_context(started(AS_PROCESS_1, target, content)) for content in contents]
        for child, content in zip(children, contents, strict=True):
            assert child.communicate("\n", timeout=60)[1] == ""
            assert content_of(target) == content
    assert names(tmp_path) == ["bundle"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["over an old one", "into an empty place", "by two renames"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_directory_whole(tmp_path: Path, how: str) -> None:
    """The child is killed at each system call that changes the disk, one after the other."""
    seen = set()
    for moment in range(40):
        place = tmp_path / str(moment)
        place.mkdir()
        target = place / "bundle"
        if how != "into an empty place":
            make(target, "old")
        killed = killed_at(target, moment, exchange=how != "by two renames")
        assert killed.stderr == ""
        if killed.returncode == 0:
            assert content_of(target) == "new"
            break
        assert killed.returncode == -signal.SIGKILL
        before = content_of(target) if target.exists() else "nothing"
        seen.add(before)
        sweep(place)
        assert names(place) in (["bundle"], [])
        if before == "nothing" and how == "by two renames":
            assert content_of(target) == "old"
        else:
            assert (content_of(target) if target.exists() else "nothing") == before
    assert killed.returncode == 0
    some = {"over an old one": {"old", "new"}, "into an empty place": {"nothing", "new"}}
    assert seen == some.get(how, {"old", "nothing", "new"})


# Kills itself at the n-th of the calls that write, move or remove.
KILLED = """
import os, signal, sys
from pathlib import Path
from helpers.whole_folders import FILES, MARKER, whole
from pulsecast.foundation import whole_directory as module
left = int(sys.argv[2])
def tick():
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
def before_and_after(function):
    def call(*arguments, **options):
        tick()
        result = function(*arguments, **options)
        tick()
        return result
    return call
if sys.argv[3] == "two renames":
    module.exchange = lambda *_: False
module.exchange = before_and_after(module.exchange)
module.flush = before_and_after(module.flush)
Path.rename = before_and_after(Path.rename)
Path.unlink = before_and_after(Path.unlink)
os.rmdir = before_and_after(os.rmdir)
with whole(Path(sys.argv[1])) as folder:
    tick()
    for number in range(FILES):
        (folder / str(number)).write_text("new")
        if number % 5 == 0:
            tick()
    (folder / "nested").mkdir()
    (folder / "nested" / "file").write_text("new")
    tick()
    (folder / MARKER).write_text("new")
    tick()
tick()
"""


def killed_at(target: Path, moment: int, *, exchange: bool) -> "subprocess.CompletedProcess[str]":
    how = "exchange" if exchange else "two renames"
    command = [sys.executable, "-c", KILLED, str(target), str(moment), how]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
