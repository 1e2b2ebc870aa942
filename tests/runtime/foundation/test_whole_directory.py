"""A directory exists whole or not at all: after an exception, a kill, a race, and beside old leftovers."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pulsecast
from pulsecast.errors import UsageError
from pulsecast.foundation import whole_directory as module
from pulsecast.foundation.whole_directory import check_free, whole_directory

MARKER = "manifest.json"
RUNTIME = str(Path(pulsecast.__file__).parents[1])
FILES = 20


def fill(folder: Path, content: str) -> None:
    """Write FILES numbered files and the marker last, all of the same content."""
    for number in range(FILES):
        (folder / f"{number}").write_text(content)
    (folder / "nested").mkdir()
    (folder / "nested" / "file").write_text(content)
    (folder / MARKER).write_text(content)


def make(target: Path, content: str) -> None:
    with whole_directory(target, force=True, marker=MARKER) as folder:
        fill(folder, content)


def make_and_fail(target: Path) -> None:
    with whole_directory(target, force=True, marker=MARKER) as folder:
        fill(folder, "new")
        raise RuntimeError("gate")


def content_of(target: Path) -> str:
    """Return the one content of a whole directory; fails if it is not whole."""
    files = [path for path in sorted(target.rglob("*")) if path.is_file()]
    assert len(files) == FILES + 2
    contents = {path.read_text() for path in files}
    assert len(contents) == 1
    return contents.pop()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_directory_takes_its_place_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with whole_directory(target, force=False, marker=MARKER) as folder:
        fill(folder, "new")
        assert not target.exists()
        assert folder.parent == target.parent
    assert content_of(target) == "new"
    assert names(tmp_path) == ["bundle"]


def test_force_replaces_the_old_directory_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    make(target, "old")
    with whole_directory(target, force=True, marker=MARKER) as folder:
        fill(folder, "new")
        assert content_of(target) == "old"
    assert content_of(target) == "new"
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("old", [True, False])
def test_an_exception_leaves_everything_as_it_was(tmp_path: Path, old: bool) -> None:
    target = tmp_path / "bundle"
    if old:
        make(target, "old")
    with pytest.raises(RuntimeError, match="gate"):
        make_and_fail(target)
    assert names(tmp_path) == (["bundle"] if old else [])
    assert not old or content_of(target) == "old"


def test_without_the_systems_exchange_the_old_directory_is_still_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: object())
    make(tmp_path / "bundle", "old")
    make(tmp_path / "bundle", "new")
    assert content_of(tmp_path / "bundle") == "new"
    assert names(tmp_path) == ["bundle"]


# ------------------------------------------------------------------------------------------------ what is replaced


def _with_other_files(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_text("x")


def _with_a_folder_of_the_markers_name(target: Path) -> None:
    (target / MARKER).mkdir(parents=True)


def _link_to_a_bundle(target: Path) -> None:
    make(target.with_name("real"), "old")
    target.symlink_to("real")


NOT_REPLACED: dict[str, tuple[Callable[[Path], object], str]] = {
    "other files": (_with_other_files, r"holds other files \(no manifest.json\) and is not replaced"),
    "a folder named as the marker": (_with_a_folder_of_the_markers_name, "holds other files"),
    "a file": (lambda t: t.write_text("x"), "is not a folder and is not replaced"),
    "a link to a bundle": (_link_to_a_bundle, "is not a folder and is not replaced"),
    "a broken link": (lambda t: t.symlink_to("nowhere"), "is not a folder and is not replaced"),
}


@pytest.mark.parametrize(("prepare", "sentence"), NOT_REPLACED.values(), ids=NOT_REPLACED.keys())
def test_force_replaces_nothing_that_is_not_ours(
    tmp_path: Path, prepare: Callable[[Path], object], sentence: str
) -> None:
    target = tmp_path / "out"
    prepare(target)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match=sentence):
        check_free(target, force=True, marker=MARKER)
    with pytest.raises(UsageError, match=sentence):
        make(target, "new")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_force_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", "new")
    assert content_of(tmp_path / "out") == "new"


def test_without_force_even_an_empty_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out exists; pass --force to replace it"):
        check_free(tmp_path / "out", force=False, marker=MARKER)


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a is not a folder; make it first"):
        check_free(tmp_path / "a" / "out", force=False, marker=MARKER)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_parent_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="a is not writable"):
        check_free(tmp_path / "a" / "out", force=False, marker=MARKER)


@pytest.mark.parametrize("name", [".", "..", "bundle/.."])
def test_a_place_without_a_name_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("bundle"), "old")
    (tmp_path / MARKER).write_text("x")
    (tmp_path.parent / MARKER).write_text("x")
    try:
        with pytest.raises(UsageError, match="is not a name for a folder"):
            check_free(Path(name), force=True, marker=MARKER)
    finally:
        (tmp_path.parent / MARKER).unlink()


# ---------------------------------------------------------------------------------------- other and dead processes


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    dead, living = tmp_path / f".bundle.{dead_pid()}.0.partial", tmp_path / f".bundle.{os.getppid()}.0.partial"
    reused = tmp_path / f".bundle.{os.getpid()}.0.partial"  # left by a dead process that had this one's number
    other = tmp_path / f".other.{dead_pid()}.0.partial"
    for folder in (dead, living, reused, other):
        folder.mkdir()
        (folder / "x").write_text("half")
    make(tmp_path / "bundle", "new")
    assert names(tmp_path) == sorted([living.name, other.name, "bundle"])
    assert content_of(tmp_path / "bundle") == "new"


@pytest.mark.parametrize("force", [True, False])
def test_an_old_directory_that_was_caught_between_two_renames_comes_back(tmp_path: Path, force: bool) -> None:
    """If the system cannot exchange two folders, a kill may happen between the two renames."""
    target = tmp_path / "bundle"
    make(target, "old")
    target.rename(tmp_path / f".bundle.{dead_pid()}.3.partial.old")
    if force:
        with pytest.raises(RuntimeError, match="gate"):
            make_and_fail(target)
    else:
        with pytest.raises(UsageError, match="exists; pass --force"):
            whole_directory(target, force=False, marker=MARKER).__enter__()
    assert content_of(target) == "old"
    assert names(tmp_path) == ["bundle"]


def test_two_threads_of_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    outer_is_open, inner_is_done = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def outer() -> None:
        try:
            with whole_directory(target, force=True, marker=MARKER) as folder:
                outer_is_open.set()
                assert inner_is_done.wait(30)
                fill(folder, "outer")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=outer)
    thread.start()
    assert outer_is_open.wait(30)
    make(target, "inner")
    assert content_of(target) == "inner"
    inner_is_done.set()
    thread.join()
    assert failures == []
    assert content_of(target) == "outer"
    assert names(tmp_path) == ["bundle"]


def test_the_loser_of_a_race_without_force_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "bundle"

    def lose() -> None:
        with whole_directory(target, force=False, marker=MARKER) as folder:
            fill(folder, "slow")
            make(target.with_name("other"), "quick")
            target.with_name("other").rename(target)  # another process was quicker

    with pytest.raises(UsageError, match="exists; pass --force"):
        lose()
    assert content_of(target) == "quick"
    assert names(tmp_path) == ["bundle"]


# Replaces a directory again and again; it waits for a line on standard input, so that both racers overlap.
REPLACE = f"""
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pulsecast.foundation.whole_directory import whole_directory
print("ready", flush=True)
sys.stdin.readline()
for round in range(int(sys.argv[4])):
    with whole_directory(Path(sys.argv[2]), force=True, marker="{MARKER}") as folder:
        for number in range({FILES}):
            (folder / str(number)).write_text(sys.argv[3])
        (folder / "nested").mkdir()
        (folder / "nested" / "file").write_text(sys.argv[3])
        (folder / "{MARKER}").write_text(sys.argv[3])
    print(round, flush=True)
"""


def replacer(target: Path, content: str, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", REPLACE, RUNTIME, str(target), content, str(rounds)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def start(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


@pytest.mark.slow
def test_processes_that_write_to_the_same_place_leave_one_whole_directory(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    children = [replacer(target, content, 20) for content in ("a", "b", "c")]
    for child in children:
        start(child)
    results = [(child.communicate()[1], child.returncode) for child in children]
    assert results == [("", 0)] * 3
    assert content_of(target) in ("a", "b", "c")
    assert names(tmp_path) == ["bundle"]


@pytest.mark.slow
@pytest.mark.parametrize("old", [True, False], ids=["over an old one", "into an empty place"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_directory_whole(tmp_path: Path, old: bool) -> None:
    """The child is killed at each system call that changes the disk, one after the other."""
    seen = set()
    for moment in range(40):
        place = tmp_path / str(moment)
        place.mkdir()
        target = place / "bundle"
        if old:
            make(target, "old")
        killed = killed_at(target, moment)
        assert killed.stderr == ""
        if killed.returncode == 0:
            assert content_of(target) == "new"
            break
        assert killed.returncode == -signal.SIGKILL
        seen.add(content_of(target) if target.exists() else "nothing")
        make(target, "again")  # and the leftovers do not stay
        assert content_of(target) == "again"
        assert names(place) == ["bundle"]
    assert killed.returncode == 0
    assert seen == ({"old", "new"} if old else {"nothing", "new"})


# Kills itself at the n-th of the audited events and calls that write, move or remove.
KILLED = f"""
import os, shutil, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pulsecast.foundation import whole_directory as module
left = int(sys.argv[3])
def tick(*_):
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
module._put_in_place = before_and_after(module._put_in_place)
module._exchange = before_and_after(module._exchange)
module._flush = before_and_after(module._flush)
Path.rename = before_and_after(Path.rename)
os.rmdir = before_and_after(os.rmdir)
with module.whole_directory(Path(sys.argv[2]), force=True, marker="{MARKER}") as folder:
    tick()
    for number in range({FILES}):
        (folder / str(number)).write_text("new")
        if number % 5 == 0:
            tick()
    (folder / "nested").mkdir()
    (folder / "nested" / "file").write_text("new")
    tick()
    (folder / "{MARKER}").write_text("new")
    tick()
tick()
"""


def killed_at(target: Path, moment: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", KILLED, RUNTIME, str(target), str(moment)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
