"""The store of compiled libraries: what comes out of it is what went in, or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsecast.backends import native_store
from pulsecast.backends.native_store import LOADABLE, NativeStore, kept, open_store, store_path
from pulsecast.errors import EngineError

KEY, OTHER_KEY = "a" * 64, "b" * 64
LIBRARY = bytes(range(256)) * 40
HOUR_S = 3600

CHILD = """
import contextlib, os, resource, signal, sys, warnings
from pulsecast.backends.native_store import kept
key, library, how = sys.argv[1], sys.argv[2].encode() * 5000, sys.argv[3]
if how == "killed":
    os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)  # it is written, and not yet in place
elif how == "out of room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # a write fails in its middle
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(int(sys.argv[4])):
        assert set(kept(key, lambda: library)) in ({120}, {121}), "neither x nor y"
        if how == "removed":
            with contextlib.suppress(FileNotFoundError):  # the other process was first
                os.unlink(f"{os.environ['PULSECAST_CACHE']}/native/{key}.library")
print(*(one.message for one in said), sep="\\n")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def child(how: str, library: str = "x", times: int = 1) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", CHILD, KEY, library, how, str(times)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def keep(key: str = KEY, library: bytes = LIBRARY) -> None:
    with open_store() as store:
        store.keep(key, library)


def read(key: str = KEY) -> bytes | None:
    with open_store() as store:
        return store.read(key)


def never() -> bytes:
    raise AssertionError("it is in the store already")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_library_is_made_once_and_kept_for_this_user_alone(cache: Path) -> None:
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert kept(KEY, never) == LIBRARY
    assert kept(OTHER_KEY, lambda: b"other") == b"other"
    assert names(cache) == [f"{KEY}.library", f"{OTHER_KEY}.library"]
    assert [path.stat().st_mode & 0o777 for path in (cache, *cache.iterdir())] == [0o700, 0o600, 0o600]


def test_an_entry_is_the_hash_of_key_and_library_and_then_the_library(cache: Path) -> None:
    keep()
    digest = hashlib.sha256(KEY.encode() + LIBRARY).digest()
    assert (cache / f"{KEY}.library").read_bytes() == digest + LIBRARY


def test_the_folder_is_that_of_the_variable_or_of_the_users_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULSECAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert store_path() == Path("/caches/pulsecast/native")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert store_path() == Path("/home/ann/.cache/pulsecast/native")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULSECAST_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(EngineError, match="this user has no home folder; set PULSECAST_CACHE to a folder of yours"):
        kept(KEY, never)


@pytest.mark.parametrize("at", [*range(40), 5000, len(LIBRARY) + 31])
def test_a_flipped_bit_anywhere_is_found_and_mended(at: int, cache: Path) -> None:
    keep()
    data = bytearray((cache / f"{KEY}.library").read_bytes())
    data[at] ^= 1 << at % 8
    (cache / f"{KEY}.library").write_bytes(data)
    assert read() is None
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert kept(KEY, never) == LIBRARY


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 4096, len(LIBRARY) + 31])
def test_an_entry_that_is_cut_short_is_found_and_mended(length: int, cache: Path) -> None:
    keep()
    os.truncate(cache / f"{KEY}.library", length)
    assert read() is None
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert kept(KEY, never) == LIBRARY


def test_an_entry_with_bytes_after_its_end_is_found(cache: Path) -> None:
    keep()
    with (cache / f"{KEY}.library").open("ab") as file:
        file.write(b"\0")
    assert read() is None


def test_an_entry_under_another_name_is_not_that_names(cache: Path) -> None:
    keep()
    (cache / f"{KEY}.library").rename(cache / f"{OTHER_KEY}.library")
    assert read(OTHER_KEY) is None


def as_link(entry: Path, whole: bytes) -> None:
    (entry.parent / "elsewhere").write_bytes(whole)
    entry.symlink_to("elsewhere")


def as_pipe(entry: Path, whole: bytes) -> None:
    del whole
    os.mkfifo(entry)


def as_written_by_others(entry: Path, whole: bytes) -> None:
    entry.write_bytes(whole)
    entry.chmod(0o666)


def as_of_another_user(entry: Path, whole: bytes) -> None:
    entry.write_bytes(whole)
    if os.geteuid() != 0:
        pytest.skip("giving a file to another user is for root")
    os.chown(entry, 12345, -1)


@pytest.mark.parametrize("planted", [as_link, as_pipe, as_written_by_others, as_of_another_user])
def test_what_is_not_a_plain_file_of_this_user_is_not_read_and_is_replaced(
    planted: Callable[[Path, bytes], None], cache: Path
) -> None:
    keep()
    entry = cache / f"{KEY}.library"
    whole = entry.read_bytes()
    entry.unlink()
    planted(entry, whole)
    assert read() is None
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert kept(KEY, never) == LIBRARY
    assert entry.is_file()
    assert not entry.is_symlink()


def test_a_folder_in_place_of_an_entry_costs_a_warning_and_not_the_forecast(cache: Path) -> None:
    (cache / f"{KEY}.library" / "inside").mkdir(parents=True)
    cache.chmod(0o700)
    cache.parent.chmod(0o700)
    with pytest.warns(
        RuntimeWarning, match=r"cannot be kept in .* \(Is a directory\), so each start compiles it again"
    ):
        assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert names(cache) == [f"{KEY}.library"]


@pytest.mark.parametrize("refusing", ["fsync", "replace"])
def test_a_full_disk_costs_a_warning_and_leaves_what_was_there(
    refusing: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(OTHER_KEY, b"other")

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(native_store.os, refusing, full)
    expected = (
        rf"^the compiled model cannot be kept in {cache} \(No space left on device\), so each start compiles it again; "
        "make room there or set PULSECAST_CACHE to another folder of yours$"
    )
    with pytest.warns(RuntimeWarning, match=expected):
        assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert names(cache) == [f"{OTHER_KEY}.library"]
    assert read(OTHER_KEY) == b"other"


def test_a_write_that_fails_in_its_middle_leaves_nothing(cache: Path) -> None:
    out, error = (process := child("out of room")).communicate()
    assert process.returncode == 0, error
    assert "cannot be kept" in out
    assert "(File too large)" in out
    assert names(cache) == []


def test_a_folder_that_is_removed_meanwhile_costs_a_warning(cache: Path) -> None:
    def make() -> bytes:
        cache.rename(cache.with_name("away"))
        cache.with_name("away").rmdir()
        return LIBRARY

    with pytest.warns(RuntimeWarning, match="No such file"):
        assert kept(KEY, make) == LIBRARY


def test_a_failure_to_compile_is_the_compilers_and_nothing_is_kept(cache: Path) -> None:
    with pytest.raises(AssertionError, match="in the store already"):
        kept(KEY, never)
    assert names(cache) == []


def test_a_kill_in_the_middle_of_writing_leaves_no_entry_and_the_next_one_works(cache: Path) -> None:
    process = child("killed")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (left,) = cache.iterdir()
    assert read() is None
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert left.exists()  # it may be that of a living process
    age(left, 2 * HOUR_S)
    kept(OTHER_KEY, lambda: b"other")
    assert names(cache) == [f"{KEY}.library", f"{OTHER_KEY}.library"]


def test_a_kill_in_the_middle_of_writing_leaves_the_entry_that_was_there(cache: Path) -> None:
    keep()
    entry = cache / f"{KEY}.library"
    os.truncate(entry, 100)
    child("killed").communicate()
    assert entry.stat().st_size == 100
    assert kept(KEY, lambda: LIBRARY) == LIBRARY


def test_processes_that_write_and_remove_one_entry_at_once_read_whole_ones_only(cache: Path) -> None:
    """Each asks for the library many times and removes it: others find it, or make it, and never a part of it."""
    workers = [child("removed", library, times=40) for library in "xy"]
    assert [worker.communicate() for worker in workers] == [("\n", "")] * 2  # neither warnings nor errors
    assert names(cache) in ([], [f"{KEY}.library"])


def test_threads_that_keep_and_read_one_entry_at_once_read_whole_ones_only() -> None:
    libraries = [bytes([number]) * 50_000 for number in range(4)]
    keep(KEY, libraries[0])
    barrier, read_ones = threading.Barrier(4), []

    def work(library: bytes) -> None:
        barrier.wait()
        for _ in range(15):
            keep(KEY, library)
            read_ones.append(read())

    threads = [threading.Thread(target=work, args=(library,)) for library in libraries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_ones) == 60
    assert set(read_ones) <= set(libraries)


def test_the_entries_used_longest_ago_are_removed_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [letter * 64 for letter in "0123"]
    monkeypatch.setattr(native_store, "LIMIT_BYTES", 3 * (len(LIBRARY) + 32))
    for number, key in enumerate(keys[:3]):
        keep(key)
        age(cache / f"{key}.library", (10 - number) * HOUR_S)
    assert kept(keys[0], never) == LIBRARY  # used now, though it is the oldest
    keep(keys[3])
    assert names(cache) == [f"{keys[number]}.library" for number in (0, 2, 3)]


def test_a_library_beyond_the_limit_is_not_kept_and_removes_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(OTHER_KEY, b"other")
    monkeypatch.setattr(native_store, "LIMIT_BYTES", 1000)
    with pytest.warns(RuntimeWarning, match=r"\(File too large\)"):
        assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert names(cache) == [f"{OTHER_KEY}.library"]


def test_only_what_the_store_wrote_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep()
    foreign = ("notes.txt", f"{KEY}.txt", f".{KEY}.new", "short.library", f"{KEY.upper()}.library")
    for name in foreign:
        (cache / name).write_bytes(LIBRARY)
        age(cache / name, 100 * HOUR_S)
    monkeypatch.setattr(native_store, "LIMIT_BYTES", len(LIBRARY) + 32)
    age(cache / f"{KEY}.library", HOUR_S)
    keep(OTHER_KEY)
    assert names(cache) == sorted((*foreign, f"{OTHER_KEY}.library"))


def test_a_use_is_written_down_once_an_hour(cache: Path) -> None:
    keep()
    entry = cache / f"{KEY}.library"
    age(entry, HOUR_S / 2)
    before = entry.stat().st_mtime
    read()
    assert entry.stat().st_mtime == before
    age(entry, -5 * HOUR_S)  # the clock was wrong
    read()
    assert abs(entry.stat().st_mtime - time.time()) < HOUR_S


def test_removing_an_entry_does_not_harm_those_who_read_it(cache: Path) -> None:
    with open_store() as store:
        store.keep(KEY, LIBRARY)
        library = store.read(KEY)
        (cache / f"{KEY}.library").unlink()
        assert library == LIBRARY
        assert store.read(KEY) is None


def test_a_store_that_others_can_exchange_is_refused_by_the_folder_at_fault(cache: Path) -> None:
    keep()
    cache.parent.chmod(0o777)
    with pytest.raises(EngineError, match=r"cache can be changed by others .* or set PULSECAST_CACHE to a folder"):
        kept(KEY, never)


def test_the_store_stays_the_same_folder_if_its_path_is_exchanged(cache: Path) -> None:
    with open_store() as store:
        cache.parent.rename(cache.parent.with_name("away"))
        cache.mkdir(parents=True)
        store.keep(KEY, LIBRARY)
        assert store.read(KEY) == LIBRARY
    assert names(cache) == []


def loadable(store: NativeStore, library: bytes) -> Path:
    path = store.loadable(library)
    assert path.read_bytes() == library
    return path


def test_a_file_to_load_is_kept_under_its_hash_and_written_again_if_it_was_changed(cache: Path) -> None:
    with open_store() as store:
        path = loadable(store, b"library")
        assert path == cache / (hashlib.sha256(b"library").hexdigest() + LOADABLE)
        assert loadable(store, b"library") == path
        assert loadable(store, b"another") != path
        path.write_bytes(b"swapped")
        assert loadable(store, b"library") == path
        path.unlink()
        path.symlink_to(loadable(store, b"another"))
        assert loadable(store, b"library") == path
        assert not path.is_symlink()


def test_a_system_without_open_folders_keeps_by_path(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast.foundation.private_folder._STEPS_ARE_CHECKED", False)
    assert kept(KEY, lambda: LIBRARY) == LIBRARY
    assert kept(KEY, never) == LIBRARY
    monkeypatch.setattr(native_store, "LIMIT_BYTES", len(LIBRARY) + 32)
    assert kept(OTHER_KEY, lambda: LIBRARY) == LIBRARY
    assert names(cache) == [f"{OTHER_KEY}.library"]
