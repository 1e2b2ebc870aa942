"""Checks of the native targets before they run: gate, compiler, cache."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from helpers import plain
from helpers.engines import require_tool, require_tools
from helpers.native_models import (
    build,
    directory,
    require_c,
    write_sources,
)
from pulsecast.backends.native_library import compile_library, find_compiler, open_library
from pulsecast.backends.native_store import CACHE_VARIABLE
from pulsecast.errors import EngineError, MissingExtraError
from pulsecast.stages.model_directory import read_model_directory
from pulsecast_export.native.gate import LIMIT_BYTES, declared, limit_bytes, native_gate, symbol_problems
from pulsecast_export.native.writer import sources

require_c()
# $CC, for a model of one path: what these gates look for does not depend on instruction sets
QUICK = f"{shlex.join(find_compiler())} -DMODEL_SCALAR"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["textbook", "recommended"])
@pytest.mark.parametrize("target_id", ["native", "native-w8"])
def test_a_trained_model_passes_the_gate_below_200_kilobytes(recipe, target_id, request, tmp_path):
    trained = read_model_directory(request.getfixturevalue(f"{recipe}_model"))
    folder = write_sources(trained, target_id, tmp_path)
    assert limit_bytes(trained.record.spec) == LIMIT_BYTES
    problems, census = native_gate(folder, trained.record.spec)
    assert problems == []
    assert int(census.split()[2]) <= LIMIT_BYTES


def test_a_library_that_is_too_large_is_refused(level_model, tmp_path, monkeypatch):
    folder = write_sources(directory(level_model), "native", tmp_path)
    monkeypatch.setenv("CC", QUICK)
    monkeypatch.setattr("pulsecast_export.native.gate.LIMIT_BYTES", 5_000)
    problems, census = native_gate(folder, level_model.spec)
    size = int(census.split()[2])
    assert size > 5_000
    assert problems == [f"the library has {size} bytes; at most 5000 for this model"]


def test_a_larger_model_may_have_its_numbers_and_its_code():
    larger = replace(plain.LEVEL_SPEC, units=(128, 64), network=None)
    numbers = 4 * ((1 + 128 + 2) * 512 + (128 + 64 + 2) * 256 + 65 + (50 + 1))
    assert limit_bytes(larger) == numbers + 72_000 + 26_000


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("#include <math.h>\n", ""),
        (
            "#include <math.h>\nMODEL_API float model_extra(float x) { return expf(x); }\n",
            "symbols that differ from model.h: model_extra; functions needed from elsewhere: expf",
        ),
        (
            "#include <stdlib.h>\nMODEL_API void *model_extra(size_t n) { return malloc(n); }\n",
            "symbols that differ from model.h: model_extra; functions needed from elsewhere: malloc",
        ),
    ],
    ids=["clean", "libm", "malloc"],
)
def test_the_gate_refuses_a_library_that_needs_libm_or_malloc(body, problem, level_model, tmp_path, monkeypatch):
    require_tools("nm")
    monkeypatch.setenv("CC", QUICK)
    folder = write_sources(directory(level_model), "native", tmp_path)
    with (folder / "model.c").open("a", encoding="ascii") as file:
        file.write(f"#ifdef CHOOSE /* not where the file includes itself */\n{body}#endif\n")
    library = build(folder, shlex.split(QUICK), "-fno-builtin")
    assert "; ".join(symbol_problems(library, declared(folder / "model.h"))) == problem
    problems, _ = native_gate(folder, level_model.spec)
    assert "; ".join(problems) == problem


def test_the_same_model_gives_the_same_source(model):
    assert sources(model, "native") == sources(model, "native")


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingExtraError, match="install a C compiler, or load another backend"):
        find_compiler()


@pytest.mark.parametrize(
    ("program", "remark"),
    [
        ("false", "the C compiler false failed on model.c: exit code 1, without a message"),
        ("true", "the C compiler true reported success but wrote no library"),
    ],
)
def test_a_compiler_that_makes_nothing_is_named(program, remark, tmp_path):
    with pytest.raises(EngineError, match=remark):
        compile_library([require_tool(program)], tmp_path, tmp_path / "model.so")


COMPILE = """
import hashlib, sys
from pathlib import Path
from pulsecast.backends.native_library import compiled, find_compiler
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
library = compiled({name: (folder / name).read_bytes() for name in ("model.c", "model.h")}, find_compiler())
print(hashlib.sha256(library).hexdigest())
"""


@pytest.mark.slow
def test_processes_that_compile_one_source_at_once_get_one_whole_library(level_model, tmp_path):
    folder = write_sources(directory(level_model), "native", tmp_path / "source")
    environment = os.environ | {
        CACHE_VARIABLE: str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path), "CC": QUICK
    }  # fmt: skip
    command = [sys.executable, "-c", COMPILE, str(folder)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:  # all have imported and wait: they compile at the same time
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = [worker.communicate()[0].strip() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    (entry,) = (tmp_path / "cache" / "native").iterdir()  # nothing unfinished is left
    library = entry.read_bytes()[32:]
    assert answers == [hashlib.sha256(library).hexdigest()] * 3
    assert open_library(library, level_model.spec).model_selftest() == 0
