"""What is said of the WebAssembly beside onnxruntime-web: shares within rounds, the limit, the tables; refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers import plain
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast_bench.native.web import __main__ as program
from pulsecast_bench.native.web.engines import CHROMIUM, NODE, PAIRS, PEER, engines_of, find_package
from pulsecast_bench.native.web.figures import lines, shares
from pulsecast_bench.native.web.turns import Download, Found

MODULES = ("lib/wasm32/model.wasm", "lib/wasm32/pulsecast.js")


def figures(**pairs: list[float]) -> dict[str, list[float]]:
    return {name.replace("_", "-"): numbers for name, numbers in pairs.items()}


def found(**changes: object) -> Found:
    """Five rounds in Node and in a page: the second machine-wide slow round meets all."""
    each = figures(native=[10, 30, 10, 10, 10], onnx=[100, 300, 100, 100, 100])
    eight = figures(native_w8=[9.0, 20.0, 9.0, 9.0, 9.0], onnx_w8=[30.0, 60.0, 30.0, 30.0, 30.0])
    usual = {
        "turns_us": {NODE: each | eight, CHROMIUM: each | eight},
        "starts_ms": {NODE: figures(native=[20.0], onnx=[400.0], native_w8=[20.0], onnx_w8=[400.0])},
        "errors": {NODE: dict.fromkeys(("native", "onnx", "native-w8", "onnx-w8"), 1e-7)},
        "downloads": {
            "native": Download(size_bytes=162_000, gzip_bytes=130_000),
            "onnx": Download(size_bytes=14_464_000, gzip_bytes=400_000),
        },
    }
    return Found(**{**usual, **changes})


def test_a_share_is_taken_within_a_round_and_is_met_up_to_a_fifth() -> None:
    taken = {(one.what, one.ours): one for one in shares(found())}
    share = taken["node, a forecast", "native"]
    assert (share.found.value, share.found.low, share.found.high) == (0.1, 0.1, 0.1)
    assert share.met
    assert taken["chromium, a forecast", "native-w8"].found.value == 0.3
    assert not taken["chromium, a forecast", "native-w8"].met
    assert taken["node, the first forecast", "native"].found.value == 0.05
    assert ("chromium, the first forecast", "native") not in taken
    assert taken["download", "native"].found.value == 162 / 14_464
    assert taken["download, gzip", "native"].met is False
    assert ("download", "native-w8") not in taken


def test_the_tables_name_every_engine_and_say_what_is_missed() -> None:
    without = found(downloads={}, starts_ms={})
    text = "\n".join(lines(without, ["node: v20"]))
    head, table, judged = text.split("\n\n")
    assert head == "node: v20"
    assert table.splitlines()[0].split() == ["native", "onnx", "native-w8", "onnx-w8"]
    assert table.splitlines()[1].split() == ["node,", "a", "forecast,", "us", "10.0", "100.0", "9.0", "30.0"]
    assert [line.split()[-1] for line in judged.splitlines()] == ["met", "MISSED"] * 2
    assert "download" not in text
    eight = {name: Download(size_bytes=70_000, gzip_bytes=50_000) for name in ("native-w8", "onnx-w8")}
    full = "\n".join(lines(found(downloads=found().downloads | eight), []))
    assert re.search(r"^download, kB +162 +14,464 +70 +70$", full, re.MULTILINE)


def test_the_package_says_what_node_and_a_page_import(stand_in: Path, tmp_path: Path) -> None:
    package = find_package(stand_in)
    assert (package.version, package.node, package.page) == ("0.0.1", "./dist/ort.mjs", "./dist/ort.mjs")
    install = rf"install it by npm install --no-package-lock --prefix FOLDER {PEER}@\S+, and say --modules FOLDER/node_"
    with pytest.raises(UsageError, match=f"there is no {PEER} in .*; {install}"):
        find_package(tmp_path)
    (tmp_path / PEER).mkdir()
    for text in ("{", json.dumps({"version": "1", "exports": {}}), json.dumps({"version": "1", "exports": []})):
        (tmp_path / PEER / "package.json").write_text(text, "ascii")
        with pytest.raises(UsageError, match=f"does not say what Node and a page import; {install}"):
            find_package(tmp_path)


def bundle_with(folder: Path, model: plain.PlainModel, *artifacts: str, modules: bool = True) -> Bundle:
    """A bundle whose artifacts are not what they say."""
    plain.write_bundle(folder, model, *(plain.artifact_of(name, model.spec) for name in artifacts if "onnx" in name))
    native = [name for name in artifacts if "native" in name]
    for name in native:
        (folder / name / "lib" / "wasm32").mkdir(parents=True)
        for path in MODULES if modules else ():
            (folder / name / path).write_bytes(name.encode())
        (folder / name / "model.c").write_bytes(b"")
    rows = tuple(plain.artifact_of(name, model.spec) for name in artifacts)
    plain.write_manifest(folder, model, (plain.numpy_artifact(), *rows))
    return Bundle.open(folder)


def test_8_bit_engines_take_part_if_the_bundle_has_both(level_model, stand_in: Path, tmp_path: Path) -> None:
    package = find_package(stand_in)
    one = bundle_with(tmp_path / "one", level_model, "native", "onnx", "onnx-w8")
    (tmp_path / "files").mkdir()
    assert [engine.name for engine in engines_of(one, package, tmp_path / "files")] == ["native", "onnx"]
    both = bundle_with(tmp_path / "both", level_model, "native", "native-w8", "onnx", "onnx-w8")
    (tmp_path / "more").mkdir()
    engines = {engine.name: engine for engine in engines_of(both, package, tmp_path / "more")}
    assert list(engines) == [name for pair in PAIRS for name in pair]
    opened = engines["native-w8"].opened
    assert opened[CHROMIUM]["model"] == "/files/native-w8/model.wasm"
    assert (tmp_path / "more" / "native-w8" / "model.wasm").read_bytes() == b"native-w8"
    assert opened[NODE]["module"] == (tmp_path / "more" / "native-w8" / "pulsecast.js").as_uri()
    assert engines["onnx-w8"].opened[CHROMIUM]["module"] == f"/modules/{PEER}/dist/ort.mjs"
    assert engines["onnx"].tolerance < engines["onnx-w8"].tolerance


def test_a_bundle_that_cannot_be_compared_is_refused_with_the_export(
    level_model, many_bundle: Path, stand_in: Path, tmp_path: Path
) -> None:
    package, folder = find_package(stand_in), tmp_path / "files"
    export = "export it by pulsecast export MODEL --target native .* --native-for wasm32 --out BUNDLE"
    plain.write_bundle(tmp_path / "plain", level_model)
    with pytest.raises(UsageError, match=f"bundle plain has no native, onnx; {export}"):
        engines_of(Bundle.open(tmp_path / "plain"), package, folder)
    here = bundle_with(tmp_path / "here", level_model, "native", "onnx", modules=False)
    with pytest.raises(UsageError, match=f"bundle here has no native/lib/wasm32/model.wasm; {export}"):
        engines_of(here, package, folder)
    with pytest.raises(UsageError, match="holds 3 series; this measures models of one"):
        engines_of(Bundle.open(many_bundle), package, folder)


def test_a_place_that_is_not_installed_is_said_with_the_command(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("PATH", "")
    assert program.main([str(tmp_path), "--modules", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Node is not installed; `apt-get install nodejs` installs it on Debian")
    assert "; Chromium is not installed; `apt-get install chromium`" in said
    assert program.main([str(tmp_path), "--modules", str(tmp_path), "--place", "chromium"]) == 2
    assert "Node" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--starts=0", "--rounds=x", "--round-seconds=-1", "--place=safari"])
def test_options_that_cannot_be_measured_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        program.main([str(tmp_path), "--modules", str(tmp_path), option])
