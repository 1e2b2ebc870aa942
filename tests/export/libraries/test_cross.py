"""Libraries for other platforms: what their files say, the same bytes twice, run in an emulator, refused when wrong."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require, require_tool
from helpers.native_models import ODD_SPEC, directory, require_emulator, with_small_weights, write_sources
from helpers.native_models import build as build_here
from pulsecast.backends.native_library import find_compiler, library_path, platform_tag
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Library
from pulsecast.errors import ConversionError, EngineError, MissingExtraError, ToleranceError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.exporter import export_model
from pulsecast_export.libraries.emulated import EmulatedBackend, find_emulator
from pulsecast_export.libraries.libraries import (
    PLATFORMS,
    check_platforms,
    compile_library,
    compile_runner,
    with_native,
)
from pulsecast_export.libraries.library_child import build, file_problems, prove
from pulsecast_export.libraries.library_file import read_library
from pulsecast_export.native.gate import LIMIT_BYTES, declared
from pulsecast_export.targets import TARGETS

needs_zig = pytest.mark.usefixtures("zig")
LIBRARIES = [name for name in PLATFORMS if name != "wasm32"]  # the module has tests of its own
RUNNABLE = [name for name in LIBRARIES if PLATFORMS[name].emulator]
# the vector instruction that each library must use, if any, in the sum over the recurrent weights
INSTRUCTIONS = {"aarch64-linux": r"\bfmla\s+v\d+\.4s", "x86_64-linux": r"vfmadd\w+ps\s.*%zmm"}
DISASSEMBLERS = ("llvm-objdump", *(f"llvm-objdump-{n}" for n in range(14, 24)))
AT_LEAST = 100  # of them: the tiles are unrolled; a scalar loop has none


def _most_under_soak(names: Iterable[str], *kept: str) -> list[object]:
    return [name if name in kept else pytest.param(name, marks=pytest.mark.soak) for name in names]


@pytest.fixture
def zig() -> None:
    require("ziglang")


@pytest.fixture(scope="module")
def model() -> ModelDirectory:
    return directory(plain.make_model(ODD_SPEC))


@pytest.fixture(scope="module")
def source(model: ModelDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(model, "native", tmp_path_factory.mktemp("bundle") / "native")


def _compiled(source: Path, name: str, work: Path) -> bytes:
    work.mkdir()
    return compile_library(source, name, work)


@pytest.mark.slow
@needs_zig
@pytest.mark.parametrize("name", _most_under_soak(LIBRARIES, "aarch64-linux", "x86_64-windows"))
def test_a_library_is_for_its_platform_exports_the_interface_and_needs_nothing(name, source, tmp_path):
    data = _compiled(source, name, tmp_path / "a")
    interface = declared(source / "model.h")
    assert file_problems(data, name, interface, LIMIT_BYTES) == []
    assert data == _compiled(source, name, tmp_path / "b")  # in another folder
    other = "aarch64-linux" if name != "aarch64-linux" else "armv7-linux"
    assert f"the library is for {name}" in file_problems(data, other, interface, LIMIT_BYTES)
    assert file_problems(data, name, [*interface, "model_extra"], 1000)[-2:] == [
        "symbols that differ from model.h: model_extra",
        f"the library has {len(data)} bytes; at most 1000 for this model",
    ]
    assert str(tmp_path).encode() not in data


@pytest.mark.slow
@needs_zig
@pytest.mark.parametrize("name", _most_under_soak(RUNNABLE, "aarch64-linux"))
def test_a_library_passes_its_artifacts_checks_in_an_emulator(name, source, model, tmp_path):
    if name != platform_tag():
        require_emulator(PLATFORMS[name].emulator)
    found = build(model, source.parent, "native", name)
    assert found.proof == ("run" if name == platform_tag() else "emulated")
    assert found.max_abs < 1e-5
    assert (source.parent / found.path).is_file()


@pytest.mark.slow
@needs_zig
@pytest.mark.skipif(platform_tag() != "x86_64-linux", reason="a library for x86_64-linux")
@pytest.mark.parametrize("target_id", ["native", "native-w8"])
def test_a_prebuilt_library_chooses_the_path_that_one_compiled_here_does(target_id, model, tmp_path):
    small = with_small_weights(model)  # AMD's processors sum it by pairs
    folder = write_sources(small, target_id, tmp_path / "native")
    prebuilt = tmp_path / "model.so"
    prebuilt.write_bytes(_compiled(folder, "x86_64-linux", tmp_path / "work"))
    here, there = (ctypes.CDLL(str(path)) for path in (build_here(folder, find_compiler()), prebuilt))
    for library in (here, there):
        library.model_isa.restype = ctypes.c_char_p
    assert there.model_isa() == here.model_isa()


@pytest.mark.slow
@needs_zig
def test_a_library_of_another_model_is_refused_in_an_emulator(source, model, tmp_path):
    emulator = require_emulator("qemu-aarch64")
    first, *others = model.weights.layers
    wrong = replace(first, recurrent=(first.recurrent * 1.2).astype(np.float32))
    perturbed = replace(model, weights=replace(model.weights, layers=(wrong, *others)))
    write_sources(perturbed, "native", tmp_path / "native")
    library = tmp_path / "library"
    library.write_bytes(_compiled(tmp_path / "native", "aarch64-linux", tmp_path / "work"))
    with pytest.raises(ToleranceError, match="largest error / range"):
        prove(model, "native", "aarch64-linux", library)  # its own self-test passes
    # the model's source with another one's forecasts
    mixed = write_sources(model, "native", tmp_path / "mixed")
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    theirs = pattern.search((tmp_path / "native" / "model.c").read_text("ascii")).group()
    text = (mixed / "model.c").read_text("ascii")
    (mixed / "model.c").write_text(pattern.sub(theirs, text), "ascii")
    library.write_bytes(_compiled(mixed, "aarch64-linux", tmp_path / "work2"))
    (tmp_path / "work3").mkdir()
    runner = tmp_path / "runner"
    runner.write_bytes(compile_runner("aarch64-linux", tmp_path / "work3"))
    runner.chmod(0o700)
    with pytest.raises(EngineError, match="self-test failed under qemu-aarch64"):
        EmulatedBackend(emulator, runner, library, model.record.spec.horizon)
    library.write_bytes(b"\x7fELF" + bytes(200))
    with pytest.raises(EngineError, match="ended with 2 "):
        EmulatedBackend(emulator, runner, library, model.record.spec.horizon)


@pytest.mark.slow
@needs_zig
@pytest.mark.parametrize("name", _most_under_soak(INSTRUCTIONS, "aarch64-linux"))
def test_the_sums_of_a_library_are_vectorised(name, source, tmp_path):
    tool = require_tool(*DISASSEMBLERS)
    (tmp_path / "model.so").write_bytes(_compiled(source, name, tmp_path / "work"))
    text = subprocess.run([tool, "-d", tmp_path / "model.so"], capture_output=True, text=True, check=True).stdout
    assert len(re.findall(INSTRUCTIONS[name], text)) > AT_LEAST


@pytest.mark.slow
@needs_zig
def test_without_an_emulator_a_library_is_built_and_not_run(source, model, monkeypatch):
    monkeypatch.setattr("pulsecast_export.libraries.library_child.find_emulator", lambda name: None)
    found = build(model, source.parent, "native", "riscv64-linux")
    assert (found.proof, found.engine, found.max_abs) == ("built", None, None)


def test_an_unknown_platform_is_refused_with_the_known_ones():
    known = ", ".join(PLATFORMS)
    with pytest.raises(UsageError, match=re.escape(f"no platform 'mips-linux', ''; known: {known}")):
        check_platforms(("mips-linux", "x86_64-linux", ""))


def test_without_ziglang_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'pulsecast[native-cross]'")):
        check_platforms(("x86_64-linux",))


def test_libraries_are_made_of_the_native_targets():
    assert {"native", "native-w8", "onnx"} <= set(with_native(()))
    assert with_native(("onnx", "native-w8")) == ("onnx", "native-w8")
    with pytest.raises(UsageError, match="libraries are compiled from the targets native, native-w8"):
        with_native(("onnx",))


@pytest.mark.parametrize(
    "data", [b"", b"MZ", b"\x7fELF\x02" + bytes(60), b"\xcf\xfa\xed\xfe" + bytes(8), b"#!/bin/sh\n"]
)
def test_a_file_that_is_not_a_library_is_refused(data):
    with pytest.raises(ValueError, match=r"cut off or of an unknown kind|neither ELF nor PE nor Mach-O"):
        read_library(data)
    assert file_problems(data, "x86_64-linux", [], 100)[0].startswith("the library is ")


def test_a_library_that_was_built_only_says_so_and_one_that_ran_says_what_ran():
    library = Library(
        artifact="native",
        platform="aarch64-macos",
        path=library_path(TARGETS["native"].path, "aarch64-macos"),
        proof="built",
        compiler="ziglang 0",
    )
    assert strict_json.loads(Library, strict_json.dumps(library).encode(), where="here") == library
    with pytest.raises(ValueError, match="engine is given if and only if the library has run"):
        replace(library, proof="emulated")
    with pytest.raises(ValueError, match="engine is given if and only if the library has run"):
        replace(library, engine="native neon")


def test_what_zig_says_of_a_broken_source_is_the_error(source, tmp_path):
    require("ziglang")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.h").write_bytes((source / "model.h").read_bytes())
    (broken / "model.c").write_text("int model_predict(void) { return nothing; }\n", "ascii")
    with pytest.raises(ConversionError, match=r"zig failed: .*nothing"):
        _compiled(broken, "aarch64-linux", tmp_path / "work")


@pytest.mark.slow
@needs_zig
def test_an_export_lists_its_libraries_in_manifest_and_card(change_model, tmp_path):
    plain.write_model_directory(tmp_path / "model", change_model)
    export_model(
        tmp_path / "model",
        tmp_path / "bundle",
        targets=("native-w8",),
        native_for=("x86_64-windows", "aarch64-macos"),
    )
    bundle = Bundle.open(tmp_path / "bundle")
    assert [(x.platform, x.proof) for x in bundle.manifest.libraries] == [
        ("x86_64-windows", "built"),
        ("aarch64-macos", "built"),
    ]
    assert bundle.read("native-w8/lib/x86_64-windows/model.dll")[:2] == b"MZ"
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text("utf-8")
    assert card.count("**built, not run**") == 2


@pytest.mark.slow
@pytest.mark.soak
@needs_zig
def test_one_export_holds_both_artifacts_for_every_platform_each_proven_where_something_runs_it(change_model, tmp_path):
    plain.write_model_directory(tmp_path / "model", change_model)
    manifest = export_model(
        tmp_path / "model",
        tmp_path / "bundle",
        targets=("native", "native-w8"),
        native_for=tuple(PLATFORMS),
    ).manifest
    assert [(x.artifact, x.platform) for x in manifest.libraries] == [
        (artifact, name) for artifact in ("native", "native-w8") for name in PLATFORMS
    ]
    bundle = Bundle.open(tmp_path / "bundle")
    limit = {x.id: x.tolerance.max_abs for x in manifest.artifacts}
    for library in manifest.libraries:
        assert len(bundle.read(library.path)) <= LIMIT_BYTES
        emulator = PLATFORMS[library.platform].emulator
        runs = library.platform == platform_tag() or find_emulator(emulator) is not None
        assert (library.proof != "built") is runs, library.platform
        assert library.max_abs is None or library.max_abs <= limit[library.artifact]
