"""A folder that another writer exchanges while it is looked at: the answer is about one of them, never about a mix."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsecast.foundation.folder_kind import FolderKind, foreign

MARKER = "marker"


@pytest.fixture
def exchange(tmp_path: Path) -> Callable[[], None]:
    """Return a function that puts another whole folder, whose one file has another name, in the place of `folder`."""
    numbers = itertools.count()

    def exchanged() -> None:
        number, folder = next(numbers), tmp_path / "folder"
        if folder.exists():
            folder.rename(tmp_path / f"old {number}")
        folder.mkdir()
        (folder / f"{number}").touch()
        (folder / MARKER).write_text(f"{number}")

    exchanged()
    return exchanged


def kind(exchange: Callable[[], None], times: int) -> FolderKind:
    """Return a kind whose marker lists one file; reading it exchanges the folder, the first `times` times."""
    left = iter(range(times))

    def listed(marker: bytes) -> set[str]:
        if next(left, None) is not None:
            exchange()
        return {marker.decode(), MARKER}

    return FolderKind(noun="folder", marker=MARKER, listed=listed)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_folder_that_is_exchanged_meanwhile_is_its_own_if_the_new_one_is(
    tmp_path: Path, exchange: Callable[[], None], times: int
) -> None:
    assert foreign(tmp_path / "folder", kind(exchange, times)) is None


def test_a_file_of_the_users_in_the_new_one_is_seen(tmp_path: Path, exchange: Callable[[], None]) -> None:
    def with_notes() -> None:
        exchange()
        (tmp_path / "folder" / "notes.txt").touch()

    found = foreign(tmp_path / "folder", kind(with_notes, 1))
    assert found == "holds what its marker does not list: notes.txt"


def test_a_folder_that_never_rests_is_nobodys(tmp_path: Path, exchange: Callable[[], None]) -> None:
    assert foreign(tmp_path / "folder", kind(exchange, 10_000)) == "changes all the time"
