"""A private folder: nobody else can change it, or exchange it for another one between a check and a use."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from pulsecast.errors import EngineError
from pulsecast.foundation import private_folder as module
from pulsecast.foundation.private_folder import private_folder, temporary_folder

SOMEBODY = 12345


@pytest.fixture(autouse=True)
def a_user_without_a_group_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Folders of the tests are writable by this user alone, and their group counts as others."""
    del tmp_path  # pytest names its folder by the real user
    monkeypatch.setattr("grp.getgrgid", lambda number: SimpleNamespace(gr_name="staff", gr_mem=["eve"]))
    monkeypatch.setattr("pwd.getpwuid", lambda number: SimpleNamespace(pw_name="ann"))
    before = os.umask(0o022)
    yield
    os.umask(before)


def enter(path: Path) -> os.stat_result:
    """Return the state of the folder that is opened for `path`."""
    with private_folder(path, purpose="cache", variable="CACHE") as folder:
        assert folder.descriptor is not None
        return os.fstat(folder.descriptor)


def refusal(path: Path) -> str:
    with pytest.raises(EngineError) as error:
        enter(path)
    return str(error.value)


def give(path: Path, owner: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file to another user is for root")
    os.chown(path, owner, -1, follow_symlinks=False)


def test_missing_folders_are_made_for_this_user_alone(tmp_path: Path) -> None:
    found = enter(tmp_path / "a" / "b" / "c")
    assert os.path.samestat(found, (tmp_path / "a" / "b" / "c").stat())
    for made in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert made.stat().st_mode & 0o777 == 0o700
    assert os.path.samestat(found, enter(tmp_path / "a" / "b" / "c"))


def test_a_relative_path_is_one_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert os.path.samestat(enter(Path("../cache")), (tmp_path / "cache").stat())


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o750, 0o701])
def test_a_folder_that_is_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(mode)
    assert refusal(tmp_path / "own") == (
        f"the cache folder {tmp_path}/own cannot be trusted: {tmp_path}/own is open to others (mode {mode:o}; expected "
        f"700); run `chmod 700 {tmp_path}/own` or set CACHE to a folder of yours"
    )


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o2770])
@pytest.mark.parametrize("below", ["own", "between/own", "missing/own"])
def test_a_writable_folder_anywhere_above_is_refused_by_its_name(mode: int, below: str, tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "between").mkdir(parents=True)
    above.chmod(mode)
    assert refusal(above / below) == (
        f"the cache folder {above / below} cannot be trusted: {above} can be changed by others (mode {mode:o}; "
        f"expected no write bits for them); run `chmod go-w {above}` or set CACHE to a folder of yours"
    )


def test_a_sticky_folder_above_is_fine_as_nobody_can_rename_what_others_have_in_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    assert enter(tmp_path / "shared" / "own").st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "members", "group", "fine"),
    [("ann", [], 7, True), ("ann", ["ann"], 7, True), ("ann", ["ann", "eve"], 7, False), ("staff", [], 7, False)],
)
def test_a_group_that_holds_this_user_alone_is_not_others(
    name: str, members: list[str], group: int, fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grp.getgrgid", lambda number: SimpleNamespace(gr_name=name, gr_mem=members))
    state = os.stat_result((0o40775, 1, 1, 2, os.getuid(), group, 0, 0, 0, 0))
    assert module._is_own_group(state) == fine


def test_the_group_of_root_is_never_one_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers of some clusters run users with any number in it."""
    monkeypatch.setattr("grp.getgrgid", lambda number: SimpleNamespace(gr_name="ann", gr_mem=[]))
    assert not module._is_own_group(os.stat_result((0o40775, 1, 1, 2, 0, 0, 0, 0, 0, 0)))


@pytest.mark.parametrize("at_fault", ["above", "above/own"])
def test_a_folder_of_another_user_is_refused_by_its_name(at_fault: str, tmp_path: Path) -> None:
    (tmp_path / "above" / "own").mkdir(parents=True, mode=0o700)
    give(tmp_path / at_fault, SOMEBODY)
    assert f"{tmp_path / at_fault} belongs to another user ({SOMEBODY}; expected 0" in refusal(
        tmp_path / "above" / "own"
    )


def test_for_another_user_this_folder_is_not_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path / "own")
    owner = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    assert f"belongs to another user ({owner}; expected {owner + 1}" in refusal(tmp_path / "own")


def test_a_link_is_not_a_private_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "own").symlink_to(tmp_path / "real")
    assert "own is not a folder but a link; remove it or set CACHE to a folder of yours" in refusal(tmp_path / "own")
    (tmp_path / "file").write_text("")
    assert "file is not a folder; remove it or set CACHE" in refusal(tmp_path / "file")


@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_above_is_followed_and_what_it_leads_through_is_checked(absolute: bool, tmp_path: Path) -> None:
    (tmp_path / "disk" / "caches").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    target = Path("../disk/caches")
    (tmp_path / "home" / "cache").symlink_to(tmp_path / "disk" / "caches" if absolute else target)
    assert os.path.samestat(enter(tmp_path / "home" / "cache" / "own"), (tmp_path / "disk" / "caches" / "own").stat())
    (tmp_path / "disk").chmod(0o777)
    assert "disk can be changed by others" in refusal(tmp_path / "home" / "cache" / "own")


def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "shared" / "way").symlink_to(tmp_path / "real")
    give(tmp_path / "shared" / "way", SOMEBODY)
    assert f"way is a link of another user ({SOMEBODY}; expected" in refusal(tmp_path / "shared" / "way" / "own")


def test_links_in_a_circle_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "is reached through more than 40 links" in refusal(tmp_path / "a" / "own")


def test_a_file_above_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file" / "own") == (
        f"the cache folder {tmp_path}/file/own cannot be made (Not a directory); set CACHE to a folder of yours"
    )


def test_an_open_folder_stays_the_same_if_its_path_is_exchanged(tmp_path: Path) -> None:
    with private_folder(tmp_path / "above" / "own", purpose="cache", variable="CACHE") as folder:
        (tmp_path / "above").rename(tmp_path / "away")
        (tmp_path / "above" / "own").mkdir(parents=True)
        (tmp_path / "above" / "own" / "name").write_text("theirs")
        os.close(os.open(folder.at("name"), os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder.descriptor))
    assert (tmp_path / "away" / "own" / "name").read_text() == ""


def test_no_file_stays_open_whether_a_folder_is_taken_or_refused(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are listed on Linux only")
    (tmp_path / "open" / "own").mkdir(parents=True)
    (tmp_path / "open" / "own").chmod(0o755)
    (tmp_path / "way").symlink_to("open")
    (tmp_path / "way" / "file").write_text("")
    before = sorted(Path("/proc/self/fd").iterdir())
    for below in ("own", "way/other/own", "way/own", "way/file", "way/file/own", "open/own/own"):
        with suppress(EngineError):
            enter(tmp_path / below)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_system_without_steps_from_open_folders_has_the_folder_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEPS_ARE_CHECKED", False)
    with private_folder(tmp_path / "above" / "own", purpose="cache", variable="CACHE") as folder:
        assert folder.descriptor is None
        os.close(os.open(folder.at("name"), os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder.descriptor))
    assert (tmp_path / "above" / "own" / "name").is_file()


def test_a_temporary_folder_is_private_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_others_can_exchange_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "theirs"))
    with pytest.raises(EngineError, match=r"theirs can be changed by others \(mode 777; .* or set TMPDIR to a folder"):
        temporary_folder().__enter__()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file" / "none"))
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="a temporary folder cannot be made"):
        temporary_folder().__enter__()


@pytest.mark.parametrize("stage", ["runtime", "train", "export"])
def test_every_temporary_folder_is_one_that_is_swept_after_a_kill(stage: str) -> None:
    """Those of `tempfile` stay for ever when their process is killed."""
    sources = [path for path in (Path(__file__).parents[3] / stage).rglob("*.py") if path.name != "private_folder.py"]
    assert len(sources) > 50
    found = [path.name for path in sources if re.search(r"TemporaryDirectory\(|mkdtemp\(", path.read_text("utf-8"))]
    assert found == []
