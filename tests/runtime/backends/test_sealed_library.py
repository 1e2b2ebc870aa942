"""Libraries from bytes in memory: what was checked is what runs, and it is mapped once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers.native_models import require_c
from pulsecast.backends.native_library import compiled, find_compiler
from pulsecast.backends.sealed_library import load_bytes

require_c()
FORKED = """
import os, sys
from pathlib import Path
from pulsecast.backends.sealed_library import load_bytes
library, other = (Path(path).read_bytes() for path in sys.argv[1:])
assert load_bytes(library).answer() == 1
child = os.fork()
assert load_bytes(library).answer() == 1 and load_bytes(other).answer() == 2
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def library(answer: int, unique: str) -> bytes:
    """Return a library that no other test has loaded."""
    source = f'int answer(void) {{ return {answer}; }}\nconst char *unique(void) {{ return "{unique}"; }}\n'
    return compiled({"model.c": f'__attribute__((visibility("default"))) {source}'.encode()}, find_compiler())


def require_memory_files() -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("sealed files in memory are Linux's")


def mapped() -> set[str]:
    """Return what memory files this process has mapped, by inode."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "memfd:pulsecast-model" in line}


def test_each_library_gives_its_own_answer_though_numbers_of_open_files_return() -> None:
    libraries = [load_bytes(library(answer, "own answer")) for answer in range(12)]
    assert [one.answer() for one in libraries] == list(range(12))


def test_a_library_that_is_loaded_again_is_mapped_once_and_typed_apart() -> None:
    require_memory_files()
    data = library(1, "mapped once")
    first = load_bytes(data)
    before = mapped()
    others = [load_bytes(bytes(bytearray(data))) for _ in range(50)]
    assert mapped() == before
    assert {one._handle for one in others} == {first._handle}
    others[0].answer.restype = None
    assert first.answer() == 1


def test_no_file_stays_open_and_the_mapped_bytes_are_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    require_memory_files()
    import fcntl

    data, seals = library(1, "sealed"), []
    add_seals = fcntl.fcntl

    def told(file: int, command: int, value: int = 0) -> int:
        done = add_seals(file, command, value)
        seals.append(add_seals(file, fcntl.F_GET_SEALS))
        return done

    monkeypatch.setattr(fcntl, "fcntl", told)
    before = sorted(Path("/proc/self/fd").iterdir())
    assert load_bytes(data).answer() == 1
    with pytest.raises(OSError, match=r"file too short|invalid ELF header"):
        load_bytes(data[:10])
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert seals[0] == fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


def test_without_files_in_memory_it_is_loaded_from_the_private_store(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = library(3, "from the store")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert load_bytes(data).answer() == 3
    assert data in [path.read_bytes() for path in cache.iterdir()]


def test_where_files_in_memory_are_forbidden_it_is_loaded_from_the_private_store(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    data = library(4, "forbidden")
    monkeypatch.setattr(os, "memfd_create", forbidden, raising=False)
    assert load_bytes(data).answer() == 4
    assert data in [path.read_bytes() for path in cache.iterdir()]


def test_threads_may_load_at_once() -> None:
    libraries = {answer: library(answer, "threads") for answer in range(4)}
    barrier, wrong = threading.Barrier(8), []

    def work(answer: int) -> None:
        barrier.wait()
        if load_bytes(libraries[answer]).answer() != answer:
            wrong.append(answer)

    threads = [threading.Thread(target=work, args=(number % 4,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_has_the_library_and_loads_others(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.so").write_bytes(library(number, "forked"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", FORKED, str(tmp_path / "1.so"), str(tmp_path / "2.so")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
