"""Native libraries: compiled by the user's compiler, kept, and loaded without a chance for anybody in between."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpers import plain
from helpers.native_models import require_c
from pulsecast import load, load_native
from pulsecast.backends import native_library
from pulsecast.backends.native_library import compiled, find_compiler, library_path, platform_tag
from pulsecast.backends.sealed_library import load_bytes
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import EngineError, MissingExtraError

require_c()
EXPORT = '__attribute__((visibility("default"))) '
SOURCES = {"model.c": f"{EXPORT}int answer(void) {{ return 42; }}\n".encode(), "model.h": b""}
LOADS = 60


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "above" / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "above" / "cache" / "native"


def answer() -> int:
    """Return what the compiled model of SOURCES answers, from the cache or compiled now."""
    return int(load_bytes(compiled(SOURCES, find_compiler())).answer())


def evil(mark: Path) -> bytes:
    """Return a library that leaves `mark` as soon as it is loaded."""
    source = (
        "#include <stdio.h>\n__attribute__((constructor)) static void leave(void) {\n"
        f'    FILE *file = fopen("{mark}", "w");\n    if (file) fclose(file);\n}}\n'
        f"{EXPORT}int answer(void) {{ return 13; }}\n"
    )
    before = os.environ["PULSECAST_CACHE"]
    os.environ["PULSECAST_CACHE"] = str(mark.with_name("attacker"))
    try:
        return compiled({"model.c": source.encode()}, find_compiler())
    finally:
        os.environ["PULSECAST_CACHE"] = before


def evil_entry(entry: Path, mark: Path) -> bytes:
    """Return what an attacker who knows the store's form would put in place of `entry`."""
    library = evil(mark)
    return hashlib.sha256(entry.stem.encode() + library).digest() + library


@contextmanager
def exchanging(*ways: Callable[[], None]) -> Iterator[None]:
    """Run `ways` in turn in another thread until the block ends; each exchanges a file or folder for another one."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            for way in ways:
                with suppress(OSError):
                    way()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_the_attack_would_work_on_a_cache_without_checks(cache: Path, tmp_path: Path) -> None:
    """Without this the tests below could not fail."""
    answer()
    (entry,) = cache.iterdir()
    entry.write_bytes(evil_entry(entry, tmp_path / "mark"))
    assert answer() == 13
    assert (tmp_path / "mark").exists()


def test_an_entry_that_is_exchanged_all_the_time_never_runs_and_the_model_always_does(
    cache: Path, tmp_path: Path
) -> None:
    assert answer() == 42
    (entry,) = cache.iterdir()
    whole, library = entry.read_bytes(), evil(tmp_path / "mark")
    aside = tmp_path / "aside"

    def put(data: bytes) -> Callable[[], None]:
        def way() -> None:
            aside.write_bytes(data)
            aside.chmod(0o600)
            aside.replace(entry)

        return way

    def link() -> None:
        (tmp_path / "theirs").write_bytes(library)
        aside.symlink_to(tmp_path / "theirs")
        aside.replace(entry)

    def overwrite() -> None:
        with entry.open("r+b") as file:
            file.write(whole[:32] + library)

    ways = (put(whole[:32] + library), put(whole), link, put(whole), overwrite, put(whole[:5000]), entry.unlink)
    with exchanging(*ways):
        assert [answer() for _ in range(LOADS)] == [42] * LOADS
    assert not (tmp_path / "mark").exists()


@pytest.mark.filterwarnings("ignore:the compiled model cannot be kept")
@pytest.mark.parametrize("exchanged", ["above", "above/cache", "above/cache/native"])
def test_a_folder_that_is_exchanged_all_the_time_gives_the_model_or_a_refusal(
    exchanged: str, cache: Path, tmp_path: Path
) -> None:
    """The attacker's folder holds a perfect entry; its mode is what tells that it is not this user's."""
    assert answer() == 42
    (entry,) = cache.iterdir()
    place, theirs, aside = tmp_path / exchanged, tmp_path / "theirs", tmp_path / "aside"
    shutil.copytree(place, theirs)
    (theirs / entry.relative_to(place)).write_bytes(evil_entry(entry, tmp_path / "mark"))
    theirs.chmod(0o777)

    def exchange() -> None:
        place.rename(aside)
        theirs.rename(place)

    def exchange_back() -> None:
        place.rename(theirs)
        aside.rename(place)

    def link() -> None:
        place.rename(aside)
        place.symlink_to(theirs)

    def unlink() -> None:
        place.unlink()
        aside.rename(place)

    answers, refusals = [], []
    with exchanging(exchange, exchange_back, link, unlink):
        for _ in range(LOADS):
            try:
                answers.append(answer())
            except EngineError as error:
                refusals.append(str(error))
    assert set(answers) <= {42}
    assert [text for text in refusals if not re.search("cannot be (trusted|made)", text)] == []
    assert not (tmp_path / "mark").exists()


def test_the_folder_of_another_user_that_is_exchanged_all_the_time_never_runs(cache: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file to another user is for root")
    assert answer() == 42
    (entry,) = cache.iterdir()
    place, theirs = cache, tmp_path / "theirs"
    shutil.copytree(place, theirs)
    (theirs / entry.name).write_bytes(evil_entry(entry, tmp_path / "mark"))
    for path in (cache.parent, theirs, theirs / entry.name):
        os.chown(path, 12345, -1)

    def exchange() -> None:
        place.rename(tmp_path / "aside")
        theirs.rename(place)

    def exchange_back() -> None:
        place.rename(theirs)
        (tmp_path / "aside").rename(place)

    with exchanging(exchange, exchange_back):
        for _ in range(LOADS):
            with pytest.raises(EngineError, match=r"cache belongs to another user \(12345; expected 0 or root\)"):
                answer()
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("damage", ["cut short", "flipped"])
def test_a_damaged_entry_of_a_real_size_is_compiled_anew_and_mended(damage: str, cache: Path) -> None:
    assert answer() == 42
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    if damage == "flipped":
        entry.write_bytes(whole[:32] + bytes(byte ^ 0x5A for byte in whole[32:]))
    else:
        os.truncate(entry, len(whole) // 2)
    assert answer() == 42
    assert entry.read_bytes()[32:] == compiled(SOURCES, find_compiler())
    assert hashlib.sha256(entry.stem.encode() + entry.read_bytes()[32:]).digest() == entry.read_bytes()[:32]


def test_the_model_is_not_compiled_where_others_can_exchange_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "theirs"))
    with pytest.raises(EngineError, match=r"theirs can be changed by others .* or set TMPDIR to a folder of yours"):
        answer()


def test_a_temporary_folder_that_is_full_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EngineError, match="the model cannot be compiled in a temporary folder: No space left"):
        answer()


def test_a_library_that_the_bundle_brings_needs_no_cache(
    level_model: plain.PlainModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in a container whose disk is read-only and whose user has no home."""
    tag = platform_tag()
    artifact = Artifact(**{**vars(plain.numpy_artifact()), "id": "native", "backend": "native", "path": "native"})
    folder = tmp_path / "bundle"
    plain.write_bundle(folder, level_model)
    prebuilt = folder / library_path("native", tag)
    prebuilt.parent.mkdir(parents=True)
    prebuilt.write_bytes(compiled(SOURCES, find_compiler()))
    for name in ("model.c", "model.h"):
        (folder / "native" / name).write_bytes(b"")
    plain.write_manifest(folder, level_model, (plain.numpy_artifact(), artifact))
    shutil.rmtree(cache.parent)
    cache.parent.write_text("not a folder")
    monkeypatch.setenv("CC", "no-such-compiler")
    for loading in (
        lambda: load(folder, backend="native", trust_code=True),
        lambda: load_native(folder, trust_code=True),
    ):
        with pytest.raises(EngineError, match="the native library has no model_predict"):  # so it was loaded
            loading()


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def test_cc_holds_options_and_a_starter_as_in_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = find_compiler()[0]
    starter = program(tmp_path / "starter", f'echo "$@" > {tmp_path}/said; exec "$@"')
    monkeypatch.setenv("CC", f"  {starter} {compiler} -O3 '-DNAME=two words' ")
    assert find_compiler() == [str(starter), compiler, "-O3", "-DNAME=two words"]
    assert answer() == 42
    assert (tmp_path / "said").read_text().startswith(f"{compiler} -O3 -DNAME=two words -std=c99")


@pytest.mark.parametrize("name", ["my tools/cc", "it's"])
def test_cc_may_be_a_path_with_spaces_and_quotes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my tools").mkdir()
    own = program(tmp_path / name, f'exec {find_compiler()[0]} "$@"')
    monkeypatch.setenv("CC", str(own))
    assert find_compiler() == [str(own)]
    assert answer() == 42


def test_a_relative_cc_is_one_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "own-cc", f'exec {find_compiler()[0]} "$@"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CC", "./own-cc")
    assert answer() == 42


@pytest.mark.parametrize("cc", ["", "   "])
def test_an_empty_cc_is_as_if_it_were_not_set(cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = find_compiler()
    monkeypatch.setenv("CC", cc)
    assert find_compiler() == expected


@pytest.mark.parametrize("cc", ["no-such-compiler", "no-such-compiler -O3", "gcc 'never closed", "''", '"" gcc', "-O3"])
def test_a_compiler_that_is_not_there_is_one_sentence(cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", cc)
    with pytest.raises(MissingExtraError) as error:
        find_compiler()
    assert f"found no C compiler ($CC, which is {cc!r}): install a C compiler, or load another" in str(error.value)


def test_a_starter_without_a_compiler_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(program(tmp_path / "starter", "echo starter: what shall I start >&2; exit 2")))
    with pytest.raises(EngineError, match=r"the C compiler starter failed on model\.c: starter: what shall I start"):
        answer()


def test_another_compiler_option_or_processor_has_an_entry_of_its_own(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = find_compiler()[0]
    starter = program(tmp_path / "starter", 'exec "$@"')
    other = program(tmp_path / "other", f'exec {compiler} "$@"')
    commands = ([compiler], [compiler, "-O3"], [str(starter), compiler], [str(starter), str(other)])
    for command in (*commands, *commands):
        compiled(SOURCES, command)
    assert len(list(cache.iterdir())) == 4
    program(other, f'exec  {compiler} "$@"')  # a new version of what the starter starts
    compiled(SOURCES, commands[3])
    assert len(list(cache.iterdir())) == 5
    own = [compiler, "-DFOR=native"]
    compiled(SOURCES, own)
    monkeypatch.setattr(native_library, "_processor", lambda: "another one")  # the same home on another computer
    compiled(SOURCES, own)
    compiled(SOURCES, commands[0])
    assert len(list(cache.iterdir())) == 7


def test_the_same_processor_is_the_same_each_time() -> None:
    assert native_library._processor() == native_library._processor()
    assert "MHz" not in native_library._processor()


def test_the_entry_is_this_users_alone(cache: Path) -> None:
    answer()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cache, *cache.iterdir())] == [0o700, 0o600]
