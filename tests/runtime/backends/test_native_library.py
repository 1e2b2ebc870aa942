"""A library that a bundle brings is loaded from a private copy of its checked bytes."""

from pathlib import Path

import pytest

from pulsecast.backends.native_library import kept
from pulsecast.errors import EngineError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_library_is_kept_under_its_hash_in_a_folder_of_the_users_own(cache: Path) -> None:
    path = kept(b"library")
    assert path.read_bytes() == b"library"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert kept(b"library") == path
    assert kept(b"another") != path
    assert len(list(path.parent.iterdir())) == 2


def test_a_kept_library_that_was_changed_is_written_again(cache: Path) -> None:
    path = kept(b"library")
    path.write_bytes(b"swapped")
    assert kept(b"library").read_bytes() == b"library"


def test_a_cache_that_is_open_to_others_is_refused(cache: Path) -> None:
    (cache / "native").mkdir(parents=True, mode=0o755)
    (cache / "native").chmod(0o755)
    with pytest.raises(EngineError, match="is open to others"):
        kept(b"library")
