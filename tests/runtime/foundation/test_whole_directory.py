"""A directory exists whole or not at all: after an exception, in a race, and never in the place of other files."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.whole_folders import MARKER, check, content_of, fill, make, make_and_fail, names, whole
from pulsecast.errors import PulsecastError, UsageError
from pulsecast.foundation import whole_directory as module


def test_a_new_directory_takes_its_place_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with whole(target, force=False) as folder:
        fill(folder, "new")
        assert not target.exists()
        assert folder.parent == target.parent
    assert content_of(target) == "new"
    assert names(tmp_path) == ["bundle"]


def test_force_replaces_the_old_directory_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    make(target, "old")
    with whole(target) as folder:
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


def _a_project(target: Path) -> None:
    (target / ".git" / "refs").mkdir(parents=True)
    (target / ".git" / "HEAD").write_text("ref")
    for name in ("main.py", "tests.py", "app.js"):
        (target / name).write_text("x")


def _a_project_with_a_marker(target: Path) -> None:
    _a_project(target)
    (target / MARKER).write_text('{"name": "app"}')


def _with_a_folder_of_the_markers_name(target: Path) -> None:
    (target / MARKER).mkdir(parents=True)


def _with_a_pipe_of_the_markers_name(target: Path) -> None:
    target.mkdir()
    os.mkfifo(target / MARKER)


def _with_a_link_for_a_marker(target: Path) -> None:
    make(target, "old")
    (target / MARKER).rename(target.with_name("elsewhere"))
    (target / MARKER).symlink_to("../elsewhere")


def _with_notes(target: Path) -> None:
    make(target, "old")
    (target / "nested" / "notes.txt").write_text("x")


def _with_many_notes(target: Path) -> None:
    make(target, "old")
    for number in range(7):
        (target / f"note {number}").write_text("x")


def _with_a_link(target: Path) -> None:
    make(target, "old")
    (target / "7").unlink()
    (target / "7").symlink_to(target.parent)


def _with_a_folder_of_a_files_name(target: Path) -> None:
    make(target, "old")
    (target / "7").unlink()
    (target / "7").mkdir()
    (target / "7" / "thesis.txt").write_text("x")


def _with_an_unprintable_name(target: Path) -> None:
    make(target, "old")
    (target / "\x1b[2J").write_text("x")
    (target / os.fsdecode(b"\xff")).write_text("x")


def _link_to_a_bundle(target: Path) -> None:
    make(target.with_name("real"), "old")
    target.symlink_to("real")


NOT_REPLACED: dict[str, tuple[Callable[[Path], object], str]] = {
    "other files": (
        _with_other_files,
        r"holds other files \(no manifest.json\): thesis.txt; nothing is replaced: move",
    ),
    "a project": (_a_project, r"\(no manifest.json\): .git, app.js, main.py and 1 more; nothing is replaced"),
    "a project with a marker": (
        _a_project_with_a_marker,
        r"holds a manifest.json that is not of a folder of numbers \(manifest.json: expected one word\); nothing is",
    ),
    "a folder named as the marker": (_with_a_folder_of_the_markers_name, r"\(it is not a plain file\)"),
    "a pipe named as the marker": (_with_a_pipe_of_the_markers_name, r"\(it is not a plain file\)"),
    "a link named as the marker": (_with_a_link_for_a_marker, r"\(it is not a plain file\)"),
    "notes in a folder of ours": (
        _with_notes,
        r"holds what its manifest.json does not list: nested/notes.txt; nothing",
    ),
    "many notes": (_with_many_notes, r"does not list: note 0, note 1, note 2 and 4 more; nothing is replaced"),
    "a link in the place of a file": (_with_a_link, "does not list: 7; nothing is replaced"),
    "a folder in the place of a file": (_with_a_folder_of_a_files_name, "does not list: 7/thesis.txt; nothing"),
    "an unprintable name": (_with_an_unprintable_name, r"does not list: '\\x1b\[2J', '\\udcff'; nothing is replaced"),
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
        check(target)
    with pytest.raises(UsageError, match=sentence):
        make(target, "new")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "by two renames"])
def test_a_file_that_comes_into_the_old_folder_at_the_last_moment_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    target = tmp_path / "out"
    make(target, "old")
    swap = module.exchange if exchange else lambda *_: False

    def late(one: Path, other: Path) -> bool:
        (target / "notes.txt").write_text("mine")
        return swap(one, other)

    monkeypatch.setattr(module, "exchange", late)
    with pytest.raises(UsageError, match=r"out holds what its manifest.json does not list: notes.txt"):
        make(target, "new")
    assert (target / "notes.txt").read_text() == "mine"
    (target / "notes.txt").unlink()
    assert content_of(target) == "old"
    assert names(tmp_path) == ["out"]


def test_force_replaces_a_damaged_folder_of_ours(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "3").unlink()
    (tmp_path / "out" / "4").write_text("damaged")
    (tmp_path / "out" / "empty").mkdir()
    make(tmp_path / "out", "new")
    assert content_of(tmp_path / "out") == "new"


def test_force_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", "new")
    assert content_of(tmp_path / "out") == "new"


def test_without_force_even_an_empty_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out exists; pass --force to replace it"):
        check(tmp_path / "out", force=False)


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a is not a folder; make it first"):
        check(tmp_path / "a" / "out", force=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_parent_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="a is not writable"):
        check(tmp_path / "a" / "out", force=False)


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
            check(Path(name))
    finally:
        (tmp_path.parent / MARKER).unlink()


# ---------------------------------------------------------------------------------------- other writers


def test_two_threads_of_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    outer_is_open, inner_is_done = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def outer() -> None:
        try:
            with whole(target) as folder:
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
        with whole(target, force=False) as folder:
            fill(folder, "slow")
            make(target.with_name("other"), "quick")
            target.with_name("other").rename(target)  # another process was quicker

    with pytest.raises(UsageError, match="exists; pass --force"):
        lose()
    assert content_of(target) == "quick"
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "by two renames"])
def test_the_old_directory_is_back_if_the_last_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    target = tmp_path / "bundle"
    make(target, "old")
    flush = module.flush_folder

    def fails(folder: Path) -> None:
        if folder == tmp_path:
            raise OSError(5, "Input/output error")
        flush(folder)

    monkeypatch.setattr(module, "flush_folder", fails)
    if not exchange:
        monkeypatch.setattr(module, "exchange", lambda *_: False)
    with pytest.raises(PulsecastError, match="could not be written and is as it was: Input/output error"):
        make(target, "new")
    assert content_of(target) == "old"
    assert names(tmp_path) == ["bundle"]
